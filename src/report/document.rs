//! A status as a JSON document. No word in it is one by which Heartbeat would judge, and none is a stranger's.

use serde_json::{Value, json};

use super::Summary;
use crate::message::Message;
use crate::run::{AddressOutcome, Done};
use crate::takeover::Outcome;

const HELD: &str = "held";
const HANDED_OVER: &str = "handed-over";
const NOT_HELD: &str = "not-held";
const UNKNOWN: &str = "unknown";

/// The document of a status that was asked.
pub(super) fn of(done: &Done) -> String {
    let all = match Summary::of(done) {
        Summary::Held => HELD,
        Summary::NotHeld => NOT_HELD,
        Summary::Unknown => UNKNOWN,
    };
    let addresses = done.addresses.iter().map(|AddressOutcome { target, outcome, owner }| {
        let interface = target.interface.as_ref().map(ToString::to_string);
        let holder = owner.as_ref().map(ToString::to_string);
        json!({ "address": target.name.to_string(), "interface": interface, "state": state(outcome), "holder": holder })
    });
    let instance = done.me.as_ref().map(ToString::to_string);
    text(&json!({ "state": all, "instance": instance, "addresses": addresses.collect::<Vec<_>>() }))
}

/// The document of a status that could not be asked.
pub(super) fn of_nothing() -> String {
    text(&json!({ "state": UNKNOWN, "instance": null, "addresses": [] }))
}

fn state(outcome: &Result<Outcome, Message>) -> &'static str {
    match outcome {
        Ok(Outcome::Held) => HELD,
        Ok(Outcome::HandedOver) => HANDED_OVER,
        Ok(_) => NOT_HELD,
        Err(_) => UNKNOWN,
    }
}

fn text(document: &Value) -> String {
    format!("{document:#}\n")
}
