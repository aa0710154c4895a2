//! Where a secret must not be. Every call of every test is checked for it on stdout and stderr; here are the places where it
//! is likeliest to come out.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::fmt::Debug;
use std::fs;
use std::marker::PhantomData;
use std::path::Path;

use elastic_ip::config::Config;
use elastic_ip::ec2::Ec2;
use elastic_ip::endpoint::Endpoint;
use elastic_ip::file::TextFile;
use elastic_ip::http::Answer as HttpAnswer;
use elastic_ip::imds::Imds;
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use rusoto_core::credential::AwsCredentials;

use crate::stage::{AWSSECRET, Answer, Ended, Fault, IP, KEY_ID, ME, Metadata, PEER, SECRET, Stage, wait_for};

/// Each way to give the secret to the program.
const WAYS: [&str; 5] = ["the secret file", "a profile", "the AWS variables", "the EC2 variables", "the role"];

/// A stage whose secret is given in this way, with the environment for the call.
fn given_by(way: &str) -> (Stage, Metadata, Vec<(&'static str, &'static str)>) {
    let metadata = Metadata::version_2();
    let stage = Stage::new();
    stage.remove(AWSSECRET);
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
    let mut environment = Vec::new();
    match way {
        "the secret file" => stage.write_secret(AWSSECRET, format!("{KEY_ID}\n{SECRET}\n{SECRET}\n")),
        "a profile" => stage.write_secret(
            "root/.aws/credentials",
            format!("[default]\naws_access_key_id={KEY_ID}\naws_secret_access_key={SECRET}\naws_session_token={SECRET}\n"),
        ),
        "the AWS variables" => {
            environment.extend([("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_SESSION_TOKEN", SECRET)]);
        }
        "the EC2 variables" => environment.extend([("EC2_ACCESS_KEY", KEY_ID), ("EC2_SECRET_KEY", SECRET)]),
        _ => {
            metadata.tell("iam/security-credentials/", "web");
            let json = format!(r#"{{"Code":"Success","AccessKeyId":"{KEY_ID}","SecretAccessKey":"{SECRET}","Token":"{SECRET}"}}"#);
            metadata.tell("iam/security-credentials/web", &json);
        }
    }
    (stage, metadata, environment)
}

fn run(stage: &Stage, environment: &[(&str, &str)], words: &[&str]) -> Ended {
    environment.iter().fold(stage.call(words.iter().copied()), |call, (name, value)| call.env(name, value)).run()
}

/// The contents of all files below this one.
fn contents(path: &Path) -> Vec<u8> {
    if path.is_dir() {
        fs::read_dir(path).unwrap().flat_map(|entry| contents(&entry.unwrap().path())).collect()
    } else {
        fs::read(path).unwrap()
    }
}

fn holds_the_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

// P10. Fails when `Ec2::attempt` in src/ec2.rs logs the secret key of its `keys`, too.
#[test]
fn no_call_tells_the_secret_however_much_it_is_asked_to_tell() {
    for way in WAYS {
        let (stage, _metadata, environment) = given_by(way);
        for (action, call) in [
            ("start", "AssociateAddress"),
            ("status", "DescribeAddresses"),
            ("try-restart", "DescribeAddresses"),
            ("stop", "DisassociateAddress"),
        ] {
            let ended = run(&stage, &environment, &["--verbose", action]);
            assert_eq!(ended.code(), 0, "{way}: {ended:?}");
            ended.tells(&[call]);
            run(&stage, &environment, &["--dry-run", "--verbose", action]);
        }
        stage.ec2.give(IP, ME);
        for answer in [Answer::error(401, "AuthFailure"), Answer::error(500, "InternalError"), Answer::new(200, "<html/>")] {
            stage.configure("START_TIMEOUT=0.1\nSTOP_TIMEOUT=0.1\nSTATUS_TIMEOUT=0.1");
            stage.ec2.answer_once("", answer);
            for action in ["start", "stop", "status"] {
                run(&stage, &environment, &["--verbose", action]);
            }
        }
    }
}

#[test]
fn what_is_remembered_holds_no_secret() {
    for way in WAYS {
        let (stage, _metadata, environment) = given_by(way);
        stage.ec2.give(IP, ME);
        stage.ec2.answer_once("", Answer::error(403, "UnauthorizedOperation"));
        assert_eq!(run(&stage, &environment, &["stop"]).code(), 1);
        assert!(stage.has_failed_stop());
        assert!(!holds_the_secret(&contents(&stage.path("run"))), "{way}");
        stage.configure("RELEASE_ON_STOP=no");
        assert_eq!(run(&stage, &environment, &["stop"]).code(), 0);
        assert!(stage.is_handed_over());
        assert!(!holds_the_secret(&contents(&stage.path("run"))), "{way}");
    }
}

#[test]
fn no_process_shows_the_secret_to_others() {
    for way in WAYS {
        let (stage, _metadata, environment) = given_by(way);
        stage.ec2.give(IP, PEER);
        let wire = stage.cut_in(|_| Fault::Silence);
        let call = environment.iter().fold(stage.call(["start"]), |call, (name, value)| call.env(name, value));
        let running = call.spawn();
        wait_for("the call", || wire.requests() == 1);
        let process = Path::new("/proc").join(running.pid().to_string());
        let cmdline = fs::read(process.join("cmdline")).unwrap();
        assert!(cmdline.starts_with(env!("CARGO_BIN_EXE_elastic-ip").as_bytes()));
        assert!(!holds_the_secret(&cmdline), "{way}");
        // It shows itself to root alone.
        match fs::read(process.join("environ")) {
            Ok(environ) => assert_eq!(holds_the_secret(&environ), !environment.is_empty(), "{way}"),
            Err(error) => assert!(!geteuid().is_root(), "{way}: {error}"),
        }
        running.send(Signal::SIGTERM);
        assert_eq!(running.end().code(), 1);
    }
}

#[test]
fn the_secret_itself_is_never_sent() {
    let (stage, _metadata, environment) = given_by("the EC2 variables");
    assert_eq!(run(&stage, &environment, &["start"]).code(), 0);
    for request in stage.ec2.requests() {
        assert!(!holds_the_secret(format!("{request:?}").as_bytes()), "{request:?}");
    }
}

#[test]
fn a_file_that_is_refused_is_not_quoted() {
    for text in [
        SECRET.to_owned(),
        format!("{SECRET}\n{KEY_ID}\n"),
        format!("{KEY_ID}\n{SECRET}\u{e9}\n"),
        format!("{KEY_ID}\n{SECRET}\n{SECRET}\u{1}\n"),
        format!("{KEY_ID} {SECRET} {SECRET} {SECRET}"),
        format!("{SECRET}:\n"),
        format!("aws_access_key_id={KEY_ID}\naws_secret_access_key={SECRET}\n{SECRET}\n"),
        format!("aws_access_key_id={SECRET}\naws_secret_access_key={SECRET}\n"),
        format!("machine {SECRET} login {KEY_ID} password {SECRET}\n"),
        format!("\u{feff}{KEY_ID}\n{SECRET}\n"),
        format!("{KEY_ID}\n{SECRET}\0\n"),
    ] {
        for file in [AWSSECRET, "root/.aws/credentials", "etc/keys"] {
            let metadata = Metadata::version_2();
            let stage = Stage::new();
            stage.remove(AWSSECRET);
            stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}\nSTART_TIMEOUT=0.2", metadata.url()));
            stage.write_secret(file, &text);
            if file == "etc/keys" {
                stage.configure("AWS_PARAMS='--region=eu-west-1 --secrets-file=/etc/keys'");
            }
            for action in ["start", "status"] {
                let ended = stage.run(["--verbose", action]);
                assert_ne!(ended.code(), 0, "{text:?} in {file}: {ended:?}");
            }
        }
    }
}

