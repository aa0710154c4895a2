//! Every fault × start, stop, status: what is said, how it ends, what is changed, and when.
//!
//! The table in docs/reliability.md is made of this one:
//! `WRITE_TABLE=1 cargo test --test it the_document_has_this_table`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be set up is a failed test")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use chrono::TimeDelta;

use crate::stage::dns::{self, Lookup};
use crate::stage::stdout::{ASSOCIATED, DISOWNED, NO_KEYS, NOT_DISOWNED, NOT_MAPPED, NOT_MAPPED_HERE, RUNNING, STOPPED, UNKNOWN};
use crate::stage::tls::{self, Flaw, Tls};
use crate::stage::{
    AWSSECRET, Answer, Call, Ended, Fault, IP, KEY_ID, ME, Metadata, NOBODY, PEER, SECRET, Stage, Wire, each_at_once, mine, share,
};

/// The deadline of every action, in seconds, where it is to be reached.
const SHORT: f64 = 0.4;
/// … where it is to be reached after an answer has come.
const SHORT_AFTER_AN_ANSWER: f64 = 0.5;
/// … and where the action is to be done: as long as a busy machine needs.
const AMPLE: f64 = 30.0;

/// Where the fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    /// EC2, or the way there.
    Ec2,
    /// The metadata service, asked for the instance's id.
    Id,
    /// The metadata service, asked for the role's keys.
    Keys,
}

