//! What the configuration may say, and how wrong input is told.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::stage::stdout::{RUNNING, UNKNOWN};
use crate::stage::tls::{Flaw, Tls};
use crate::stage::{CONFIG, Call, Fault, IP, ME, Metadata, PEER, Stage};

/// Demands that every action ends soon, says nothing but that it cannot tell, and complains in one line that holds these.
fn is_refused(stage: &Stage, told: &[&str]) {
    for (action, stdout, code) in [("start", "", 6), ("stop", "", 6), ("status", UNKNOWN, 4), ("try-restart", "", 6)] {
        let ended = stage.run([action]);
        ended.says(stdout, code);
        ended.complains_once_of(told);
        assert!(ended.elapsed < Duration::from_secs(2), "{ended:?}");
    }
    assert_eq!(stage.ec2.actions(), [""; 0]);
}

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

/// A proxy that never answers, and hands out each request.
fn proxy() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut clients = Vec::new();
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut bytes = [0; 1024];
            let count = client.read(&mut bytes).unwrap_or(0);
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let _ = sender.send(text);
            clients.push(client);
        }
    });
    (url, receiver)
}

/// Asks for the status of an address at an endpoint that only a proxy can reach, and returns what the proxy is asked for.
fn asked_of_proxy(lines: &str) -> String {
    request_to_proxy("", lines).lines().next().unwrap_or_default().to_owned()
}

fn request_to_proxy(user: &str, lines: &str) -> String {
    let (url, received) = proxy();
    let stage = Stage::new();
    stage.unset("AWS_ENDPOINT_URL_EC2");
    stage.configure(&format!("HTTPS_PROXY={}\n{lines}", url.replace("http://", &format!("http://{user}"))));
    let running = stage.call(["status"]).spawn();
    let first = received.recv_timeout(Duration::from_secs(15)).unwrap();
    running.send(Signal::SIGTERM);
    running.end().says(UNKNOWN, 4);
    first
}

#[test]
fn an_https_endpoint_is_reached_through_the_proxy_unless_it_is_excepted() {
    let endpoint = "AWS_ENDPOINT_URL_EC2=https://127.0.0.1:9";
    for exception in ["", "192.0.2.0/24"] {
        let asked = asked_of_proxy(&format!("{endpoint}\nNO_PROXY='{exception}'"));
        assert_eq!(asked, "CONNECT 127.0.0.1:9 HTTP/1.1", "NO_PROXY={exception}");
    }
    for exception in ["127.0.0.1", "localhost,127.0.0.0/8"] {
        let (url, received) = proxy();
        let stage = Stage::with_the_address();
        stage.configure(&format!("{endpoint}\nHTTPS_PROXY={url}\nNO_PROXY='{exception}'\nSTATUS_TIMEOUT=0.3"));
        stage.run(["status"]).says(UNKNOWN, 4);
        assert!(received.try_recv().is_err(), "NO_PROXY={exception}");
    }
}

#[test]
fn a_proxy_is_given_the_name_and_the_password_that_its_url_holds() {
    let request = request_to_proxy("user:p%40ss@", "AWS_ENDPOINT_URL_EC2=https://127.0.0.1:9");
    assert!(request.starts_with("CONNECT 127.0.0.1:9 HTTP/1.1\r\n"), "{request}");
    // base64 of user:p@ss
    assert!(request.to_lowercase().contains("\r\nproxy-authorization: basic dxnlcjpwqhnz\r\n"), "{request}");
}

