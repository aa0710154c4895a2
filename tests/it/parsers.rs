//! The parsers, with made-up inputs, with the inputs that fuzzing found, and the configuration file beside a real shell.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::properties::{self, IP, ME, text_of};
use crate::stage::{folder, share};

/// One byte string for each property, whatever it takes.
type Property = fn(&[u8]) -> bool;

/// Each fuzz target's name and property.
const TARGETS: [(&str, Property); 13] = [
    ("address_word", |input| std::str::from_utf8(input).is_ok_and(properties::address_word)),
    ("associate_answer", properties::associate_answer),
    ("aws_files", properties::aws_files),
    ("aws_params", |input| std::str::from_utf8(input).is_ok_and(properties::aws_params)),
    ("command_line", properties::command_line),
    ("defaults_file", properties::defaults_file),
    ("describe_answer", properties::describe_answer),
    ("disassociate_answer", properties::disassociate_answer),
    ("error_answer", properties::error_answer),
    ("escapes", |input| std::str::from_utf8(input).is_ok_and(properties::escapes)),
    ("metadata_text", properties::metadata_text),
    ("role_json", properties::role_json),
    ("secret_file", properties::secret_file),
];

#[test]
fn every_input_that_fuzzing_found_keeps_its_property() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut files: Vec<_> = fs::read_dir(folder.join("fuzz_targets")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let names: Vec<_> = files.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
    thread::scope(|scope| {
        for (name, property) in TARGETS {
            let corpus = folder.join("corpus").join(name);
            thread::Builder::new()
                .name(name.to_owned())
                .spawn_scoped(scope, move || {
                    let outcomes: Vec<bool> =
                        fs::read_dir(corpus).unwrap().map(|entry| property(&fs::read(entry.unwrap().path()).unwrap())).collect();
                    assert!(outcomes.contains(&true) && outcomes.contains(&false), "the corpus of {name} is one-sided");
                })
                .unwrap();
        }
    });
}

/// Checks a property for this many made-up inputs or a share of them, some of which must be taken and some refused.
fn holds<S: Strategy>(cases: u32, inputs: &S, property: impl Fn(S::Value) -> bool) {
    let cases = cases / u32::try_from(share()).unwrap();
    let outcomes = [Cell::new(0), Cell::new(0)];
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(inputs, |input| {
        let seen = &outcomes[usize::from(property(input))];
        seen.set(seen.get() + 1);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(outcomes.iter().all(|seen| seen.get() >= cases / 100), "refused and taken: {outcomes:?}");
}

/// A text made of these parts.
fn text_of_parts(parts: &'static [&'static str], count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = String> {
    vec(select(parts), count).prop_map(|parts| parts.concat())
}

/// Bytes that are shown as text.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Now and then cut off, or with one byte changed.
fn perhaps_damaged(texts: impl Strategy<Value = String>) -> impl Strategy<Value = Input> {
    (texts, 0..8u8, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, fate, index, byte)| {
        let mut bytes = text.into_bytes();
        match fate {
            0 if !bytes.is_empty() => bytes.truncate(index.index(bytes.len())),
            1 if !bytes.is_empty() => {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            _ => {}
        }
        Input(bytes)
    })
}

/// An element, or now and then something that is nearly one.
fn element(name: impl Strategy<Value = &'static str>, content: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (name, content, 0..24u8).prop_map(|(name, content, form)| match form {
        0 => format!("<{name}><![CDATA[{content}]]></{name}>"),
        1 => format!("<{name}><!-- x -->{content}<!-- y --></{name}>"),
        2 => format!("<{name}> {content}\n</{name}>"),
        3 => format!("<{name}/>"),
        4 => format!("<x:{name} xmlns:x='y' z='1'>{content}</x:{name}>"),
        5 => format!("<{name}>{content}<other/></{name}>"),
        6 => format!("{content}<{name}>"),
        7 => format!("<{name}>{content}</{name}><{name}>{content}</{name}>"),
        _ => format!("<{name}>{content}</{name}>"),
    })
}

