//! The file in which a node keeps what it knows of an address, where it cannot be written or read.

use std::fs;

use crate::stage::stdout::{ASSOCIATED, DISOWNED, NOT_DISOWNED, RUNNING, UNKNOWN};
use crate::stage::{Answer, Call, IP, STATE, Stage};

#[test]
fn a_start_that_cannot_be_remembered_is_done_and_tells_so() {
    let stage = Stage::with_the_address();
    stage.ec2.answer_once("DisassociateAddress", Answer::error(403, "UnauthorizedOperation"));
    stage.run(["stop"]).says(NOT_DISOWNED, 1);
    stage.configure("STATUS_TIMEOUT=2");
    stage.set_mode("run/elastic-ip", 0o500);
    let ended = Call::heeding_modes(stage.root(), ["start"]).run();
    ended.says(ASSOCIATED, 0);
    ended.tells(&[IP, "cannot write", STATE, "later calls do not know what this one did and saw"]);
    // What could not be taken away stands.
    stage.run(["status"]).says(UNKNOWN, 4);
    stage.set_mode("run/elastic-ip", 0o755);
    stage.run(["start"]).says(ASSOCIATED, 0);
    stage.run(["status"]).says(RUNNING, 0);
    let left: Vec<_> = fs::read_dir(stage.path("run/elastic-ip")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [format!("{IP}.json").as_str()]);
}

#[test]
fn a_state_that_cannot_be_read_is_told_and_written_anew() {
    let whole = {
        let stage = Stage::with_the_address();
        stage.run(["start"]).says(ASSOCIATED, 0);
        stage.state().to_string()
    };
    for (text, what) in [
        ("", "is not whole"),
        (&whole[..whole.len() / 2], "is not whole"),
        ("[\"running OK\"]", "is not whole"),
        (&whole.replace("\"version\":1", "\"version\":2"), "is another version's"),
        (&whole.replace("eipalloc-", "running OK\\u001b"), "is damaged"),
    ] {
        for (action, stdout) in [("status", RUNNING), ("start", ASSOCIATED), ("stop", DISOWNED)] {
            let stage = Stage::with_the_address();
            stage.write(STATE, text);
            let ended = stage.run([action]);
            ended.says(stdout, 0);
            ended.tells(&[STATE, what, "written anew"]);
            assert_eq!(stage.state()["version"], 1, "{action}, {text:?}");
            let again = stage.run(["status"]);
            assert!(!again.stderr.contains(STATE), "{again:?}");
        }
    }
}

#[test]
fn what_is_remembered_is_kept_where_the_configuration_says() {
    let stage = Stage::with_the_address();
    stage.configure("STATE_DIR=/var/lib/elastic-ip");
    stage.ec2.answer("DisassociateAddress", Answer::error(403, "UnauthorizedOperation"));
    stage.run(["stop"]);
    let text = fs::read_to_string(stage.path("var/lib/elastic-ip").join(format!("{IP}.json"))).unwrap();
    assert!(!serde_json::from_str::<serde_json::Value>(&text).unwrap()["stop_failed"].is_null());
    assert!(!stage.path("run").exists());
}
