//! What becomes of a call when EC2, or the way there, is at fault.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::stage::stdout::{ASSOCIATED, DISOWNED, NOT_DISOWNED, NOT_MAPPED, RUNNING, UNKNOWN};
use crate::stage::{Answer, Fault, IP, ME, NOBODY, PEER, Stage, each_at_once, mine, wait_for};

const LIMIT: &str = "0.4";

fn with_short_limits(owner: &str) -> Stage {
    let stage = Stage::new();
    stage.ec2.give(IP, owner);
    stage.configure(&format!("START_TIMEOUT={LIMIT}\nSTOP_TIMEOUT={LIMIT}\nSTATUS_TIMEOUT={LIMIT}"));
    stage
}

#[test]
fn a_broken_connection_is_got_over() {
    each_at_once(&[Fault::Reset, Fault::LoseAnswer, Fault::Half], |&fault| {
        for (action, owner, stdout) in [("status", ME, RUNNING), ("start", PEER, ASSOCIATED), ("stop", ME, DISOWNED)] {
            let stage = Stage::new();
            stage.ec2.give(IP, owner);
            let broken = AtomicBool::new(false);
            stage.cut_in(move |_| if broken.swap(true, Ordering::SeqCst) { Fault::None } else { fault });
            let ended = stage.run([action]);
            ended.says(stdout, 0);
            ended.tells(&["trying again"]);
        }
    });
}

/// Refusals that a minute may end, each with what is told to do about it.
const PASSING: [(u16, &str, &str); 8] = [
    (403, "UnauthorizedOperation", "IAM policy"),
    (401, "AuthFailure", "keys"),
    (403, "SignatureDoesNotMatch", "keys"),
    (401, "InvalidClientTokenId", "keys"),
    (400, "InvalidAddress.NotFound", "ELASTIC_IP"),
    (400, "InvalidInstanceID", "MY_ID"),
    (400, "ExpiredToken", "credentials"),
    (400, "OptInRequired", "region"),
];

/// Refusals that no waiting ends.
const FINAL: [(u16, &str, &str); 4] = [
    (400, "InvalidParameterValue", "InvalidParameterValue"),
    (400, "InvalidInstanceID.Malformed", "MY_ID"),
    (400, "SomethingNew", "SomethingNew"),
    (404, "NotFound", "404"),
];

#[test]
fn an_error_that_trying_again_does_not_mend_is_final() {
    let each = |action: &str, stdout: &str, exit: i32, (status, code, remedy): (u16, &str, &str)| {
        let stage = Stage::with_the_address();
        stage.ec2.answer("", Answer::error(status, code));
        let ended = stage.run([action]);
        ended.says(stdout, exit);
        ended.complains_once_of(&[IP, code, remedy]);
        assert_eq!(stage.ec2.actions(), ["DescribeAddresses"], "{action}, {code}");
    };
    each_at_once(&FINAL, |&refusal| each("start", NOT_MAPPED, 1, refusal));
    // Who asks has no minute to wait, nor has who gives up the address.
    each_at_once(&[&PASSING[..], &FINAL].concat(), |&refusal| {
        each("status", UNKNOWN, 4, refusal);
        each("stop", NOT_DISOWNED, 1, refusal);
    });
}

#[test]
fn a_start_tries_again_what_ec2_may_allow_within_a_minute() {
    each_at_once(&PASSING, |&(status, code, remedy)| {
        for (call, requests) in [("DescribeAddresses", 1), ("AssociateAddress", 2)] {
            let stage = Stage::with_the_address_at_the_peer();
            stage.configure("START_TIMEOUT=1");
            stage.ec2.answer(call, Answer::error(status, code));
            let ended = stage.run(["start"]);
            ended.says(NOT_MAPPED, 1);
            ended.tells(&["trying again in"]);
            let last = ended.stderr.lines().last().unwrap();
            for part in [IP, code, remedy, "gave up, for it did not pass"] {
                assert!(last.contains(part), "{part:?} is not the reason: {ended:?}");
            }
            assert!(stage.ec2.actions().len() > requests, "{call}, {code}");
            assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
            let stage = Stage::with_the_address_at_the_peer();
            stage.ec2.answer_once(call, Answer::error(status, code));
            stage.run(["start"]).says(ASSOCIATED, 0);
        }
    });
}

