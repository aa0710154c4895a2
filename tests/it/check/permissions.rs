//! Whether EC2 allows the calls, which is tried without a change.

use super::machine::{changes, ready};
use super::table::{has, others_are_ok};
use crate::stage::{Answer, IP, ME, PEER};

#[test]
fn a_check_changes_nothing_and_rehearses_each_change() {
    for owner in [None, Some(ME), Some(PEER)] {
        let stage = ready();
        stage.ec2.set_owner(IP, owner);
        let before = stage.ec2.association(IP);
        let ended = stage.run(["check"]);
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert_eq!(changes(&stage), []);
        assert_eq!((stage.ec2.owner(IP).as_deref(), stage.ec2.association(IP)), (owner, before));
        let mut rehearsed: Vec<String> =
            stage.ec2.requests().iter().filter(|r| r.parameters.contains_key("DryRun")).map(|r| r.action.clone()).collect();
        rehearsed.sort();
        let all = ["AssociateAddress", "DescribeAddresses", "DisassociateAddress"];
        let expected = if owner.is_some() { &all[..] } else { &all[..2] };
        assert_eq!(rehearsed, expected);
        assert!(!stage.path("run").exists());
    }
}

#[test]
fn what_would_change_something_is_not_rehearsed_where_dry_runs_are_not_heeded() {
    let stage = ready();
    stage.ec2.ignore_dry_run();
    let ended = stage.run(["check"]);
    for name in ["may-associate", "may-disassociate"] {
        has(&ended, "warn", name, &["could not be tried", "does not heed DryRun", "see a start and a stop work"]);
    }
    others_are_ok(&ended, &["may-associate", "may-disassociate"]);
    assert_eq!(ended.code(), 0);
    assert!(stage.ec2.requests().iter().all(|request| matches!(request.action.as_str(), "" | "DescribeAddresses")));
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
}

#[test]
fn eucalyptus_which_knows_no_dry_runs_can_be_ready() {
    let stage = ready();
    stage.ec2.be_eucalyptus();
    stage.unset("AWS_ENDPOINT_URL_EC2");
    stage.configure(&format!("EC2_URL={}/services/compute", stage.ec2.url()));
    let ended = stage.run(["check"]);
    has(&ended, "ok", "address 203.0.113.25", &["no allocation id", PEER]);
    has(&ended, "warn", "may-associate", &["could not be tried: ", "InvalidParameterValue"]);
    has(&ended, "warn", "may-disassociate", &["could not be tried: ", "InvalidParameterValue"]);
    others_are_ok(&ended, &["may-associate", "may-disassociate"]);
    assert_eq!(ended.code(), 0);
    assert_eq!(changes(&stage), []);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
}

#[test]
fn a_permission_that_is_missing_is_told_by_itself() {
    for (action, subject) in [("AssociateAddress", "may-associate 203.0.113.25"), ("DisassociateAddress", "may-disassociate 203.0.113.25")]
    {
        let stage = ready();
        stage.ec2.answer(action, Answer::error(403, "UnauthorizedOperation"));
        let ended = stage.run(["check"]);
        has(&ended, "fail", subject, &["UnauthorizedOperation", &format!("; allow ec2:{action} in the IAM policy")]);
        others_are_ok(&ended, &[subject]);
        assert_eq!(ended.code(), 1);
        assert!(ended.stdout.ends_with("\nnot ready\n"));
    }
    let stage = ready();
    stage.ec2.answer("DescribeAddresses", Answer::error(403, "UnauthorizedOperation"));
    let ended = stage.run(["check"]);
    has(&ended, "fail", "may-describe", &["; allow ec2:DescribeAddresses in the IAM policy"]);
    has(&ended, "warn", "may-associate", &["could not be tried"]);
    has(&ended, "ok", "api", &["answers after"]);
    assert_eq!(ended.code(), 1);
}

#[test]
fn a_handover_does_without_the_permission_to_disassociate() {
    let stage = ready();
    stage.configure("RELEASE_ON_STOP=no");
    stage.ec2.answer("DisassociateAddress", Answer::error(403, "UnauthorizedOperation"));
    let ended = stage.run(["check"]);
    has(&ended, "warn", "may-disassociate 203.0.113.25", &["UnauthorizedOperation"]);
    assert_eq!(ended.code(), 0);
}
