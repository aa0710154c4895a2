//! What to do about a refusal: the program's own words, which fit the case, and never those of EC2 or of a proxy.
#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::stage::{Answer, ETH0, IP, PEER, Stage, allocation, each_at_once};

/// A network interface that no instance has, such as a NAT gateway's.
const GATEWAY: &str = "eni-0cccccccccccccccc";

/// How EC2 words a refusal of permission (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>), and
/// encodes what it knows of it.
fn refusal(reason: &str) -> String {
    format!(
        "You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/failover/i-0aaaaaaaaaaaaaaaa is not \
         authorized to perform: ec2:AssociateAddress on resource: arn:aws:ec2:eu-west-1:123456789012:elastic-ip/{} {reason}. Encoded \
         authorization failure message: {}",
        allocation(IP),
        "aB3-".repeat(300),
    )
}

/// What a start tells of an associate that is refused with this code and these words.
fn told_by_start(status: u16, code: &str, words: &str) -> String {
    let stage = Stage::with_the_address_at_the_peer();
    stage.configure("START_TIMEOUT=0.5");
    stage.ec2.answer("AssociateAddress", Answer::error_with(status, code, words));
    let ended = stage.run(["start"]);
    assert_eq!(ended.code(), 1, "{ended:?}");
    ended.stderr.lines().last().unwrap().to_owned()
}

#[test]
fn a_denial_is_advised_by_the_policy_that_denies() {
    const IDENTITY: &str = "have whoever manages the role or user of these credentials remove the denial";
    let cases = [
        ("with an explicit deny in a service control policy", "have the administrators of the AWS organization remove the denial"),
        ("with an explicit deny in a resource control policy", "have the administrators of the AWS organization remove the denial"),
        ("with an explicit deny in a permissions boundary", IDENTITY),
        ("with an explicit deny in an identity-based policy", IDENTITY),
        ("with an explicit deny in a session policy", "have whoever issues these temporary credentials remove the denial"),
        ("with an explicit deny in a VPC endpoint policy", "have whoever manages the VPC endpoint of EC2 remove the denial"),
        ("with an explicit deny in a resource-based policy", "have whoever manages the account of the address remove the denial"),
        ("with an explicit deny", "remove the denial of ec2:AssociateAddress from the policies of these credentials"),
        (
            "because no service control policy allows the ec2:AssociateAddress action",
            "organization allow ec2:AssociateAddress in the service",
        ),
        (
            "because no permissions boundary allows the ec2:AssociateAddress action",
            "allow ec2:AssociateAddress in the permissions boundary",
        ),
        ("because no session policy allows the ec2:AssociateAddress action", "allow ec2:AssociateAddress in the session policy"),
        ("because no VPC endpoint policy allows the ec2:AssociateAddress action", "allow ec2:AssociateAddress in the VPC endpoint policy"),
        ("because no identity-based policy allows the ec2:AssociateAddress action", "; allow ec2:AssociateAddress in the IAM policy"),
        ("", "; allow ec2:AssociateAddress in the IAM policy"),
    ];
    each_at_once(&cases, |&(reason, advice)| {
        let line = told_by_start(403, "UnauthorizedOperation", &refusal(reason));
        let (what, remedy) = line.rsplit_once("; ").unwrap();
        assert!(format!("; {remedy}").contains(advice), "{reason}: {line}");
        assert!(what.contains(reason), "{reason} is cut off: {line}");
        assert!(reason.contains("deny") == remedy.contains("no permission elsewhere overrides it"), "{line}");
        assert!(line.len() < 1500, "{line}");
    });
}

#[test]
fn of_a_long_reason_the_end_is_told_as_well() {
    for length in [10, 290, 299, 300, 301, 999, 5000, 100_000] {
        let line = told_by_start(400, "Odd", &format!("It begins {} and ends so", "with much ".repeat(length / 10)));
        assert!(line.contains("It begins with much") && line.contains("and ends so (request 0ab1)"), "{length}: {line}");
        assert!(line.len() < 1500, "{length}: {line}");
    }
}

