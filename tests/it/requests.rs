//! What is sent to EC2: which calls, in which order, with which parameters.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::collections::BTreeMap;

use crate::stage::{self, Answer, Fault, IP, KEY_ID, ME, PEER, Request, STATE, Stage, allocation, item};

fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The calls as action and parameters.
fn sent(stage: &Stage) -> Vec<(String, BTreeMap<String, String>)> {
    stage.ec2.requests().into_iter().map(|request| (request.action, request.parameters)).collect()
}

fn describe() -> (String, BTreeMap<String, String>) {
    ("DescribeAddresses".to_owned(), parameters(&[("PublicIp.1", IP)]))
}

#[test]
fn start_asks_and_then_associates_by_allocation_id_in_one_atomic_move() {
    for owner in [None, Some(PEER)] {
        let stage = Stage::new();
        if let Some(owner) = owner {
            stage.ec2.give(IP, owner);
        }
        stage.run(["start"]);
        let associate = parameters(&[("AllocationId", &allocation(IP)), ("AllowReassociation", "true"), ("InstanceId", ME)]);
        assert_eq!(sent(&stage), [describe(), ("AssociateAddress".to_owned(), associate)]);
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    }
}

#[test]
fn start_tells_ec2_when_it_may_not_take_a_held_address() {
    let stage = Stage::new();
    stage.configure("ALLOW_REASSOCIATION=no");
    stage.run(["start"]);
    assert_eq!(stage.ec2.requests()[1].parameters["AllowReassociation"], "false");
}

#[test]
fn ec2_itself_refuses_a_held_address_that_may_not_be_taken_and_its_owner_is_named() {
    for (name, calls) in [
        (IP.to_owned(), ["DescribeAddresses", "AssociateAddress"]),
        // With a known allocation id, EC2 is asked only for the owner's name.
        (allocation(IP), ["AssociateAddress", "DescribeAddresses"]),
    ] {
        let stage = Stage::with_the_address_at_the_peer();
        stage.configure(&format!("ALLOW_REASSOCIATION=no\nELASTIC_IP={name}"));
        let ended = stage.run(["start"]);
        ended.says(&format!("elastic-ip remapper: Could not map IP {name} to {ME}\n"), 1);
        ended.complains_once_of(&[&name, PEER, "ALLOW_REASSOCIATION=no"]);
        assert_eq!(stage.ec2.actions(), calls);
        let associate = stage.ec2.requests().into_iter().find(|request| request.action == "AssociateAddress").unwrap();
        assert_eq!(associate.parameters["AllowReassociation"], "false");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
    }
}

#[test]
fn with_a_known_allocation_id_the_associate_is_the_first_request() {
    let associate = || {
        let named = parameters(&[("AllocationId", &allocation(IP)), ("AllowReassociation", "true"), ("InstanceId", ME)]);
        ("AssociateAddress".to_owned(), named)
    };
    let configured = Stage::with_the_address_at_the_peer();
    configured.configure(&format!("ELASTIC_IP={}", allocation(IP)));
    assert_eq!(configured.run(["start"]).code(), 0);
    assert_eq!(sent(&configured), [associate()]);
    // An earlier call of this node has seen it.
    let remembered = Stage::with_the_address_at_the_peer();
    for action in ["status", "start", "start"] {
        remembered.run([action]);
    }
    assert_eq!(sent(&remembered), [describe(), associate(), associate()]);
}

#[test]
fn an_allocation_id_that_ec2_does_not_know_any_more_is_asked_for() {
    let stage = Stage::with_the_address_at_the_peer();
    stage.run(["status"]);
    let text = std::fs::read_to_string(stage.path(STATE)).unwrap();
    stage.write(STATE, text.replace(&allocation(IP), "eipalloc-00000000000009999"));
    assert_eq!(stage.run(["start"]).code(), 0);
    assert_eq!(stage.ec2.actions()[1..], ["AssociateAddress", "DescribeAddresses", "AssociateAddress"]);
    assert_eq!(stage.state()["allocation"], allocation(IP));
}

#[test]
fn stop_ends_the_association_that_it_remembers_in_one_request() {
    let stage = Stage::with_the_address_at_the_peer();
    stage.run(["start"]);
    let association = stage.ec2.association(IP).unwrap();
    stage.run(["stop"]).says(&format!("elastic-ip remapper: IP {IP} disowned\n"), 0);
    assert_eq!(sent(&stage)[2..], [("DisassociateAddress".to_owned(), parameters(&[("AssociationId", &association)]))]);
    assert_eq!(stage.ec2.owner(IP), None);
}

