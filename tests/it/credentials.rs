//! Where the keys come from, and which are refused.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use wiremock::ResponseTemplate;

use crate::stage::stdout::{NO_KEYS, NOT_MAPPED, RUNNING, UNKNOWN};
use crate::stage::{AWSSECRET, Call, KEY_ID, SECRET, Stage, profile};

fn keys_in(id: &str) -> String {
    format!("{id}\n{SECRET}\n")
}

#[test]
fn the_first_place_in_the_chain_that_has_keys_is_taken() {
    let (stage, metadata) = Stage::without_keys();
    let taken = |environment: &[(&str, &str)]| {
        let call = environment.iter().fold(stage.call(["status"]), |call, (name, value)| call.env(name, value));
        call.run().says(RUNNING, 0);
        stage.signer()
    };
    // Each place comes before those above it.
    metadata.give_role("web", "ROLE");
    assert_eq!(taken(&[]), "ROLE");
    assert_eq!(stage.ec2.requests()[0].headers["x-amz-security-token"], "roleToken==");
    stage.write_secret("root/.aws/config", profile("default", "CONFIG"));
    assert_eq!(taken(&[]), "CONFIG");
    stage.write_secret("root/.aws/credentials", profile("default", "CREDENTIALS"));
    assert_eq!(taken(&[]), "CREDENTIALS");
    stage.write_secret(AWSSECRET, keys_in("ROOT"));
    assert_eq!(taken(&[]), "ROOT");
    stage.write_secret("home/admin/.awssecret", keys_in("HOME"));
    assert_eq!(taken(&[("HOME", "/home/admin")]), "HOME");
    let old = [("HOME", "/home/admin"), ("EC2_ACCESS_KEY", "EC2TOOLS"), ("EC2_SECRET_KEY", SECRET)];
    assert_eq!(taken(&old), "EC2TOOLS");
    let new = [("AWS_ACCESS_KEY_ID", "ENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    assert_eq!(taken(&[&old[..], &new[..]].concat()), "ENVIRONMENT");
}

#[test]
fn a_place_that_aws_params_names_excludes_all_others() {
    let (stage, metadata) = Stage::without_keys();
    metadata.give_role("web", "WEB");
    metadata.tell_keys("db", "DB");
    stage.write_secret(AWSSECRET, keys_in("ROOT"));
    stage.write_secret("root/.aws/credentials", profile("failover", "PROFILE"));
    stage.write_secret("etc/keys", keys_in("FILE"));
    for (option, id) in
        [("--role=db", "DB"), ("--role web", "WEB"), ("--profile=failover", "PROFILE"), ("--secrets-file=/etc/keys", "FILE")]
    {
        stage.configure(&format!("AWS_PARAMS=\"--region=eu-west-1 {option}\""));
        let call = stage.call(["status"]).env("AWS_ACCESS_KEY_ID", "ENVIRONMENT").env("AWS_SECRET_ACCESS_KEY", SECRET);
        call.run().says(RUNNING, 0);
        assert_eq!(stage.signer(), id, "{option}");
    }
    // A role may come by and by.
    stage.configure("AWS_PARAMS='--region=eu-west-1 --role=none'\nSTART_TIMEOUT=0.3");
    let ended = stage.run(["start"]);
    ended.says(NOT_MAPPED, 1);
    ended.complains_once_of(&["none", "--role"]);
    for (option, named) in [("--profile=none", "--profile"), ("--secrets-file=/etc/none", "--secrets-file")] {
        stage.configure(&format!("AWS_PARAMS=\"--region=eu-west-1 {option}\""));
        let ended = stage.run(["start"]);
        ended.says("", 6);
        ended.complains_once_of(&["none", named]);
    }
}

#[test]
fn a_profile_is_chosen_by_its_name() {
    let (stage, _metadata) = Stage::without_keys();
    let files = profile("default", "DEFAULT") + &profile("failover", "FAILOVER");
    stage.write_secret("root/.aws/credentials", &files);
    stage.call(["status"]).env("AWS_PROFILE", "failover").run().says(RUNNING, 0);
    assert_eq!(stage.signer(), "FAILOVER");
    stage.run(["status"]).says(RUNNING, 0);
    assert_eq!(stage.signer(), "DEFAULT");
    // In the file `config`, a profile's section has a word in front.
    stage.remove("root/.aws/credentials");
    stage.write_secret("root/.aws/config", profile("failover", "WRONG") + &profile("profile failover", "RIGHT"));
    stage.call(["status"]).env("AWS_PROFILE", "failover").run().says(RUNNING, 0);
    assert_eq!(stage.signer(), "RIGHT");
}

#[test]
fn a_missing_or_useless_home_falls_back_to_roots() {
    for home in [None, Some("/"), Some(""), Some("relative"), Some("/nonexistent")] {
        let stage = Stage::with_the_address();
        let call = match home {
            Some(home) => stage.call(["status"]).env("HOME", home),
            None => stage.call(["status"]),
        };
        call.run().says(RUNNING, 0);
        assert_eq!(stage.signer(), KEY_ID, "{home:?}");
    }
}

#[test]
fn every_form_of_the_secret_file_that_is_found_in_the_field_is_read() {
    for (text, token) in [
        (format!("{KEY_ID}\n{SECRET}\n"), None),
        (format!("{KEY_ID}\n{SECRET}"), None),
        (format!("{KEY_ID}\r\n{SECRET}\r\n"), None),
        (format!("\n{KEY_ID}\n\n\n{SECRET}\n\n"), None),
        (format!("  {KEY_ID}  \n\t{SECRET}\t\n"), None),
        (format!("{KEY_ID} {SECRET}\n"), None),
        (format!("{KEY_ID}:{SECRET}\n"), None),
        (format!("machine AWS login {KEY_ID} password {SECRET}\n"), None),
        (format!("machine AWS\n  login {KEY_ID}\n  password {SECRET}\n"), None),
        (format!("{KEY_ID}\n{SECRET}\nsessionToken==\n"), Some("sessionToken==")),
    ] {
        let stage = Stage::with_the_address();
        stage.write_secret(AWSSECRET, &text);
        stage.run(["status"]).says(RUNNING, 0);
        assert_eq!(stage.signer(), KEY_ID, "{text:?}");
        let sent = stage.ec2.requests()[0].headers.get("x-amz-security-token").cloned();
        assert_eq!(sent.as_deref(), token, "{text:?}");
    }
}

/// Demands that the file is refused in one line that names it, whatever is asked.
fn is_refused(stage: &Stage, file: &str, told: &[&str]) {
    for (action, stdout, code) in [("start", "", 6), ("stop", "", 6), ("status", UNKNOWN, 4)] {
        let ended = stage.run([action]);
        ended.says(stdout, code);
        ended.complains_once_of(&[stage.path(file).to_str().unwrap()]);
        ended.tells(told);
        assert!(ended.elapsed < Duration::from_secs(2), "{ended:?}");
    }
    assert_eq!(stage.ec2.actions(), [""; 0]);
}

#[test]
fn a_secret_file_that_cannot_be_keys_is_refused() {
    let good = keys_in(KEY_ID).into_bytes();
    for (name, bytes, told) in [
        ("empty", vec![], "is empty"),
        ("blank", b"\n \n".to_vec(), "is empty"),
        ("one word", SECRET.into(), "line 1"),
        ("four words", format!("{KEY_ID}\n{SECRET}\na\nb\n").into_bytes(), "line 4"),
        ("the wrong order", format!("{SECRET}\n{KEY_ID}\n").into_bytes(), "wrong order"),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), &good].concat(), "line 1: a byte order mark"),
        ("UTF-16", b"\xff\xfeA\0K\0".to_vec(), "line 1: UTF-16"),
        ("a NUL byte", [good.as_slice(), b"\0"].concat(), "line 3: a NUL byte"),
        ("Latin-1", [good.as_slice(), b"\xe9"].concat(), "line 3: text that is not UTF-8"),
        ("a letter that no key has", format!("{KEY_ID}\n{SECRET}\u{e9}\n").into_bytes(), "copy it anew"),
        ("10 MB", good.iter().copied().cycle().take(10_000_000).collect(), "larger than 64 KiB"),
    ] {
        println!("{name}");
        let stage = Stage::with_the_address();
        stage.write_secret(AWSSECRET, bytes);
        is_refused(&stage, AWSSECRET, &[told]);
    }
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
    for file in [AWSSECRET, "root/.aws/credentials", "root/.aws/config", "etc/keys"] {
        for kind in ["a folder", "a FIFO", "a device"] {
            println!("{file} as {kind}");
            let (stage, _metadata) = Stage::without_keys();
            let path = stage.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match kind {
                "a folder" => fs::create_dir(&path).unwrap(),
                "a FIFO" => mkfifo(&path, Mode::S_IRUSR).unwrap(),
                _ => symlink("/dev/zero", &path).unwrap(),
            }
            if file == "etc/keys" {
                stage.configure("AWS_PARAMS='--region=eu-west-1 --secrets-file=/etc/keys'");
            }
            is_refused(&stage, file, &["not a regular file"]);
        }
    }
}