#[test]
fn a_missing_permission_is_named_with_the_call_that_lacks_it() {
    for (action, owner, call) in [
        ("status", ME, "DescribeAddresses"),
        ("start", PEER, "DescribeAddresses"),
        ("start", PEER, "AssociateAddress"),
        ("stop", ME, "DescribeAddresses"),
        ("stop", ME, "DisassociateAddress"),
    ] {
        let stage = Stage::new();
        stage.configure("START_TIMEOUT=0.3");
        stage.ec2.give(IP, owner);
        stage.ec2.answer(call, Answer::error(403, "UnauthorizedOperation"));
        stage.run([action]).complains_once_of(&["UnauthorizedOperation", &format!("ec2:{call}")]);
    }
}

// P11. Fails when `printable` around the text of `Message` in `read` in src/ec2/response.rs is removed.
#[test]
fn what_a_peer_says_comes_out_as_one_line_without_control_characters() {
    let stage = Stage::with_the_address();
    let message = "no&#10;running&#x9b;31m&#x202e;OK\u{e9}";
    let body = format!("<Response><Errors><Error><Code>Odd\u{7}Code</Code><Message>{message}</Message></Error></Errors></Response>");
    stage.ec2.answer("", Answer::new(400, body.replace('\u{7}', "&#9;")));
    let ended = stage.run(["status"]);
    ended.says(UNKNOWN, 4);
    ended.complains_once_of(&["no\\nrunning\\u{9b}31m\\u{202e}OK\\u{e9}"]);
}

#[test]
fn a_long_text_of_a_peers_is_cut() {
    let stage = Stage::with_the_address();
    let long = "&#x9b;31m".repeat(8_000);
    let body = format!(
        "<Response><Errors><Error><Code>{long}</Code><Message>{long}</Message></Error></Errors><RequestID>{long}</RequestID></Response>"
    );
    stage.ec2.answer("", Answer::new(400, body));
    let ended = stage.run(["status"]);
    ended.says(UNKNOWN, 4);
    ended.complains_once_of(&["EC2 answers 400 to DescribeAddresses: \\u{9b}31m\\u{9b}", "..."]);
    assert!(ended.stderr.len() < 1_500, "{} bytes", ended.stderr.len());
}

#[test]
fn an_associate_whose_answer_was_lost_is_looked_for_and_made_again_for_ec2s_own_word() {
    for answer in [Answer::error(500, "InternalError"), Answer::new(200, "<html/>"), Answer::new(200, "")] {
        let stage = Stage::with_the_address_at_the_peer();
        stage.ec2.do_but_answer_once("AssociateAddress", answer);
        stage.run(["start"]).says(ASSOCIATED, 0);
        assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "AssociateAddress", "DescribeAddresses", "AssociateAddress"]);
    }
}

/// Spoils the first exchange of this action on the way.
fn spoil_first(stage: &Stage, action: &str, fault: Fault) {
    let (needle, spoilt) = (format!("Action={action}&"), AtomicBool::new(false));
    stage.cut_in(move |request| {
        let now = request.contains(&needle) && !spoilt.swap(true, Ordering::SeqCst);
        if now { fault } else { Fault::None }
    });
}

/// What is sent where the first change has had no answer. A disassociate names an association, and ends no other; an associate
/// would take the address from whoever has it by then, so that EC2 is asked before it is made again.
const LOST: [(&str, &str, &str, &[&str], &str); 2] = [
    ("start", PEER, "AssociateAddress", &["AssociateAddress", "DescribeAddresses", "AssociateAddress"], ASSOCIATED),
    ("stop", ME, "DisassociateAddress", &["DisassociateAddress", "DisassociateAddress"], DISOWNED),
];

