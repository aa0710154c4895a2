//! Several addresses, and the interfaces that they belong on.

use std::time::Duration;

use chrono::TimeDelta;

use crate::stage::{self, Answer, ETH0, ETH1, Fault, IP, ME, NOBODY, PEER, Stage, allocation, each_at_once};

const SECOND: &str = "203.0.113.26";
const THIRD: &str = "203.0.113.27";
const UNKNOWN: &str = "203.0.113.99";

/// A stage of an instance with two interfaces, and its metadata service.
fn stage_with_two_interfaces() -> (Stage, stage::Metadata) {
    let stage = Stage::new();
    stage.ec2.attach_second_interface();
    let metadata = stage.two_interfaces();
    (stage, metadata)
}

fn is_at(stage: &Stage, ip: &str, interface: &str, private: &str) -> bool {
    stage.ec2.place(ip) == Some((interface.to_owned(), private.to_owned()))
}

#[test]
fn several_addresses_have_a_line_each_and_one_closing_word() {
    for (here, lines, word, code) in [
        ([true, true, true], ["I have", "I have", "I have"], "running", 0),
        ([true, false, true], ["I have", "I do not have", "I have"], "stopped", 3),
        ([false, true, true], ["I do not have", "I have", "I have"], "stopped", 3),
        ([false, false, false], ["I do not have", "I do not have", "I do not have"], "stopped", 3),
    ] {
        let (stage, _metadata) = stage_with_two_interfaces();
        let mut stdout = String::new();
        let places = [(ETH0, "10.0.0.4"), (ETH0, "10.0.0.5"), (ETH1, "10.0.1.4")];
        for (((ip, (interface, private)), here), line) in [IP, SECOND, THIRD].into_iter().zip(places).zip(here).zip(lines) {
            if here {
                stage.ec2.give_at(ip, interface, private);
            } else {
                stage.ec2.give(ip, PEER);
            }
            stdout.push_str(&format!("elastic-ip remapper: {line} {ip}\n"));
        }
        stdout.push_str(&format!("{word}\n"));
        let words = ["203.0.113.25", "203.0.113.26@10.0.0.5", "203.0.113.27@eth1"];
        stage.run([words[0], words[1], words[2], "status"]).says(&stdout, code);
        stage.configure(&format!("ELASTIC_IP='{}'", words.join(" ")));
        stage.run(["status"]).says(&stdout, code);
    }
}

#[test]
fn each_address_goes_to_the_interface_and_private_address_that_are_named_for_it() {
    let (stage, _metadata) = stage_with_two_interfaces();
    stage.configure(&format!("ELASTIC_IP='{IP}@eth1 {SECOND}@{ETH0} {THIRD}@10.0.0.5'"));
    let line = |ip| format!("elastic-ip remapper: IP {ip} associated with {ME}\n");
    stage.run(["start"]).says(&[IP, SECOND, THIRD].map(line).concat(), 0);
    assert!(is_at(&stage, IP, ETH1, "10.0.1.4"));
    assert!(is_at(&stage, SECOND, ETH0, "10.0.0.4"));
    assert!(is_at(&stage, THIRD, ETH0, "10.0.0.5"));
    stage.run(["status"]).says(&([IP, SECOND, THIRD].map(|ip| format!("elastic-ip remapper: I have {ip}\n")).concat() + "running\n"), 0);
}

#[test]
fn an_address_on_another_interface_or_private_address_is_not_where_it_belongs() {
    for (word, interface, private) in
        [("203.0.113.25@eth1", ETH0, "10.0.0.4"), ("203.0.113.25@10.0.0.5", ETH0, "10.0.0.4"), ("203.0.113.25@eth0", ETH1, "10.0.1.4")]
    {
        let (stage, _metadata) = stage_with_two_interfaces();
        stage.ec2.give_at(IP, interface, private);
        let ended = stage.run([word, "status"]);
        ended.says(&format!("elastic-ip remapper: I do not have {IP}\nstopped\n"), 3);
        ended.complains_once_of(&[word, interface, private, "start moves it"]);
        stage.run([word, "stop"]).says(&format!("elastic-ip remapper: I do not have {IP}\n"), 0);
        assert_eq!(stage.ec2.changes(), [] as [&str; 0]);
        stage.run([word, "start"]).says(&format!("elastic-ip remapper: IP {IP} associated with {ME}\n"), 0);
        stage.run([word, "status"]).says(&format!("elastic-ip remapper: I have {IP}\nrunning\n"), 0);
    }
}

