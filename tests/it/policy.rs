//! The IAM policy that the configured addresses need.

#![allow(clippy::unwrap_used, reason = "what cannot be read is a failed test")]

use serde_json::Value;

use crate::stage::{self, IP, KEY_ID, SECRET, Stage, allocation};

#[test]
fn the_policy_names_the_addresses_whose_ids_are_known_in_the_partition_of_the_region() {
    let stage = Stage::new();
    let id = allocation(IP);
    stage.configure(&format!("ELASTIC_IP={id}"));
    for (region, partition) in
        [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("us-iso-east-1", "aws-iso")]
    {
        stage.configure(&format!("AWS_PARAMS=--region={region}"));
        let ended = stage.run(["policy"]);
        assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
        let policy = ended.json();
        let arn = |resource: &str| format!("arn:{partition}:ec2:{region}:*:{resource}");
        let address = arn(&format!("elastic-ip/{id}"));
        let resources = |action: &str| {
            let statements = policy["Statement"].as_array().unwrap();
            let statement = statements.iter().find(|statement| statement["Action"][0] == action).unwrap();
            statement["Resource"].clone()
        };
        assert_eq!(resources("ec2:DescribeAddresses"), "*");
        let (interfaces, instances) = (arn("network-interface/*"), arn("instance/*"));
        assert_eq!(resources("ec2:AssociateAddress"), serde_json::json!([address, interfaces, instances]));
        assert_eq!(resources("ec2:DisassociateAddress"), serde_json::json!([address, interfaces]));
    }
    assert_eq!(stage.ec2.requests(), []);
}

#[test]
fn the_policy_of_addresses_whose_ids_are_not_known_is_the_one_on_the_page_on_configuration() {
    let stage = Stage::new();
    let page = include_str!("../../docs/configuration.md");
    let shown = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let ended = stage.run(["policy"]);
    assert_eq!(ended.json(), serde_json::from_str::<Value>(shown).unwrap());
    assert_eq!(ended.code(), 0);
    ended.complains_once_of(&["eipalloc-"]);
}

#[test]
fn a_policy_for_a_role_is_told_with_who_needs_to_assume_it() {
    let stage = Stage::new();
    let arn = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let (far, near) = (arn("far"), arn("near"));
    for (settings, told) in [
        ("credential_source = Ec2InstanceMetadata".to_owned(), vec![format!("{far} is assumed by the instance's role;")]),
        (
            format!("source_profile = keys\n[profile keys]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}"),
            vec![format!("{far} is assumed by the owner of the keys from profile \"keys\" in CONFIG")],
        ),
        (
            format!("source_profile = near\n[profile near]\nrole_arn = {near}\ncredential_source = Ec2InstanceMetadata"),
            vec![format!("{far} is assumed by {near};"), format!("{near} is assumed by the instance's role;")],
        ),
    ] {
        stage.configure("AWS_PROFILE=failover");
        stage.write_secret("root/.aws/config", format!("[profile failover]\nrole_arn = {far}\n{settings}\n"));
        let ended = stage.run(["policy"]);
        assert_eq!(ended.code(), 0);
        let config = stage.path("root/.aws/config").display().to_string();
        ended.tells(&[&format!("this policy is for {far}, the role of profile \"failover\" in {config}")]);
        for line in told {
            ended.tells(&[&line.replace("CONFIG", &config), "; allow sts:AssumeRole on it in a policy of theirs"]);
        }
        assert!(!ended.stdout.contains("sts:") && !ended.stderr.contains(KEY_ID), "{ended:?}");
    }
    assert_eq!(stage.ec2.requests(), []);
}

#[test]
fn a_policy_for_a_region_that_nobody_tells_is_refused_with_the_remedy() {
    let stage = Stage::new();
    stage.configure(&format!("ELASTIC_IP={}", allocation(IP)));
    stage.unset("AWS_PARAMS");
    let ended = stage.run(["policy"]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (6, ""));
    ended.tells(&["AWS_REGION"]);
    let metadata = stage::Metadata::version_2();
    metadata.tell("placement/region", "eu-north-1");
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
    assert!(stage.run(["policy"]).stdout.contains("arn:aws:ec2:eu-north-1:*:elastic-ip/"));
}
