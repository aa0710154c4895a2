//! The faults, and how each action ends that meets one.

use crate::stage::dns::Lookup;
use crate::stage::stdout::{ASSOCIATED, DISOWNED, NO_KEYS, NOT_DISOWNED, NOT_MAPPED, NOT_MAPPED_HERE, RUNNING, STOPPED, UNKNOWN};
use crate::stage::tls::Flaw;
use crate::stage::{Answer, Fault, mine};

/// Where the fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// EC2, or the way there.
    Ec2,
    /// The metadata service, asked for the instance's id.
    Id,
    /// The metadata service, asked for the role's keys.
    Keys,
}

/// What is wrong for as long as the call lasts.
#[derive(Clone, Debug)]
pub enum Trouble {
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
pub struct End(pub &'static str, pub i32, pub usize);

/// A change is sent again until the deadline.
pub const AGAIN: usize = usize::MAX;

/// How status ends with the address here, and elsewhere; a start with the address at a peer; a stop with the address here.
pub type Ends = [End; 4];

pub const FAIL: Ends = [End(UNKNOWN, 4, 0), End(UNKNOWN, 4, 0), End(NOT_MAPPED, 1, 0), End(NOT_DISOWNED, 1, 0)];
const FAIL_NAMELESS: Ends = [End(UNKNOWN, 4, 0), End(UNKNOWN, 4, 0), End(NOT_MAPPED_HERE, 1, 0), End(NOT_DISOWNED, 1, 0)];
const LACK_KEYS: Ends = [End(NO_KEYS, 4, 0), End(NO_KEYS, 4, 0), End(NO_KEYS, 6, 0), End(NO_KEYS, 6, 0)];
pub const SUCCEED: Ends = [End(RUNNING, 0, 0), End(STOPPED, 3, 0), End(ASSOCIATED, 0, 1), End(DISOWNED, 0, 1)];
/// A change that EC2 never acknowledges is not done.
const FAIL_AT_THE_CHANGE: Ends = [End(RUNNING, 0, 0), End(STOPPED, 3, 0), End(NOT_MAPPED, 1, AGAIN), End(NOT_DISOWNED, 1, AGAIN)];
const SUCCEED_AT_THE_SECOND: Ends = [End(RUNNING, 0, 0), End(STOPPED, 3, 0), End(ASSOCIATED, 0, 2), End(DISOWNED, 0, 2)];

#[derive(Clone, Debug)]
pub struct Row {
    pub side: Side,
    pub name: String,
    pub trouble: Trouble,
    pub ends: Ends,
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
pub fn passing_answers() -> Vec<(String, Answer)> {
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

pub fn rows() -> Vec<Row> {
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