#[test]
fn a_secret_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    for file in [AWSSECRET, "home/admin/.awssecret", "root/.aws/credentials", "root/.aws/config", "etc/keys"] {
        for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o610, 0o666] {
            let (stage, _metadata) = Stage::without_keys();
            let content = if file.contains(".aws/") { profile("default", KEY_ID) } else { keys_in(KEY_ID) };
            stage.write(file, content);
            stage.set_mode(file, mode);
            stage.configure(match file {
                "etc/keys" => "AWS_PARAMS='--region=eu-west-1 --secrets-file=/etc/keys'",
                _ => "",
            });
            let shown = stage.path(file);
            let remedy = format!("run: chmod 600 {}", shown.display());
            let ended = stage.call(["status"]).env("HOME", "/home/admin").run();
            ended.says(UNKNOWN, 4);
            ended.complains_once_of(&[&format!("mode {mode:04o}"), &remedy]);
            fs::set_permissions(&shown, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            assert_eq!(stage.call(["status"]).env("HOME", "/home/admin").run().code(), 0, "{remedy}");
        }
    }
}

#[test]
fn settings_without_keys_may_be_open_to_everybody() {
    let stage = Stage::with_the_address();
    stage.unset("AWS_PARAMS");
    stage.write("root/.aws/config", "[default]\nregion = eu-west-1\n");
    stage.set_mode("root/.aws/config", 0o644);
    stage.run(["status"]).says(RUNNING, 0);
}

