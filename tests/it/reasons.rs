//! What a call that could not be done tells of why: the last full try's reason, and a row of equal failures as few lines.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::time::Duration;

use crate::stage::{Answer, Ended, ME, PEER, Stage, each_at_once};

/// A stage whose EC2 answers each call with an error, after this many milliseconds.
fn failing_after(delay: u64) -> Stage {
    let stage = Stage::with_the_address();
    stage.ec2.answer("", Answer::error(500, "InternalError").after(Duration::from_millis(delay)));
    stage
}

/// Demands that the reason is EC2's error, and not the end of a try that had no time left.
fn blames_ec2(ended: &Ended, delay: u64) {
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains("500"), "{delay} ms: {ended:?}");
    assert!(!ended.stderr.contains("no answer from"), "{delay} ms: {ended:?}");
}

#[test]
fn a_try_that_the_deadline_cuts_short_does_not_hide_why_the_others_failed() {
    let delays = [0, 0, 5, 20, 50, 80, 85, 90, 95, 100, 105, 110, 115, 120, 200, 300];
    each_at_once(&delays, |&delay| {
        let stage = failing_after(delay);
        stage.configure("STATUS_TIMEOUT=1");
        let ended = stage.run(["status"]);
        ended.says("unknown\n", 4);
        blames_ec2(&ended, delay);
    });
}

#[test]
fn pacemaker_shows_why_the_tries_failed_that_had_their_time() {
    each_at_once(&[80, 90, 100, 110, 120, 130], |&delay| {
        let stage = failing_after(delay);
        let ended = stage.operate("monitor", &[("OCF_RESKEY_CRM_meta_timeout", "4000")]);
        assert_eq!(ended.code(), 1, "{ended:?}");
        blames_ec2(&ended, delay);
        let reason = ended.stderr.lines().find_map(|line| line.strip_prefix("ocf-exit-reason:")).unwrap();
        assert!(reason.contains("500"), "{delay} ms: {ended:?}");
    });
}

/// The numbers in a text.
fn numbers(text: &str) -> impl Iterator<Item = usize> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok())
}

#[test]
fn a_row_of_equal_failures_is_told_by_its_first_and_by_how_many_there_were() {
    let error = |status, code| Answer::error(status, code);
    let cases = [
        ("status", "STATUS_TIMEOUT=2", error(500, "InternalError"), 4),
        ("stop", "STOP_TIMEOUT=2", error(503, "Unavailable"), 1),
        ("start", "START_TIMEOUT=2", error(500, "InternalError"), 1),
        ("start", "START_TIMEOUT=2", error(503, "RequestLimitExceeded"), 1),
        ("start", "START_TIMEOUT=3", error(401, "AuthFailure"), 1),
    ];
    each_at_once(&cases, |(action, limit, answer, code)| {
        let stage = Stage::new();
        stage.ec2.give("203.0.113.25", if *action == "start" { PEER } else { ME });
        stage.configure(limit);
        stage.ec2.answer("", answer.clone());
        let ended = stage.run([*action]);
        assert_eq!(ended.code(), *code, "{ended:?}");
        let (lines, tries) = (ended.stderr.lines().count(), stage.ec2.actions().len());
        assert!(tries >= 2 && lines <= 4, "{lines} lines of {tries} tries: {ended:?}");
        if tries >= 5 {
            let mut told = ended.stderr.lines().skip(1).flat_map(numbers);
            assert!(told.any(|number| (tries - 2..=tries).contains(&number)), "{tries} tries: {ended:?}");
        }
    });
}

#[test]
fn failures_of_another_kind_are_told_as_well() {
    let stage = Stage::with_the_address();
    stage.configure("STATUS_TIMEOUT=2");
    stage.ec2.answer("", Answer::error(500, "InternalError"));
    stage.ec2.answer_once("", Answer::new(200, "<html/>"));
    stage.ec2.answer_once("", Answer::error(502, "BadGateway"));
    let ended = stage.run(["status"]);
    ended.says("unknown\n", 4);
    ended.tells(&["html", "502", "500"]);
}
