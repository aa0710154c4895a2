//! What the configuration may say, and how wrong input is told.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod endpoint;
mod refusal;

use std::fs;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use refusal::is_refused;

use crate::stage::stdout::{RUNNING, UNKNOWN};
use crate::stage::{CONFIG, Call, Fault, IP, ME, PEER, Stage};

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    let good = format!("ELASTIC_IP={IP}\nMY_ID={ME}\n").into_bytes();
    for (name, bytes, told) in [
        ("empty", vec![], "does not set ELASTIC_IP"),
        ("only comments", b"# ELASTIC_IP=203.0.113.25\n\n".to_vec(), "does not set ELASTIC_IP"),
        ("CRLF", format!("# by an editor\r\nELASTIC_IP={IP}\r\n").into_bytes(), "line 1: ends in CR LF"),
        ("one CRLF", [good.as_slice(), b"START_TIMEOUT=5\r\n"].concat(), "line 3: ends in CR LF"),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), &good].concat(), "line 1: a byte order mark"),
        ("UTF-16", b"\xfe\xff\0E\0L".to_vec(), "line 1: UTF-16"),
        ("a NUL byte", [good.as_slice(), b"A=\0\n"].concat(), "line 3: a NUL byte"),
        ("Latin-1", [good.as_slice(), b"# caf\xe9\n"].concat(), "line 3: text that is not UTF-8"),
        ("a control character", [good.as_slice(), b"A=\x1b[31m\n"].concat(), "line 3: holds a control character"),
        ("10 MB", b"# filler\n".iter().copied().cycle().take(10_000_000).collect(), "larger than 64 KiB"),
        ("a section", [good.as_slice(), b"[section]\n"].concat(), "line 3: "),
        ("a script", b"#!/bin/sh\nif true; then\nfi\n".to_vec(), "line 2: "),
    ] {
        println!("{name}");
        let stage = Stage::with_the_address();
        stage.write(CONFIG, bytes);
        is_refused(&stage, &[stage.path(CONFIG).to_str().unwrap(), told]);
    }
}

#[test]
fn what_stands_in_place_of_the_file_is_refused_without_waiting_for_it() {
    for (kind, told) in [("nothing", "does not exist"), ("a folder", "not a regular file"), ("a FIFO", "not a regular file")] {
        println!("{kind}");
        let stage = Stage::with_the_address();
        stage.remove(CONFIG);
        let path = stage.path(CONFIG);
        match kind {
            "a folder" => fs::create_dir(&path).unwrap(),
            "a FIFO" => mkfifo(&path, Mode::S_IRUSR).unwrap(),
            _ => {}
        }
        is_refused(&stage, &[path.to_str().unwrap(), told]);
    }
}

