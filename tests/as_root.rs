//! What only root can set up; run by tests/run.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod stage;

use std::os::unix::fs::chown;

use stage::{AWSSECRET, Stage};

#[test]
fn a_secret_of_another_user_is_refused() {
    let stage = Stage::with_the_address();
    chown(stage.path(AWSSECRET), Some(65534), None).unwrap();
    for (action, stdout, code) in [("start", "", 6), ("stop", "", 6), ("status", "unknown\n", 4)] {
        let ended = stage.run([action]);
        ended.says(stdout, code);
        ended.complains_once_of(&[stage.path(AWSSECRET).to_str().unwrap(), "belongs to user id 65534", "chown root"]);
    }
    assert_eq!(stage.ec2.actions(), [""; 0]);
}
