//! The interfaces that matter for an address, and no others; and what an address displaces there.
#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::thread;
use std::time::Duration;

use wiremock::ResponseTemplate;

use crate::stage::stdout::ASSOCIATED;
use crate::stage::{ETH0, ETH1, Fault, IP, ME, Metadata, PEER, Stage, Wire, allocation, each_at_once};

const PRIMARY: &str = "0e:49:61:0f:c3:11";
const SECOND: &str = "0e:49:61:0f:c3:77";
const THIRD: &str = "0e:49:61:0f:c3:99";
const OTHER: &str = "203.0.113.26";

/// What the metadata service answers about an interface that is being attached or detached, or that is for something else.
fn oddities() -> Vec<(&'static str, Option<&'static str>)> {
    let mut oddities = Vec::new();
    for field in ["interface-id", "local-ipv4s"] {
        for text in [None, Some(""), Some("<html>soon</html>"), Some("fe80::1"), Some("10.0.1.4.")] {
            oddities.push((field, text));
        }
    }
    oddities
}

fn spoil(metadata: &Metadata, mac: &str, (field, text): (&str, Option<&str>)) {
    let answer = text.map_or_else(|| ResponseTemplate::new(404), |text| ResponseTemplate::new(200).set_body_string(text));
    metadata.answer_instead(&format!("network/interfaces/macs/{mac}/{field}"), answer);
}

/// An instance with two interfaces, which EC2 wants one of named.
fn two() -> (Stage, Metadata) {
    let stage = Stage::new();
    stage.ec2.attach_second_interface();
    let metadata = stage.two_interfaces();
    stage.configure("START_TIMEOUT=2");
    (stage, metadata)
}

#[test]
fn an_interface_that_does_not_matter_may_be_shown_in_any_way() {
    each_at_once(&oddities(), |&oddity| {
        for (word, interface) in
            [(IP.to_owned(), ETH0), (format!("{IP}@eth0"), ETH0), (format!("{IP}@{ETH0}"), ETH0), (format!("{IP}@10.0.0.4"), ETH0)]
        {
            let (stage, metadata) = two();
            spoil(&metadata, SECOND, oddity);
            stage.run([word.as_str(), "start"]).says(ASSOCIATED, 0);
            assert_eq!(stage.ec2.place(IP).unwrap().0, interface, "{word}, {oddity:?}");
            assert_eq!(stage.run([word.as_str(), "status"]).code(), 0, "{word}, {oddity:?}");
        }
    });
}

#[test]
fn a_third_interface_does_not_matter_for_an_address_on_the_second() {
    each_at_once(&oddities(), |&oddity| {
        for word in [format!("{IP}@eth1"), format!("{IP}@{ETH1}"), format!("{IP}@10.0.1.4")] {
            let (stage, metadata) = two();
            // It is listed before the second one.
            let listed = format!("{THIRD}/\n{SECOND}/\n{PRIMARY}/\n");
            metadata.answer_instead("network/interfaces/macs/", ResponseTemplate::new(200).set_body_string(listed));
            metadata.tell(&format!("network/interfaces/macs/{THIRD}/interface-id"), "eni-0aaaaaaaaaaaaaaa2");
            metadata.tell(&format!("network/interfaces/macs/{THIRD}/local-ipv4s"), "10.0.2.4");
            spoil(&metadata, THIRD, oddity);
            stage.run([word.as_str(), "start"]).says(ASSOCIATED, 0);
            assert_eq!(stage.ec2.place(IP).unwrap().0, ETH1, "{word}, {oddity:?}");
        }
    });
}

#[test]
fn an_interface_without_a_private_address_cannot_have_an_elastic_ip() {
    let (stage, metadata) = two();
    stage.configure("START_TIMEOUT=0.5");
    spoil(&metadata, SECOND, ("local-ipv4s", None));
    let ended = stage.run(["203.0.113.25@eth1", "start"]);
    assert_eq!(ended.code(), 1, "{ended:?}");
    ended.tells(&["eth1 is eni-0aaaaaaaaaaaaaaa1, which has no private IPv4 address; assign it one"]);
}

#[test]
fn of_the_interfaces_only_the_named_one_is_asked_about() {
    let (stage, metadata) = two();
    stage.run(["203.0.113.25@eth1", "status"]);
    let asked: Vec<_> = metadata.asked().into_iter().map(|asked| asked.replace("/latest/meta-data/network/interfaces/macs/", "")).collect();
    assert_eq!(asked, ["PUT /latest/api/token".to_owned(), format!("GET {SECOND}/interface-id"), format!("GET {SECOND}/local-ipv4s")]);
}

