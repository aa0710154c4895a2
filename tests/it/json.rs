//! A status in JSON, and what has no JSON.

use crate::stage::{AWSSECRET, IP, ME, NOBODY, PEER, Stage};

#[test]
fn a_status_in_json_has_the_codes_of_a_status_and_no_word_for_heartbeat() {
    let at = |owner: Option<&str>| {
        let stage = Stage::new();
        stage.ec2.set_owner(IP, owner);
        stage
    };
    let handed_over = at(Some(ME));
    handed_over.remember("handed_over", 0);
    let unreached = at(Some(ME));
    unreached.configure(&format!("AWS_ENDPOINT_URL_EC2={NOBODY}\nSTATUS_TIMEOUT=0.3"));
    for (stage, all, one, code) in [
        (at(Some(ME)), "held", "held", 0),
        (at(Some(PEER)), "not-held", "not-held", 3),
        (at(None), "not-held", "not-held", 3),
        (handed_over, "not-held", "handed-over", 3),
        (unreached, "unknown", "unknown", 4),
    ] {
        let ended = stage.run(["--json", "status"]);
        let document = ended.json();
        assert_eq!((document["state"].as_str(), ended.code()), (Some(all), code), "{ended:?}");
        assert_eq!(document["instance"], ME);
        assert_eq!(document["addresses"][0]["address"], IP);
        assert_eq!(document["addresses"][0]["state"], one);
        assert!(!ended.stdout.to_lowercase().contains("running") && !ended.stdout.contains("OK"), "{ended:?}");
    }
    let stage = Stage::new();
    stage.remove(AWSSECRET);
    stage.configure("ELASTIC_IP=running");
    for words in [&["--json", "status"][..], &["--json", "--bogus", "status"]] {
        let ended = stage.run(words.iter().copied());
        assert_eq!((ended.json()["state"].as_str(), ended.code()), (Some("unknown"), 4), "{ended:?}");
        assert!(!ended.stdout.contains("running"), "{ended:?}");
    }
}

#[test]
fn json_is_for_questions_only() {
    let ended = Stage::with_the_address_at_the_peer().run(["--json", "start"]);
    ended.says("", 2);
    ended.complains_once_of(&["--json goes with status and check only"]);
}