#[test]
fn stop_looks_for_a_later_association_where_the_remembered_one_is_over() {
    for (owner, line, ended) in [(PEER, "I do not have 203.0.113.25", 1), (ME, "IP 203.0.113.25 disowned", 2)] {
        let stage = Stage::with_the_address_at_the_peer();
        stage.run(["start"]);
        stage.ec2.give(IP, owner);
        stage.run(["stop"]).says(&format!("elastic-ip remapper: {line}\n"), 0);
        let sent = ["DisassociateAddress", "DescribeAddresses", "DisassociateAddress"];
        assert_eq!(stage.ec2.actions()[2..], sent[..=ended]);
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER).filter(|_| owner == PEER));
    }
}

#[test]
fn stop_disassociates_the_association_id_that_it_saw_and_never_the_address() {
    let stage = Stage::with_the_address();
    let association = stage.ec2.association(IP).unwrap();
    stage.run(["stop"]);
    assert_eq!(sent(&stage), [describe(), ("DisassociateAddress".to_owned(), parameters(&[("AssociationId", &association)]))]);
    assert_eq!(stage.ec2.owner(IP), None);
}

// P1. Fails when the condition `is_here` of `Release::described` in src/takeover/release.rs is removed.
#[test]
fn stop_leaves_an_address_alone_that_is_not_this_instances() {
    for owner in [None, Some(PEER), Some("eni-0cccccccccccccccc"), Some("i-0aaaaaaa")] {
        let stage = Stage::new();
        if let Some(owner) = owner {
            stage.ec2.give(IP, owner);
        }
        stage.run(["stop"]);
        assert_eq!(sent(&stage), [describe()], "{owner:?}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), owner);
    }
}

#[test]
fn stop_succeeds_and_the_new_owner_keeps_the_address_when_a_peer_takes_it_between_the_two_calls() {
    let stage = Stage::with_the_address();
    // EC2 shows the association as it was before the peer took the address.
    let old = stage.ec2.association(IP).unwrap();
    let before = item(&[("publicIp", IP), ("allocationId", &allocation(IP)), ("instanceId", ME), ("associationId", &old)]);
    stage.ec2.answer_once("DescribeAddresses", Answer::addresses(&before));
    stage.ec2.give(IP, PEER);
    stage.run(["stop"]).says("elastic-ip remapper: I do not have 203.0.113.25\n", 0);
    // What it was told to end is not there, so it asks whether it has another.
    assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "DisassociateAddress", "DescribeAddresses"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
}

#[test]
fn status_and_what_reads_the_configuration_anew_only_describe() {
    for action in ["status", "try-restart", "force-reload"] {
        for owner in [ME, PEER] {
            let stage = Stage::new();
            stage.ec2.give(IP, owner);
            stage.run([action]);
            assert_eq!(sent(&stage), [describe()], "{action} with {owner}");
        }
    }
}

// P7. Fails when the filter in `State::associated`, or the assignment of `latest` in `State::released`, in src/takeover/state.rs is
// removed.
#[test]
fn the_second_start_asks_ec2_for_what_is_so_already_and_the_second_stop_for_nothing() {
    // AWS does not say whether an associate to where the address is already makes a new association.
    for keeps in [false, true] {
        let stage = Stage::with_the_address_at_the_peer();
        if keeps {
            stage.ec2.keep_associations();
        }
        let associate = "AssociateAddress";
        let mut changes = Vec::new();
        for (action, change, owner, status) in [
            ("start", Some(associate), Some(ME), 0),
            ("start", Some(associate), Some(ME), 0),
            ("restart", Some(associate), Some(ME), 0),
            ("stop", Some("DisassociateAddress"), None, 3),
            ("stop", None, None, 3),
        ] {
            assert_eq!(stage.run([action]).code(), 0, "{action}");
            changes.extend(change);
            assert_eq!(stage.ec2.changes(), changes, "{action}");
            assert_eq!(stage.ec2.owner(IP).as_deref(), owner, "{action}");
            assert_eq!(stage.run(["status"]).code(), status, "{action}");
        }
    }
}

#[test]
fn restart_never_releases_first() {
    for owner in [ME, PEER] {
        let stage = Stage::new();
        stage.ec2.give(IP, owner);
        stage.run(["restart"]);
        assert!(!stage.ec2.changes().contains(&"DisassociateAddress".to_owned()), "{owner}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    }
}

#[test]
fn a_dry_run_tells_what_it_would_call_and_calls_nothing_that_changes_anything() {
    for (action, owner, told) in [
        ("start", PEER, vec!["would call AssociateAddress", PEER, ME]),
        ("restart", PEER, vec!["would call AssociateAddress", PEER, ME]),
        ("start", ME, vec!["would call AssociateAddress", ME]),
        ("stop", ME, vec!["would call DisassociateAddress", ME]),
        ("stop", PEER, vec![]),
    ] {
        let stage = Stage::new();
        stage.ec2.give(IP, owner);
        let ended = stage.run(["--dry-run", action]);
        assert_eq!(ended.code(), 0, "{ended:?}");
        ended.tells(&told);
        assert_eq!(sent(&stage), [describe()], "{action} with {owner}");
        assert!(!stage.path("run").exists(), "a dry run of {action} left a mark");
    }
}

#[test]
fn all_calls_of_a_run_share_one_connection() {
    for (action, owner, calls) in [("start", PEER, 2), ("stop", ME, 2), ("status", ME, 1)] {
        let stage = Stage::new();
        stage.ec2.give(IP, owner);
        let wire = stage.cut_in(|_| Fault::None);
        assert_eq!(stage.run([action]).code(), 0);
        assert_eq!((wire.requests(), wire.connections()), (calls, 1), "{action}");
    }
}

#[test]
fn calls_are_signed_and_say_who_calls() {
    let stage = Stage::new();
    assert_eq!(stage.run(["start"]).code(), 0);
    for Request { headers, .. } in stage.ec2.requests() {
        assert_eq!(headers["user-agent"], concat!("elastic-ip/", env!("CARGO_PKG_VERSION")));
        let authorization = &headers["authorization"];
        assert!(authorization.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/")), "{authorization}");
        assert!(authorization.contains("/eu-west-1/ec2/aws4_request, SignedHeaders="), "{authorization}");
        assert!(!headers.contains_key("x-amz-security-token"));
    }
}

#[test]
fn a_session_token_goes_along() {
    let stage = Stage::new();
    stage.write_secret(stage::AWSSECRET, format!("{KEY_ID}\n{}\nSessionToken==\n", stage::SECRET));
    assert_eq!(stage.run(["status"]).code(), 3);
    assert_eq!(stage.ec2.requests()[0].headers["x-amz-security-token"], "SessionToken==");
}

#[test]
fn an_endpoint_may_have_a_path() {
    let stage = Stage::with_the_address();
    stage.configure(&format!("AWS_ENDPOINT_URL_EC2={}/services/compute/", stage.ec2.url()));
    stage.run(["status"]).says(&format!("elastic-ip remapper: I have {IP}\nrunning\n"), 0);
    assert!(stage.ec2.requests()[0].path.starts_with("/services/compute"));
}

#[test]
fn the_endpoint_may_be_given_by_each_of_its_names() {
    for name in ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL", "EC2_URL"] {
        let stage = Stage::with_the_address();
        stage.unset("AWS_ENDPOINT_URL_EC2");
        assert_eq!(stage.call(["status"]).env(name, &stage.ec2.url()).run().code(), 0, "{name} in the environment");
        stage.configure(&format!("{name}={}", stage.ec2.url()));
        assert_eq!(stage.run(["status"]).code(), 0, "{name} in the file");
    }
}

#[test]
fn a_wrong_clock_is_mended_once_with_the_time_of_the_answer() {
    // Far from any clock that this test may run by.
    let date = "Tue, 01 Feb 2050 10:20:30 GMT";
    for code in ["RequestExpired", "AuthFailure", "SignatureDoesNotMatch"] {
        let stage = Stage::with_the_address();
        stage.ec2.answer_once("DescribeAddresses", Answer::error(400, code).dated(date));
        let ended = stage.run(["stop"]);
        ended.says(&format!("elastic-ip remapper: IP {IP} disowned\n"), 0);
        ended.tells(&[code, "clock"]);
        let requests = stage.ec2.requests();
        assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "DescribeAddresses", "DisassociateAddress"]);
        assert!(!requests[0].headers["x-amz-date"].starts_with("20500201T"));
        for request in &requests[1..] {
            assert!(request.headers["x-amz-date"].starts_with("20500201T1020"), "{request:?}");
            assert!(request.headers["authorization"].contains("/20500201/eu-west-1/ec2/"), "{request:?}");
        }
    }
}

#[test]
fn a_clock_error_that_stays_is_final() {
    let stage = Stage::with_the_address();
    stage.ec2.answer("", Answer::error(400, "RequestExpired").dated("Tue, 01 Feb 2050 10:20:30 GMT"));
    assert_eq!(stage.run(["status"]).code(), 4);
    assert_eq!(stage.ec2.actions(), ["DescribeAddresses"; 2]);
}

#[test]
fn the_clock_is_mended_once_in_a_run() {
    let refusal = Answer::error(400, "RequestExpired").dated("Tue, 01 Feb 2050 10:20:30 GMT");
    let stage = Stage::with_the_address();
    stage.ec2.answer_once("DescribeAddresses", refusal.clone());
    stage.ec2.answer("DisassociateAddress", refusal);
    assert_eq!(stage.run(["stop"]).code(), 1);
    assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "DescribeAddresses", "DisassociateAddress"]);
}

#[test]
fn a_redirect_is_not_followed() {
    let stage = Stage::with_the_address();
    let other = Stage::with_the_address();
    stage.ec2.answer("", Answer::new(307, "").located(&other.ec2.url()));
    stage.run(["status"]).says("unknown\n", 4);
    assert_eq!(other.ec2.actions(), [""; 0]);
}
