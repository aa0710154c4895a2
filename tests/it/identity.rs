//! Which instance, in which region, the program takes itself for.

use std::fs;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use wiremock::ResponseTemplate;

use crate::stage::stdout::{RUNNING, STOPPED, UNKNOWN};
use crate::stage::{CONFIG, Ended, IP, KEY_ID, ME, Metadata, NOBODY, PEER, Stage, TOKEN, each_at_once, profile};

const ASSET_TAG: &str = "sys/devices/virtual/dmi/id/board_asset_tag";
const CURL: &str = "MY_ID=$(curl -s http://169.254.169.254/latest/meta-data/instance-id)";

/// A stage whose instance has the address, and does not know its own id.
fn anonymous() -> Stage {
    let stage = Stage::with_the_address();
    stage.unset("MY_ID");
    stage.configure("STATUS_TIMEOUT=0.5");
    stage
}

fn anonymous_with(metadata: &Metadata) -> Stage {
    let stage = anonymous();
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
    stage
}

#[test]
fn the_configured_id_comes_first_and_nobody_is_asked() {
    let metadata = Metadata::version_2();
    metadata.tell("instance-id", PEER);
    let stage = anonymous_with(&metadata);
    stage.configure(&format!("MY_ID={ME}"));
    for tag in [ME, "Amazon EC2", "i-", "I-0BBBBBBBBBBBBBBBB"] {
        stage.write(ASSET_TAG, tag);
        stage.run(["status"]).says(RUNNING, 0);
    }
    assert_eq!(metadata.asked(), [""; 0]);
}

/// Whether a line names both instances, the file's line and what to do.
fn tells_of_two_ids(ended: &Ended, id: &str, firmware: &str) -> bool {
    let told = format!("line 5: MY_ID is {id}, but the firmware says that this is {firmware}; remove MY_ID");
    ended.stderr.contains(&told) || ended.stdout.contains(&told)
}

