//! Refusals that pass. For some seconds after a boot, a new key, a new policy or a new interface, EC2 and the metadata service refuse
//! what they will soon allow. A start outlasts them, for under Heartbeat and keepalived nobody runs it again; stop and status do not.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::time::Duration;

use wiremock::ResponseTemplate;

use crate::stage::stdout::{ASSOCIATED, NOT_DISOWNED, NOT_MAPPED, UNKNOWN};
use crate::stage::{self, AWSSECRET, Answer, ETH0, ETH1, IP, ME, Metadata, PEER, SECRET, Stage, allocation, each_at_once, privates};

/// For how long something is refused.
const WHILE: Duration = Duration::from_millis(800);
/// What a call takes at the most that does not wait, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What EC2 refuses for a while though nothing is wrong.
const PASSING: [(u16, &str); 10] = [
    (401, "AuthFailure"),
    (403, "InvalidClientTokenId"),
    (400, "ExpiredToken"),
    (403, "UnauthorizedOperation"),
    (401, "OptInRequired"),
    (400, "InvalidInstanceID"),
    (400, "InvalidInstanceID.NotFound"),
    (400, "IncorrectInstanceState"),
    (400, "InvalidAllocationID.NotFound"),
    (400, "InvalidNetworkInterfaceID.NotFound"),
];

/// What no waiting mends.
const LASTING: [(u16, &str); 6] = [
    (400, "InvalidParameterValue"),
    (400, "InvalidParameterCombination"),
    (400, "MissingParameter"),
    (400, "UnknownParameter"),
    (400, "MalformedQueryString"),
    (400, "InvalidAction"),
];

/// A stage where the peer has the address, and a metadata service of an instance with one interface.
fn stage() -> (Stage, Metadata) {
    let stage = Stage::with_the_address_at_the_peer();
    let metadata = Metadata::version_2();
    let mac = "0e:49:61:0f:c3:11";
    metadata.tell("instance-id", ME);
    metadata.tell("mac", mac);
    metadata.tell("network/interfaces/macs/", &format!("{mac}/\n"));
    metadata.tell(&format!("network/interfaces/macs/{mac}/interface-id"), ETH0);
    metadata.tell(&format!("network/interfaces/macs/{mac}/local-ipv4s"), &privates(ETH0)[0]);
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
    (stage, metadata)
}

/// Whether this refusal is one of this action's.
fn concerns(code: &str, action: &str) -> bool {
    let of_the_association =
        ["InvalidInstanceID", "InvalidInstanceID.NotFound", "IncorrectInstanceState", "InvalidNetworkInterfaceID.NotFound"];
    match action {
        "AssociateAddress" => true,
        // By the address alone, nothing asks for an allocation.
        _ => !of_the_association.contains(&code) && code != "InvalidAllocationID.NotFound",
    }
}

