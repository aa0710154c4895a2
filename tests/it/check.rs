//! Whether a machine is ready to take the address, as `check` tells it, and the policy that it needs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a table that cannot be read is a failed test")]

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::stage::{
    self, AWSSECRET, Answer, CONFIG, ETH0, Ended, Fault, IP, KEY_ID, ME, NOBODY, PEER, SECRET, Stage, allocation, each_at_once,
};

const ASSET_TAG: &str = "sys/devices/virtual/dmi/id/board_asset_tag";
const HARESOURCES: &str = "etc/ha.d/haresources";
const CIB: &str = "var/lib/pacemaker/cib/cib.xml";

/// A machine where all is well, and the address is at the peer.
fn ready() -> Stage {
    let stage = Stage::with_the_address_at_the_peer();
    stage.write(HARESOURCES, "server1 elastic-ip\n");
    stage
}

/// The lines of the table, each as verdict, subject and what stands behind it.
fn lines(ended: &Ended) -> Vec<(String, String, String)> {
    let table = ended.stdout.lines().filter(|line| line.len() > "not ready".len());
    let split = table.map(|line| {
        let (verdict, rest) = line.split_at(4);
        let (subject, what) = rest.trim_start().split_once("  ").unwrap();
        (verdict.trim().to_owned(), subject.to_owned(), what.trim_start().to_owned())
    });
    split.collect()
}

/// Demands that the table has this line, and what stands behind the subject holds each of these.
fn has(ended: &Ended, verdict: &str, subject: &str, parts: &[&str]) {
    let lines = lines(ended);
    let found = lines.iter().find(|(_, other, _)| other == subject);
    let Some((shown, _, what)) = found else { panic!("no {subject}: {}", ended.stdout) };
    assert_eq!(shown, verdict, "{subject}: {}", ended.stdout);
    for part in parts {
        assert!(what.contains(part), "{part:?} is not in {what:?}");
    }
    if verdict != "ok" {
        assert!(what.contains("; "), "{subject} has no remedy: {what}");
    }
}

/// What verdict the others have than those named.
fn others_are_ok(ended: &Ended, but: &[&str]) {
    for (verdict, subject, what) in lines(ended).iter().filter(|(_, subject, _)| !but.iter().any(|name| subject.starts_with(name))) {
        assert_eq!(verdict, "ok", "{subject}: {what}");
    }
}

/// The calls that would have changed something.
fn changes(stage: &Stage) -> Vec<stage::Request> {
    let may = |request: &stage::Request| request.action != "DescribeAddresses" && !request.action.is_empty();
    let undone = |request: &stage::Request| request.parameters.get("DryRun").map(String::as_str) == Some("true");
    stage.ec2.requests().into_iter().filter(|request| may(request) && !undone(request)).collect()
}