#[test]
fn an_id_that_came_along_in_the_peers_image_is_refused_by_every_call() {
    let pairs = [(PEER, ME), ("i-0123", "i-0124"), ("i-3F2A0B1C", "i-3f2a0b1c"), ("i-1", "i-11"), (ME, PEER)];
    each_at_once(&pairs, |&(id, firmware)| {
        let stage = Stage::new();
        stage.ec2.give(IP, id);
        stage.unset("MY_ID");
        stage.write(ASSET_TAG, format!("{firmware}\n"));
        stage.configure(&format!("MY_ID={id}"));
        for (action, stdout, code) in [("status", UNKNOWN, 4), ("start", "", 6), ("stop", "", 6), ("check", "not ready\n", 1)] {
            let ended = stage.run([action]);
            assert!(ended.stdout.ends_with(stdout) && ended.code() == code, "{ended:?}");
            assert!(tells_of_two_ids(&ended, id, firmware), "{ended:?}");
        }
        let ended = stage.operate("validate-all", &[]);
        assert!(ended.code() == 5 && tells_of_two_ids(&ended, id, firmware), "{ended:?}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(id));
        assert_eq!(stage.ec2.changes().iter().filter(|action| !action.is_empty()).count(), 0);
    });
}

#[test]
fn a_stop_with_the_peers_id_that_leaves_the_address_to_the_peer_anyway_succeeds() {
    let stage = Stage::with_the_address_at_the_peer();
    stage.write(ASSET_TAG, ME);
    stage.configure(&format!("MY_ID={PEER}\nRELEASE_ON_STOP=no"));
    assert_eq!(stage.run(["stop"]).code(), 0);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
}

#[test]
fn the_hardwares_id_comes_second_and_nobody_is_asked() {
    let metadata = Metadata::version_2();
    metadata.tell("instance-id", PEER);
    let stage = anonymous_with(&metadata);
    stage.write(ASSET_TAG, format!("{ME}\n"));
    stage.run(["status"]).says(RUNNING, 0);
    assert_eq!(metadata.asked(), [""; 0]);
}

#[test]
fn hardware_that_carries_no_id_is_passed_over() {
    for tag in ["Amazon EC2\n", "", "Not Specified\n", "i-0aaaaaaaaaaaaaaaa running OK\n", "I-0AAAAAAAAAAAAAAAA\n"] {
        let metadata = Metadata::version_2();
        metadata.tell("instance-id", ME);
        let stage = anonymous_with(&metadata);
        stage.write(ASSET_TAG, tag);
        stage.run(["status"]).says(RUNNING, 0);
        assert_eq!(metadata.asked(), ["PUT /latest/api/token", "GET /latest/meta-data/instance-id"], "{tag:?}");
    }
}

#[test]
fn the_metadata_service_is_asked_with_a_token() {
    let metadata = Metadata::version_2();
    metadata.tell("instance-id", ME);
    let stage = anonymous_with(&metadata);
    stage.run(["status"]).says(RUNNING, 0);
    stage.run(["start"]);
    stage.run(["stop"]);
    assert_eq!(stage.ec2.owner(IP), None);
}

#[test]
fn a_command_for_the_id_means_to_find_it_out_and_is_not_run() {
    for line in [
        CURL.to_owned(),
        format!("export {CURL}"),
        "MY_ID=$(ec2metadata --instance-id)".to_owned(),
        "MY_ID=\"`ec2metadata --instance-id`\" # as in the image".to_owned(),
        "MY_ID=$(curl -s -H \"X-aws-ec2-metadata-token: $TOKEN\" http://169.254.169.254/latest/meta-data/instance-id)".to_owned(),
        "MY_ID=$(curl -s http://evil.example/latest/meta-data/instance-id)".to_owned(),
        "MY_ID=$(touch /tmp/not-run; hostname)".to_owned(),
        "MY_ID=`curl -s http://169.254.169.254/latest/meta-data/instance-id`".to_owned(),
        "MY_ID=\"$(wget -q -O - http://169.254.169.254/2009-04-04/meta-data/instance-id)\"".to_owned(),
    ] {
        let metadata = Metadata::version_2();
        metadata.tell("instance-id", ME);
        let stage = anonymous_with(&metadata);
        stage.configure(&line);
        // Even where the environment says otherwise, as a shell would have it.
        stage.call(["status"]).env("MY_ID", PEER).run().says(RUNNING, 0);
    }
}

#[test]
fn the_lines_of_a_script_that_asks_version_2_are_to_be_removed() {
    let stage = anonymous();
    for line in [
        "TOKEN=$(curl -s -X PUT http://169.254.169.254/latest/api/token -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')",
        "TOKEN=`curl -s -X PUT http://169.254.169.254/latest/api/token`",
        "export TOKEN=\"$(curl -s -X PUT http://169.254.169.254/latest/api/token)\"",
        "IMDS=\"http://169.254.169.254/$VERSION\"",
    ] {
        let config = stage.path(CONFIG);
        let before = fs::read_to_string(&config).unwrap();
        stage.write(CONFIG, format!("{line}\n{before}"));
        let ended = stage.run(["start"]);
        assert_eq!(ended.code(), 6, "{ended:?}");
        ended.complains_once_of(&["elastic-ip line 1: ", "is shell code; remove the line: this program does not read "]);
        stage.write(CONFIG, before);
    }
}

#[test]
fn a_token_that_is_refused_is_asked_for_anew() {
    let metadata = Metadata::version_2();
    metadata.tell("instance-id", ME);
    metadata.answer_token_once(ResponseTemplate::new(200).set_body_string("oldToken=="));
    let stage = anonymous_with(&metadata);
    stage.run(["status"]).says(RUNNING, 0);
    let (token, id) = ("PUT /latest/api/token", "GET /latest/meta-data/instance-id");
    assert_eq!(metadata.asked(), [token, id, token, id]);
}

#[test]
fn version_1_is_asked_only_where_tokens_are_unknown() {
    for (refusal, stdout, code) in [
        (404, RUNNING, 0),
        (405, RUNNING, 0),
        (401, UNKNOWN, 4),
        (403, UNKNOWN, 4),
        (400, UNKNOWN, 4),
        (500, UNKNOWN, 4),
        (302, UNKNOWN, 4),
    ] {
        let metadata = Metadata::version_1(refusal);
        metadata.tell_everybody("instance-id", ME);
        let stage = anonymous_with(&metadata);
        let ended = stage.run(["status"]);
        assert_eq!((ended.stdout.as_str(), ended.code()), (stdout, code), "{refusal}: {ended:?}");
        let went_on = metadata.asked().iter().any(|asked| asked.starts_with("GET"));
        assert_eq!(went_on, code == 0, "{refusal}");
    }
}

#[test]
fn a_metadata_service_that_stumbles_is_asked_again() {
    let empty = ResponseTemplate::new(200);
    let no_token = ResponseTemplate::new(200).set_body_string("to ken\u{e9}");
    for stumble in [ResponseTemplate::new(500), ResponseTemplate::new(503), ResponseTemplate::new(429), empty, no_token] {
        let metadata = Metadata::version_2();
        metadata.tell("instance-id", ME);
        metadata.answer_token_once(stumble);
        let stage = anonymous_with(&metadata);
        stage.configure("STATUS_TIMEOUT=5");
        let ended = stage.run(["status"]);
        ended.says(RUNNING, 0);
        ended.tells(&["metadata service", "trying again"]);
    }
}

#[test]
fn a_metadata_service_that_refuses_is_not_asked_again() {
    for (refusal, told) in
        [(400, "answers 400 to api/token"), (401, "answers 401 to api/token"), (403, "look whether it is switched off for this instance")]
    {
        let metadata = Metadata::version_1(refusal);
        let stage = anonymous_with(&metadata);
        stage.configure("STATUS_TIMEOUT=5");
        let ended = stage.run(["status"]);
        ended.says(UNKNOWN, 4);
        ended.complains_once_of(&[told]);
        assert_eq!(metadata.asked(), ["PUT /latest/api/token"]);
    }
}

#[test]
fn a_metadata_service_that_does_not_know_a_fresh_token_everywhere_yet_is_asked_again() {
    let metadata = Metadata::version_2();
    metadata.tell("instance-id", ME);
    metadata.answer_token_once(ResponseTemplate::new(200).set_body_string("another"));
    let stage = anonymous_with(&metadata);
    stage.configure("STATUS_TIMEOUT=5");
    let ended = stage.run(["status"]);
    ended.says(RUNNING, 0);
    assert_eq!(metadata.asked(), ["PUT /latest/api/token", "GET /latest/meta-data/instance-id"].repeat(2));
}

#[test]
fn a_metadata_service_that_goes_on_refusing_its_tokens_makes_the_status_unknown() {
    let metadata = Metadata::version_2();
    metadata.answer_instead("instance-id", ResponseTemplate::new(401));
    let ended = anonymous_with(&metadata).run(["status"]);
    ended.says(UNKNOWN, 4);
    ended.tells(&["answers 401 to meta-data/instance-id"]);
    // One new token is all that a status tries.
    assert_eq!(metadata.asked(), ["PUT /latest/api/token", "GET /latest/meta-data/instance-id"].repeat(2));
}

#[test]
fn an_id_is_a_prefix_and_up_to_64_letters_and_digits() {
    // As Eucalyptus 3 writes them, and longer than any today.
    let longest = format!("i-{}", "Z9".repeat(32));
    for id in ["i-1", "i-3F2A0B1C", longest.as_str()] {
        let metadata = Metadata::version_2();
        metadata.tell("instance-id", id);
        let stage = anonymous_with(&metadata);
        stage.ec2.give(IP, id);
        stage.run(["status"]).says(RUNNING, 0);
        stage.run(["start"]).says(&format!("elastic-ip remapper: IP {IP} associated with {id}\n"), 0);
    }
}

#[test]
fn a_text_that_is_no_instance_id_is_not_believed() {
    for text in [
        "i-0aaaaaaaaaaaaaaaa running OK",
        "running",
        "<html>i-0aaaaaaaaaaaaaaaa</html>",
        "i-0aaaaaaaaaaaaaaaa_",
        "i-",
        "i-0123456789012345678901234567890123456789012345678901234567890123a",
        "\u{1b}[31mi-0a",
        " ",
        "eni-0aaaaaaaaaaaaaaaa",
    ] {
        let metadata = Metadata::version_2();
        metadata.tell("instance-id", text);
        let stage = anonymous_with(&metadata);
        let ended = stage.run(["status"]);
        assert_eq!((ended.stdout.as_str(), ended.code()), (UNKNOWN, 4), "{text:?}: {ended:?}");
        ended.tells(&["metadata service"]);
        assert_eq!(stage.ec2.changes(), [""; 0], "{text:?}");
    }
}

#[test]
fn a_metadata_service_that_does_not_tell_makes_the_status_unknown_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for url in [NOBODY.to_owned(), format!("http://{}", silent.local_addr().unwrap())] {
        let stage = anonymous();
        stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={url}"));
        let ended = stage.run(["status"]);
        ended.says(UNKNOWN, 4);
        ended.tells(&["metadata service"]);
        assert!(ended.elapsed < Duration::from_millis(500 + 1000), "{ended:?}");
    }
}

