//! Whether a machine is ready to take the address, as `check` tells it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a table that cannot be read is a failed test")]

mod machine;
mod permissions;
mod table;

use std::process::Command;
use std::time::Duration;

use machine::{HARESOURCES, changes, ready};
use table::{has, lines};

use crate::stage::{self, AWSSECRET, Answer, CONFIG, ETH0, Fault, IP, KEY_ID, ME, NOBODY, PEER, SECRET, Stage, allocation, each_at_once};

const ASSET_TAG: &str = "sys/devices/virtual/dmi/id/board_asset_tag";
const CIB: &str = "var/lib/pacemaker/cib/cib.xml";

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
        ended.json()["fingerprint"].as_str().unwrap().to_owned()
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

#[test]
fn a_check_in_json_has_the_facts_of_the_table() {
    let stage = ready();
    stage.ec2.answer("AssociateAddress", Answer::error(403, "UnauthorizedOperation"));
    let (table, document) = (stage.run(["check"]), stage.run(["check", "--json"]));
    assert_eq!((table.code(), document.code()), (1, 1));
    let document = document.json();
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
