//! `RELEASE_ON_STOP=no`: stop leaves the address where it is until a peer takes it.

use std::fs;

use crate::stage::stdout::{ASSOCIATED, DISOWNED, HANDED_OVER, HAVE_NOT, RUNNING, STOPPED};
use crate::stage::{self, IP, LAG, ME, NOBODY, PEER, Stage};

/// A stage whose instance has the address and hands it over at a stop.
fn owner() -> Stage {
    let stage = Stage::with_the_address();
    stage.configure("RELEASE_ON_STOP=no");
    stage
}

#[test]
fn stop_changes_nothing_in_ec2_and_is_remembered() {
    let stage = owner();
    let ended = stage.run(["stop"]);
    ended.says(DISOWNED, 0);
    ended.complains_once_of(&[IP, ME, "until a peer takes it"]);
    assert_eq!(stage.ec2.actions(), ["DescribeAddresses"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    assert!(stage.is_handed_over());
    assert!(!stage.has_failed_stop());
}

#[test]
fn status_tells_ec2s_truth_and_this_nodes_while_a_handover_stands() {
    let stage = owner();
    stage.run(["stop"]);
    for _ in 0..2 {
        let ended = stage.run(["status"]);
        ended.says(HANDED_OVER, 3);
        ended.complains_once_of(&[IP, "until a peer takes it"]);
    }
    assert!(stage.is_handed_over());
}

#[test]
fn a_second_stop_is_as_good_as_the_first() {
    let stage = owner();
    for _ in 0..2 {
        stage.run(["stop"]).says(DISOWNED, 0);
    }
    assert_eq!(stage.ec2.changes(), [""; 0]);
    stage.run(["status"]).says(HANDED_OVER, 3);
}

#[test]
fn start_takes_a_handover_back_by_an_associate_of_its_own() {
    let stage = owner();
    stage.run(["stop"]);
    stage.run(["start"]).says(ASSOCIATED, 0);
    assert!(!stage.is_handed_over());
    assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "AssociateAddress"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    stage.run(["status"]).says(RUNNING, 0);
}

#[test]
fn a_status_that_finds_the_address_elsewhere_a_minute_after_a_handover_ends_it() {
    let stage = owner();
    stage.run(["stop"]);
    stage.ec2.give(IP, PEER);
    stage.run(["status"]).says(STOPPED, 3);
    // The describe may be older than the stop.
    stage.later(LAG / 2);
    stage.run(["status"]).says(STOPPED, 3);
    assert!(stage.is_handed_over());
    stage.later(LAG / 2);
    stage.run(["status"]).says(STOPPED, 3);
    assert!(!stage.is_handed_over());
    // When the address comes back, somebody has given it to this instance on purpose.
    stage.ec2.give(IP, ME);
    stage.run(["status"]).says(RUNNING, 0);
}

#[test]
fn an_address_that_comes_back_by_itself_is_believed_a_minute_after_it_was_seen_elsewhere() {
    let stage = Stage::with_the_address_at_the_peer();
    stage.configure("STATUS_TIMEOUT=0.4");
    stage.run(["status"]).says(STOPPED, 3);
    stage.ec2.give(IP, ME);
    // EC2 may show what was so before the peer had it.
    let ended = stage.run(["status"]);
    ended.says("unknown\n", 4);
    ended.tells(&[IP, ME, "may be older than what this node knows"]);
    stage.later(LAG / 2);
    stage.run(["status"]).says("unknown\n", 4);
    stage.later(LAG / 2);
    stage.run(["status"]).says(RUNNING, 0);
}

#[test]
fn a_status_that_cannot_tell_does_not_end_a_handover() {
    let stage = owner();
    stage.run(["stop"]);
    stage.ec2.answer_once("DescribeAddresses", stage::Answer::error(403, "UnauthorizedOperation"));
    stage.run(["status"]).says("unknown\n", 4);
    stage.run(["status"]).says(HANDED_OVER, 3);
}

// P12. Fails when `Release::new` and `Release::described` in src/takeover/release.rs do not heed `hand_over`.
#[test]
fn a_peers_start_takes_the_address_over_without_a_moment_without_an_owner() {
    let stage = owner();
    stage.run(["stop"]);
    let peer = Stage::new();
    peer.configure(&format!("MY_ID={PEER}\nAWS_ENDPOINT_URL_EC2={}", stage.ec2.url()));
    assert_eq!(peer.run(["start"]).code(), 0);
    assert_eq!(stage.ec2.changes(), ["AssociateAddress"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
    stage.run(["stop"]).says(HAVE_NOT, 0);
    assert!(!stage.is_handed_over());
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
}

#[test]
fn a_stop_of_what_is_not_mine_is_no_handover() {
    for owner in [None, Some(PEER)] {
        let stage = Stage::new();
        stage.configure("RELEASE_ON_STOP=no");
        if let Some(owner) = owner {
            stage.ec2.give(IP, owner);
        }
        stage.run(["stop"]).says(HAVE_NOT, 0);
        assert!(!stage.is_handed_over());
    }
}

#[test]
fn what_cannot_be_remembered_is_released_instead() {
    let stage = owner();
    stage.write("state", "a file where a folder must be");
    stage.configure("STATE_DIR=/state");
    let ended = stage.run(["stop"]);
    ended.says(DISOWNED, 0);
    ended.tells(&["the handover cannot be remembered", "releasing it instead"]);
    assert_eq!(stage.ec2.owner(IP), None);
    stage.run(["status"]).says(STOPPED, 3);
}

#[test]
fn a_handover_ends_the_doubt_of_a_failed_stop() {
    let stage = Stage::with_the_address();
    stage.ec2.answer_once("DescribeAddresses", stage::Answer::error(403, "UnauthorizedOperation"));
    assert_eq!(stage.run(["stop"]).code(), 1);
    assert!(stage.has_failed_stop());
    stage.configure("RELEASE_ON_STOP=no");
    stage.run(["stop"]).says(DISOWNED, 0);
    assert!(!stage.has_failed_stop());
    stage.run(["status"]).says(HANDED_OVER, 3);
}

#[test]
fn a_stop_needs_neither_ec2_nor_keys_nor_the_metadata_service() {
    let unreached: fn(&Stage) = |stage| stage.configure(&format!("AWS_ENDPOINT_URL_EC2={NOBODY}"));
    let refused: fn(&Stage) = |stage| stage.ec2.answer_once("DescribeAddresses", stage::Answer::error(401, "AuthFailure"));
    let exposed: fn(&Stage) = |stage| stage.set_mode(stage::AWSSECRET, 0o644);
    let nameless: fn(&Stage) = |stage| stage.configure("MY_ID=");
    for trouble in [unreached, refused, exposed, nameless] {
        let stage = owner();
        stage.configure("STOP_TIMEOUT=0.5");
        trouble(&stage);
        let ended = stage.run(["stop"]);
        ended.says(DISOWNED, 0);
        ended.tells(&[IP, "stays where it is until a peer takes it"]);
        assert!(!stage.has_failed_stop());
        stage.configure(&format!("AWS_ENDPOINT_URL_EC2={}\nMY_ID={ME}", stage.ec2.url()));
        stage.set_mode(stage::AWSSECRET, 0o600);
        stage.run(["status"]).says(HANDED_OVER, 3);
        assert_eq!(stage.ec2.changes(), [""; 0]);
    }
}

#[test]
fn a_stop_that_can_neither_see_the_address_nor_be_remembered_has_failed() {
    let stage = owner();
    stage.write("state", "a file where a folder must be");
    stage.configure(&format!("STATE_DIR=/state\nSTOP_TIMEOUT=0.5\nAWS_ENDPOINT_URL_EC2={NOBODY}"));
    let ended = stage.run(["stop"]);
    ended.says("elastic-ip remapper: Could not disown 203.0.113.25\n", 1);
    ended.tells(&[IP, "the handover cannot be remembered"]);
}

#[test]
fn a_stop_that_releases_after_all_ends_a_handover() {
    let stage = owner();
    stage.run(["stop"]);
    stage.configure("RELEASE_ON_STOP=yes");
    stage.run(["stop"]).says(DISOWNED, 0);
    assert_eq!(stage.ec2.owner(IP), None);
    assert!(!stage.is_handed_over());
}

#[test]
fn a_reboot_that_loses_a_handover_does_no_harm() {
    let stage = owner();
    stage.run(["stop"]);
    fs::remove_dir_all(stage.path("run")).unwrap();
    stage.run(["status"]).says(RUNNING, 0);
    stage.run(["start"]).says(ASSOCIATED, 0);
}

#[test]
fn a_dry_run_neither_hands_over_nor_ends_a_handover() {
    let stage = owner();
    stage.run(["--dry-run", "stop"]).says("", 0);
    assert!(!stage.is_handed_over());
    stage.run(["stop"]);
    assert_eq!(stage.run(["--dry-run", "start"]).code(), 0);
    assert!(stage.is_handed_over());
}

#[test]
fn try_restart_and_force_reload_leave_a_handover_alone() {
    for action in ["try-restart", "force-reload"] {
        let stage = owner();
        stage.run(["stop"]);
        stage.run([action]).says("elastic-ip remapper: I have 203.0.113.25\n", 0);
        assert!(stage.is_handed_over());
    }
}

#[test]
fn each_address_has_a_handover_of_its_own() {
    let stage = owner();
    stage.ec2.give("203.0.113.26", ME);
    stage.run([IP, "stop"]).says(DISOWNED, 0);
    stage.run([IP, "status"]).says(HANDED_OVER, 3);
    stage.run(["203.0.113.26", "status"]).says("elastic-ip remapper: I have 203.0.113.26\nrunning\n", 0);
}