#[test]
fn an_instance_with_several_interfaces_has_the_address_on_its_primary_one_unless_another_is_named() {
    let (stage, metadata) = stage_with_two_interfaces();
    stage.run(["start"]).says(&format!("elastic-ip remapper: IP {IP} associated with {ME}\n"), 0);
    assert!(is_at(&stage, IP, ETH0, "10.0.0.4"));
    stage.run(["status"]).says(&format!("elastic-ip remapper: I have {IP}\nrunning\n"), 0);
    let asked = metadata.asked().len();
    stage.run(["stop"]).says(&format!("elastic-ip remapper: IP {IP} disowned\n"), 0);
    assert_eq!(metadata.asked().len(), asked, "only a start needs to know the interface");
}

#[test]
fn an_instance_with_one_interface_is_not_looked_up() {
    let stage = Stage::new();
    let metadata = stage.two_interfaces();
    let running = stage.cut_in(|_| Fault::Delay);
    let ended = stage.run(["start"]);
    ended.says(&format!("elastic-ip remapper: IP {IP} associated with {ME}\n"), 0);
    assert!(ended.elapsed < Duration::from_secs(1), "{ended:?}");
    drop(running);
    for action in ["status", "stop"] {
        let before = metadata.asked().len();
        stage.run([action]);
        assert_eq!(metadata.asked().len(), before, "only a start needs to know the interface");
    }
}

#[test]
fn a_refusal_of_the_instance_that_its_interfaces_do_not_explain_stands() {
    let stage = Stage::new();
    stage.ec2.attach_second_interface();
    let metadata = stage::Metadata::version_2();
    metadata.tell("mac", "0e:49:61:0f:c3:11");
    metadata.tell("network/interfaces/macs/", "0e:49:61:0f:c3:11/");
    metadata.tell("network/interfaces/macs/0e:49:61:0f:c3:11/interface-id", ETH0);
    metadata.tell("network/interfaces/macs/0e:49:61:0f:c3:11/local-ipv4s", "10.0.0.4");
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}\nSTART_TIMEOUT=0.3", metadata.url()));
    let ended = stage.run(["start"]);
    ended.says(&format!("elastic-ip remapper: Could not map IP {IP} to {ME}\n"), 1);
    ended.complains_once_of(&[IP, "InvalidInstanceID", "check MY_ID"]);
}

#[test]
fn an_allocation_id_stands_for_its_address() {
    let id = allocation(IP);
    let stage = Stage::new();
    stage.run([id.as_str(), "start"]).says(&format!("elastic-ip remapper: IP {id} associated with {ME}\n"), 0);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    stage.run([id.as_str(), "status"]).says(&format!("elastic-ip remapper: I have {id}\nrunning\n"), 0);
    stage.configure(&format!("ELASTIC_IP={id}"));
    stage.run(["stop"]).says(&format!("elastic-ip remapper: IP {id} disowned\n"), 0);
    assert_eq!(stage.ec2.owner(IP), None);
    stage.run(["eipalloc-0123456789abcdef0", "status"]).says("unknown\n", 4);
}

#[test]
fn all_addresses_are_asked_for_in_one_call_and_allocation_ids_in_another() {
    let (stage, _metadata) = stage_with_two_interfaces();
    let id = format!("{}@10.0.0.5", allocation(THIRD));
    stage.run([IP, "203.0.113.26@eth1", id.as_str(), "status"]).says(
        &format!(
            "elastic-ip remapper: I do not have {IP}\nelastic-ip remapper: I do not have {SECOND}\n\
             elastic-ip remapper: I do not have {}\nstopped\n",
            allocation(THIRD)
        ),
        3,
    );
    let mut asked: Vec<Vec<String>> = stage.ec2.requests().iter().map(|request| request.parameters.values().cloned().collect()).collect();
    asked.sort();
    assert_eq!(asked, [vec![IP.to_owned(), SECOND.to_owned()], vec![allocation(THIRD)]]);
}

#[test]
fn sixteen_addresses_take_about_as_long_as_one() {
    each_at_once(&[1, 4, 16], |&count| {
        let (stage, _metadata) = stage_with_two_interfaces();
        let wire = stage.cut_in(|_| Fault::LongDelay);
        let words: Vec<String> = (0..count).map(|number| format!("203.0.113.{}@10.0.0.{}", 25 + number, 4 + number)).collect();
        let ended = stage.run(words.iter().map(String::as_str).chain(["start"]));
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert_eq!(wire.requests(), 1 + count);
        // Each request takes a second: one after the other, sixteen would take 17 s.
        assert!(ended.elapsed < Duration::from_secs(8), "{count}: {:?}", ended.elapsed);
    });
}

