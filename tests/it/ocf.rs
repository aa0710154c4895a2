//! The program as Pacemaker calls it: OCF's actions, parameters and codes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xml::reader::{EventReader, XmlEvent};

use crate::stage::{self, Call, Ended, Fault, IP, LAG, ME, NOBODY, PEER, Stage, each_at_once, folder};

/// What a recurring operation brings.
const REPEATED: &[(&str, &str)] = &[("OCF_RESKEY_CRM_meta_interval", "10000"), ("OCF_RESKEY_CRM_meta_timeout", "20000")];

const SUCCESS: i32 = 0;
const FAILED: i32 = 1;
const BAD_ARGUMENTS: i32 = 2;
const UNIMPLEMENTED: i32 = 3;
const NOT_ALLOWED: i32 = 4;
const NOT_INSTALLED: i32 = 5;
const NOT_CONFIGURED: i32 = 6;
const NOT_RUNNING: i32 = 7;
const DEGRADED: i32 = 190;

/// A stage whose EC2 cannot be reached.
fn cut_off() -> Stage {
    let stage = Stage::with_the_address();
    stage.configure(&format!("AWS_ENDPOINT_URL_EC2={NOBODY}\nSTART_TIMEOUT=0.3\nSTOP_TIMEOUT=0.3\nSTATUS_TIMEOUT=0.3"));
    stage
}

/// Demands this code, and one reason for it that holds each of these.
fn fails(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code(), code, "{ended:?}");
    let reasons: Vec<&str> = ended.stderr.lines().filter_map(|line| line.strip_prefix("ocf-exit-reason:")).collect();
    assert_eq!(reasons.len(), 1, "{ended:?}");
    for part in parts {
        assert!(reasons[0].contains(part), "{part:?} is not the reason: {ended:?}");
    }
}

/// Demands success, or "not running" and no reason beside it: that is no failure.
fn answers(ended: &Ended, code: i32) {
    assert_eq!(ended.code(), code, "{ended:?}");
    assert!(!ended.stderr.contains("ocf-exit-reason"), "{ended:?}");
}

#[test]
fn each_operation_answers_in_ocfs_codes_for_each_owner() {
    for (operation, mine, not_mine) in [
        ("start", SUCCESS, SUCCESS),
        ("stop", SUCCESS, SUCCESS),
        ("monitor", SUCCESS, NOT_RUNNING),
        ("status", SUCCESS, NOT_RUNNING),
        ("reload-agent", SUCCESS, SUCCESS),
        ("validate-all", SUCCESS, SUCCESS),
    ] {
        for (owner, code) in [(Some(ME), mine), (None, not_mine), (Some(PEER), not_mine)] {
            for variables in [&[], REPEATED] {
                let stage = Stage::new();
                if let Some(owner) = owner {
                    stage.ec2.give(IP, owner);
                }
                answers(&stage.operate(operation, variables), code);
            }
        }
    }
}

#[test]
fn a_start_moves_the_address_and_a_stop_releases_it() {
    let stage = Stage::with_the_address_at_the_peer();
    answers(&stage.operate("start", &[]), SUCCESS);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    answers(&stage.operate("stop", &[]), SUCCESS);
    assert_eq!(stage.ec2.owner(IP), None);
    assert_eq!(stage.ec2.changes(), ["AssociateAddress", "DisassociateAddress"]);
    answers(&stage.operate("stop", &[]), SUCCESS);
    assert_eq!(stage.ec2.changes().len(), 2);
}

#[test]
fn a_monitor_that_cannot_tell_says_neither_that_it_runs_nor_that_it_does_not() {
    fails(&cut_off().operate("monitor", &[]), FAILED, &[IP, "cannot tell who has it"]);
    fails(&cut_off().operate("monitor", &[("OCF_RESKEY_CRM_meta_interval", "0")]), FAILED, &[IP]);
    let repeated = [("OCF_RESKEY_CRM_meta_interval", "10000")];
    fails(&cut_off().operate("monitor", &repeated), DEGRADED, &[IP, "cannot tell who has it"]);
}

#[test]
fn a_start_and_a_stop_that_may_have_failed_have_failed() {
    for operation in ["start", "stop"] {
        fails(&cut_off().operate(operation, &[]), FAILED, &[IP]);
    }
}

