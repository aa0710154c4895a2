//! The parsers, with made-up inputs and with the inputs that fuzzing found.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod inputs;
mod shell;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use inputs::{ODD, document, element, holds, leaf, perhaps_damaged, text_of_parts};

use crate::properties::{self, IP, ME};

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
