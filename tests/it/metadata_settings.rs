//! The SDKs' variables for the metadata service.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::time::Duration;

use wiremock::ResponseTemplate;

use crate::stage::stdout::RUNNING;
use crate::stage::{self, KEY_ID, Metadata, Stage};

#[test]
fn a_metadata_service_that_is_switched_off_is_not_asked_for_anything() {
    for in_file in [true, false] {
        let (stage, metadata) = Stage::without_keys();
        metadata.give_role("web", "ROLE");
        let call = |action: &'static str| {
            let call = stage.call([action]);
            if in_file { call } else { call.env("AWS_EC2_METADATA_DISABLED", "True") }
        };
        if in_file {
            stage.configure("AWS_EC2_METADATA_DISABLED=true");
        }
        for (action, stdout, code) in [("start", "", 6), ("stop", "", 6), ("status", "unknown\n", 4)] {
            let ended = call(action).run();
            ended.says(stdout, code);
            ended.complains_once_of(&["no keys", "AWS_EC2_METADATA_DISABLED is set"]);
        }
        stage.write_secret(stage::AWSSECRET, format!("{KEY_ID}\n{}\n", stage::SECRET));
        stage.unset("AWS_PARAMS");
        stage.unset("MY_ID");
        let ended = call("start").run();
        assert_ne!(ended.code(), 0, "{ended:?}");
        ended.tells(&["AWS_EC2_METADATA_DISABLED is set", "set MY_ID and AWS_REGION"]);
        assert_eq!(metadata.asked(), [""; 0]);
    }
}

// Fails when the advice speaks of places that were not looked into.
#[test]
fn whoever_names_the_instances_role_is_told_only_that_it_is_switched_off() {
    let role = "[profile failover]\nrole_arn = arn:aws:iam::123456789012:role/a\ncredential_source = Ec2InstanceMetadata\n";
    for named in ["AWS_PROFILE=failover", "AWS_PARAMS='--region=eu-west-1 --role=web'"] {
        let (stage, metadata) = Stage::without_keys();
        metadata.give_role("web", "ROLE");
        stage.write("root/.aws/config", role);
        stage.configure(&format!("AWS_EC2_METADATA_DISABLED=yes\n{named}"));
        let ended = stage.run(["start"]);
        ended.says("", 6);
        ended.complains_once_of(&["AWS_EC2_METADATA_DISABLED is set"]);
        assert!(!ended.stderr.contains(".awssecret"), "{ended:?}");
        assert_eq!(metadata.asked(), [""; 0]);
    }
}

#[test]
fn a_metadata_service_that_is_not_switched_off_is_asked() {
    let (stage, metadata) = Stage::without_keys();
    metadata.give_role("web", "ROLE");
    stage.configure("AWS_EC2_METADATA_DISABLED=false\nAWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPv6");
    // An address of its own goes before the mode.
    stage.run(["status"]).says(RUNNING, 0);
    assert_eq!(stage.signer(), "ROLE");
}

#[test]
fn the_mode_chooses_the_address_and_a_word_that_is_none_is_refused() {
    for (mode, address) in [("IPv6", "http://[fd00:ec2::254]"), ("ipv4", "http://169.254.169.254")] {
        let stage = Stage::with_the_address();
        stage.remove(stage::AWSSECRET);
        stage.unset("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE={mode}\nSTATUS_TIMEOUT=0.3"));
        let ended = stage.run(["status"]);
        ended.says("unknown\n", 4);
        ended.tells(&[address]);
    }
    let stage = Stage::with_the_address();
    stage.configure("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=both");
    let ended = stage.run(["start"]);
    ended.says("", 6);
    ended.complains_once_of(&["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "\"both\" is neither IPv4 nor IPv6"]);
}

// Fails when a question's limit is the program's own whatever is configured.
#[test]
fn a_slow_metadata_service_is_waited_for_as_long_as_is_configured() {
    let slow = |metadata: &Metadata| {
        metadata.give_role("web", "ROLE");
        let late = ResponseTemplate::new(200).set_body_string("web").set_delay(Duration::from_millis(1500));
        metadata.answer_instead("iam/security-credentials/", late);
    };
    let (stage, metadata) = Stage::without_keys();
    slow(&metadata);
    stage.configure("AWS_METADATA_SERVICE_TIMEOUT=3");
    stage.run(["status"]).says(RUNNING, 0);
    assert_eq!(stage.signer(), "ROLE");
    stage.configure("AWS_METADATA_SERVICE_TIMEOUT=0.2\nSTATUS_TIMEOUT=1");
    let ended = stage.run(["status"]);
    ended.says("unknown\n", 4);
    ended.tells(&["no answer from 127.0.0.1 within 200 ms"]);
    stage.configure("AWS_METADATA_SERVICE_TIMEOUT=soon");
    stage.run(["status"]).tells(&["AWS_METADATA_SERVICE_TIMEOUT", "not a number of seconds"]);
}
