//! A status as a JSON document. No word in it is one by which Heartbeat would judge, and none is a stranger's.

use serde_json::{Value, json};

use crate::message::Message;
use crate::run::Done;
use crate::takeover::Outcome;

const HELD: &str = "held";
const HANDED_OVER: &str = "handed-over";
const NOT_HELD: &str = "not-held";
const UNKNOWN: &str = "unknown";

/// The document of a status that was asked.
#[must_use]
pub fn of(done: &Done) -> String {
    let states: Vec<&str> = done.outcomes.iter().map(|(_, outcome)| state(outcome)).collect();
    let all = if states.contains(&UNKNOWN) {
        UNKNOWN
    } else if states.iter().all(|state| *state == HELD) {
        HELD
    } else {
        NOT_HELD
    };
    let addresses = done.outcomes.iter().zip(&states).zip(&done.owners).map(|(((target, _), state), owner)| {
        let interface = target.interface.as_ref().map(ToString::to_string);
        let holder = owner.as_ref().map(ToString::to_string);
        json!({ "address": target.name.to_string(), "interface": interface, "state": state, "holder": holder })
    });
    let instance = done.me.as_ref().map(ToString::to_string);
    text(&json!({ "state": all, "instance": instance, "addresses": addresses.collect::<Vec<_>>() }))
}

/// The document of a status that could not be asked.
#[must_use]
pub fn of_nothing() -> String {
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
