//! Where EC2 is, through which proxy it is reached, and whose certificate it may show.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::refusal::is_refused;
use crate::stage::stdout::{RUNNING, UNKNOWN};
use crate::stage::tls::{Flaw, Tls};
use crate::stage::{CONFIG, Stage};

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