fn leaf(name: &'static str, usual: &'static str, unusual: &'static [&'static str]) -> impl Strategy<Value = String> {
    let content = prop_oneof![12 => Just(usual), 1 => select(unusual)].prop_map(str::to_owned);
    prop_oneof![8 => element(Just(name), content), 1 => Just(String::new())]
}

const ODD: &[&str] = &[
    "",
    "i-0bbbbbbbbbbbbbbbb",
    "i-0aaaaaaaaaaaaaaaa running OK",
    "203.0.113.26",
    "&#105;-0aaaaaaaaaaaaaaaa",
    "eni-0bbbbbbbbbbbbbbbb",
    "false",
    "&lt;item>",
];

fn document(root: &'static str, content: impl Strategy<Value = String>) -> impl Strategy<Value = Input> {
    let name = prop_oneof![15 => Just(root), 1 => Just("DescribeInstancesResponse"), 1 => Just("Response")];
    let before = select(&["", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", "<!DOCTYPE a [<!ENTITY b \"c\">]>", "<a/>", " \n"][..]);
    let after = prop_oneof![9 => Just(""), 1 => Just("\n"), 1 => Just("<a/>"), 1 => Just("x")];
    let request = leaf("requestId", "59dbff89-35bd-4eac-99ed-be587EXAMPLE", ODD);
    let whole = (before, element(name, (request, content).prop_map(|(request, rest)| request + &rest)), after);
    perhaps_damaged(whole.prop_map(|(before, root, after)| format!("{before}{root}{after}")))
}

#[test]
fn an_answer_to_a_describe_is_taken_only_for_what_the_whole_document_says() {
    let item = (
        leaf("publicIp", IP, ODD),
        leaf("allocationId", "eipalloc-0123456789abcdef0", ODD),
        prop_oneof![3 => leaf("instanceId", ME, ODD), 1 => Just(String::new())],
        prop_oneof![3 => leaf("associationId", "eipassoc-0123456789abcdef0", ODD), 1 => Just(String::new())],
        prop_oneof![1 => leaf("networkInterfaceId", "eni-0123456789abcdef0", ODD), 1 => Just(String::new())],
        prop_oneof![1 => leaf("tagSet", "<item><key>instanceId</key><value>x</value></item>", ODD), 3 => Just(String::new())],
    )
        .prop_map(|(ip, allocation, instance, association, interface, tags)| {
            [ip, allocation, instance, association, interface, tags].concat()
        });
    let items = (vec(element(Just("item"), item), 0..4), 0..12u8)
        .prop_map(|(items, count)| if count == 0 { items.concat() } else { items.into_iter().take(1).collect() });
    holds(1000, &document("DescribeAddressesResponse", element(Just("addressesSet"), items)), |body| properties::describe_answer(&body.0));
}

#[test]
fn a_change_is_taken_for_done_only_if_a_whole_answer_to_it_says_so() {
    let done = || leaf("return", "true", ODD);
    let id = leaf("associationId", "eipassoc-0123456789abcdef0", ODD);
    let associated = (done(), id).prop_map(|(done, id)| done + &id);
    holds(500, &document("AssociateAddressResponse", associated), |body| properties::associate_answer(&body.0));
    holds(500, &document("DisassociateAddressResponse", done()), |body| properties::disassociate_answer(&body.0));
}

#[test]
fn an_error_answer_is_told_in_one_line_and_is_never_a_success() {
    const CODES: &[&str] =
        &["AuthFailure", "RequestLimitExceeded", "InvalidAssociationID.NotFound", "running OK", "a\nb", "\u{202e}", "&#27;[31m"];
    let error = (leaf("Code", "InvalidAddress.NotFound", CODES), leaf("Message", "no", CODES)).prop_map(|(code, message)| code + &message);
    let body = document("Response", element(Just("Errors"), element(Just("Error"), error)));
    holds(500, &(any::<u8>(), body), |(status, body)| properties::error_answer(&[&[status], body.0.as_slice()].concat()));
}

#[test]
fn a_configuration_file_is_taken_or_refused_with_its_name_in_one_line() {
    const NAMES: &[&str] = &[
        "ELASTIC_IP",
        "AWS_PARAMS",
        "MY_ID",
        "RELEASE_ON_STOP",
        "START_TIMEOUT",
        "STATE_DIR",
        "AWS_REGION",
        "EC2_URL",
        "HTTPS_PROXY",
        "NO_PROXY",
        "OTHER",
    ];
    const VALUES: &[&str] = &[
        "",
        "203.0.113.25",
        "\"203.0.113.25 203.0.113.26\"",
        "--region=eu",
        "$(curl http://169.254.169.254/latest/meta-data/instance-id)",
        "i-0aaaaaaaaaaaaaaaa",
        "no",
        "5",
        "1e99",
        "/run/x",
        "eu-west-1",
        "http://127.0.0.1:1",
        "http://user:pass@[::1",
        "'a",
        "x y",
        "\\",
    ];
    let usual = (select(&["ELASTIC_IP=203.0.113.25\n", "MY_ID=i-0aaaaaaaaaaaaaaaa\n", "RELEASE_ON_STOP=no\n"][..])).prop_map(str::to_owned);
    let odd = (select(NAMES), select(VALUES), select(&["\n", " # x\n", "\r\n", "", "\u{85}\n"][..]))
        .prop_map(|(name, value, end)| format!("{name}={value}{end}"));
    let line = prop_oneof![6 => usual, 1 => odd, 1 => any::<String>().prop_map(|text| format!("# {text}\n"))];
    holds(1000, &perhaps_damaged(vec(line, 0..8).prop_map(|lines| lines.concat())), |content| properties::defaults_file(&content.0));
}

#[test]
fn aws_params_are_taken_or_refused_in_one_line() {
    const PARTS: &[&str] = &[
        "--region",
        "--role",
        "--profile",
        "--secrets-file",
        "=",
        " ",
        "eu",
        "us-east-1",
        "x",
        "'",
        "\"",
        "\\",
        "-v",
        "\u{1b}",
        "\n",
        "é",
    ];
    let option = select(&["--region=eu ", "--profile web ", "--role=a ", "--secrets-file='/a b' "][..]).prop_map(str::to_owned);
    holds(500, &prop_oneof![text_of_parts(PARTS, 0..8), option, any::<String>().prop_map(|text| format!("-{text}"))], |text| {
        properties::aws_params(&text)
    });
}

#[test]
fn keys_are_read_whole_or_refused_without_showing_them() {
    const PARTS: &[&str] = &[
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "\n",
        "\r\n",
        " ",
        ":",
        "machine AWS login ",
        " password ",
        "\u{feff}",
        "\u{7f}",
        "é",
    ];
    let usual = Just("AKIAIOSFODNN7EXAMPLE\nwJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n".to_owned());
    holds(500, &perhaps_damaged(prop_oneof![1 => usual, 3 => text_of_parts(PARTS, 0..8)]), |content| properties::secret_file(&content.0));
}

#[test]
fn a_profiles_keys_are_read_whole_or_refused_without_showing_them() {
    const PARTS: &[&str] = &[
        "[default]\n",
        "[other]\n",
        "[profile other]\n",
        "[default",
        "aws_access_key_id=",
        "aws_secret_access_key = ",
        "aws_session_token=",
        "region=",
        "AKIAIOSFODNN7EXAMPLE\n",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n",
        "eu-west-1\n",
        "\n",
        " ",
        "#",
        ";",
        "=",
        "é",
        "\r\n",
    ];
    let usual = Just(
        "[default]\naws_access_key_id=AKIAIOSFODNN7EXAMPLE\naws_secret_access_key=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n".to_owned(),
    );
    let both = (usual, text_of_parts(PARTS, 0..6), any::<bool>())
        .prop_map(|(usual, text, first)| if first { usual + &text } else { text + &usual });
    holds(500, &perhaps_damaged(both), |content| properties::aws_files(&content.0));
}

#[test]
fn what_the_metadata_service_tells_is_of_the_right_form_or_refused_in_one_line() {
    const PARTS: &[&str] = &["i-0aaaaaaaaaaaaaaaa", "eu-west-1", "a", "-1", " running OK", "\n", " ", "\u{1b}[31m", "é", "<html>", "\0"];
    holds(300, &text_of_parts(PARTS, 1..4).prop_filter("it would only be asked again", |text| !text.trim().is_empty()), |text| {
        properties::metadata_text(text.as_bytes())
    });
}

#[test]
fn an_answer_of_the_metadata_service_that_is_not_text_is_refused() {
    for text in [b"".as_slice(), b" \n", b"i-0aaaaaaaaaaaaaaa\xff"] {
        assert!(!properties::metadata_text(text), "{text:?}");
    }
}

#[test]
fn a_roles_keys_are_read_whole_or_refused_without_showing_them() {
    const VALUES: &[&str] = &[
        "\"AKIAIOSFODNN7EXAMPLE\"",
        "\"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\"",
        "1",
        "null",
        "[\"x\"]",
        "\"\"",
        "\"a\\r\\nb\"",
        "\"Success\"",
        "\"Failed\"",
    ];
    const NAMES: &[&str] = &["Code", "Token", "AccessKeyId", "SecretAccessKey", "Expiration"];
    let odd = vec((select(NAMES), select(VALUES)), 0..3);
    let json = odd.prop_map(|fields| {
        let more: String = fields.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        format!("{{\"AccessKeyId\":\"AKIAIOSFODNN7EXAMPLE\",\"SecretAccessKey\":\"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\"{more}}}")
    });
    holds(500, &perhaps_damaged(json), |text| properties::role_json(&text.0));
}

#[test]
fn the_keys_of_an_assumed_role_are_read_whole_or_refused_without_showing_them() {
    const ODD_KEYS: &[&str] = &["", "a\nb", "&#65;KID", "é", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"];
    let key = |name, usual| leaf(name, usual, ODD_KEYS);
    let keys = (
        key("AccessKeyId", "AKIAIOSFODNN7EXAMPLE"),
        key("SecretAccessKey", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        key("SessionToken", "sEsSiOnToKeNsEsSiOnToKeN=="),
    );
    let inner = keys.prop_map(|(id, secret, token)| id + &secret + &token);
    let nested = element(Just("AssumeRoleResponse"), element(Just("AssumeRoleResult"), element(Just("Credentials"), inner)));
    holds(500, &(prop_oneof![6 => Just(200u16), 1 => Just(403), 1 => Just(500)], perhaps_damaged(nested)), |(status, body)| {
        properties::sts_answer(status, &body.0)
    });
}

#[test]
fn an_address_is_taken_as_it_is_written_or_refused_in_one_line() {
    let near = text_of_parts(&["203", "0", "113", "25", ".", ".", ".", "256", "-", " ", "@eth1", "x", ":"], 5..9);
    let good = any::<[u8; 4]>().prop_map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
    holds(1000, &prop_oneof![near, good, any::<String>()], |word| properties::address_word(&word));
}

#[test]
fn a_command_line_is_taken_or_refused_in_one_line_in_the_codes_of_the_call() {
    const WORDS: &[&str] = &[
        "start",
        "stop",
        "status",
        "203.0.113.25",
        "203.0.113.26",
        "--dry-run",
        "--config",
        "--config=x",
        "--verbose",
        "--help",
        "-",
        "--",
        "--bogus",
        "\u{1b}",
        "x y",
        "",
    ];
    let words = vec(select(WORDS), 0..5).prop_map(|words| words.join("\n"));
    holds(1000, &perhaps_damaged(words), |input| properties::command_line(&input.0));
}

#[test]
fn a_strangers_text_becomes_one_line_of_printable_ascii() {
    let plain = "[!-~]{0,200}";
    holds(1000, &prop_oneof![plain.prop_map(|text| text), vec(any::<char>(), 0..400).prop_map(String::from_iter)], |text| {
        properties::escapes(&text)
    });
}

/// A line that sets `NO_PROXY`, which takes any text, to what a shell reads in many ways.
fn assignment() -> impl Strategy<Value = String> {
    const PLAIN: &[&str] = &[
        "a", "B", "1", "=", "/", ":", ",", ".", "-", "+", "%", "@", "!", "^", "*", "?", "[", "]", "{", "}", "~", "~/", "é", "\u{a0}",
        "\u{3000}", "\u{141}", "\u{2028}", "😀",
    ];
    const ODD: &[&str] = &["\\", "'", "\"", "#", " ", "\t", " #", "$", "`", ";", "&", "|", "<", ">", "(", ")", "\\\n", "\n"];
    let plain = || select(PLAIN).prop_map(str::to_owned);
    let single = vec(prop_oneof![4 => select(PLAIN), 1 => select(&["\\", "\"", "#", " ", "$a", "`", ";", "\t"][..])], 0..4)
        .prop_map(|parts| format!("'{}'", parts.concat()));
    let double =
        vec(prop_oneof![4 => select(PLAIN), 1 => select(&["\\\\", "\\\"", "\\$", "\\`", "\\a", "\\'", "'", "#", " ", ";", "$"][..])], 0..4)
            .prop_map(|parts| format!("\"{}\"", parts.concat()));
    let escaped = select(&["\\ ", "\\\\", "\\'", "\\\"", "\\#", "\\$", "\\;", "\\a", "\\~", "\\é", "\\\t"][..]).prop_map(str::to_owned);
    let piece = prop_oneof![6 => plain(), 3 => single, 3 => double, 3 => escaped, 2 => select(ODD).prop_map(str::to_owned)];
    let before = select(
        &[
            "",
            "",
            "export ",
            " ",
            "\t",
            "export\t ",
            "\u{a0}",
            "export \u{3000}",
            "OTHER='x'\n",
            "# c\n",
            "export A B\n",
            "NO_PROXY=before\n",
        ][..],
    );
    let after = select(&["", "", "\n", " ", " # c", "\t#'\n", "\u{a0}", "\u{2003}\n", "\nexport NO_PROXY\n", "\nOTHER=y\n", "#"][..]);
    (before, vec(piece, 0..6), after).prop_map(|(before, pieces, after)| format!("{before}NO_PROXY={}{after}", pieces.concat()))
}

/// What dash makes of `NO_PROXY` after it has sourced each file, or `None` where it stops before the file's end.
fn sourced_by_dash(contents: &[String]) -> Vec<Option<String>> {
    const SCRIPT: &str = "for number in $(seq $1); do (. ./$number 2>/dev/null; printf '%s' \"$NO_PROXY\" >$number.out); done";
    let folder = folder();
    for (number, content) in (1..).zip(contents) {
        fs::write(folder.path().join(format!("{number}")), content).unwrap();
    }
    // Without a PATH nothing can be run, whatever a file says; seq is therefore counted out here.
    let numbers: String = (1..=contents.len()).map(|number| format!("{number} ")).collect();
    let script = SCRIPT.replace("$(seq $1)", &numbers);
    let mut dash = Command::new("/bin/dash");
    dash.env_clear().env("PATH", "/nonexistent").env("HOME", "/home/me").current_dir(&folder).args(["-c", &script]).stdin(Stdio::null());
    assert!(dash.status().unwrap().success());
    (1..=contents.len()).map(|number| fs::read_to_string(folder.path().join(format!("{number}.out"))).ok()).collect()
}

/// Whatever this program takes, a shell reads the same. It may refuse what a shell would take.
fn assert_read_as_by_dash(contents: Vec<String>) -> usize {
    let (taken, values): (Vec<String>, Vec<String>) =
        contents.into_iter().filter_map(|content| Some((content.clone(), text_of(&content).ok()?))).unzip();
    let mut differences: Vec<String> = Vec::new();
    for ((content, ours), theirs) in taken.iter().zip(values).zip(sourced_by_dash(&taken)) {
        // The program takes the spaces around a value away, whoever put them there.
        if theirs.as_deref().map(str::trim) != Some(ours.as_str()) {
            differences.push(format!("{content:?} is {ours:?} here and {theirs:?} to dash"));
        }
    }
    differences.sort_by_key(String::len);
    assert!(differences.is_empty(), "{} of {}: {:#?}", differences.len(), taken.len(), &differences[..differences.len().min(10)]);
    taken.len()
}

#[test]
fn what_is_taken_of_a_configuration_file_a_shell_reads_the_same() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let lines = (0..1500).map(|_| assignment().new_tree(&mut runner).unwrap().current()).collect();
    let taken = assert_read_as_by_dash(lines);
    assert!(taken > 150, "only {taken} lines were taken");
}

#[test]
fn what_is_taken_of_the_fuzzed_configuration_files_a_shell_reads_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/defaults_file");
    let contents = fs::read_dir(folder).unwrap().filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    // The one command that is understood is not read as a shell would, and must not be run.
    let without_command = contents.filter(|content| !content.contains("meta-data/instance-id")).collect();
    assert!(assert_read_as_by_dash(without_command) > 0);
}

#[test]
fn the_largest_inputs_are_read_in_time() {
    // A file ends at 64 KiB, one in ~/.aws and an answer at 256 KiB; what is larger is refused unread.
    let file = |part: &str| part.repeat(65_536 / part.len()).into_bytes();
    let answer = |part: &str| {
        let fields = part.repeat(260_000 / part.len());
        format!("<DescribeAddressesResponse><a>{fields}</a></DescribeAddressesResponse>").into_bytes()
    };
    let sts: Property = |body| properties::sts_answer(403, body);
    let cases: Vec<(&str, Property, Vec<u8>)> = vec![
        ("short lines", properties::defaults_file, file("A=b # c\n")),
        ("one word", properties::defaults_file, [b"NO_PROXY=".as_slice(), &file("a")[9..]].concat()),
        ("quotes", properties::defaults_file, [b"NO_PROXY=".as_slice(), &file("''")[10..]].concat()),
        ("different names", properties::defaults_file, (0..2000).flat_map(|n| format!("A{n:05}=b\n").into_bytes()).collect()),
        ("sections", properties::aws_files, (0..6000).flat_map(|n| format!("[{n:05}]\n").into_bytes()).collect()),
        ("values", properties::aws_files, (0..6000).flat_map(|n| format!("{n:05}=b\n").into_bytes()).collect()),
        ("words", properties::secret_file, file("a ")),
        ("elements", properties::describe_answer, answer("<item/>")),
        ("text", properties::describe_answer, answer("x")),
        ("references", properties::describe_answer, answer("&lt;")),
        ("comments", properties::describe_answer, answer("<!---->")),
        ("nesting", properties::describe_answer, answer(&("<item>".repeat(29) + &"</item>".repeat(29)))),
        ("deep nesting", properties::describe_answer, answer("<a>")),
        ("attributes", properties::describe_answer, answer("<item a='' b='' c='' d='' e='' f='' g='' h=''/>")),
        ("one element's attributes", properties::describe_answer, {
            let attributes: String = (0..25_000).map(|n| format!(" a{n:05}=''")).collect();
            format!("<DescribeAddressesResponse{attributes}/>").into_bytes()
        }),
        ("one element's namespaces", properties::describe_answer, {
            let attributes: String = (0..14_000).map(|n| format!(" xmlns:a{n:05}='b'")).collect();
            format!("<DescribeAddressesResponse{attributes}><item/></DescribeAddressesResponse>").into_bytes()
        }),
        ("error", properties::error_answer, answer("<Code>x</Code>")),
        ("STS's elements", sts, answer("<Error/>")),
        ("STS's words", sts, format!("<a><Error><Code>{0}</Code><Message>{0}</Message></Error></a>", "x ".repeat(60_000)).into_bytes()),
        ("JSON lists", properties::role_json, b"[".repeat(260_000)),
        ("a role's name", properties::metadata_text, b"a".repeat(260_000)),
    ];
    for (name, property, input) in cases {
        let begun = Instant::now();
        property(&input);
        // Ten times what the slowest takes without optimisation on a busy machine.
        assert!(begun.elapsed() < Duration::from_secs(30), "{name}: {:?}", begun.elapsed());
    }
}
