//! What the program says: stdout byte for byte, and the exit code.

use std::fs;

use crate::stage::stdout::{ASSOCIATED, DISOWNED, HAVE, HAVE_NOT, NOT_DISOWNED, NOT_MAPPED, RUNNING, STOPPED, UNKNOWN};
use crate::stage::{self, Answer, CONFIG, IP, ME, PEER, Stage};

#[test]
fn each_action_says_the_articles_words_for_each_owner() {
    for (action, mine, nobodys, the_peers) in [
        ("start", (ASSOCIATED, 0), (ASSOCIATED, 0), (ASSOCIATED, 0)),
        ("restart", (ASSOCIATED, 0), (ASSOCIATED, 0), (ASSOCIATED, 0)),
        ("stop", (DISOWNED, 0), (HAVE_NOT, 0), (HAVE_NOT, 0)),
        ("status", (RUNNING, 0), (STOPPED, 3), (STOPPED, 3)),
        ("try-restart", (HAVE, 0), (HAVE_NOT, 0), (HAVE_NOT, 0)),
        ("force-reload", (HAVE, 0), (HAVE_NOT, 0), (HAVE_NOT, 0)),
    ] {
        for (owner, (stdout, code)) in
            [(Some(ME), mine), (None, nobodys), (Some(PEER), the_peers), (Some("eni-0cccccccccccccccc"), the_peers)]
        {
            // Heartbeat puts the action last, and a person first.
            for words in [vec![action], vec![action, IP], vec![IP, action]] {
                let stage = Stage::new();
                if let Some(owner) = owner {
                    stage.ec2.give(IP, owner);
                }
                stage.run(words).says(stdout, code);
            }
        }
    }
}

#[test]
fn each_action_says_when_ec2_refuses() {
    for (action, stdout, code) in [
        ("start", NOT_MAPPED, 1),
        ("restart", NOT_MAPPED, 1),
        ("stop", NOT_DISOWNED, 1),
        ("status", UNKNOWN, 4),
        ("try-restart", "", 1),
        ("force-reload", "", 1),
    ] {
        let stage = Stage::with_the_address();
        stage.configure("START_TIMEOUT=1");
        stage.ec2.answer("", Answer::error(403, "UnauthorizedOperation"));
        stage.run([action]).says(stdout, code);
    }
}

#[test]
fn a_stop_that_ec2_refuses_is_not_called_done() {
    let stage = Stage::with_the_address();
    stage.ec2.answer("DisassociateAddress", Answer::error(403, "UnauthorizedOperation"));
    stage.run(["stop"]).says(NOT_DISOWNED, 1);
}

#[test]
fn a_start_that_ec2_refuses_is_not_called_done() {
    let stage = Stage::with_the_address_at_the_peer();
    stage.configure("START_TIMEOUT=1");
    stage.ec2.answer("AssociateAddress", Answer::error(403, "UnauthorizedOperation"));
    stage.run(["start"]).says(NOT_MAPPED, 1);
}