#[test]
fn a_change_whose_answer_is_lost_on_the_way_is_made_again_and_an_associate_after_a_look() {
    for fault in [Fault::LoseAnswer, Fault::Half] {
        for (action, owner, change, sent, stdout) in LOST {
            let stage = Stage::new();
            stage.ec2.give(IP, owner);
            spoil_first(&stage, change, fault);
            stage.run([action]).says(stdout, 0);
            assert_eq!(stage.ec2.actions(), [&["DescribeAddresses"], sent].concat(), "{fault:?}");
        }
    }
}

#[test]
fn a_change_that_was_lost_on_the_way_is_made_again_and_an_associate_after_a_look() {
    for (action, owner, change, sent, stdout) in LOST {
        let stage = Stage::new();
        stage.ec2.give(IP, owner);
        spoil_first(&stage, change, Fault::Reset);
        stage.run([action]).says(stdout, 0);
        assert_eq!(stage.ec2.actions(), [&["DescribeAddresses"], &sent[1..]].concat());
    }
}

#[test]
fn a_change_that_is_never_answered_is_not_called_done_nor_undone_and_a_rerun_settles_it() {
    for (action, owner, change, failed, stdout) in [
        ("start", PEER, "AssociateAddress", NOT_MAPPED, ASSOCIATED),
        ("stop", ME, "DisassociateAddress", NOT_DISOWNED, "elastic-ip remapper: I do not have 203.0.113.25\n"),
    ] {
        let stage = with_short_limits(owner);
        stage.configure("START_TIMEOUT=1\nSTOP_TIMEOUT=1");
        spoil_first(&stage, change, Fault::HoldAnswer);
        let ended = stage.run([action]);
        ended.says(failed, 1);
        ended.tells(&["whether it took effect is not known"]);
        assert!(ended.elapsed <= Duration::from_secs(2), "{ended:?}");
        stage.run([action]).says(stdout, 0);
        assert_eq!(stage.ec2.changes(), [change; 2]);
        assert_eq!(stage.ec2.owner(IP).as_deref(), (action == "start").then_some(ME));
    }
}

#[test]
fn a_throttled_change_is_made_later() {
    for (action, owner, change, stdout) in [("start", PEER, "AssociateAddress", ASSOCIATED), ("stop", ME, "DisassociateAddress", DISOWNED)]
    {
        let stage = Stage::new();
        stage.ec2.give(IP, owner);
        stage.ec2.answer_once(change, Answer::error(503, "RequestLimitExceeded"));
        let ended = stage.run([action]);
        ended.says(stdout, 0);
        ended.tells(&["RequestLimitExceeded", "trying again"]);
        assert_eq!(stage.ec2.changes(), [change, change]);
    }
}

#[test]
fn a_throttled_takeover_is_tried_often_while_ec2s_word_is_fresh_and_then_rarely() {
    let stage = Stage::with_the_address_at_the_peer();
    stage.configure("START_TIMEOUT=6");
    stage.ec2.answer("AssociateAddress", Answer::error(503, "RequestLimitExceeded"));
    stage.run(["start"]).says(NOT_MAPPED, 1);
    let actions = stage.ec2.actions();
    let tries: Vec<usize> = actions.split(|action| action == "DescribeAddresses").skip(1).map(<[String]>::len).collect();
    assert!(tries[0] > 5 && tries[0] <= 40, "{actions:?}");
    assert!((2..=6).contains(&tries.len()), "{actions:?}");
}