#[test]
fn a_configuration_that_is_refused_does_not_give_away_a_password_in_it() {
    for line in [
        format!("AWS_PARAMS=\"--region=eu-west-1 --secret-access-key={SECRET}\""),
        format!("AWS_PARAMS=\"--region=eu-west-1 --secret-access-key {SECRET}\""),
        format!("HTTPS_PROXY=http://user:{SECRET}@proxy.example:port"),
        format!("HTTPS_PROXY=socks5://user:{SECRET}@proxy.example"),
        format!("AWS_SECRET_ACCESS_KEY={SECRET} {SECRET}"),
        format!("AWS_SECRET_ACCESS_KEY=$({SECRET})"),
        format!("AWS_SECRET_ACCESS_KEY = {SECRET}"),
        format!("{KEY_ID}\n{SECRET}"),
    ] {
        let stage = Stage::with_the_address();
        stage.configure(&line);
        let ended = stage.run(["start"]);
        assert_eq!(ended.code(), 6, "{line}: {ended:?}");
    }
}

#[test]
fn a_proxys_password_is_not_told_when_the_proxy_fails() {
    let stage = Stage::with_the_address();
    let password = SECRET.replace(['/', '+'], "");
    stage.configure(&format!("AWS_ENDPOINT_URL_EC2=https://192.0.2.1\nHTTPS_PROXY=http://user:{password}@127.0.0.1:9\nSTATUS_TIMEOUT=0.3"));
    let ended = stage.run(["--verbose", "status"]);
    assert_eq!(ended.code(), 4);
    assert!(!ended.stderr.contains(&password), "{ended:?}");
}

/// Whether a type can be shown with `{:?}`: a constant of the type's own hides the trait's.
struct Shown<T>(PhantomData<T>);

trait NotShown {
    const SHOWN: bool = false;
}

impl<T> NotShown for Shown<T> {}

impl<T: Debug> Shown<T> {
    const SHOWN: bool = true;
}

#[test]
fn what_holds_a_secret_cannot_be_shown_by_a_slip() {
    for (name, shown, wanted) in [
        ("a text", Shown::<String>::SHOWN, true),
        ("the configuration with a proxy's password", Shown::<Config>::SHOWN, false),
        ("the endpoint with its proxy", Shown::<Endpoint>::SHOWN, false),
        ("a file's text", Shown::<TextFile>::SHOWN, false),
        ("an answer of the metadata service", Shown::<HttpAnswer>::SHOWN, false),
        ("the metadata service with its token", Shown::<Imds>::SHOWN, false),
        ("EC2 with keys", Shown::<Ec2>::SHOWN, false),
    ] {
        assert_eq!(shown, wanted, "{name}");
    }
    let keys = AwsCredentials::new(KEY_ID, SECRET, Some(SECRET.to_owned()), None);
    assert!(!format!("{keys:?}").contains(SECRET));
}