#[test]
fn while_ec2_tells_of_none_all_are_asked_for_together_again() {
    let (stage, _metadata) = stage_with_two_interfaces();
    for code in ["InternalError", "RequestLimitExceeded"] {
        stage.ec2.answer_once("DescribeAddresses", Answer::error(503, code));
        let ended = stage.run([IP, "203.0.113.26@eth1", "status"]);
        assert_eq!(ended.code(), 3, "{ended:?}");
        ended.complains_once_of(&["status of 203.0.113.25, 203.0.113.26@eth1", code, "trying again"]);
    }
    assert_eq!(stage.ec2.actions().len(), 4, "each once in vain, and once for both");
}

#[test]
fn an_address_that_cannot_be_asked_for_does_not_hold_up_the_others() {
    let (stage, _metadata) = stage_with_two_interfaces();
    stage.configure("START_TIMEOUT=1");
    stage.cut_in(|request| if request.contains(&allocation(SECOND)) { Fault::Reset } else { Fault::None });
    let other = format!("{}@eth1", allocation(SECOND));
    let ended = stage.run([IP, other.as_str(), "start"]);
    let (mapped, not_mapped) = (format!("IP {IP} associated with {ME}"), format!("Could not map IP {} to {ME}", allocation(SECOND)));
    ended.says(&format!("elastic-ip remapper: {mapped}\nelastic-ip remapper: {not_mapped}\n"), 1);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
}