#[test]
fn a_start_that_had_to_wait_looks_again_and_leaves_the_address_to_whoever_has_taken_it_since() {
    let third = "i-0cccccccccccccccc";
    let stage = Stage::with_the_address_at_the_peer();
    // It presses for a second; then EC2's word is too old to act on.
    stage.ec2.answer("AssociateAddress", Answer::error(503, "RequestLimitExceeded"));
    let running = stage.call(["start"]).spawn();
    wait_for("the change", || !stage.ec2.changes().is_empty());
    stage.ec2.give(IP, third);
    let ended = running.end();
    ended.says(NOT_MAPPED, 1);
    ended.tells(&[IP, third, "took it while this start was delayed"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(third));
}

#[test]
fn a_fault_that_lasts_is_told_with_what_to_look_for() {
    let unreachable = with_short_limits(ME);
    unreachable.configure(&format!("AWS_ENDPOINT_URL_EC2={NOBODY}"));
    let throttled = with_short_limits(ME);
    throttled.ec2.answer("", Answer::error(503, "RequestLimitExceeded"));
    for (stage, advice) in [
        (unreachable, "check the region, and that this node reaches the EC2 API without the address"),
        (throttled, "too many calls in this account"),
    ] {
        stage.run(["status"]).tells(&[IP, "gave up at the deadline", advice]);
    }
}

#[test]
fn a_question_that_is_not_answered_puts_no_change_in_doubt() {
    for (action, stdout) in [("start", NOT_MAPPED), ("stop", NOT_DISOWNED)] {
        let stage = with_short_limits(ME);
        stage.ec2.answer("DescribeAddresses", Answer::error(500, "InternalError"));
        let ended = stage.run([action]);
        ended.says(stdout, 1);
        assert!(!ended.stderr.contains("took effect"), "{ended:?}");
    }
}

// P3. Fails when the arm with `done: Some(false)` of `check` in src/ec2/response.rs is removed.
#[test]
fn a_change_is_done_only_by_ec2s_own_word_for_it() {
    for (action, owner, change, other, stdout) in [
        ("start", PEER, "AssociateAddress", "DisassociateAddress", ASSOCIATED),
        ("stop", ME, "DisassociateAddress", "AssociateAddress", DISOWNED),
    ] {
        for body in [
            String::new(),
            "<html/>".to_owned(),
            format!("<{change}Response><return>true</return>"),
            format!("<{change}Response><return>false</return></{change}Response>"),
            format!("<{other}Response><return>true</return></{other}Response>"),
        ] {
            let stage = Stage::new();
            stage.ec2.give(IP, owner);
            stage.ec2.answer_once(change, Answer::new(200, body.clone()));
            stage.run([action]).says(stdout, 0);
            let look = (action == "start").then_some("DescribeAddresses");
            let sent: Vec<&str> = ["DescribeAddresses", change].into_iter().chain(look).chain([change]).collect();
            assert_eq!(stage.ec2.actions(), sent, "{body}");
        }
    }
}

#[test]
fn a_lost_stop_leaves_the_address_to_a_peer_that_has_taken_it_since() {
    let stage = Stage::with_the_address();
    let old = stage.ec2.association(IP).unwrap();
    stage.ec2.answer_once("DisassociateAddress", Answer::error(500, "InternalError"));
    let before = mine(&[("associationId", &old)]);
    stage.ec2.answer_once("DescribeAddresses", Answer::addresses(&before));
    stage.ec2.give(IP, PEER);
    assert_eq!(stage.run(["stop"]).code(), 0);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
    assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "DisassociateAddress", "DisassociateAddress"]);
    assert!(stage.ec2.requests()[1..].iter().all(|request| request.parameters["AssociationId"] == old));
}

#[test]
fn a_describe_that_lags_behind_an_acknowledged_associate_is_no_failure() {
    let stage = Stage::with_the_address_at_the_peer();
    // EC2 goes on showing the peer.
    let old = mine(&[("instanceId", PEER)]);
    stage.ec2.answer("DescribeAddresses", Answer::addresses(&old));
    stage.run(["start"]).says(ASSOCIATED, 0);
    assert_eq!(stage.ec2.changes(), ["AssociateAddress"]);
}