#[test]
fn a_redirect_of_the_metadata_service_is_not_followed() {
    let other = Metadata::version_2();
    other.tell("instance-id", ME);
    let metadata = Metadata::version_2();
    let there = format!("{}/latest/meta-data/instance-id", other.url());
    metadata.answer("instance-id", ResponseTemplate::new(302).insert_header("Location", there.as_str()));
    anonymous_with(&metadata).run(["status"]).says(UNKNOWN, 4);
    assert_eq!(other.asked(), [""; 0]);
}

#[test]
fn neither_the_metadata_service_nor_a_plain_endpoint_is_asked_through_a_proxy() {
    let proxy = Metadata::version_2();
    let metadata = Metadata::version_2();
    metadata.tell("instance-id", ME);
    let stage = anonymous_with(&metadata);
    let mut call = stage.call(["status"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        call = call.env(name, &proxy.url());
    }
    call.run().says(RUNNING, 0);
    assert_eq!(proxy.asked(), [""; 0]);
}

#[test]
fn the_region_is_the_first_that_is_named() {
    let metadata = Metadata::version_2();
    metadata.tell("placement/region", "ca-central-1");
    let stage = Stage::with_the_address();
    stage.unset("AWS_PARAMS");
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
    // Each line names a place that comes before those above it.
    let signed_for = |stage: &Stage, environment: &[(&str, &str)]| {
        let call = environment.iter().fold(stage.call(["status"]), |call, (name, value)| call.env(name, value));
        call.run().says(RUNNING, 0);
        let authorization = stage.ec2.requests().pop().unwrap().headers["authorization"].clone();
        authorization.split('/').nth(2).unwrap().to_owned()
    };
    assert_eq!(signed_for(&stage, &[]), "ca-central-1");
    let other = profile("profile other", KEY_ID);
    stage.write_secret("root/.aws/config", format!("[default]\nregion = eu-north-1\n{other}region = eu-south-1\n"));
    assert_eq!(signed_for(&stage, &[]), "eu-north-1");
    assert_eq!(signed_for(&stage, &[("AWS_PROFILE", "other")]), "eu-south-1");
    assert_eq!(signed_for(&stage, &[("AWS_DEFAULT_REGION", "sa-east-1")]), "sa-east-1");
    assert_eq!(signed_for(&stage, &[("AWS_DEFAULT_REGION", "sa-east-1"), ("AWS_REGION", "us-west-2")]), "us-west-2");
    stage.configure("AWS_REGION=af-south-1");
    assert_eq!(signed_for(&stage, &[("AWS_REGION", "us-west-2")]), "af-south-1");
    for (option, region) in [
        ("--region=eu-west-3", "eu-west-3"),
        ("--region eu-west-3", "eu-west-3"),
        ("--region=eu", "eu-west-1"),
        ("--region=us", "us-east-1"),
        ("--region=uswest", "us-west-1"),
        ("--region=ap", "ap-southeast-1"),
    ] {
        stage.configure(&format!("AWS_PARAMS=\"{option}\""));
        assert_eq!(signed_for(&stage, &[("AWS_REGION", "us-west-2")]), region);
    }
}

#[test]
fn without_a_region_nothing_is_called() {
    let metadata = Metadata::version_2();
    let stage = Stage::with_the_address();
    stage.unset("AWS_PARAMS");
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
    let ended = stage.run(["status"]);
    ended.says(UNKNOWN, 4);
    ended.complains_once_of(&["region", "AWS_REGION"]);
    assert_eq!(stage.ec2.actions(), [""; 0]);
}

#[test]
fn a_region_of_the_metadata_service_that_is_none_is_not_believed() {
    for text in ["evil.example/", "eu-west-1.evil.example", "running OK", "EU-WEST-1", "--1"] {
        let metadata = Metadata::version_2();
        metadata.tell("placement/region", text);
        let stage = Stage::with_the_address();
        stage.unset("AWS_PARAMS");
        stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
        stage.run(["status"]).says(UNKNOWN, 4);
        assert_eq!(stage.ec2.actions(), [""; 0], "{text:?}");
    }
}

// P4. Fails when the condition `here` of `is_mine` in src/takeover.rs is removed.
#[test]
fn another_instance_with_a_like_id_is_not_me() {
    for other in ["i-0aaaaaaa", "i-0aaaaaaaaaaaaaaab"] {
        let stage = Stage::new();
        stage.ec2.give(IP, other);
        stage.run(["status"]).says(STOPPED, 3);
    }
}

#[test]
fn the_token_is_in_no_output() {
    let metadata = Metadata::version_2();
    let stage = anonymous_with(&metadata);
    let ended = stage.run(["--verbose", "status"]);
    ended.says(UNKNOWN, 4);
    assert!(!ended.stderr.contains(TOKEN), "{ended:?}");
    // Nor what may be one.
    metadata.answer_token_once(ResponseTemplate::new(200).set_body_string(format!("{TOKEN} {TOKEN}")));
    let ended = stage.run(["status"]);
    ended.tells(&["the metadata service's answer to api/token cannot be read"]);
    assert!(!ended.stderr.contains(TOKEN), "{ended:?}");
}

#[test]
fn a_hardware_file_that_cannot_be_read_is_passed_over() {
    for kind in ["a folder", "a FIFO", "a NUL byte", "10 MB"] {
        println!("{kind}");
        let metadata = Metadata::version_2();
        metadata.tell("instance-id", ME);
        let stage = Stage::with_the_address();
        stage.unset("MY_ID");
        stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
        stage.write(
            ASSET_TAG,
            match kind {
                "a NUL byte" => format!("{ME}\0").into_bytes(),
                _ => ME.bytes().cycle().take(10_000_000).collect(),
            },
        );
        let path = stage.path(ASSET_TAG);
        if kind == "a folder" {
            stage.remove(ASSET_TAG);
            fs::create_dir(&path).unwrap();
        } else if kind == "a FIFO" {
            stage.remove(ASSET_TAG);
            mkfifo(&path, Mode::S_IRUSR).unwrap();
        }
        let ended = stage.run(["status"]);
        ended.says(RUNNING, 0);
        assert!(ended.elapsed < Duration::from_secs(2), "{ended:?}");
    }
}
