//! `.awssecret` in the forms that users of Tim Kay's `aws` and of the AWS CLI have it, and whose it is.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use nix::unistd::{Gid, Uid, chown, geteuid};

use crate::stage::stdout::RUNNING;
use crate::stage::{self, AWSSECRET, Call, KEY_ID, SECRET, Stage};

/// Somebody who is not root.
const SOMEBODY: u32 = 1000;

#[test]
fn the_names_of_the_aws_cli_may_stand_before_the_keys() {
    for text in [
        format!("aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"),
        format!("[default]\r\nAWS_ACCESS_KEY_ID={KEY_ID}\r\nAWS_SECRET_ACCESS_KEY={SECRET}\r\n"),
        format!("# keys\nexport AWS_ACCESS_KEY_ID=\"{KEY_ID}\"\nexport AWS_SECRET_ACCESS_KEY='{SECRET}'\n"),
        format!("AWSSecretKey={SECRET}\nAWSAccessKeyId={KEY_ID}\n"),
    ] {
        let stage = Stage::with_the_address();
        stage.write_secret(AWSSECRET, &text);
        stage.run(["status"]).says(RUNNING, 0);
        assert_eq!(stage.signer(), KEY_ID, "{text:?}");
    }
}

// Fails when what is left of such a file after "remove the rest" is taken for id and secret.
#[test]
fn such_a_file_that_is_not_whole_is_refused_with_what_is_missing() {
    for (text, told) in [
        (format!("aws_access_key_id = {KEY_ID}\n"), "aws_secret_access_key is missing"),
        (format!("aws_access_key_id {SECRET}\n"), "aws_secret_access_key is missing"),
        (format!("aws_access_key_id =\naws_secret_access_key = {SECRET}\n"), "aws_access_key_id is missing"),
        (format!("aws_access_key_id = {KEY_ID}\n{SECRET}\n"), "line 2: neither aws_access_key_id"),
        (format!("aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\naws_access_key_id = B\n"), "line 3: a second aws_access"),
    ] {
        let stage = Stage::with_the_address();
        stage.write_secret(AWSSECRET, &text);
        let ended = stage.run(["start"]);
        ended.says("", 6);
        ended.complains_once_of(&[stage.path(AWSSECRET).to_str().unwrap(), told]);
    }
}

// Fails when the first login, or the last, is taken for the keys whatever its machine is.
#[test]
fn of_a_netrc_the_keys_of_machine_aws_are_taken_and_no_others() {
    let aws = format!("machine AWS login {KEY_ID} password {SECRET}\n");
    let (before, after) = ("machine a.example.com login bob password b0b\n", "machine z.example.com\n\tlogin zoe\n\tpassword z0e\n");
    let lines = format!("machine AWS\n  login {KEY_ID}\n  account x\n  password {SECRET}\n");
    for text in [
        aws.clone(),
        format!("{before}{aws}"),
        format!("{aws}{after}"),
        format!("# mine\n{before}\n{lines}{after}default login d password e\n"),
        format!("machine AWS login OLD password {SECRET}\n{aws}"),
    ] {
        let stage = Stage::with_the_address();
        stage.write_secret(AWSSECRET, &text);
        stage.run(["status"]).says(RUNNING, 0);
        assert_eq!(stage.signer(), KEY_ID, "{text:?}");
    }
    for text in [before.to_owned(), format!("{before}{after}"), format!("machine AWS login {KEY_ID}\n{after}")] {
        let stage = Stage::with_the_address();
        stage.write_secret(AWSSECRET, &text);
        let ended = stage.run(["start"]);
        ended.says("", 6);
        ended.complains_once_of(&["no keys of machine AWS", "machine AWS login ID password SECRET"]);
    }
}

/// Writes a secret file that is somebody else's; only root can.
fn give_away(stage: &Stage, file: &str, content: &str) -> bool {
    stage.write_secret(file, content);
    geteuid().is_root() && chown(&stage.path(file), Some(Uid::from_raw(SOMEBODY)), Some(Gid::from_raw(SOMEBODY))).is_ok()
}

#[test]
fn where_sudo_keeps_home_roots_own_file_is_looked_at() {
    let stage = Stage::with_the_address();
    if !give_away(&stage, "home/admin/.awssecret", &format!("ADMIN\n{SECRET}\n")) {
        return;
    }
    give_away(&stage, "home/admin/.aws/credentials", &stage::profile("default", "ADMIN"));
    stage.call(["status"]).env("HOME", "/home/admin").run().says(RUNNING, 0);
    assert_eq!(stage.signer(), KEY_ID);
    stage.remove(AWSSECRET);
    stage.write_secret("root/.aws/credentials", stage::profile("default", "ROOT"));
    stage.call(["status"]).env("HOME", "/home/admin").run().says(RUNNING, 0);
    assert_eq!(stage.signer(), "ROOT");
}

#[test]
fn nobody_is_told_to_take_a_file_away_from_its_owner() {
    let (stage, _metadata) = Stage::without_keys();
    if !give_away(&stage, "home/admin/.awssecret", &format!("ADMIN\n{SECRET}\n")) {
        return;
    }
    stage.configure("START_TIMEOUT=0.5");
    for action in ["start", "stop"] {
        let ended = stage.call([action]).env("HOME", "/home/admin").run();
        ended.says("", 6);
        ended.tells(&["home/admin/.awssecret belongs to user id 1000", "root's own file", "mode 600"]);
        assert!(!ended.stderr.contains("chown"), "{ended:?}");
    }
    stage.configure("AWS_PARAMS='--region=eu-west-1 --secrets-file=/home/admin/.awssecret'");
    let ended = Call::new(stage.root(), ["start"]).run();
    ended.says("", 6);
    ended.complains_once_of(&["belongs to user id 1000"]);
    assert_eq!(stage.ec2.actions(), [""; 0]);
}
