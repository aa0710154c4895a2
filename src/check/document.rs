//! A check as a JSON document.

use serde_json::{Value, json};

use super::{Check, Fact};

/// The whole document.
pub(super) fn of(check: &Check) -> String {
    let facts: Vec<Value> = check.facts.iter().map(fact).collect();
    let document = json!({ "ready": check.is_ready(), "fingerprint": check.fingerprint, "facts": facts });
    format!("{document:#}\n")
}

fn fact(fact: &Fact) -> Value {
    let about = fact.about.as_ref().map(ToString::to_string);
    json!({ "name": fact.name, "address": about, "verdict": fact.verdict.word(), "what": fact.what, "remedy": fact.remedy })
}