#[test]
fn a_secret_that_the_caller_may_not_read_asks_for_root() {
    let (stage, _metadata) = Stage::without_keys();
    stage.write_secret(AWSSECRET, keys_in(KEY_ID));
    stage.set_mode(AWSSECRET, 0o000);
    for (action, stdout, code) in [("start", "", 4), ("stop", "", 4), ("status", UNKNOWN, 4)] {
        let ended = Call::heeding_modes(stage.root(), [action]).run();
        ended.says(stdout, code);
        ended.tells(&[stage.path(AWSSECRET).to_str().unwrap(), "permission denied", "root"]);
    }
    assert_eq!(stage.ec2.actions(), [""; 0]);
}

#[test]
fn a_secret_that_the_caller_may_not_read_is_told_before_a_metadata_service_that_does_not_answer() {
    let stage = Stage::with_the_address();
    stage.configure("STOP_TIMEOUT=0.3");
    stage.set_mode(AWSSECRET, 0o000);
    let ended = Call::heeding_modes(stage.root(), ["stop"]).run();
    ended.says("", 4);
    ended.tells(&[stage.path(AWSSECRET).to_str().unwrap(), "permission denied", "root"]);
}

#[test]
fn half_a_pair_of_keys_is_refused() {
    for (name, missing) in [
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        ("EC2_ACCESS_KEY", "EC2_SECRET_KEY"),
        ("EC2_SECRET_KEY", "EC2_ACCESS_KEY"),
    ] {
        let stage = Stage::with_the_address();
        let ended = stage.call(["start"]).env(name, SECRET).run();
        ended.says("", 6);
        ended.complains_once_of(&[name, missing]);
    }
    let (stage, _metadata) = Stage::without_keys();
    stage.write_secret("root/.aws/credentials", "[default]\naws_access_key_id = AKID\n");
    is_refused(&stage, "root/.aws/credentials", &["profile \"default\"", "aws_secret_access_key is missing"]);
    stage.write_secret("root/.aws/credentials", format!("[default]\naws_secret_access_key = {SECRET}\n"));
    is_refused(&stage, "root/.aws/credentials", &["profile \"default\"", "aws_access_key_id is missing"]);
}

#[test]
fn without_keys_anywhere_the_articles_line_is_said_and_by_a_start_not_at_once() {
    let (stage, metadata) = Stage::without_keys();
    stage.configure("START_TIMEOUT=1");
    for (action, code) in [("start", 6), ("stop", 6), ("status", 4)] {
        let ended = stage.run([action]);
        ended.says(NO_KEYS, code);
        assert!(ended.elapsed < Duration::from_secs(2), "{ended:?}");
        assert_eq!(ended.stderr.contains("trying again"), action == "start", "{ended:?}");
    }
    assert!(metadata.asked().contains(&"GET /latest/meta-data/iam/security-credentials/".to_owned()));
}

#[test]
fn a_start_waits_for_a_role_that_the_instance_is_about_to_have() {
    let absent = || ResponseTemplate::new(404);
    let untrusted = || ResponseTemplate::new(200).set_body_string("{\"Code\":\"AssumeRoleUnauthorizedAccess\"}");
    for (fact, template) in [
        ("", absent as fn() -> ResponseTemplate),
        ("web", absent as fn() -> ResponseTemplate),
        ("web", untrusted as fn() -> ResponseTemplate),
    ] {
        let (stage, metadata) = Stage::without_keys();
        metadata.give_role("web", "ROLE");
        metadata.answer_for(&format!("iam/security-credentials/{fact}"), Duration::from_millis(300), template());
        let ended = stage.run(["start"]);
        assert_eq!(ended.code(), 0, "{fact:?}: {ended:?}");
        ended.tells(&["credentials: ", "trying again"]);
        assert_eq!(stage.signer(), "ROLE");
    }
}

#[test]
fn a_role_whose_keys_are_not_to_be_had_is_told() {
    for (role, json, told) in [
        ("web", "{\"Code\":\"AssumeRoleUnauthorizedAccess\"}", "AssumeRoleUnauthorizedAccess"),
        ("web", "not JSON", "not JSON"),
        ("web", "{}", "AccessKeyId"),
        ("../../secret", "{}", "not the name of a role"),
    ] {
        let (stage, metadata) = Stage::without_keys();
        metadata.tell("iam/security-credentials/", role);
        metadata.tell(&format!("iam/security-credentials/{role}"), json);
        let ended = stage.call(["status"]).env("STATUS_TIMEOUT", "1").run();
        ended.says(UNKNOWN, 4);
        ended.tells(&[told]);
        assert_eq!(stage.ec2.actions(), [""; 0]);
    }
}
