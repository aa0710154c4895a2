//! A stop that failed: what status says after it, and what settles it.

use std::time::Duration;

use crate::stage::stdout::{NOT_DISOWNED, NOT_MAPPED, RUNNING, STOPPED, UNKNOWN};
use crate::stage::{AWSSECRET, Answer, Fault, IP, LAG, ME, PEER, Stage};

// P5. Fails when the call of `end_stop` in `run` in src/run.rs is removed.
#[test]
fn after_a_failed_stop_status_is_unknown_while_the_address_is_here_until_a_stop_or_a_start_succeeds() {
    for (action, after) in [("stop", (STOPPED, 3)), ("start", (RUNNING, 0))] {
        let stage = Stage::with_the_address();
        stage.ec2.answer_once("DisassociateAddress", Answer::error(403, "UnauthorizedOperation"));
        stage.run(["stop"]).says(NOT_DISOWNED, 1);
        assert!(stage.has_failed_stop());
        // Heartbeat reboots a machine that calls the address its own after a failed stop.
        let status = stage.run(["status"]);
        status.says(UNKNOWN, 4);
        status.complains_once_of(&[IP, "a stop failed"]);
        assert_eq!(stage.run([action]).code(), 0);
        assert!(!stage.has_failed_stop());
        stage.run(["status"]).says(after.0, after.1);
    }
}

#[test]
fn a_failed_stop_is_settled_once_the_address_is_seen_to_be_elsewhere() {
    // It took effect after all, or a peer has the address.
    for owner in [None, Some(PEER)] {
        let stage = Stage::with_the_address();
        stage.ec2.answer_once("DisassociateAddress", Answer::error(403, "UnauthorizedOperation"));
        stage.run(["stop"]).says(NOT_DISOWNED, 1);
        stage.ec2.set_owner(IP, owner);
        // What EC2 does not tell settles nothing.
        stage.ec2.answer_once("DescribeAddresses", Answer::error(403, "UnauthorizedOperation"));
        stage.run(["status"]).says(UNKNOWN, 4);
        stage.run(["--dry-run", "status"]).says(STOPPED, 3);
        // The describe may be older than the failure.
        stage.run(["status"]).says(STOPPED, 3);
        stage.later(LAG / 2);
        stage.run(["status"]).says(STOPPED, 3);
        assert!(stage.has_failed_stop());
        stage.later(LAG / 2);
        stage.run(["--dry-run", "status"]).says(STOPPED, 3);
        assert!(stage.has_failed_stop());
        stage.run(["status"]).says(STOPPED, 3);
        assert!(!stage.has_failed_stop());
        // When the address comes back, somebody has given it to this instance on purpose.
        stage.ec2.give(IP, ME);
        if owner.is_none() {
            // It may have come and gone before it was nobody's.
            stage.configure("STATUS_TIMEOUT=0.3");
            stage.run(["status"]).says(UNKNOWN, 4);
            stage.later(LAG);
        }
        stage.run(["status"]).says(RUNNING, 0);
    }
}

#[test]
fn a_failed_start_does_not_settle_a_failed_stop() {
    let stage = Stage::with_the_address_at_the_peer();
    stage.ec2.answer_once("DescribeAddresses", Answer::error(403, "UnauthorizedOperation"));
    stage.run(["stop"]).says(NOT_DISOWNED, 1);
    stage.ec2.answer("AssociateAddress", Answer::error(400, "InvalidParameterValue"));
    stage.run(["start"]).says(NOT_MAPPED, 1);
    assert!(stage.has_failed_stop());
}

#[test]
fn a_stop_after_a_failed_stop_ends_within_two_seconds() {
    let stage = Stage::with_the_address();
    stage.ec2.answer_once("DescribeAddresses", Answer::error(403, "UnauthorizedOperation"));
    stage.run(["stop"]).says(NOT_DISOWNED, 1);
    stage.cut_in(|_| Fault::Silence);
    let ended = stage.run(["stop"]);
    ended.says(NOT_DISOWNED, 1);
    assert!(ended.elapsed < Duration::from_secs(3), "{ended:?}");
}

#[test]
fn a_stop_that_could_not_even_begin_is_remembered_as_failed_too() {
    let stage = Stage::with_the_address();
    stage.remove(AWSSECRET);
    stage.write_secret(AWSSECRET, "one-word");
    assert_eq!(stage.run(["stop"]).code(), 6);
    assert!(stage.has_failed_stop());
}

#[test]
fn a_dry_run_of_a_stop_that_fails_is_not_remembered() {
    let stage = Stage::with_the_address();
    stage.ec2.answer("", Answer::error(403, "UnauthorizedOperation"));
    stage.run(["--dry-run", "stop"]).says(NOT_DISOWNED, 1);
    assert!(!stage.path("run").exists());
}

#[test]
fn a_failed_stop_that_cannot_be_remembered_is_told() {
    let stage = Stage::with_the_address();
    stage.write("state", "a file where a folder must be");
    stage.configure("STATE_DIR=/state");
    stage.ec2.answer("DisassociateAddress", Answer::error(403, "UnauthorizedOperation"));
    let ended = stage.run(["stop"]);
    ended.says(NOT_DISOWNED, 1);
    ended.tells(&["the failed stop cannot be remembered", IP]);
}