#[test]
fn a_start_outlasts_what_ec2_refuses_for_a_while() {
    let mut cases = Vec::new();
    for action in ["DescribeAddresses", "AssociateAddress"] {
        cases.extend(PASSING.into_iter().filter(|(_, code)| concerns(code, action)).map(|(status, code)| (action, status, code)));
    }
    each_at_once(&cases, |&(action, status, code)| {
        let (stage, _metadata) = stage();
        stage.ec2.refuse_for(action, status, code, WHILE);
        let ended = stage.run(["start"]);
        assert_eq!((ended.stdout.as_str(), ended.code()), (ASSOCIATED, 0), "{code} to {action}: {ended:?}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME), "{code} to {action}");
        // At a calm pace: others wait as well.
        let asked = stage.ec2.actions().into_iter().filter(|asked| asked == action).count();
        assert!((2..=20).contains(&asked), "{code} to {action}: {asked} requests");
    });
}

#[test]
fn an_ocf_start_outlasts_what_ec2_refuses_for_a_while() {
    each_at_once(&PASSING, |&(status, code)| {
        let (stage, _metadata) = stage();
        stage.ec2.refuse_for("AssociateAddress", status, code, WHILE);
        let ended = stage.operate("start", &[("OCF_RESKEY_CRM_meta_timeout", "20000")]);
        assert_eq!(ended.code(), 0, "{code}: {ended:?}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME), "{code}");
    });
}

#[test]
fn a_start_outlasts_that_ec2_does_not_know_its_allocation_yet() {
    for action in ["", "AssociateAddress"] {
        let (stage, _metadata) = stage();
        let id = allocation(IP);
        stage.configure(&format!("ELASTIC_IP={id}"));
        stage.ec2.refuse_for(action, 400, "InvalidAllocationID.NotFound", WHILE);
        stage.run(["start"]).says(&ASSOCIATED.replace(IP, &id), 0);
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    }
}

#[test]
fn a_start_whose_limit_comes_before_the_end_of_a_refusal_says_what_was_refused() {
    let cases = [("DescribeAddresses", 401, "AuthFailure"), ("AssociateAddress", 403, "UnauthorizedOperation")];
    each_at_once(&cases, |&(action, status, code)| {
        let (stage, _metadata) = stage();
        stage.configure("START_TIMEOUT=2");
        stage.ec2.answer(action, Answer::error(status, code));
        let ended = stage.run(["start"]);
        ended.says(NOT_MAPPED, 1);
        assert!(ended.elapsed < Duration::from_secs(3), "{ended:?}");
        assert!(ended.stderr.lines().last().unwrap().contains(code), "{ended:?}");
        assert!(stage.ec2.actions().iter().filter(|asked| *asked == action).count() > 1, "{ended:?}");
    });
}

#[test]
fn an_ocf_start_that_is_refused_until_its_end_tells_pacemaker_of_what() {
    let (stage, _metadata) = stage();
    stage.ec2.answer("AssociateAddress", Answer::error(403, "UnauthorizedOperation"));
    let ended = stage.operate("start", &[("OCF_RESKEY_CRM_meta_timeout", "5000")]);
    assert_eq!(ended.code(), 1, "{ended:?}");
    let reason = ended.stderr.lines().find_map(|line| line.strip_prefix("ocf-exit-reason:")).unwrap();
    assert!(reason.contains("UnauthorizedOperation"), "{ended:?}");
}

#[test]
fn a_start_ends_at_once_on_what_no_waiting_mends() {
    let mut cases = Vec::new();
    for action in ["DescribeAddresses", "AssociateAddress"] {
        cases.extend(LASTING.map(|(status, code)| (action, status, code)));
    }
    each_at_once(&cases, |&(action, status, code)| {
        let (stage, _metadata) = stage();
        stage.ec2.answer(action, Answer::error(status, code));
        let ended = stage.run(["start"]);
        ended.says(NOT_MAPPED, 1);
        assert!(ended.elapsed < AT_ONCE && ended.stderr.contains(code), "{ended:?}");
        assert_eq!(stage.ec2.actions().iter().filter(|asked| *asked == action).count(), 1, "{code}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
    });
}

#[test]
fn a_stop_and_a_status_do_not_wait_for_what_is_refused() {
    let cases: Vec<_> = PASSING.into_iter().filter(|(_, code)| concerns(code, "DescribeAddresses")).collect();
    each_at_once(&cases, |&(status, code)| {
        for (action, stdout, exit) in [("status", UNKNOWN, 4), ("stop", NOT_DISOWNED, 1)] {
            let (stage, _metadata) = stage();
            stage.ec2.give(IP, ME);
            stage.ec2.answer("", Answer::error(status, code));
            let ended = stage.run([action]);
            ended.says(stdout, exit);
            assert!(ended.elapsed < AT_ONCE && ended.stderr.contains(code), "{ended:?}");
            assert_eq!(stage.ec2.actions(), ["DescribeAddresses"], "{action}, {code}");
        }
    });
}

const ROLE: &str = "iam/security-credentials/";
const ROLE_KEYS: &str = "iam/security-credentials/web";

fn role_keys(id: &str, token: &str) -> String {
    format!(r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"{SECRET}","Token":"{token}"}}"#)
}

/// A stage whose keys are those of the instance's role.
fn stage_with_role() -> (Stage, Metadata) {
    let (stage, metadata) = stage();
    stage.remove(AWSSECRET);
    metadata.tell(ROLE, "web\n");
    metadata.tell(ROLE_KEYS, &role_keys("ASIAROLE", "token"));
    (stage, metadata)
}

#[test]
fn a_start_outlasts_a_role_that_the_metadata_service_does_not_have_yet() {
    let failed = r#"{"Code":"Failed","LastUpdated":"2026-01-01T00:00:00Z"}"#;
    let unassumed = r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume the role web."}"#;
    let cases = [
        (ROLE, ResponseTemplate::new(404)),
        (ROLE_KEYS, ResponseTemplate::new(404)),
        (ROLE_KEYS, ResponseTemplate::new(200).set_body_string(failed)),
        (ROLE_KEYS, ResponseTemplate::new(200).set_body_string(unassumed)),
    ];
    each_at_once(&cases, |(fact, refusal)| {
        for option in ["", " --role=web"] {
            if *fact == ROLE && !option.is_empty() {
                continue;
            }
            let (stage, metadata) = stage_with_role();
            stage.configure(&format!("AWS_PARAMS=\"--region=eu-west-1{option}\""));
            metadata.answer_for(fact, WHILE, refusal.clone());
            let ended = stage.run(["start"]);
            assert_eq!((ended.stdout.as_str(), ended.code()), (ASSOCIATED, 0), "{fact}{option}: {ended:?}");
            assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
        }
    });
}

#[test]
fn an_ocf_start_outlasts_a_role_that_the_metadata_service_does_not_have_yet() {
    let (stage, metadata) = stage_with_role();
    metadata.answer_for(ROLE, WHILE, ResponseTemplate::new(404));
    let ended = stage.operate("start", &[("OCF_RESKEY_CRM_meta_timeout", "20000")]);
    assert_eq!(ended.code(), 0, "{ended:?}");
}

#[test]
fn a_start_outlasts_a_metadata_service_that_refuses_its_own_token() {
    for unset in ["AWS_PARAMS", "MY_ID"] {
        let (stage, metadata) = stage_with_role();
        metadata.tell("placement/region", "eu-west-1");
        stage.unset(unset);
        metadata.answer_all_for(WHILE, ResponseTemplate::new(401));
        stage.run(["start"]).says(ASSOCIATED, 0);
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME), "without {unset}");
    }
}