#[test]
fn an_authority_of_your_own_is_trusted_and_then_no_other() {
    let stage = Stage::with_the_address();
    let (own, other) = (Tls::before(&stage.ec2.url(), Flaw::None), Tls::before(&stage.ec2.url(), Flaw::None));
    stage.configure(&format!("AWS_ENDPOINT_URL_EC2={}", own.url("localhost")));
    let fails = || stage.call(["status"]).env("STATUS_TIMEOUT", "1").run();
    fails().tells(&["unknown CA", "name its file in AWS_CA_BUNDLE"]);
    stage.write("etc/own.pem", &own.authority);
    stage.configure("AWS_CA_BUNDLE=/etc/own.pem");
    stage.run(["status"]).says(RUNNING, 0);
    stage.write("etc/own.pem", format!("# Two of them\n{}{}", other.authority, own.authority));
    stage.run(["status"]).says(RUNNING, 0);
    stage.write("etc/own.pem", &other.authority);
    fails().says(UNKNOWN, 4);
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_is_told() {
    for (content, told) in [
        (None, "etc/own.pem does not exist; AWS_CA_BUNDLE is to name a file of authorities"),
        (Some(""), "etc/own.pem holds no certificate that can be read"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n"), "etc/own.pem holds no certificate that can be read"),
    ] {
        let stage = Stage::with_the_address();
        stage.configure("AWS_ENDPOINT_URL_EC2=https://127.0.0.1:9\nAWS_CA_BUNDLE=/etc/own.pem");
        if let Some(content) = content {
            stage.write("etc/own.pem", content);
        }
        let ended = stage.run(["start"]);
        ended.says("", 6);
        ended.complains_once_of(&[told]);
        stage.run(["status"]).says(UNKNOWN, 4);
    }
    let stage = Stage::with_the_address();
    stage.configure("AWS_CA_BUNDLE=own.pem");
    stage.run(["status"]).complains_once_of(&["etc/default/elastic-ip line", "AWS_CA_BUNDLE", "not an absolute path"]);
}

#[test]
fn without_an_endpoint_of_your_own_the_regions_is_called_with_tls() {
    for (region, lines, host) in [
        ("eu-west-1", "", "ec2.eu-west-1.amazonaws.com"),
        ("eu-west-1", "AWS_USE_DUALSTACK_ENDPOINT=yes", "ec2.eu-west-1.api.aws"),
        ("us-east-1", "AWS_USE_FIPS_ENDPOINT=yes", "ec2-fips.us-east-1.amazonaws.com"),
        ("us-gov-west-1", "AWS_USE_FIPS_ENDPOINT=yes", "ec2.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "", "ec2.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "", "ec2.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "", "ec2.us-isob-east-1.sc2s.sgov.gov"),
        ("eu-isoe-west-1", "", "ec2.eu-isoe-west-1.cloud.adc-e.uk"),
        ("us-isof-south-1", "", "ec2.us-isof-south-1.csp.hci.ic.gov"),
        ("eusc-de-east-1", "", "ec2.eusc-de-east-1.amazonaws.eu"),
    ] {
        // A name that is asked of a proxy is looked up by nobody else.
        let asked = asked_of_proxy(&format!("AWS_PARAMS=--region={region}\n{lines}"));
        assert_eq!(asked, format!("CONNECT {host}:443 HTTP/1.1"), "{region} {lines}");
    }
}

#[test]
fn a_hardware_file_that_cannot_be_read_is_passed_over() {
    const ASSET_TAG: &str = "sys/devices/virtual/dmi/id/board_asset_tag";
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

/// Each name of an endpoint.
const ENDPOINTS: [&str; 4] = ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL", "EC2_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT"];

/// A stage with this line, where a call that takes the line ends before anything is sent; and the line's place.
fn stage_with_endpoint(line: &str) -> (Stage, String) {
    let stage = Stage::with_the_address();
    stage.unset("AWS_ENDPOINT_URL_EC2");
    stage.configure("AWS_PARAMS='--region=eu-west-1 --secrets-file=/nowhere'");
    stage.configure(line);
    let number = fs::read_to_string(stage.path(CONFIG)).unwrap().lines().count();
    let place = format!("{} line {number}: ", stage.path(CONFIG).display());
    (stage, place)
}

fn is_taken(stage: &Stage) {
    stage.run(["start"]).complains_once_of(&["AWS_PARAMS names it with --secrets-file"]);
}

#[test]
fn plain_http_goes_only_to_this_machine_its_link_and_private_networks() {
    for (host, name) in [
        "localhost:4566",
        "127.0.0.2",
        "10.0.0.1:8773/services/compute",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.255",
        "[::1]:8773",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:10.0.0.1]",
    ]
    .into_iter()
    .zip(ENDPOINTS.into_iter().cycle())
    {
        is_taken(&stage_with_endpoint(&format!("{name}=http://{host}")).0);
    }
}

#[test]
fn plain_http_to_elsewhere_is_refused_unless_it_is_wanted() {
    for ((url, host), name) in [
        ("http://cloud.example.com:8773/services/compute", "cloud.example.com"),
        ("http://ec2.eu-west-1.amazonaws.com", "ec2.eu-west-1.amazonaws.com"),
        ("http://front-end:8773", "front-end"),
        ("http://198.51.100.1", "198.51.100.1"),
        ("http://localhost.example.com", "localhost.example.com"),
        ("http://127.0.0.1.example.com", "127.0.0.1.example.com"),
        ("http://127.0.0.1@203.0.113.1", "203.0.113.1"),
        ("http://172.32.0.1", "172.32.0.1"),
        ("http://100.128.0.1", "100.128.0.1"),
        ("http://100.63.0.1", "100.63.0.1"),
        ("http://[2001:db8::1]", "[2001:db8::1]"),
        ("http://[::ffff:198.51.100.1]", "[::ffff:c633:6401]"),
        ("http://0.0.0.0", "0.0.0.0"),
    ]
    .into_iter()
    .zip(ENDPOINTS.into_iter().cycle())
    {
        let (stage, place) = stage_with_endpoint(&format!("{name}={url}"));
        is_refused(&stage, &[&format!("{place}{name}: plain HTTP to {host}, "), "add ALLOW_PLAIN_HTTP=yes"]);
        stage.configure("ALLOW_PLAIN_HTTP=yes");
        is_taken(&stage);
    }
}

#[test]
fn https_goes_everywhere() {
    for name in ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL", "EC2_URL"] {
        is_taken(&stage_with_endpoint(&format!("{name}=https://cloud.example.com:8773/services/compute")).0);
    }
}