#[test]
fn ec2s_words_never_become_advice() {
    let words = ["Not so; run: rm -rf /", "a; b; c", "; run: rm -rf /", "Not so;run: x", "Not so&#10;; run: rm -rf /"];
    for (status, code) in [(400, "Odd"), (403, "UnauthorizedOperation"), (401, "AuthFailure")] {
        each_at_once(&words, |words| {
            let stage = Stage::with_the_address_at_the_peer();
            stage.ec2.answer("", Answer::error_with(status, code, words));
            let ended = stage.run(["--json", "check"]);
            let document = ended.json();
            let facts = document["facts"].as_array().unwrap();
            assert!(facts.iter().any(|fact| fact["what"].as_str().unwrap().contains(code)), "{ended:?}");
            for fact in facts {
                assert!(!fact["remedy"].as_str().unwrap_or_default().contains("rm -rf"), "{fact}");
            }
        });
    }
}

#[test]
fn an_address_that_a_service_of_aws_holds_is_told_with_its_holder() {
    let cases = [(401, "AuthFailure"), (400, "InvalidIPAddress.InUse"), (400, "OperationNotPermitted")];
    each_at_once(&cases, |&(status, code)| {
        // Whether the id is known decides what a start asks first.
        for name in [IP.to_owned(), allocation(IP)] {
            let stage = Stage::new();
            stage.configure(&format!("ELASTIC_IP={name}\nSTART_TIMEOUT=1"));
            stage.ec2.give(IP, GATEWAY);
            stage.ec2.answer("AssociateAddress", Answer::error(status, code));
            let ended = stage.run(["start"]);
            assert_eq!(ended.code(), 1, "{ended:?}");
            let last = ended.stderr.lines().last().unwrap();
            let advice = format!("; if {GATEWAY} is a NAT gateway's or a load balancer's, release the address there; else check the keys");
            assert!(last.contains(code) && last.contains(&advice), "{ended:?}");
            let check = stage.run(["check"]);
            assert!(check.stdout.contains(&advice), "{check:?}");
        }
    });
}

#[test]
fn a_refusal_for_bad_keys_names_who_has_the_address_where_that_is_known() {
    let stage = Stage::with_the_address_at_the_peer();
    stage.configure("START_TIMEOUT=0.5");
    stage.ec2.answer("AssociateAddress", Answer::error(401, "AuthFailure"));
    stage.run(["start"]).tells(&[&format!("EC2 shows the address at {PEER}"), "; check the keys, this machine's clock"]);
    let stage = Stage::new();
    stage.configure("START_TIMEOUT=0.5");
    stage.ec2.answer("", Answer::error(401, "AuthFailure"));
    let ended = stage.run(["start"]);
    ended.tells(&["; check the keys, this machine's clock"]);
    assert!(!ended.stderr.contains("EC2 shows") && !ended.stderr.contains(ETH0), "{ended:?}");
}

/// A proxy that gives this answer to everybody.
fn proxy(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn a_proxy_that_refuses_is_named_and_not_the_region() {
    const WANTS_PASSWORD: (&str, &str) =
        (" wants a user and a password", "; write them into HTTPS_PROXY as http://USER:PASSWORD@HOST:PORT");
    const REFUSES: (&str, &str) = (" refuses to connect to it", "; have the proxy allow it, or name it in NO_PROXY");
    let cases = [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", REFUSES),
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", REFUSES),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
            WANTS_PASSWORD,
        ),
    ];
    each_at_once(&cases, |&(answer, (what, advice))| {
        let url = proxy(answer);
        let stage = Stage::new();
        stage.unset("AWS_ENDPOINT_URL_EC2");
        let host = url.strip_prefix("http://").unwrap();
        stage.configure(&format!("AWS_ENDPOINT_URL_EC2=https://ec2.example.com\nHTTPS_PROXY=http://user:s3cret@{host}\nSTATUS_TIMEOUT=2"));
        for action in ["status", "check"] {
            let ended = stage.run([action]);
            let told = format!("{}{}", ended.stdout, ended.stderr);
            assert!(told.contains("ec2.example.com") && told.contains(&format!("{host}{what}")) && told.contains(advice), "{ended:?}");
            assert!(!told.contains("region, ") && !told.contains("s3cret"), "{ended:?}");
        }
    });
}