#[test]
fn a_status_does_not_wait_for_a_role() {
    let (stage, metadata) = stage_with_role();
    metadata.answer_for(ROLE, WHILE, ResponseTemplate::new(404));
    let ended = stage.run(["status"]);
    assert_eq!(ended.code(), 4, "{ended:?}");
    assert!(!ended.stdout.contains("running") && !ended.stdout.contains("stopped") && ended.elapsed < AT_ONCE, "{ended:?}");
}

#[test]
fn a_start_outlasts_an_interface_that_is_not_listed_yet() {
    let first = "0e:49:61:0f:c3:11";
    let second = "0e:49:61:0f:c3:77";
    let list = "network/interfaces/macs/".to_owned();
    let (id_of_second, ips_of_second) = (format!("{list}{second}/interface-id"), format!("{list}{second}/local-ipv4s"));
    let only_the_first = || ResponseTemplate::new(200).set_body_string(format!("{first}/\n"));
    let primary = || ResponseTemplate::new(200).set_body_string(privates(ETH0).remove(0));
    let absent = || ResponseTemplate::new(404);
    let cases = [
        ("eth1".to_owned(), list.clone(), only_the_first(), ETH1, "10.0.1.4"),
        (ETH1.to_owned(), list.clone(), only_the_first(), ETH1, "10.0.1.4"),
        ("10.0.1.4".to_owned(), list.clone(), only_the_first(), ETH1, "10.0.1.4"),
        ("eth1".to_owned(), id_of_second, absent(), ETH1, "10.0.1.4"),
        ("eth1".to_owned(), ips_of_second, absent(), ETH1, "10.0.1.4"),
        ("10.0.0.7".to_owned(), format!("{list}{first}/local-ipv4s"), primary(), ETH0, "10.0.0.7"),
    ];
    each_at_once(&cases, |(named, fact, early, interface, private)| {
        let stage = Stage::with_the_address_at_the_peer();
        let metadata = stage.two_interfaces();
        stage.ec2.attach_second_interface();
        stage.configure(&format!("ELASTIC_IP={IP}@{named}"));
        metadata.answer_for(fact, WHILE, early.clone());
        let ended = stage.run(["start"]);
        assert_eq!(ended.code(), 0, "{named}, {fact}: {ended:?}");
        assert_eq!(stage.ec2.place(IP), Some(((*interface).to_owned(), (*private).to_owned())), "{named}, {fact}");
    });
}