#[test]
fn a_machine_that_is_ready_is_shown_with_a_line_for_each_fact() {
    let stage = ready();
    let ended = stage.run(["check"]);
    let root = stage.root().display();
    let took = lines(&ended).into_iter().find(|(_, subject, _)| subject == "api").unwrap().2;
    let milliseconds = took.strip_prefix("answers after ").and_then(|rest| rest.strip_suffix(" ms")).unwrap();
    assert!(milliseconds.parse::<u32>().unwrap() < 3000);
    let fingerprint = lines(&ended).pop().unwrap().2;
    let hash = fingerprint.split(':').next().unwrap();
    assert!(hash.len() == 12 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    let expected = format!(
        "\
ok    configuration                  {root}/etc/default/elastic-ip sets ELASTIC_IP in line 1, AWS_PARAMS in line 2, MY_ID in line 3, \
AWS_ENDPOINT_URL_EC2 in line 4, AWS_EC2_METADATA_SERVICE_ENDPOINT in line 5; all else has its default
ok    rules                          RELEASE_ON_STOP=yes, ALLOW_REASSOCIATION=yes
ok    credentials                    AKID...RY from {root}/root/.awssecret, which only its owner may read
ok    instance                       {ME} from MY_ID
ok    region                         eu-west-1 in the partition aws, as configured
ok    endpoint                       {}
ok    api                            {took}
ok    clock                          the same as EC2's
ok    address 203.0.113.25           {}, {PEER} has it
ok    interface 203.0.113.25         belongs on {ME}, whose primary interface takes it
ok    route                          EC2 is reached without the address
ok    may-describe                   allowed
ok    may-associate 203.0.113.25     allowed
ok    may-disassociate 203.0.113.25  allowed
ok    state 203.0.113.25             nothing is left to settle
ok    manager                        Heartbeat ({root}/etc/ha.d/haresources) names elastic-ip
ok    fingerprint                    {fingerprint}
ready
",
        stage.ec2.url(),
        allocation(IP),
    );
    ended.says(&expected, 0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_check_changes_nothing_and_rehearses_each_change() {
    for owner in [None, Some(ME), Some(PEER)] {
        let stage = ready();
        stage.ec2.set_owner(IP, owner);
        let before = stage.ec2.association(IP);
        let ended = stage.run(["check"]);
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert_eq!(changes(&stage), []);
        assert_eq!((stage.ec2.owner(IP).as_deref(), stage.ec2.association(IP)), (owner, before));
        let mut rehearsed: Vec<String> =
            stage.ec2.requests().iter().filter(|r| r.parameters.contains_key("DryRun")).map(|r| r.action.clone()).collect();
        rehearsed.sort();
        let all = ["AssociateAddress", "DescribeAddresses", "DisassociateAddress"];
        let expected = if owner.is_some() { &all[..] } else { &all[..2] };
        assert_eq!(rehearsed, expected);
        assert!(!stage.path("run").exists());
    }
}

#[test]
fn what_would_change_something_is_not_rehearsed_where_dry_runs_are_not_heeded() {
    let stage = ready();
    stage.ec2.ignore_dry_run();
    let ended = stage.run(["check"]);
    for name in ["may-associate", "may-disassociate"] {
        has(&ended, "warn", name, &["could not be tried", "does not heed DryRun", "see a start and a stop work"]);
    }
    others_are_ok(&ended, &["may-associate", "may-disassociate"]);
    assert_eq!(ended.code(), 0);
    assert!(stage.ec2.requests().iter().all(|request| matches!(request.action.as_str(), "" | "DescribeAddresses")));
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
}

#[test]
fn eucalyptus_which_knows_no_dry_runs_can_be_ready() {
    let stage = ready();
    stage.ec2.be_eucalyptus();
    stage.unset("AWS_ENDPOINT_URL_EC2");
    stage.configure(&format!("EC2_URL={}/services/compute", stage.ec2.url()));
    let ended = stage.run(["check"]);
    has(&ended, "ok", "address 203.0.113.25", &["no allocation id", PEER]);
    has(&ended, "warn", "may-associate", &["could not be tried: ", "InvalidParameterValue"]);
    has(&ended, "warn", "may-disassociate", &["could not be tried: ", "InvalidParameterValue"]);
    others_are_ok(&ended, &["may-associate", "may-disassociate"]);
    assert_eq!(ended.code(), 0);
    assert_eq!(changes(&stage), []);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
}

#[test]
fn a_permission_that_is_missing_is_told_by_itself() {
    for (action, subject) in [("AssociateAddress", "may-associate 203.0.113.25"), ("DisassociateAddress", "may-disassociate 203.0.113.25")]
    {
        let stage = ready();
        stage.ec2.answer(action, Answer::error(403, "UnauthorizedOperation"));
        let ended = stage.run(["check"]);
        has(&ended, "fail", subject, &["UnauthorizedOperation", &format!("; allow ec2:{action} in the IAM policy")]);
        others_are_ok(&ended, &[subject]);
        assert_eq!(ended.code(), 1);
        assert!(ended.stdout.ends_with("\nnot ready\n"));
    }
    let stage = ready();
    stage.ec2.answer("DescribeAddresses", Answer::error(403, "UnauthorizedOperation"));
    let ended = stage.run(["check"]);
    has(&ended, "fail", "may-describe", &["; allow ec2:DescribeAddresses in the IAM policy"]);
    has(&ended, "warn", "may-associate", &["could not be tried"]);
    has(&ended, "ok", "api", &["answers after"]);
    assert_eq!(ended.code(), 1);
}

#[test]
fn a_handover_does_without_the_permission_to_disassociate() {
    let stage = ready();
    stage.configure("RELEASE_ON_STOP=no");
    stage.ec2.answer("DisassociateAddress", Answer::error(403, "UnauthorizedOperation"));
    let ended = stage.run(["check"]);
    has(&ended, "warn", "may-disassociate 203.0.113.25", &["UnauthorizedOperation"]);
    assert_eq!(ended.code(), 0);
}

/// A fault of the machine, and the line that tells it.
type Case = (&'static str, fn(&Stage), &'static str, &'static str, &'static [&'static str]);

#[test]
fn each_fault_is_told_in_its_own_line_with_the_remedy() {
    let faults: &[Case] = &[
        ("no file", |s| s.remove(CONFIG), "fail", "configuration", &["does not exist", "; put a line such as ELASTIC_IP="]),
        ("a wrong line", |s| s.configure("ELASTIC_IP=256.1.1.1"), "fail", "configuration", &["line 6", "256.1.1.1", "; give"]),
        ("nothing may take it", |s| s.configure("ALLOW_REASSOCIATION=no"), "fail", "address 203.0.113.25", &[PEER, "; release it"]),
        ("an open secret", |s| s.set_mode(AWSSECRET, 0o644), "fail", "credentials", &["mode 0644", "; run: chmod 600"]),
        ("no secret", |s| s.remove(AWSSECRET), "fail", "credentials", &["no keys in ~/.awssecret"]),
        ("no secret, no question", |s| s.remove(AWSSECRET), "warn", "address", &["without credentials", "; correct"]),
        ("no region, no question", |s| s.unset("AWS_PARAMS"), "warn", "api", &["not asked", "; correct"]),
        ("no instance id", |s| s.unset("MY_ID"), "fail", "instance", &["metadata service", "; set MY_ID"]),
        ("another instance's id", |s| s.write(ASSET_TAG, format!("{PEER}\n")), "fail", "instance", &["line 3", ME, PEER, "; remove MY_ID"]),
        ("no region", |s| s.unset("AWS_PARAMS"), "fail", "region", &["metadata service", "; set MY_ID and AWS_REGION"]),
        ("nobody answers", |s| s.configure(&format!("AWS_ENDPOINT_URL_EC2={NOBODY}")), "fail", "api", &["no connection", "; check"]),
        (
            "no such address",
            |s| s.configure("ELASTIC_IP=203.0.113.99"),
            "fail",
            "address 203.0.113.99",
            &["InvalidAddress.NotFound", "; no such"],
        ),
        (
            "bad keys",
            |s| s.ec2.answer("DescribeAddresses", Answer::error(401, "AuthFailure")),
            "fail",
            "address 203.0.113.25",
            &["; check the keys"],
        ),
        (
            "no such interface",
            |s| s.configure(&format!("ELASTIC_IP={IP}@eth7")),
            "fail",
            "interface 203.0.113.25@eth7",
            &["no interface eth7"],
        ),
        ("it is here", |s| s.ec2.give(IP, ME), "warn", "route", &["only once the address is elsewhere", "; check again"]),
        ("a failed stop", |s| s.remember("stop_failed", 0), "warn", "state 203.0.113.25", &["a stop failed", "; run start or stop again"]),
        ("a handover", |s| s.remember("handed_over", 0), "warn", "state 203.0.113.25", &["until a peer takes it"]),
        (
            "a damaged state",
            |s| s.write("run/elastic-ip/203.0.113.25.json", "running OK"),
            "warn",
            "state 203.0.113.25",
            &["203.0.113.25.json", "is not whole", "; "],
        ),
        ("no manager", |s| s.remove(HARESOURCES), "warn", "manager", &["no cluster manager", "; "]),
        (
            "an idle manager",
            |s| s.write(HARESOURCES, "#server1 elastic-ip\n"),
            "warn",
            "manager",
            &["Heartbeat", "does not name elastic-ip"],
        ),
        (
            "a damaged CIB",
            |s| {
                s.remove(HARESOURCES);
                s.write(CIB, "<cib>");
            },
            "warn",
            "manager",
            &["cib.xml", "not whole XML"],
        ),
        (
            "two managers",
            |s| s.write(CIB, "<cib><primitive class=\"lsb\" type=\"elastic-ip\"/></cib>"),
            "warn",
            "manager",
            &["Heartbeat", "Pacemaker", "would fight"],
        ),
    ];
    each_at_once(faults, |(fault, commit, verdict, subject, parts)| {
        let stage = ready();
        commit(&stage);
        let ended = stage.run(["check"]);
        has(&ended, verdict, subject, parts);
        assert_eq!(ended.code(), i32::from(lines(&ended).iter().any(|(verdict, _, _)| verdict == "fail")), "{fault}: {ended:?}");
        // Whatever fails, the rest is looked at.
        assert!(lines(&ended).iter().any(|(_, subject, _)| subject == "manager"), "{fault}");
        assert_eq!(changes(&stage), [], "{fault}");
        assert_eq!(ended.stderr, "", "{fault}: the table says it all");
    });
}

#[test]
fn a_clock_that_is_off_is_told_with_its_direction() {
    let stage = ready();
    for (date, direction) in [("Sat, 01 Jan 2000 00:00:00 GMT", "s ahead of EC2's"), ("Fri, 01 Jan 2100 00:00:00 GMT", "s behind EC2's")] {
        // What has no action is the question for the time.
        stage.ec2.answer_anything(&Answer::new(200, "").dated(date));
        let ended = stage.run(["check"]);
        has(&ended, "warn", "clock", &[direction, "; set this machine's clock"]);
    }
}

#[test]
fn an_ec2_that_says_nothing_does_not_hold_a_check_up_beyond_its_ten_seconds() {
    let stage = ready();
    let _wire = stage.cut_in(|_| Fault::Silence);
    let ended = stage.run(["check"]);
    has(&ended, "fail", "api", &["no answer"]);
    has(&ended, "ok", "credentials", &[]);
    has(&ended, "ok", "manager", &[]);
    assert_eq!(ended.code(), 1);
    assert!(ended.elapsed < Duration::from_secs(11), "{:?}", ended.elapsed);
}

#[test]
fn where_an_address_belongs_is_told_for_each_of_them() {
    let stage = ready();
    stage.ec2.attach_second_interface();
    let _metadata = stage.two_interfaces();
    stage.configure(&format!("ELASTIC_IP='{IP} 203.0.113.26@eth1 203.0.113.27@10.0.0.5'"));
    let ended = stage.run(["check"]);
    has(&ended, "ok", "interface 203.0.113.25", &["primary interface"]);
    has(&ended, "ok", "interface 203.0.113.26@eth1", &[stage::ETH1]);
    has(&ended, "ok", "interface 203.0.113.27@10.0.0.5", &[ETH0, "10.0.0.5"]);
    has(&ended, "ok", "may-associate 203.0.113.25", &["allowed"]);
    assert_eq!(ended.code(), 0);
    assert_eq!(changes(&stage), []);
    stage.ec2.give_at(IP, ETH0, "10.0.0.4");
    has(&stage.run(["203.0.113.25@eth1", "check"]), "warn", "interface 203.0.113.25@eth1", &["elsewhere on this instance"]);
}

#[test]
fn the_fingerprint_is_that_of_what_both_nodes_must_have_in_common() {
    let stage = ready();
    let fingerprint = || {
        let ended = stage.run(["--json", "check"]);
        json(&ended)["fingerprint"].as_str().unwrap().to_owned()
    };
    let first = fingerprint();
    stage.configure(&format!("MY_ID={PEER}"));
    stage.write_secret(AWSSECRET, format!("{KEY_ID}2\n{SECRET}\n"));
    assert_eq!(fingerprint(), first);
    stage.configure("RELEASE_ON_STOP=no");
    let second = fingerprint();
    assert_ne!(second, first);
    stage.configure("ELASTIC_IP=203.0.113.26");
    assert_ne!(fingerprint(), second);
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn a_check_in_json_has_the_facts_of_the_table() {
    let stage = ready();
    stage.ec2.answer("AssociateAddress", Answer::error(403, "UnauthorizedOperation"));
    let (table, document) = (stage.run(["check"]), stage.run(["check", "--json"]));
    assert_eq!((table.code(), document.code()), (1, 1));
    let document = json(&document);
    assert_eq!(document["ready"], false);
    let facts = document["facts"].as_array().unwrap();
    let shown: Vec<(String, String)> = lines(&table).into_iter().map(|(verdict, subject, _)| (verdict, subject)).collect();
    let told: Vec<(String, String)> = facts
        .iter()
        .map(|fact| {
            let about = fact["address"].as_str().map_or_else(String::new, |address| format!(" {address}"));
            (fact["verdict"].as_str().unwrap().to_owned(), format!("{}{about}", fact["name"].as_str().unwrap()))
        })
        .collect();
    assert_eq!(told, shown);
    assert!(facts.iter().all(|fact| (fact["verdict"] == "ok") == fact["remedy"].is_null()));
}

#[test]
fn a_status_in_json_has_the_codes_of_a_status_and_no_word_for_heartbeat() {
    let at = |owner: Option<&str>| {
        let stage = Stage::new();
        stage.ec2.set_owner(IP, owner);
        stage
    };
    let handed_over = at(Some(ME));
    handed_over.remember("handed_over", 0);
    let unreached = at(Some(ME));
    unreached.configure(&format!("AWS_ENDPOINT_URL_EC2={NOBODY}\nSTATUS_TIMEOUT=0.3"));
    for (stage, all, one, code) in [
        (at(Some(ME)), "held", "held", 0),
        (at(Some(PEER)), "not-held", "not-held", 3),
        (at(None), "not-held", "not-held", 3),
        (handed_over, "not-held", "handed-over", 3),
        (unreached, "unknown", "unknown", 4),
    ] {
        let ended = stage.run(["--json", "status"]);
        let document = json(&ended);
        assert_eq!((document["state"].as_str(), ended.code()), (Some(all), code), "{ended:?}");
        assert_eq!(document["instance"], ME);
        assert_eq!(document["addresses"][0]["address"], IP);
        assert_eq!(document["addresses"][0]["state"], one);
        assert!(!ended.stdout.to_lowercase().contains("running") && !ended.stdout.contains("OK"), "{ended:?}");
    }
    let stage = Stage::new();
    stage.remove(AWSSECRET);
    stage.configure("ELASTIC_IP=running");
    for words in [&["--json", "status"][..], &["--json", "--bogus", "status"]] {
        let ended = stage.run(words.iter().copied());
        assert_eq!((json(&ended)["state"].as_str(), ended.code()), (Some("unknown"), 4), "{ended:?}");
        assert!(!ended.stdout.contains("running"), "{ended:?}");
    }
}

#[test]
fn json_is_for_questions_only() {
    let ended = ready().run(["--json", "start"]);
    ended.says("", 2);
    ended.complains_once_of(&["--json goes with status and check only"]);
}

#[test]
fn no_password_in_a_url_is_shown() {
    let stage = ready();
    let url = stage.ec2.url().replace("http://", "http://user:pAsSwOrD@");
    stage.configure(&format!("AWS_ENDPOINT_URL_EC2={url}\nHTTPS_PROXY=http://user:pAsSwOrD@127.0.0.1:9"));
    for words in [&["check"][..], &["--json", "check"]] {
        let ended = stage.run(words.iter().copied());
        assert!(!ended.stdout.contains("pAsSwOrD") && !ended.stderr.contains("pAsSwOrD"), "{ended:?}");
    }
}

#[test]
fn what_ec2_says_is_shown_as_one_line_without_control_characters() {
    let stage = ready();
    let said = "<Response><Errors><Error><Code>Odd\u{1b}[31m</Code><Message>a\nrunning\u{7}</Message></Error></Errors></Response>";
    stage.ec2.answer("AssociateAddress", Answer::new(400, said.replace(['\u{1b}', '\u{7}'], "\u{85}")));
    let ended = stage.run(["check"]);
    assert!(!ended.stdout.chars().any(|c| c.is_control() && c != '\n'), "{ended:?}");
    assert_eq!(lines(&ended).len(), 17, "{ended:?}");
}

#[test]
fn whether_ec2_is_reached_without_the_address_is_not_claimed_where_its_owner_is_not_known() {
    let stage = ready();
    stage.unset("MY_ID");
    has(&stage.run(["check"]), "warn", "route", &["not known"]);
    let stage = ready();
    let second = "203.0.113.99@10.0.0.5";
    let metadata = stage.two_interfaces();
    has(&stage.run([IP, second, "check"]), "warn", "route", &["not known"]);
    assert!(!metadata.asked().is_empty());
    // Not every service tells the instance of an interface.
    stage.ec2.give(IP, ETH0);
    stage.ec2.answer(
        "DescribeAddresses",
        Answer::addresses(&stage::item(&[
            ("publicIp", IP),
            ("allocationId", &allocation(IP)),
            ("associationId", "eipassoc-00000000000000001"),
            ("networkInterfaceId", ETH0),
            ("privateIpAddress", "10.0.0.4"),
        ])),
    );
    has(&stage.run(["203.0.113.25@eth0", "check"]), "warn", "route", &["only once the address is elsewhere"]);
}

#[test]
fn pacemakers_agent_has_no_such_actions() {
    let stage = ready();
    for word in ["check", "policy"] {
        let ended = stage.operate(word, &[]);
        assert_eq!((ended.stdout.as_str(), ended.code()), ("", 3), "{ended:?}");
    }
    assert_eq!(stage.ec2.requests(), []);
}

/// What the program writes on a terminal.
fn on_a_terminal(stage: &Stage, environment: &str) -> String {
    let root = stage.root().display();
    let command = format!("env -i TERM=xterm {environment} {} --root {root} check", env!("CARGO_BIN_EXE_elastic-ip"));
    let done = Command::new("script").args(["--quiet", "--return", "--command", &command, "/dev/null"]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn colours_are_for_a_terminal_whose_user_has_not_refused_them() {
    let stage = ready();
    assert!(on_a_terminal(&stage, "").contains("\u{1b}[32mok  \u{1b}[0m  configuration"));
    for refusal in ["NO_COLOR=1", "TERM=dumb"] {
        assert!(!on_a_terminal(&stage, refusal).contains('\u{1b}'), "{refusal}");
    }
    assert!(!stage.run(["check"]).stdout.contains('\u{1b}'));
}

#[test]
fn the_policy_names_the_addresses_whose_ids_are_known_in_the_partition_of_the_region() {
    let stage = Stage::new();
    let id = allocation(IP);
    stage.configure(&format!("ELASTIC_IP={id}"));
    for (region, partition) in
        [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("us-iso-east-1", "aws-iso")]
    {
        stage.configure(&format!("AWS_PARAMS=--region={region}"));
        let ended = stage.run(["policy"]);
        assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
        let policy = json(&ended);
        let arn = |resource: &str| format!("arn:{partition}:ec2:{region}:*:{resource}");
        let address = arn(&format!("elastic-ip/{id}"));
        let resources = |action: &str| {
            let statements = policy["Statement"].as_array().unwrap();
            let statement = statements.iter().find(|statement| statement["Action"][0] == action).unwrap();
            statement["Resource"].clone()
        };
        assert_eq!(resources("ec2:DescribeAddresses"), "*");
        let (interfaces, instances) = (arn("network-interface/*"), arn("instance/*"));
        assert_eq!(resources("ec2:AssociateAddress"), serde_json::json!([address, interfaces, instances]));
        assert_eq!(resources("ec2:DisassociateAddress"), serde_json::json!([address, interfaces]));
    }
    assert_eq!(stage.ec2.requests(), []);
}

#[test]
fn the_policy_of_addresses_whose_ids_are_not_known_is_the_one_on_the_page_on_configuration() {
    let stage = Stage::new();
    let page = include_str!("../../docs/configuration.md");
    let shown = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let ended = stage.run(["policy"]);
    assert_eq!(json(&ended), serde_json::from_str::<Value>(shown).unwrap());
    assert_eq!(ended.code(), 0);
    ended.complains_once_of(&["eipalloc-"]);
}

#[test]
fn a_policy_for_a_role_is_told_with_who_needs_to_assume_it() {
    let stage = Stage::new();
    let arn = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let (far, near) = (arn("far"), arn("near"));
    for (settings, told) in [
        ("credential_source = Ec2InstanceMetadata".to_owned(), vec![format!("{far} is assumed by the instance's role;")]),
        (
            format!("source_profile = keys\n[profile keys]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}"),
            vec![format!("{far} is assumed by the owner of the keys from profile \"keys\" in CONFIG")],
        ),
        (
            format!("source_profile = near\n[profile near]\nrole_arn = {near}\ncredential_source = Ec2InstanceMetadata"),
            vec![format!("{far} is assumed by {near};"), format!("{near} is assumed by the instance's role;")],
        ),
    ] {
        stage.configure("AWS_PROFILE=failover");
        stage.write_secret("root/.aws/config", format!("[profile failover]\nrole_arn = {far}\n{settings}\n"));
        let ended = stage.run(["policy"]);
        assert_eq!(ended.code(), 0);
        let config = stage.path("root/.aws/config").display().to_string();
        ended.tells(&[&format!("this policy is for {far}, the role of profile \"failover\" in {config}")]);
        for line in told {
            ended.tells(&[&line.replace("CONFIG", &config), "; allow sts:AssumeRole on it in a policy of theirs"]);
        }
        assert!(!ended.stdout.contains("sts:") && !ended.stderr.contains(KEY_ID), "{ended:?}");
    }
    assert_eq!(stage.ec2.requests(), []);
}

#[test]
fn a_policy_for_a_region_that_nobody_tells_is_refused_with_the_remedy() {
    let stage = Stage::new();
    stage.configure(&format!("ELASTIC_IP={}", allocation(IP)));
    stage.unset("AWS_PARAMS");
    let ended = stage.run(["policy"]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (6, ""));
    ended.tells(&["AWS_REGION"]);
    let metadata = stage::Metadata::version_2();
    metadata.tell("placement/region", "eu-north-1");
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
    assert!(stage.run(["policy"]).stdout.contains("arn:aws:ec2:eu-north-1:*:elastic-ip/"));
}

#[test]
fn the_instance_and_the_region_are_told_with_their_source() {
    let stage = ready();
    stage.unset("MY_ID");
    stage.unset("AWS_PARAMS");
    let metadata = stage::Metadata::version_2();
    metadata.tell("placement/region", "eu-north-1");
    metadata.tell("instance-id", ME);
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
    let ended = stage.run(["check"]);
    has(&ended, "ok", "instance", &[ME, "from the metadata service"]);
    has(&ended, "ok", "region", &["eu-north-1", "from the metadata service"]);
    stage.write(ASSET_TAG, format!("{ME}\n"));
    stage.write("root/.aws/config", "[default]\nregion = eu-south-1\n");
    let ended = stage.run(["check"]);
    has(&ended, "ok", "instance", &[ME, "from the firmware"]);
    has(&ended, "ok", "region", &["eu-south-1", "from the profile"]);
    let ended = stage.call(["check"]).env("AWS_REGION", "eu-central-1").run();
    has(&ended, "ok", "configuration", &["the environment sets AWS_REGION"]);
    has(&ended, "ok", "region", &["eu-central-1", "as configured"]);
}