/// What is wrong for as long as the call lasts.
#[derive(Clone, Debug)]
enum Trouble {
    /// Everything is answered so.
    Answer(Answer),
    /// Every associate and disassociate is done, and answered so.
    DoneButAnswered(Answer),
    /// The metadata service's token is good, and this fact is answered so.
    Fact(&'static str, Answer),
    /// Every exchange meets this.
    Wire(Fault),
    NobodyListens,
    Tls(Flaw),
    Lookup(Lookup),
    /// Describe lags behind, and the answers to changes are lost.
    Lag,
    /// EC2's clock is this many minutes ahead.
    Clock(i64),
}

/// How a call ends: stdout, exit code, and how many changes were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End(&'static str, i32, usize);

/// A change is sent again until the deadline.
const AGAIN: usize = usize::MAX;

/// How status ends with the address here, and elsewhere; a start with the address at a peer; a stop with the address here.
type Ends = [End; 4];

const FAIL: Ends = [End(UNKNOWN, 4, 0), End(UNKNOWN, 4, 0), End(NOT_MAPPED, 1, 0), End(NOT_DISOWNED, 1, 0)];
const FAIL_NAMELESS: Ends = [End(UNKNOWN, 4, 0), End(UNKNOWN, 4, 0), End(NOT_MAPPED_HERE, 1, 0), End(NOT_DISOWNED, 1, 0)];
const LACK_KEYS: Ends = [End(NO_KEYS, 4, 0), End(NO_KEYS, 4, 0), End(NO_KEYS, 6, 0), End(NO_KEYS, 6, 0)];
const SUCCEED: Ends = [End(RUNNING, 0, 0), End(STOPPED, 3, 0), End(ASSOCIATED, 0, 1), End(DISOWNED, 0, 1)];
/// A change that EC2 never acknowledges is not done.
const FAIL_AT_THE_CHANGE: Ends = [End(RUNNING, 0, 0), End(STOPPED, 3, 0), End(NOT_MAPPED, 1, AGAIN), End(NOT_DISOWNED, 1, AGAIN)];
const SUCCEED_AT_THE_SECOND: Ends = [End(RUNNING, 0, 0), End(STOPPED, 3, 0), End(ASSOCIATED, 0, 2), End(DISOWNED, 0, 2)];

const CALLS: [(&str, &str); 4] = [("status", ME), ("status", PEER), ("start", PEER), ("stop", ME)];

#[derive(Clone, Debug)]
struct Row {
    side: Side,
    name: String,
    trouble: Trouble,
    ends: Ends,
}

const THROTTLES: [&str; 8] = [
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "SlowDown",
    "EC2ThrottledException",
];

/// Nine levels of entities, each ten of the one below.
fn bomb(whole: &[u8]) -> Vec<u8> {
    let entities: String = (1..10).map(|level| format!("<!ENTITY a{level} \"{}\">", format!("&a{};", level - 1).repeat(10))).collect();
    let head = format!("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY a0 \"running OK\">{entities}]>");
    let whole = String::from_utf8(whole.to_vec()).unwrap();
    let (_, document) = whole.split_once("?>").unwrap();
    (head + &document.replace("0ab1", "&a9;")).into_bytes()
}

/// Answers that nobody may believe, whatever was asked.
fn nonsense() -> Vec<(&'static str, Answer)> {
    vec![
        ("nothing", Answer::new(200, "")),
        ("HTML", Answer { mime: "text/html", ..Answer::new(200, "<html><head/><body>i-0aaaaaaaaaaaaaaaa running OK</body></html>") }),
        ("text", Answer::new(200, "200 OK")),
        ("bytes that are not UTF-8", Answer::new(200, b"\xff\xferunning OK".as_slice())),
        ("control characters", Answer::new(200, "\u{1b}[2Jrunning OK\u{7}\u{9b}31m\u{202e}")),
        ("deep nesting", Answer::new(200, "<a>".repeat(20_000))),
        ("2 MB", Answer::new(200, vec![b' '; 2_000_000])),
    ]
}

/// Faults of a connection, none of which lets an answer through.
fn broken_wires() -> Vec<(&'static str, Trouble)> {
    vec![
        ("nobody listens", Trouble::NobodyListens),
        ("reset at the request", Trouble::Wire(Fault::Reset)),
        ("accepted, and silent", Trouble::Wire(Fault::Silence)),
        ("closed half-way through the answer", Trouble::Wire(Fault::Half)),
        ("one byte a second", Trouble::Wire(Fault::Dribble)),
        ("100 MB", Trouble::Wire(Fault::Flood)),
        ("100 MB of headers", Trouble::Wire(Fault::FloodOfHeaders)),
        ("not HTTP", Trouble::Wire(Fault::Garbage)),
        ("the answer lost", Trouble::Wire(Fault::LoseAnswer)),
        ("the answer held back", Trouble::Wire(Fault::HoldAnswer)),
    ]
}

/// Answers of EC2, or in its place, that make a call wait and try again.
fn passing_answers() -> Vec<(String, Answer)> {
    let mut all: Vec<(String, Answer)> = nonsense().into_iter().map(|(name, answer)| (name.to_owned(), answer)).collect();
    let mut add = |name: String, answer| all.push((name, answer));
    for status in [500, 502, 503, 504] {
        add(format!("{status} in EC2's form"), Answer::error(status, "InternalError"));
        add(format!("{status} of a gateway"), Answer::new(status, "<html><body>running OK</body>"));
    }
    for code in THROTTLES {
        for status in [400, 503] {
            add(format!("{status} {code}"), Answer::error(status, code));
        }
    }
    add("429".to_owned(), Answer::new(429, ""));
    let whole = Answer::addresses(&mine(&[])).body;
    for (name, body) in [
        ("half an answer", whole[..whole.len() - 5].to_vec()),
        ("an answer without its end", whole[..whole.len() - "</DescribeAddressesResponse>".len()].to_vec()),
        ("the answer to another call", b"<CreateTagsResponse><return>true</return></CreateTagsResponse>".to_vec()),
        ("an error with status 200", Answer::error(200, "InternalError").body),
        ("a document type", [b"<!DOCTYPE a [<!ENTITY b \"i-0aaaaaaaaaaaaaaaa\">]>".as_slice(), &whole[39..]].concat()),
        ("an XML bomb", bomb(&whole)),
        ("a good answer and 2 MB of blanks", [whole.as_slice(), &vec![b' '; 2_000_000]].concat()),
        ("a good answer with bytes that are not UTF-8", [&whole[..whole.len() - 40], b"\xff\xfe", &whole[whole.len() - 40..]].concat()),
    ] {
        add(name.to_owned(), Answer::new(200, body));
    }
    for (name, items) in [
        ("no item", String::new()),
        ("two items", mine(&[]).repeat(2)),
        ("mine and another's", format!("{}{}", mine(&[]), mine(&[("publicIp", "203.0.113.26")]))),
        ("another address", mine(&[("publicIp", "203.0.113.26")])),
        ("an address that only starts right", mine(&[("publicIp", "203.0.113.250")])),
        ("no address", mine(&[("publicIp", "")])),
        ("an instance id that goes on with ` running OK`", mine(&[("instanceId", "i-0aaaaaaaaaaaaaaaa running OK")])),
        ("an instance id with line feeds", mine(&[("instanceId", "i-0aaaaaaaaaaaaaaaa&#10;running&#10;")])),
        ("an instance id with a control character", mine(&[("instanceId", "i-0aaaaaaaaaaaaaaaa\u{1b}")])),
        ("an association id that is none", mine(&[("associationId", "running OK")])),
        ("an allocation id that is none", mine(&[("allocationId", "running OK&#27;[31m")])),
        ("an association with nothing", mine(&[("instanceId", "")])),
    ] {
        add(name.to_owned(), Answer::addresses(&items));
    }
    all
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |side, ends, name: &str, trouble| rows.push(Row { side, name: name.to_owned(), trouble, ends });
    for (name, answer) in passing_answers() {
        add(Side::Ec2, FAIL, &name, Trouble::Answer(answer));
    }
    for status in [302, 307, 400, 404] {
        let elsewhere = Answer::new(status, "").located("http://127.0.0.1:9/running-OK");
        add(Side::Ec2, FAIL, &format!("{status} without EC2's form"), Trouble::Answer(elsewhere));
    }
    for (status, code) in [(401, "AuthFailure"), (403, "UnauthorizedOperation"), (400, "running OK")] {
        add(Side::Ec2, FAIL, &format!("{status} {code}"), Trouble::Answer(Answer::error(status, code)));
    }
    for (name, trouble) in broken_wires() {
        add(Side::Ec2, FAIL, name, trouble);
    }
    for (name, flaw) in [
        ("TLS: expired certificate", Flaw::Expired),
        ("TLS: certificate not yet valid", Flaw::Early),
        ("TLS: certificate for another name", Flaw::OtherName),
        ("TLS: unknown authority", Flaw::UnknownAuthority),
        ("TLS: the server speaks plain HTTP", Flaw::Plain),
        ("TLS: the handshake stalls", Flaw::Stalled),
    ] {
        add(Side::Ec2, FAIL, name, Trouble::Tls(flaw));
    }
    add(Side::Ec2, SUCCEED, "TLS: a private authority in SSL_CERT_FILE", Trouble::Tls(Flaw::None));
    for (name, lookup) in
        [("DNS: no such name", Lookup::NoSuchName), ("DNS: server failure", Lookup::Failure), ("DNS: no answer", Lookup::Silence)]
    {
        add(Side::Ec2, FAIL, name, Trouble::Lookup(lookup));
    }
    add(Side::Ec2, SUCCEED, "DNS: every answer 0.1 s late", Trouble::Lookup(Lookup::Slow));
    add(Side::Ec2, SUCCEED, "a wrong content type", Trouble::Wire(Fault::OtherType));
    add(Side::Ec2, SUCCEED, "headers beyond ASCII", Trouble::Wire(Fault::OddHeaders));
    add(Side::Ec2, SUCCEED, "every answer 0.1 s late", Trouble::Wire(Fault::Delay));
    add(Side::Ec2, SUCCEED, "EC2's clock 10 min ahead", Trouble::Clock(10));
    add(Side::Ec2, SUCCEED, "EC2's clock 10 min behind", Trouble::Clock(-10));
    for (name, answer) in
        [("500", Answer::error(500, "InternalError")), ("nothing", Answer::new(200, "")), ("HTML", Answer::new(200, "<html/>"))]
    {
        add(Side::Ec2, FAIL_AT_THE_CHANGE, &format!("changes done, and answered with {name}"), Trouble::DoneButAnswered(answer));
    }
    add(Side::Ec2, SUCCEED_AT_THE_SECOND, "describe 1 s behind, and the answer to the first change lost", Trouble::Lag);

    let id = "instance-id";
    let role = "iam/security-credentials/";
    let keys = "iam/security-credentials/web";
    for status in [500, 502, 503, 504, 429, 400, 401, 403] {
        add(Side::Id, FAIL_NAMELESS, &format!("{status}"), Trouble::Answer(Answer::new(status, "running OK")));
        add(Side::Keys, FAIL, &format!("{status}"), Trouble::Answer(Answer::new(status, "running OK")));
    }
    add(Side::Id, FAIL_NAMELESS, "404", Trouble::Answer(Answer::new(404, "")));
    add(Side::Keys, LACK_KEYS, "404", Trouble::Answer(Answer::new(404, "")));
    for (name, answer) in nonsense() {
        add(Side::Id, FAIL_NAMELESS, &format!("{name} for everything"), Trouble::Answer(answer.clone()));
        add(Side::Id, FAIL_NAMELESS, &format!("{name} for the id"), Trouble::Fact(id, answer.clone()));
        add(Side::Keys, FAIL, &format!("{name} for everything"), Trouble::Answer(answer.clone()));
        add(Side::Keys, FAIL, &format!("{name} for the role's name"), Trouble::Fact(role, answer.clone()));
        add(Side::Keys, FAIL, &format!("{name} for the keys"), Trouble::Fact(keys, answer));
    }
    for (name, text) in [
        ("an id that goes on with ` running OK`", "i-0aaaaaaaaaaaaaaaa running OK"),
        ("two ids", "i-0aaaaaaaaaaaaaaaa\ni-0bbbbbbbbbbbbbbbb"),
        ("an interface's id", "eni-0aaaaaaaaaaaaaaaa"),
    ] {
        add(Side::Id, FAIL_NAMELESS, name, Trouble::Fact(id, Answer::new(200, text)));
    }
    for (name, text) in [
        ("keys that are `running OK`", r#"{"AccessKeyId":"running OK","SecretAccessKey":"running OK"}"#),
        ("keys with a line feed", r#"{"AccessKeyId":"AKID","SecretAccessKey":"a\nb"}"#),
        ("half of the keys", r#"{"AccessKeyId":"AKID""#),
        ("no keys", "{}"),
        ("a refusal", r#"{"Code":"running OK"}"#),
    ] {
        add(Side::Keys, FAIL, name, Trouble::Fact(keys, Answer::new(200, text)));
    }
    for (name, trouble) in broken_wires() {
        add(Side::Id, FAIL_NAMELESS, name, trouble.clone());
        add(Side::Keys, FAIL, name, trouble);
    }
    for (name, fault) in
        [("a wrong content type", Fault::OtherType), ("headers beyond ASCII", Fault::OddHeaders), ("every answer 0.1 s late", Fault::Delay)]
    {
        add(Side::Id, SUCCEED, name, Trouble::Wire(fault));
        add(Side::Keys, SUCCEED, name, Trouble::Wire(fault));
    }
    rows
}

/// What has to live as long as the call.
#[derive(Default)]
struct Props {
    metadata: Option<Metadata>,
    wire: Option<Wire>,
    tls: Option<Tls>,
}

/// A stage where what is on this side is well, and asked.
fn set_up(side: Side, owner: &str, limit: f64) -> (Stage, Props) {
    let stage = Stage::new();
    stage.ec2.give(IP, owner);
    stage.configure(&format!("START_TIMEOUT={limit}\nSTOP_TIMEOUT={limit}\nSTATUS_TIMEOUT={limit}"));
    if side == Side::Ec2 {
        return (stage, Props::default());
    }
    let metadata = Metadata::version_2();
    metadata.tell("instance-id", ME);
    metadata.tell("iam/security-credentials/", "web\n");
    let keys = format!(r#"{{"Code":"Success","AccessKeyId":"{KEY_ID}","SecretAccessKey":"{SECRET}","Token":"roleToken=="}}"#);
    metadata.tell("iam/security-credentials/web", &keys);
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
    if side == Side::Id {
        stage.unset("MY_ID");
    } else {
        stage.remove(AWSSECRET);
    }
    (stage, Props { metadata: Some(metadata), ..Props::default() })
}

fn befall(trouble: &Trouble, stage: &Stage, props: &mut Props) {
    let metadata = props.metadata.as_ref();
    let endpoint = if metadata.is_some() { "AWS_EC2_METADATA_SERVICE_ENDPOINT" } else { "AWS_ENDPOINT_URL_EC2" };
    match (trouble, metadata) {
        (Trouble::Answer(answer), None) => stage.ec2.answer("", answer.clone()),
        (Trouble::Answer(answer), Some(metadata)) => metadata.answer_all(answer.template()),
        (Trouble::Fact(fact, answer), Some(metadata)) => metadata.answer_instead(fact, answer.template()),
        (Trouble::DoneButAnswered(answer), None) => {
            for change in ["AssociateAddress", "DisassociateAddress"] {
                stage.ec2.do_but_answer(change, answer.clone());
            }
        }
        (Trouble::Wire(fault), _) => {
            let fault = *fault;
            let wire = Wire::to(&metadata.map_or_else(|| stage.ec2.url(), Metadata::url), move |_| fault);
            stage.configure(&format!("{endpoint}={}", wire.url()));
            props.wire = Some(wire);
        }
        (Trouble::NobodyListens, _) => stage.configure(&format!("{endpoint}={NOBODY}")),
        (Trouble::Tls(flaw), None) => props.tls = Some(put_tls_before(stage, *flaw, "localhost")),
        (Trouble::Lookup(lookup), None) => {
            props.tls = Some(put_tls_before(stage, Flaw::None, tls::NAME));
            stage.write("resolv.conf", format!("nameserver {}\n", name_server(*lookup)));
            stage.write("nsswitch.conf", "hosts: dns\n");
        }
        (Trouble::Lag, None) => {
            stage.ec2.lag(Duration::from_secs(1));
            for change in ["AssociateAddress", "DisassociateAddress"] {
                stage.ec2.do_but_answer_once(change, Answer::error(500, "InternalError"));
            }
        }
        (Trouble::Clock(minutes), None) => stage.ec2.set_clock(TimeDelta::minutes(*minutes)),
        (trouble, _) => panic!("{trouble:?} is not for this side"),
    }
}

fn put_tls_before(stage: &Stage, flaw: Flaw, host: &str) -> Tls {
    let tls = Tls::before(&stage.ec2.url(), flaw);
    stage.write("authority.pem", &tls.authority);
    stage.configure(&format!("AWS_ENDPOINT_URL_EC2={}", tls.url(host)));
    tls
}

#[test]
fn the_systems_authorities_are_trusted_unless_others_are_named() {
    let stage = Stage::with_the_address();
    let tls = put_tls_before(&stage, Flaw::None, "localhost");
    stage.write("etc/ssl/certs/ca-certificates.crt", &tls.authority);
    assert_eq!(stage.run(["status"]).code(), 0);
    let others = Tls::before(&stage.ec2.url(), Flaw::None);
    stage.write("others.pem", &others.authority);
    stage.configure("AWS_CA_BUNDLE=/others.pem\nSTATUS_TIMEOUT=0.5");
    let ended = stage.run(["status"]);
    assert_eq!(ended.code(), 4);
    ended.tells(&["certificate"]);
}

/// Runs the call that meets this trouble.
fn run(row: &Row, action: &str, owner: &str, limit: f64) -> (Stage, Ended) {
    let (stage, mut props) = set_up(row.side, owner, limit);
    befall(&row.trouble, &stage, &mut props);
    let call = match row.trouble {
        Trouble::Lookup(_) => Call::looking_up(stage.root(), [action]),
        _ => stage.call([action]),
    };
    let ended = call.env("SSL_CERT_FILE", "/authority.pem").run();
    (stage, ended)
}

/// Makes the calls that meet this trouble, or a share of them that `turn` chooses.
fn check((turn, row): &(usize, Row)) {
    for ((action, owner), End(stdout, code, changes)) in CALLS.into_iter().zip(row.ends).skip(turn % share()).step_by(share()) {
        let fails = matches!(stdout, UNKNOWN | NOT_MAPPED | NOT_MAPPED_HERE | NOT_DISOWNED);
        // That the address is elsewhere is nothing that the metadata service could tell.
        if fails && row.side != Side::Ec2 && action == "status" && owner == PEER {
            continue;
        }
        let limit = if changes == AGAIN || stdout == NO_KEYS {
            SHORT_AFTER_AN_ANSWER
        } else if fails {
            SHORT
        } else {
            AMPLE
        };
        let case = format!("{:?}: {}: {action} with {owner}", row.side, row.name);
        // A machine that is too busy is not late three times.
        let in_time = |ended: &Ended| ended.elapsed <= Duration::from_secs_f64(limit + 1.0);
        let late = (0..3).all(|_| {
            let (stage, ended) = run(row, action, owner, limit);
            assert_eq!((ended.stdout.as_str(), ended.code()), (stdout, code), "{case}: {ended:?}");
            let sent = stage.ec2.changes().len();
            assert!(sent == changes || (changes == AGAIN && sent > 0), "{case}: {:?}", stage.ec2.actions());
            assert_eq!(stage.has_failed_stop(), action == "stop" && code != 0, "{case}");
            assert!(!fails || ended.stderr.contains(IP), "{case}: {ended:?}");
            !in_time(&ended)
        });
        assert!(!late, "{case}: it ends late");
    }
}

fn check_side(side: Side) {
    let rows = rows().into_iter().filter(|row| row.side == side && !matches!(row.trouble, Trouble::Lookup(_)));
    each_at_once(&rows.enumerate().collect::<Vec<_>>(), check);
}

// P6. Fails when `deadline.left()` in `Ec2::attempt` in src/ec2.rs and the arm with `GRACE` of `perform` in src/run.rs are removed.
#[test]
fn each_action_meets_each_fault_of_ec2() {
    check_side(Side::Ec2);
}

#[test]
fn each_action_meets_each_fault_of_the_metadata_service_that_tells_the_id() {
    check_side(Side::Id);
}

#[test]
fn each_action_meets_each_fault_of_the_metadata_service_that_tells_the_keys() {
    check_side(Side::Keys);
}

#[test]
fn a_fault_that_passes_is_told_and_got_over() {
    let cases: Vec<_> = passing_answers().into_iter().zip(CALLS.into_iter().zip(SUCCEED).cycle()).collect();
    each_at_once(&cases, |((name, answer), ((action, owner), End(stdout, code, _)))| {
        let (stage, _) = set_up(Side::Ec2, owner, AMPLE);
        stage.ec2.answer_once("DescribeAddresses", answer.clone());
        let ended = stage.run([*action]);
        assert_eq!((ended.stdout.as_str(), ended.code()), (*stdout, *code), "{name}: {ended:?}");
        ended.tells(&["trying again"]);
        assert!(!stage.has_failed_stop(), "{name}");
    });
}

/// Each name server has an address of its own, and all have the port that resolvers ask.
fn name_server(lookup: Lookup) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 53, lookup as u8)
}

/// Set where this process runs in a network of its own.
const INSIDE: &str = "INSIDE";

// P6. Fails when `shutdown_background` in `run` in src/run.rs is removed.
#[test]
fn each_action_meets_each_fault_of_the_name_service() {
    if env::var_os(INSIDE).is_some() {
        return meet_each_fault_of_the_name_service();
    }
    // Only where this process is root of a network of its own may it serve port 53, and bind files over /etc.
    let inside = Command::new("/usr/bin/unshare")
        .args(["--map-root-user", "--mount", "--net", "/bin/sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "matrix::each_action_meets_each_fault_of_the_name_service"])
        .env(INSIDE, "")
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&inside.stdout), String::from_utf8_lossy(&inside.stderr));
    assert!(inside.status.success() && told.contains("1 passed"), "{told}");
}

fn meet_each_fault_of_the_name_service() {
    let rows: Vec<_> = rows().into_iter().filter(|row| matches!(row.trouble, Trouble::Lookup(_))).enumerate().collect();
    for (_, row) in &rows {
        if let Trouble::Lookup(lookup) = row.trouble {
            dns::serve(name_server(lookup), lookup);
        }
    }
    each_at_once(&rows, check);
}

#[test]
fn what_is_wrong_with_tls_is_told_with_the_host_and_the_remedy() {
    let cases = [
        (Flaw::Expired, ["its certificate has expired", "this machine's clock"]),
        (Flaw::Early, ["its certificate is not valid yet", "this machine's clock"]),
        (Flaw::OtherName, ["its certificate is for another name", "look whether its URL is right"]),
        (Flaw::UnknownAuthority, ["its certificate is signed by an unknown CA", "AWS_CA_BUNDLE"]),
        (Flaw::Plain, ["not TLS", "http://"]),
    ];
    each_at_once(&cases, |&(flaw, told)| {
        let row = Row { side: Side::Ec2, name: String::new(), trouble: Trouble::Tls(flaw), ends: FAIL };
        let (_, ended) = run(&row, "status", ME, 2.0);
        ended.tells(&["no connection to localhost: "]);
        ended.tells(&told);
    });
}

const BEGIN: &str = "<!-- the table of tests/it/matrix.rs -->\n";
const END: &str = "<!-- its end -->\n";

fn document() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md")
}

/// A row for each way in which calls end, with all the faults that they meet so.
fn table() -> String {
    let mut faults: BTreeMap<(Side, Ends), Vec<String>> = BTreeMap::new();
    for row in rows() {
        faults.entry((row.side, row.ends)).or_default().push(row.name);
    }
    let mut text = "| at fault | status | start | stop | faults |\n|---|---|---|---|---|\n".to_owned();
    for ((side, [here, elsewhere, start, stop]), names) in faults {
        let side = match side {
            Side::Ec2 => "EC2, or the way there",
            Side::Id => "the metadata service, asked for the id",
            Side::Keys => "the metadata service, asked for keys",
        };
        let status = if here == elsewhere { cell(here) } else { format!("{} or {}", cell(here), cell(elsewhere)) };
        text += &format!("| {side} | {status} | {} | {} | {} |\n", cell(start), cell(stop), names.join("; "));
    }
    text
}

fn cell(End(stdout, code, changes): End) -> String {
    let word = stdout.lines().last().unwrap_or_default().trim_start_matches("elastic-ip remapper: ");
    let word = word.replace(&format!(" to {ME}"), "").replace(&format!(" with {ME}"), "").replace(" 203.0.113.25", "");
    let changes = match changes {
        0 => String::new(),
        1 => ", 1 change".to_owned(),
        AGAIN => ", the change again and again".to_owned(),
        more => format!(", {more} changes"),
    };
    format!("`{word}` {code}{changes}")
}

fn split(text: &str) -> (&str, &str, &str) {
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    (before, table, after)
}

#[test]
fn the_document_has_this_table() {
    let text = fs::read_to_string(document()).unwrap();
    let (before, shown, after) = split(&text);
    if env::var_os("WRITE_TABLE").is_some() {
        return fs::write(document(), format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
    }
    assert_eq!(shown, table(), "run: WRITE_TABLE=1 cargo test --test it the_document_has_this_table");
}