#[test]
fn a_handed_over_address_is_not_running_here() {
    let stage = Stage::with_the_address();
    let hand_over = [("OCF_RESKEY_release_on_stop", "no")];
    answers(&stage.operate("stop", &hand_over), SUCCESS);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    for variables in [&[], REPEATED] {
        answers(&stage.operate("monitor", variables), NOT_RUNNING);
    }
    answers(&stage.operate("start", &hand_over), SUCCESS);
    answers(&stage.operate("monitor", REPEATED), SUCCESS);
    assert_eq!(stage.ec2.changes(), ["AssociateAddress"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
}

#[test]
fn a_stop_that_leaves_the_address_for_the_peer_needs_no_ec2() {
    let hand_over = [("OCF_RESKEY_release_on_stop", "no"), ("OCF_RESKEY_CRM_meta_timeout", "3000")];
    let unreached: fn(&Stage) = |stage| stage.configure(&format!("AWS_ENDPOINT_URL_EC2={NOBODY}"));
    let without_keys: fn(&Stage) = |stage| stage.set_mode(stage::AWSSECRET, 0o644);
    for trouble in [unreached, without_keys] {
        let stage = Stage::with_the_address();
        trouble(&stage);
        let ended = stage.operate("stop", &hand_over);
        answers(&ended, SUCCESS);
        ended.tells(&[IP, "stays where it is until a peer takes it"]);
        stage.configure(&format!("AWS_ENDPOINT_URL_EC2={}", stage.ec2.url()));
        stage.set_mode(stage::AWSSECRET, 0o600);
        answers(&stage.operate("monitor", REPEATED), NOT_RUNNING);
        stage.ec2.give(IP, PEER);
        answers(&stage.operate("monitor", &[]), NOT_RUNNING);
        stage.later(LAG);
        answers(&stage.operate("monitor", &[]), NOT_RUNNING);
        assert!(!stage.is_handed_over());
    }
}

#[test]
fn a_stop_whose_handover_cannot_be_remembered_has_failed() {
    let stage = cut_off();
    stage.write("state", "");
    stage.configure("STATE_DIR=/state");
    fails(&stage.operate("stop", &[("OCF_RESKEY_release_on_stop", "no")]), FAILED, &[IP, "the handover cannot be remembered"]);
}

#[test]
fn a_failed_stop_is_cleaned_up_by_the_next() {
    let stage = Stage::with_the_address();
    let nowhere = [("OCF_RESKEY_endpoint", NOBODY), ("OCF_RESKEY_CRM_meta_timeout", "900")];
    fails(&stage.operate("stop", &nowhere), FAILED, &[IP]);
    fails(&stage.operate("monitor", &[]), FAILED, &["a stop failed earlier"]);
    answers(&stage.operate("stop", &[]), SUCCESS);
    answers(&stage.operate("monitor", &[]), NOT_RUNNING);
}

#[test]
fn an_operation_ends_before_pacemaker_ends_it() {
    let cases = [(3000, "start"), (4500, "stop"), (4500, "monitor"), (6000, "start")];
    each_at_once(&cases, |&(timeout, operation)| {
        let stage = Stage::with_the_address_at_the_peer();
        stage.configure("START_TIMEOUT=60\nSTOP_TIMEOUT=60\nSTATUS_TIMEOUT=60");
        stage.cut_in(|_| Fault::Silence);
        let variable = timeout.to_string();
        let ended = stage.operate(operation, &[("OCF_RESKEY_CRM_meta_timeout", &variable)]);
        assert_ne!(ended.code(), SUCCESS);
        assert!(ended.elapsed < Duration::from_millis(timeout), "{ended:?}");
    });
}

#[test]
fn an_operation_uses_the_time_that_pacemaker_gives_it() {
    // Less than this silence lasts, were it START_TIMEOUT's.
    let stage = Stage::with_the_address_at_the_peer();
    stage.configure("START_TIMEOUT=0.1");
    let begun = std::time::Instant::now();
    stage.cut_in(move |_| if begun.elapsed() < Duration::from_secs(1) { Fault::Reset } else { Fault::None });
    answers(&stage.operate("start", &[("OCF_RESKEY_CRM_meta_timeout", "20000")]), SUCCESS);
}

#[test]
fn a_wrong_parameter_is_wrong_on_every_node() {
    let stage = Stage::with_the_address();
    for (parameter, value) in [
        ("elastic_ip", "256.1.1.1"),
        ("region", "ireland"),
        ("endpoint", "example"),
        ("release_on_stop", "maybe"),
        ("allow_reassociation", "maybe"),
        ("config", "etc/elastic-ip"),
    ] {
        let variable = format!("OCF_RESKEY_{parameter}");
        for operation in ["start", "stop", "monitor", "validate-all", "reload-agent"] {
            let ended = stage.operate(operation, &[(&variable, value)]);
            fails(&ended, NOT_CONFIGURED, &[&format!("parameter {parameter}: ")]);
        }
    }
    assert_eq!(stage.ec2.actions(), [""; 0]);
}

#[test]
fn what_is_wrong_on_this_node_is_not_taken_for_wrong_on_its_peer() {
    for wrong in ["ELASTIC_IP=256.1.1.1", "RELEASE_ON_STOP=maybe", "AWS_PARAMS='--region=eu-west-1 --profile=nobody'"] {
        let stage = Stage::with_the_address();
        stage.configure(wrong);
        for operation in ["start", "stop", "monitor", "validate-all", "reload-agent"] {
            fails(&stage.operate(operation, &[]), NOT_INSTALLED, &[]);
        }
        assert_eq!(stage.operate("validate-all", &[]).stdout, "", "it is no status");
        // A broken file is no reason to stop what runs.
        fails(&stage.operate("monitor", REPEATED), DEGRADED, &[]);
        assert_eq!(stage.ec2.changes(), [""; 0]);
    }
    let stage = Stage::with_the_address();
    fails(&stage.operate("start", &[("OCF_RESKEY_config", "/nonexistent/elastic-ip")]), NOT_INSTALLED, &["/nonexistent/elastic-ip"]);
}

#[test]
fn a_caller_who_may_not_read_the_file_is_told_so() {
    let stage = Stage::with_the_address();
    stage.set_mode(stage::CONFIG, 0o000);
    fails(&Call::of_agent_heeding_modes(stage.root(), "monitor").run(), NOT_ALLOWED, &["/etc/default/elastic-ip"]);
}

#[test]
fn validation_asks_nobody_unless_it_is_told_to() {
    let stage = cut_off();
    for operation in ["validate-all", "reload-agent"] {
        answers(&stage.operate(operation, &[("OCF_CHECK_LEVEL", "0")]), SUCCESS);
    }
    fails(&stage.operate("validate-all", &[("OCF_CHECK_LEVEL", "10")]), FAILED, &["DescribeAddresses"]);
    let stage = Stage::with_the_address_at_the_peer();
    answers(&stage.operate("validate-all", &[]), SUCCESS);
    assert_eq!(stage.ec2.actions(), [""; 0]);
    answers(&stage.operate("validate-all", &[("OCF_CHECK_LEVEL", "10")]), SUCCESS);
    assert_eq!(stage.ec2.actions(), ["DescribeAddresses"]);
}

#[test]
fn an_action_that_there_is_not_is_unimplemented() {
    let stage = Stage::new();
    for operation in ["notify", "promote", "demote", "migrate_to", "migrate_from", "reload", "restart", "frobnicate", ""] {
        fails(&stage.operate(operation, &[]), UNIMPLEMENTED, &["is not an action"]);
    }
    fails(&stage.operate("--bogus", &[]), UNIMPLEMENTED, &["bogus"]);
    assert_eq!(stage.operate("usage", &[]).code(), SUCCESS);
}

#[test]
fn an_agent_called_without_an_action_says_which_there_are() {
    let stage = Stage::new();
    fails(&Call::bare_agent(stage.root()).run(), BAD_ARGUMENTS, &["no action given", "validate-all"]);
}

#[test]
fn only_the_path_makes_an_agent_of_it() {
    let stage = Stage::with_the_address_at_the_peer();
    let mut call = stage.call(["status"]);
    for (name, value) in [("OCF_ROOT", "/usr/lib/ocf"), ("OCF_RESKEY_elastic_ip", "198.51.100.7"), ("OCF_RESOURCE_INSTANCE", "eip")] {
        call = call.env(name, value);
    }
    call.run().says(&format!("elastic-ip remapper: I do not have {IP}\nstopped\n"), 3);
}

/// What the meta-data says of a parameter or an action: its attributes, and the elements within it with their text.
type Described = BTreeMap<String, BTreeMap<String, String>>;

/// The parameters and the actions of the meta-data, read as XML.
#[allow(clippy::unwrap_used, reason = "meta-data that cannot be read is a failed test")]
fn described() -> (Described, Described) {
    let ended = Call::of_agent(folder().path(), "meta-data", &[]).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (SUCCESS, ""));
    let (mut parameters, mut actions, mut inside, mut element) = (Described::new(), Described::new(), None, String::new());
    for event in EventReader::new(ended.stdout.as_bytes()) {
        match event.unwrap() {
            XmlEvent::StartElement { name, attributes, .. } => {
                element = name.local_name;
                let mut told: BTreeMap<String, String> =
                    attributes.into_iter().map(|attribute| (attribute.name.local_name, attribute.value)).collect();
                match element.as_str() {
                    "resource-agent" => assert_eq!(told["version"], env!("CARGO_PKG_VERSION")),
                    "action" => drop(actions.insert(told.remove("name").unwrap(), told)),
                    "parameter" => {
                        let name = told.remove("name").unwrap();
                        parameters.insert(name.clone(), told);
                        inside = Some(name);
                    }
                    "content" => drop(parameters.get_mut(inside.as_ref().unwrap()).unwrap().insert("type".into(), told["type"].clone())),
                    _ => {}
                }
            }
            XmlEvent::Characters(text) => match &inside {
                Some(name) => drop(parameters.get_mut(name).unwrap().insert(element.clone(), text)),
                None if element == "version" => assert_eq!(text, "1.1"),
                None => {}
            },
            XmlEvent::EndElement { name } if name.local_name == "parameter" => inside = None,
            _ => {}
        }
    }
    (parameters, actions)
}

#[test]
fn the_meta_data_needs_neither_configuration_nor_anything_else() {
    let (parameters, actions) = described();
    for (name, told) in &parameters {
        assert!(!told["longdesc"].trim().is_empty() && !told["shortdesc"].trim().is_empty(), "{name}: {told:?}");
        assert_eq!(told["required"], "0", "{name} may be left out");
        assert_eq!(told["unique"] == "1", name == "elastic_ip", "{name}");
    }
    let listed: BTreeSet<&str> = actions.keys().map(String::as_str).collect();
    assert_eq!(listed, BTreeSet::from(["start", "stop", "monitor", "reload-agent", "validate-all", "meta-data"]));
    assert!(actions.values().all(|told| told["timeout"].ends_with('s')));
}

#[test]
fn the_meta_data_declares_nothing_itself() {
    // Pacemaker 3 takes each declaration within a document type for a fault of its own, and dumps core.
    let ended = Call::of_agent(folder().path(), "meta-data", &[]).run();
    let kinds = ended.stdout.lines().filter(|line| line.contains("<!")).collect::<Vec<_>>();
    assert_eq!(kinds, [r#"<!DOCTYPE resource-agent SYSTEM "/usr/share/elastic-ip/resource-agent.dtd">"#]);
}

#[test]
fn each_parameter_of_the_meta_data_is_read_and_wins_over_the_file() {
    const OTHER: &str = "198.51.100.7";
    let mut shown = BTreeSet::new();
    let mut with = |parameter: &str, value: &str, owner: &str, operation: &str| {
        shown.insert(parameter.to_owned());
        let stage = Stage::new();
        stage.configure("RELEASE_ON_STOP=yes\nALLOW_REASSOCIATION=yes\nAWS_PARAMS=\"--region=eu-west-1 --secrets-file=/root/.awssecret\"");
        stage.ec2.give(IP, owner);
        let variable = format!("OCF_RESKEY_{parameter}");
        let ended = stage.operate(operation, &[(&variable, value), ("OCF_RESKEY_CRM_meta_timeout", "6000")]);
        (stage, ended)
    };
    let (_, ended) = with("elastic_ip", OTHER, ME, "monitor");
    assert!(ended.stdout.contains(OTHER) || ended.stderr.contains(OTHER), "{ended:?}");
    let (stage, ended) = with("region", "eu-central-1", ME, "monitor");
    answers(&ended, SUCCESS);
    let signed = stage.ec2.requests()[0].headers["authorization"].clone();
    assert!(signed.contains("/eu-central-1/ec2/"), "{signed}");
    fails(&with("profile", "nobody", ME, "monitor").1, NOT_INSTALLED, &["profile", "nobody"]);
    let (stage, ended) = with("endpoint", NOBODY, ME, "monitor");
    fails(&ended, FAILED, &[IP]);
    assert_eq!(stage.ec2.actions(), [""; 0]);
    let (stage, ended) = with("release_on_stop", "no", ME, "stop");
    answers(&ended, SUCCESS);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    fails(&with("allow_reassociation", "no", PEER, "start").1, FAILED, &["ALLOW_REASSOCIATION=no"]);
    let (_, ended) = with("config", "/nonexistent", ME, "monitor");
    fails(&ended, NOT_INSTALLED, &["/nonexistent"]);
    assert_eq!(shown, described().0.into_keys().collect());
}