#[test]
fn a_start_outlasts_that_ec2_does_not_know_its_interface_yet() {
    let stage = Stage::with_the_address_at_the_peer();
    let _metadata = stage.two_interfaces();
    stage.ec2.attach_second_interface();
    stage.configure(&format!("ELASTIC_IP={IP}@eth1"));
    stage.ec2.refuse_for("AssociateAddress", 400, "InvalidNetworkInterfaceID.NotFound", WHILE);
    stage.run(["start"]).says(ASSOCIATED, 0);
    assert_eq!(stage.ec2.place(IP), Some((ETH1.to_owned(), "10.0.1.4".to_owned())));
}

#[test]
fn a_start_whose_role_gets_new_keys_meanwhile_goes_on_with_these() {
    // Throttled, or refused for another reason, until after the old keys have expired.
    let cases = [(503, "RequestLimitExceeded"), (500, "InternalError"), (403, "UnauthorizedOperation"), (200, "")];
    each_at_once(&cases, |&(status, code)| {
        let (stage, metadata) = stage_with_role();
        let expiry = if code.is_empty() { Duration::ZERO } else { Duration::from_millis(300) };
        if !code.is_empty() {
            stage.ec2.refuse_for("", status, code, WHILE);
        }
        stage.ec2.expire_token("token", expiry);
        metadata.tell_after(ROLE_KEYS, Duration::from_millis(1), &role_keys("ASIANEW", "newToken"));
        let ended = stage.run(["start"]);
        assert_eq!((ended.stdout.as_str(), ended.code()), (ASSOCIATED, 0), "{code}: {ended:?}");
        let last = stage.ec2.requests().pop().unwrap();
        assert_eq!((last.action.as_str(), last.headers["x-amz-security-token"].as_str()), ("AssociateAddress", "newToken"), "{code}");
        assert!(metadata.asked().iter().filter(|asked| asked.ends_with(ROLE_KEYS)).count() > 1);
    });
}

#[test]
fn a_start_whose_keys_in_a_file_are_replaced_meanwhile_goes_on_with_these() {
    let (stage, _metadata) = stage();
    stage.ec2.refuse_for("", 401, "AuthFailure", 2 * WHILE);
    let running = stage.call(["start"]).spawn();
    stage::wait_for("the first request", || !stage.ec2.actions().is_empty());
    stage.write_secret(AWSSECRET, format!("AKIDNEW\n{SECRET}\n"));
    running.end().says(ASSOCIATED, 0);
    let signed = stage.ec2.requests().pop().unwrap().headers["authorization"].clone();
    assert!(signed.contains("Credential=AKIDNEW/"), "{signed}");
}