#[test]
fn an_address_of_a_wavelength_zone_or_an_outpost_is_moved_by_its_allocation_id() {
    for field in ["carrierIp", "customerOwnedIp"] {
        let stage = Stage::new();
        let id = allocation(IP);
        stage.configure(&format!("ELASTIC_IP={id}"));
        stage.ec2.give(IP, PEER);
        stage.ec2.call_it(field);
        stage.run(["status"]).says(&format!("elastic-ip remapper: I do not have {id}\nstopped\n"), 3);
        stage.run(["start"]).says(&ASSOCIATED.replace(IP, &id), 0);
        stage.run(["status"]).says(&format!("elastic-ip remapper: I have {id}\nrunning\n"), 0);
        stage.run(["stop"]).says(&format!("elastic-ip remapper: IP {id} disowned\n"), 0);
        assert_eq!(stage.ec2.owner(IP), None);
        assert_eq!(stage.ec2.actions().iter().filter(|action| *action == "DescribeAddresses").count(), 2);
    }
}

/// A metadata service that tells that [`OTHER`] is at this private address.
fn tell_of_another(metadata: &Metadata, mac: &str, private: &str) {
    metadata.tell(&format!("network/interfaces/macs/{mac}/ipv4-associations/"), OTHER);
    metadata.tell(&format!("network/interfaces/macs/{mac}/ipv4-associations/{OTHER}"), private);
}

/// EC2 answers after the metadata service, also where tests keep the machine busy.
fn slow(stage: &Stage) -> Wire {
    stage.configure("START_TIMEOUT=30");
    stage.cut_in(|_| {
        thread::sleep(Duration::from_secs(1));
        Fault::None
    })
}

#[test]
fn an_elastic_ip_that_has_to_give_way_is_told() {
    let cases = [
        (IP.to_owned(), PRIMARY, ETH0, "10.0.0.4", true),
        (IP.to_owned(), PRIMARY, ETH0, "10.0.0.5", false),
        (format!("{IP}@eth1"), SECOND, ETH1, "10.0.1.4", true),
        (format!("{IP}@eth1"), PRIMARY, ETH0, "10.0.0.4", false),
        (format!("{IP}@10.0.0.5"), PRIMARY, ETH0, "10.0.0.5", true),
        (format!("{IP}@10.0.0.5"), PRIMARY, ETH0, "10.0.0.4", false),
    ];
    each_at_once(&cases, |(word, mac, interface, private, is_displaced)| {
        let (stage, metadata) = two();
        tell_of_another(&metadata, mac, private);
        stage.ec2.give_at(OTHER, interface, private);
        let check = stage.run([word.as_str(), "check"]);
        let warned = check.stdout.contains(&format!("a start takes the place of {OTHER} ({})", allocation(OTHER)));
        assert_eq!(warned, *is_displaced, "{word}: {check:?}");
        let _wire = slow(&stage);
        let start = stage.run([word.as_str(), "start"]);
        start.says(ASSOCIATED, 0);
        let told = start.stderr.contains(&format!("it took the place of {OTHER}, which {ME} has no more"));
        assert_eq!(told, *is_displaced, "{word}: {start:?}");
    });
}

#[test]
fn an_address_that_ec2_assigned_by_itself_is_not_warned_of() {
    let (stage, metadata) = two();
    let own = "198.51.100.7";
    metadata.tell(&format!("network/interfaces/macs/{PRIMARY}/ipv4-associations/"), own);
    metadata.tell(&format!("network/interfaces/macs/{PRIMARY}/ipv4-associations/{own}"), "10.0.0.4");
    let check = stage.run(["check"]);
    assert!(!check.stdout.contains("takes the place"), "{check:?}");
}

#[test]
fn the_address_itself_is_not_told_as_displaced() {
    let (stage, metadata) = two();
    metadata.tell(&format!("network/interfaces/macs/{PRIMARY}/ipv4-associations/"), IP);
    metadata.tell(&format!("network/interfaces/macs/{PRIMARY}/ipv4-associations/{IP}"), "10.0.0.4");
    stage.ec2.give_at(IP, ETH0, "10.0.0.4");
    let _wire = slow(&stage);
    for action in ["check", "start"] {
        let ended = stage.run([action]);
        assert!(!ended.stdout.contains("takes the place") && !ended.stderr.contains("took the place"), "{ended:?}");
    }
}