#[test]
fn a_wrong_clock_is_mended_in_each_of_several_calls_that_learn_of_it_at_once() {
    let (stage, _metadata) = stage_with_two_interfaces();
    stage.ec2.set_clock(TimeDelta::minutes(10));
    // An address and an allocation id are asked for in two calls, side by side.
    let other = format!("{}@eth1", allocation(SECOND));
    let ended = stage.run([IP, other.as_str(), "start"]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    ended.tells(&["trying again with EC2's time"]);
}

#[test]
fn a_change_in_doubt_is_told_of_its_own_address_only() {
    let (stage, _metadata) = stage_with_two_interfaces();
    stage.configure("START_TIMEOUT=1");
    stage.ec2.answer("AssociateAddress", Answer::error(500, "InternalError"));
    let ended = stage.run([IP, "203.0.113.99@eth1", "start"]);
    assert_eq!(ended.code(), 1, "{ended:?}");
    let last = |about: &str| ended.stderr.lines().rfind(|line| line.contains(&format!("elastic-ip: {about}: "))).unwrap().to_owned();
    assert!(last(IP).contains("whether it took effect is not known"), "{ended:?}");
    assert!(!last("203.0.113.99@eth1").contains("took effect"), "{ended:?}");
}

#[test]
fn an_address_that_ec2_does_not_know_does_not_hide_the_others() {
    for owner in [ME, PEER] {
        let (stage, _metadata) = stage_with_two_interfaces();
        stage.ec2.give(IP, owner);
        let have = if owner == ME { "I have" } else { "I do not have" };
        for words in [[IP, "203.0.113.99@eth1", "status"], ["203.0.113.99@eth1", IP, "status"]] {
            let ended = stage.run(words);
            ended.says(&format!("elastic-ip remapper: {have} {IP}\nunknown\n"), 4);
            ended.tells(&[UNKNOWN, "InvalidAddress.NotFound"]);
        }
    }
}

#[test]
fn one_address_of_several_that_fails_makes_the_call_fail_and_the_others_are_done() {
    let (stage, _metadata) = stage_with_two_interfaces();
    stage.configure("START_TIMEOUT=1");
    let mapped = format!("elastic-ip remapper: IP {IP} associated with {ME}\n");
    stage.run([IP, "203.0.113.99@eth1", "start"]).says(&format!("{mapped}elastic-ip remapper: Could not map IP {UNKNOWN} to {ME}\n"), 1);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    let disowned = format!("elastic-ip remapper: IP {IP} disowned\n");
    stage.run([IP, "203.0.113.99@eth1", "stop"]).says(&format!("{disowned}elastic-ip remapper: Could not disown {UNKNOWN}\n"), 1);
    assert_eq!(stage.ec2.owner(IP), None);
}

#[test]
fn an_interface_that_is_not_there_is_told_and_the_others_are_done() {
    for (word, reason) in [
        ("203.0.113.26@eth7", "no interface eth7"),
        ("203.0.113.26@eni-0123456789abcdef0", "eni-0123456789abcdef0 is no interface of this instance, which has eni-0aaaaaaaaaaaaaaa0"),
        ("203.0.113.26@10.0.9.9", "10.0.9.9 is no interface of this instance"),
    ] {
        let (stage, _metadata) = stage_with_two_interfaces();
        stage.configure("START_TIMEOUT=1");
        let ended = stage.run([IP, word, "start"]);
        ended.says(
            &format!("elastic-ip remapper: IP {IP} associated with {ME}\nelastic-ip remapper: Could not map IP {SECOND} to {ME}\n"),
            1,
        );
        ended.tells(&[word, reason, "correct what stands after the @"]);
        assert_eq!(stage.ec2.owner(SECOND), None);
        stage.run([word, "status"]).says("unknown\n", 4);
    }
}

#[test]
fn a_metadata_service_that_is_gone_spoils_only_what_needs_it() {
    let stage = Stage::new();
    stage.write("sys/class/net/eth1/address", "0e:49:61:0f:c3:77\n");
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={NOBODY}\nSTART_TIMEOUT=0.5"));
    let ended = stage.run([IP, "203.0.113.26@eth1", "start"]);
    ended.says(&format!("elastic-ip remapper: IP {IP} associated with {ME}\nelastic-ip remapper: Could not map IP {SECOND} to {ME}\n"), 1);
    ended.tells(&["203.0.113.26@eth1: ", "metadata service"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
}

#[test]
fn two_addresses_are_never_put_on_the_same_interface_and_private_address() {
    let stage = Stage::new();
    for (words, reason) in [
        ([IP, SECOND], "displace each other"),
        (["203.0.113.25@eth1", "203.0.113.26@eth1"], "displace each other"),
        ([IP, "203.0.113.25@eth1"], "name the same address"),
    ] {
        let ended = stage.run([words[0], words[1], "start"]);
        ended.says("", 2);
        ended.complains_once_of(&[words[0], words[1], reason]);
        stage.run([words[0], words[1], "status"]).says("unknown\n", 4);
        stage.configure(&format!("ELASTIC_IP='{}'", words.join(" ")));
        let ended = stage.run(["start"]);
        ended.says("", 6);
        ended.complains_once_of(&["etc/default/elastic-ip line", "ELASTIC_IP", reason]);
    }
    assert_eq!(stage.ec2.actions(), [] as [&str; 0]);
}

#[test]
fn an_interface_by_two_names_is_one() {
    for (words, loser) in [
        (["203.0.113.25", "203.0.113.26@eth0"], SECOND),
        (["203.0.113.26@eth0", "203.0.113.25"], SECOND),
        (["203.0.113.25@eth0", "203.0.113.26@10.0.0.4"], SECOND),
        (["203.0.113.26@10.0.0.4", "203.0.113.25@eni-0aaaaaaaaaaaaaaa0"], IP),
    ] {
        let (stage, _metadata) = stage_with_two_interfaces();
        let winner = if loser == IP { SECOND } else { IP };
        let ended = stage.run([words[0], words[1], "start"]);
        assert_eq!(ended.code(), 1, "{ended:?}");
        ended.tells(&["would displace", "name another interface"]);
        assert_eq!(stage.ec2.owner(winner).as_deref(), Some(ME), "{words:?}");
        assert_eq!(stage.ec2.owner(loser), None, "{words:?}");
    }
}

#[test]
fn a_move_is_told_with_both_owners_their_associations_the_time_and_the_request() {
    let stage = Stage::with_the_address_at_the_peer();
    let before = stage.ec2.association(IP).unwrap();
    let ended = stage.run(["start"]);
    let after = stage.ec2.association(IP).unwrap();
    ended.complains_once_of(&[&format!("elastic-ip: {IP}: moved from {PEER} ({before}) to {ME} ({after}) after "), " ms (request 0ab1)"]);
    let ended = stage.run(["stop"]);
    ended.complains_once_of(&[&format!("elastic-ip: {IP}: released from {ME} ({after}) after "), " ms (request 0ab1)"]);
}
