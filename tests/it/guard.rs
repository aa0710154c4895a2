//! A start that takes the address from nobody, and who has it: what looks after the address between two failovers needs.
#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use serde_json::Value;

use crate::stage::stdout::{ASSOCIATED, NOT_MAPPED};
use crate::stage::{Answer, IP, LAG, ME, PEER, Stage, allocation, each_at_once};

const GATEWAY: &str = "eni-0cccccccccccccccc";

/// A stage of a node that knows the allocation id from an earlier call.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.run(["start"]);
    stage.ec2.set_owner(IP, None);
    stage
}

fn associates(stage: &Stage) -> usize {
    stage.ec2.actions().iter().filter(|action| *action == "AssociateAddress").count()
}

#[test]
fn an_address_that_nobody_has_is_taken() {
    for stage in [stage(), Stage::new()] {
        stage.run(["--if-free", "start"]).says(ASSOCIATED, 0);
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
        stage.run(["start", "--if-free"]).says(ASSOCIATED, 0);
    }
}

#[test]
fn an_address_that_somebody_has_stays_there_and_costs_no_attempt() {
    each_at_once(&[PEER, GATEWAY], |owner| {
        for stage in [stage(), Stage::new()] {
            let before = associates(&stage);
            stage.ec2.give(IP, owner);
            let ended = stage.run(["--if-free", "start"]);
            ended.says(NOT_MAPPED, 1);
            ended.complains_once_of(&[&format!("{IP}: {owner} has it, so it stays there")]);
            assert_eq!((stage.ec2.owner(IP).as_deref(), associates(&stage)), (Some(*owner), before));
        }
    });
}

#[test]
fn an_address_that_ec2_shows_to_be_free_too_late_is_refused_by_ec2() {
    for name in [IP.to_owned(), allocation(IP)] {
        let stage = stage();
        stage.configure(&format!("ELASTIC_IP={name}\nSTART_TIMEOUT=1"));
        stage.ec2.lag(LAG);
        stage.ec2.give(IP, PEER);
        let ended = stage.run(["--if-free", "start"]);
        assert_eq!((ended.code(), stage.ec2.owner(IP).as_deref()), (1, Some(PEER)), "{ended:?}");
    }
}

#[test]
fn without_allocation_ids_an_owner_keeps_the_address_too() {
    let stage = Stage::new();
    stage.ec2.be_eucalyptus();
    stage.ec2.give(IP, PEER);
    stage.run(["--if-free", "start"]).says(NOT_MAPPED, 1);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
    stage.ec2.set_owner(IP, None);
    stage.run(["--if-free", "start"]).says(ASSOCIATED, 0);
}

#[test]
fn only_a_start_can_be_told_to_take_from_nobody() {
    let stage = Stage::with_the_address();
    for action in ["stop", "restart", "check", "policy"] {
        let ended = stage.run(["--if-free", action]);
        ended.says("", 2);
        ended.complains_once_of(&["--if-free goes with start only"]);
    }
    stage.run(["--if-free", "status"]).says("unknown\n", 4);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
}

#[test]
fn a_status_in_json_tells_who_has_the_address() {
    let holder = |stage: &Stage| {
        let document = stage.run(["--json", "status"]).json();
        (document["addresses"][0]["state"].as_str().unwrap_or_default().to_owned(), document["addresses"][0]["holder"].clone())
    };
    for (owner, state) in [(Some(ME), "held"), (Some(PEER), "not-held"), (Some(GATEWAY), "not-held"), (None, "not-held")] {
        let stage = Stage::new();
        stage.ec2.set_owner(IP, owner);
        assert_eq!(holder(&stage), (state.to_owned(), owner.map_or(Value::Null, Value::from)));
        stage.configure("STATUS_TIMEOUT=0.5");
        stage.ec2.answer("", Answer::error(500, "InternalError"));
        assert_eq!(holder(&stage), ("unknown".to_owned(), Value::Null));
    }
}
