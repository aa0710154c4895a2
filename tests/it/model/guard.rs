//! What a guard beside Heartbeat does about the answer of a status.

use elastic_ip::takeover::{Outcome, Permission};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    Nothing,
    /// That this node has had the address.
    Remember,
    Start(Permission),
}

/// `None`: the status could not tell.
pub fn decide(outcome: Option<Outcome>, is_free: bool, had: bool) -> Decision {
    match outcome {
        Some(Outcome::Held) => Decision::Remember,
        Some(_) if !had => Decision::Start(Permission::Anybody),
        Some(Outcome::NotHeld) if is_free => Decision::Start(Permission::NobodyAsked),
        Some(_) | None => Decision::Nothing,
    }
}

// tests/package/test_follow_heartbeat.py holds the script to the same table.
#[test]
fn the_models_guards_decide_as_the_script_does() {
    let rows = include_str!("../guard_decisions.tsv").lines().skip(3);
    let decided = rows.map(|row| {
        let [status, had, does] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let (outcome, is_free) = match status {
            "held" => (Some(Outcome::Held), false),
            "not-held, nobody has it" => (Some(Outcome::NotHeld), true),
            "not-held, a peer has it" => (Some(Outcome::NotHeld), false),
            "handed-over" => (Some(Outcome::HandedOver), false),
            "unknown" => (None, true),
            other => panic!("{other}"),
        };
        let decision = match does {
            "remembers" => Decision::Remember,
            "start" => Decision::Start(Permission::Anybody),
            "start --if-free" => Decision::Start(Permission::NobodyAsked),
            "nothing" => Decision::Nothing,
            other => panic!("{other}"),
        };
        assert_eq!(decide(outcome, is_free, had == "yes"), decision, "{row}");
    });
    assert_eq!(decided.count(), 10);
}