#[test]
fn a_file_that_the_caller_may_not_read_asks_for_root() {
    let stage = Stage::with_the_address();
    stage.set_mode(CONFIG, 0o000);
    for (action, stdout, code) in [("start", "", 4), ("status", UNKNOWN, 4)] {
        let ended = Call::heeding_modes(stage.root(), [action]).run();
        ended.says(stdout, code);
        ended.complains_once_of(&[stage.path(CONFIG).to_str().unwrap(), "permission denied", "run as root"]);
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_file_and_line() {
    for (line, told) in [
        ("ELASTIC_IP=256.256.256.4", "not an IPv4 address"),
        ("ELASTIC_IP='203.0.113.25 203.0.113'", "not an IPv4 address"),
        ("ELASTIC_IP=203.0.113.25,203.0.113.26", "not an IPv4 address"),
        ("ELASTIC_IP=eipalloc-", "not an allocation id"),
        ("ELASTIC_IP=eipalloc-0123_4", "not an allocation id"),
        ("ELASTIC_IP=2001:db8::1", "IPv6"),
        ("ELASTIC_IP=0.0.0.0", "can never be"),
        ("AWS_PARAMS='--region=eu-west-1 --bogus'", "--bogus"),
        ("AWS_PARAMS='--region'", "--region"),
        ("AWS_PARAMS=eu-west-1", "eu-west-1"),
        ("AWS_PARAMS=--region=europe", "europe"),
        ("AWS_PARAMS='--region=eu west 1'", "AWS_PARAMS"),
        ("MY_ID=server1", "server1"),
        ("MY_ID=i-0aaaaaaaaaaaaaaaa_", "i-0aaaaaaaaaaaaaaaa_"),
        ("ALLOW_REASSOCIATION=maybe", "maybe"),
        ("RELEASE_ON_STOP=2", "2"),
        ("START_TIMEOUT=soon", "soon"),
        ("STOP_TIMEOUT=0", "0"),
        ("STATUS_TIMEOUT=-1", "-1"),
        ("START_TIMEOUT=1e9", "1e9"),
        ("START_TIMEOUT=NaN", "NaN"),
        ("START_TIMEOUT=inf", "inf"),
        ("START_TIMEOUT=5s", "5s"),
        ("STATE_DIR=run/elastic-ip", "absolute"),
        ("AWS_ENDPOINT_URL_EC2=ec2.example", "URL"),
        ("AWS_ENDPOINT_URL_EC2=ftp://ec2.example", "URL"),
        ("AWS_ENDPOINT_URL_EC2=http://ec2.example/?a=b", "URL"),
        ("AWS_USE_FIPS_ENDPOINT=yes", "AWS_USE_FIPS_ENDPOINT"),
        ("AWS_USE_DUALSTACK_ENDPOINT=true", "AWS_USE_DUALSTACK_ENDPOINT"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT=169.254.169.254", "URL"),
        ("HTTPS_PROXY=proxy.example:3128", "URL"),
        ("MY_ID=$HOSTNAME", "shell code"),
        ("ELASTIC_IP=$(cat /etc/ip)", "shell code"),
        ("ELASTIC_IP=`cat /etc/ip`", "shell code"),
        ("ELASTIC_IP=${IP}", "shell code"),
        ("ELASTIC_IP=\"$IP\"", "shell code"),
        ("ELASTIC_IP=203.0.113.25; reboot", "shell code"),
        ("ELASTIC_IP='203.0.113.25", "closing quote"),
        ("ELASTIC_IP=203.0.113.25 203.0.113.26", "in quotes"),
        ("ELASTIC_IP = 203.0.113.25", "no space around"),
        ("ELASTIC_IP: 203.0.113.25", "NAME=value"),
        ("ELASTIC_IP", "NAME=value"),
    ] {
        println!("{line}");
        let stage = Stage::with_the_address();
        let number = fs::read_to_string(stage.path(CONFIG)).unwrap().lines().count() + 1;
        stage.configure(line);
        let endpoint = line.starts_with("AWS_USE_");
        let place = format!("{} line {}: ", stage.path(CONFIG).display(), if endpoint { 4 } else { number });
        is_refused(&stage, &[&place, told]);
    }
}

#[test]
fn a_wrong_value_in_the_environment_is_refused_with_its_name() {
    for (name, value) in [
        ("ALLOW_REASSOCIATION", "maybe"),
        ("START_TIMEOUT", "soon"),
        ("AWS_REGION", "europe"),
        ("HTTPS_PROXY", "proxy"),
        ("STATE_DIR", "here"),
    ] {
        let stage = Stage::with_the_address();
        if name == "AWS_REGION" {
            stage.unset("AWS_PARAMS");
        }
        let ended = stage.call(["start"]).env(name, value).run();
        ended.says("", 6);
        ended.complains_once_of(&[&format!("environment variable {name}: ")]);
    }
}

#[test]
fn nothing_in_the_file_is_run() {
    let stage = Stage::with_the_address();
    let trace = stage.path("trace");
    for line in [
        "MY_ID=$(touch TRACE; curl -s http://169.254.169.254/latest/meta-data/instance-id)",
        "A=`touch TRACE`",
        "touch TRACE",
        "ELASTIC_IP=$(touch TRACE)",
    ] {
        let stage = Stage::with_the_address();
        stage.configure(&line.replace("TRACE", trace.to_str().unwrap()));
        stage.call(["status"]).env("PATH", "/usr/bin:/bin").env("STATUS_TIMEOUT", "0.3").run();
        assert!(!trace.exists(), "{line}");
    }
}

#[test]
fn a_misspelt_name_is_warned_about_and_the_call_goes_on() {
    for (line, meant) in [
        ("AWS_PARMAS='--region=eu-west-1'", "AWS_PARAMS"),
        ("AWS_PARMS='--region=eu-west-1'", "AWS_PARAMS"),
        ("ELASTICIP=203.0.113.26", "ELASTIC_IP"),
        ("RELEASE_ON_STOPP=no", "RELEASE_ON_STOP"),
        ("STAUTS_TIMEOUT=3", "STATUS_TIMEOUT"),
        ("elastic_ip=203.0.113.26", "ELASTIC_IP"),
    ] {
        let stage = Stage::with_the_address();
        stage.configure(line);
        let ended = stage.run(["status"]);
        ended.says(RUNNING, 0);
        let name = line.split_once('=').unwrap().0;
        ended.complains_once_of(&[stage.path(CONFIG).to_str().unwrap(), "line 6: ", name, &format!("did you mean {meant}?")]);
    }
}

#[test]
fn other_names_are_none_of_its_business() {
    let stage = Stage::with_the_address();
    stage.configure("EDITOR=vi\nDAEMON_OPTS=\"-v -x\"\nexport PATH=/usr/bin:/bin");
    let ended = stage.run(["status"]);
    ended.says(RUNNING, 0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_file_is_read_as_a_shell_would_read_it() {
    for line in [
        "ELASTIC_IP=203.0.113.25",
        "export ELASTIC_IP=203.0.113.25",
        "ELASTIC_IP='203.0.113.25'",
        "ELASTIC_IP=\"203.0.113.25\"",
        "ELASTIC_IP=203.0.113.2'5'",
        "ELASTIC_IP=203.0.113.25 # the web site's",
        "\tELASTIC_IP=203.0.113.25  ",
        "ELASTIC_IP=203.0.113.26\nELASTIC_IP=203.0.113.25",
        "ELASTIC_IP=203.0.113.25\nexport ELASTIC_IP",
    ] {
        let stage = Stage::with_the_address();
        stage.unset("ELASTIC_IP");
        stage.configure(line);
        stage.run(["status"]).says(RUNNING, 0);
    }
    // The last line needs no end.
    let stage = Stage::with_the_address();
    let text = fs::read_to_string(stage.path(CONFIG)).unwrap();
    stage.write(CONFIG, text.trim_end());
    stage.run(["status"]).says(RUNNING, 0);
}

#[test]
fn the_file_wins_over_the_environment() {
    let stage = Stage::with_the_address();
    stage.configure("RELEASE_ON_STOP=no\nSTATUS_TIMEOUT=5\nSTATE_DIR=/run/elastic-ip");
    let environment = [
        ("ELASTIC_IP", "203.0.113.26"),
        ("AWS_PARAMS", "--region=us-east-1"),
        ("MY_ID", PEER),
        ("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:9"),
        ("RELEASE_ON_STOP", "yes"),
        ("STATUS_TIMEOUT", "nonsense"),
        ("STATE_DIR", "/elsewhere"),
    ];
    let call = |action| environment.iter().fold(stage.call([action]), |call, (name, value)| call.env(name, value));
    call("status").run().says(RUNNING, 0);
    assert!(stage.ec2.requests()[0].headers["authorization"].contains("/eu-west-1/"));
    call("stop").run().says("elastic-ip remapper: IP 203.0.113.25 disowned\n", 0);
    assert_eq!(stage.ec2.changes(), [""; 0]);
    assert!(stage.is_handed_over());
}

#[test]
fn the_environment_alone_is_enough() {
    let stage = Stage::with_the_address();
    stage.remove(CONFIG);
    let url = stage.ec2.url();
    let mut call = stage.call(["status"]);
    for (name, value) in [("ELASTIC_IP", IP), ("AWS_PARAMS", "--region=eu-west-1"), ("MY_ID", ME), ("AWS_ENDPOINT_URL_EC2", url.as_str())] {
        call = call.env(name, value);
    }
    call.run().says(RUNNING, 0);
}

#[test]
fn what_heartbeat_puts_into_the_environment_changes_nothing() {
    let stage = Stage::with_the_address();
    let mut call = stage.call([IP, "status"]);
    for (name, value) in [
        ("HA_LOGFACILITY", "daemon"),
        ("HA_CURHOST", "server1"),
        ("HA_debug", "0"),
        ("OCF_RESKEY_ip", "203.0.113.26"),
        ("OCF_ROOT", "/usr/lib/ocf"),
        ("HA_notify", "running\nOK"),
    ] {
        call = call.env(name, value);
    }
    call.run().says(RUNNING, 0);
}

#[test]
fn each_action_has_its_own_limit() {
    for (name, action, code) in [("START_TIMEOUT", "start", 1), ("STOP_TIMEOUT", "stop", 1), ("STATUS_TIMEOUT", "status", 4)] {
        let stage = Stage::with_the_address();
        stage.cut_in(|_| Fault::Silence);
        stage.configure(&format!("{name}=0.3"));
        let ended = stage.run([action]);
        assert_eq!(ended.code(), code, "{ended:?}");
        ended.tells(&["gave up at the deadline"]);
        assert!(ended.elapsed <= Duration::from_millis(1300), "{ended:?}");
    }
}