#[test]
fn a_start_that_may_not_take_a_held_address_fails_and_names_the_holder() {
    let stage = Stage::with_the_address_at_the_peer();
    stage.configure("ALLOW_REASSOCIATION=no");
    let ended = stage.run(["start"]);
    ended.says(NOT_MAPPED, 1);
    ended.complains_once_of(&[IP, PEER, "ALLOW_REASSOCIATION=no"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
}

#[test]
fn a_start_that_may_not_take_a_held_address_takes_a_free_one() {
    let stage = Stage::new();
    stage.configure("ALLOW_REASSOCIATION=no");
    stage.run(["start"]).says(ASSOCIATED, 0);
}

#[test]
fn addresses_of_the_command_line_replace_the_configured_one() {
    let stage = Stage::with_the_address();
    stage.run(["203.0.113.26", "status"]).says("elastic-ip remapper: I do not have 203.0.113.26\nstopped\n", 3);
    stage.unset("ELASTIC_IP");
    stage.run([IP, "status"]).says(RUNNING, 0);
}

#[test]
fn an_address_named_twice_is_one() {
    let stage = Stage::with_the_address();
    stage.run([IP, IP, "status"]).says(RUNNING, 0);
    stage.configure("ELASTIC_IP='203.0.113.25 203.0.113.25'");
    stage.run(["status"]).says(RUNNING, 0);
}

#[test]
fn without_credentials_anywhere_it_says_the_articles_line() {
    let line = "elastic-ip remapper: cannot find ~/.awssecret or /root/.awssecret\n";
    let metadata = stage::Metadata::version_2();
    for (action, code) in [("start", 6), ("stop", 6), ("restart", 6), ("try-restart", 6), ("force-reload", 6), ("status", 4)] {
        let stage = Stage::with_the_address();
        stage.remove(stage::AWSSECRET);
        stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}\nSTART_TIMEOUT=0.3", metadata.url()));
        let ended = stage.run([action]);
        ended.says(line, code);
        ended.complains_once_of(&["/root/.awssecret", "chmod 600"]);
    }
}

#[test]
fn a_wrong_configuration_is_unknown_to_status_and_code_6_to_the_rest() {
    for (action, stdout, code) in
        [("start", "", 6), ("stop", "", 6), ("restart", "", 6), ("try-restart", "", 6), ("force-reload", "", 6), ("status", UNKNOWN, 4)]
    {
        let stage = Stage::with_the_address();
        stage.configure("START_TIMEOUT=soon");
        stage.run([action]).says(stdout, code);
    }
}

#[test]
fn a_wrong_command_line_is_told_with_the_lsb_code_for_it() {
    let stage = Stage::new();
    for (words, stdout, code, told) in [
        (vec![], "", 2, "no action given"),
        (vec![IP], "", 2, "no action given"),
        (vec!["256.256.256.4", "start"], "", 2, "256.256.256.4"),
        (vec!["256.256.256.4", "status"], UNKNOWN, 4, "256.256.256.4"),
        (vec!["--bogus", "stop"], "", 2, "--bogus"),
        (vec!["--bogus", "status"], UNKNOWN, 4, "--bogus"),
        (vec!["", "start"], "", 2, "--help"),
        (vec!["reload"], "", 3, "\"reload\" is not an action"),
        (vec!["monitor"], "", 3, "\"monitor\" is not an action"),
        (vec![IP, "frobnicate"], "", 3, "\"frobnicate\" is not an action"),
        (vec!["START"], "", 3, "\"START\" is not an action"),
    ] {
        let ended = stage.run(words);
        ended.says(stdout, code);
        ended.complains_once_of(&[told]);
    }
    assert_eq!(stage.ec2.actions(), [""; 0]);
}

#[test]
fn help_and_version_go_to_stdout_without_any_configuration() {
    let stage = Stage::new();
    stage.write(CONFIG, "nonsense");
    let help = stage.run(["--help"]);
    assert_eq!((help.code(), help.stderr.as_str()), (0, ""));
    for word in
        ["start", "stop", "status", "restart", "try-restart", "force-reload", "--config", "--dry-run", "--verbose", "--root", "--version"]
    {
        assert!(help.stdout.contains(word), "{word} is not in: {}", help.stdout);
    }
    let version = stage.run(["--version"]);
    assert_eq!((version.stdout.as_str(), version.code()), (concat!("elastic-ip ", env!("CARGO_PKG_VERSION"), "\n"), 0));
}

#[test]
fn an_instance_id_that_is_not_known_is_not_made_up() {
    let stage = Stage::new();
    stage.unset("MY_ID");
    stage.configure("START_TIMEOUT=0.3\nSTOP_TIMEOUT=0.3\nSTATUS_TIMEOUT=0.3");
    stage.run(["start"]).says("elastic-ip remapper: Could not map IP 203.0.113.25 to this instance\n", 1);
    stage.run(["stop"]).says(NOT_DISOWNED, 1);
    stage.run(["status"]).says(UNKNOWN, 4);
}

#[test]
fn a_dry_run_says_nothing_of_what_it_has_not_done() {
    let stage = Stage::with_the_address();
    stage.run(["--dry-run", "stop"]).says("", 0);
    stage.run(["--dry-run", "status"]).says(RUNNING, 0);
    stage.ec2.give(IP, PEER);
    stage.run(["--dry-run", "start"]).says("", 0);
    stage.run(["--dry-run", "status"]).says(STOPPED, 3);
}

#[test]
fn config_names_another_file() {
    let stage = Stage::with_the_address();
    let other = stage.path("other");
    fs::rename(stage.path(CONFIG), &other).unwrap();
    let other = other.to_str().unwrap();
    stage.run(["--config", other, "status"]).says(RUNNING, 0);
    stage.run(["--config", "/nonexistent/elastic-ip", "status"]).says(UNKNOWN, 4);
    stage.run(["--config", "/nonexistent/elastic-ip", "start"]).says("", 6);
}
