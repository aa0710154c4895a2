//! Made-up inputs, and how a property is checked on them.

use std::cell::Cell;
use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::stage::share;

/// Checks a property for this many made-up inputs or a share of them, some of which must be taken and some refused.
pub fn holds<S: Strategy>(cases: u32, inputs: &S, property: impl Fn(S::Value) -> bool) {
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
pub fn text_of_parts(parts: &'static [&'static str], count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = String> {
    vec(select(parts), count).prop_map(|parts| parts.concat())
}

/// Bytes that are shown as text.
#[derive(Clone)]
pub struct Input(pub Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Now and then cut off, or with one byte changed.
pub fn perhaps_damaged(texts: impl Strategy<Value = String>) -> impl Strategy<Value = Input> {
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
pub fn element(name: impl Strategy<Value = &'static str>, content: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
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

pub fn leaf(name: &'static str, usual: &'static str, unusual: &'static [&'static str]) -> impl Strategy<Value = String> {
    let content = prop_oneof![12 => Just(usual), 1 => select(unusual)].prop_map(str::to_owned);
    prop_oneof![8 => element(Just(name), content), 1 => Just(String::new())]
}

pub const ODD: &[&str] = &[
    "",
    "i-0bbbbbbbbbbbbbbbb",
    "i-0aaaaaaaaaaaaaaaa running OK",
    "203.0.113.26",
    "&#105;-0aaaaaaaaaaaaaaaa",
    "eni-0bbbbbbbbbbbbbbbb",
    "false",
    "&lt;item>",
];

pub fn document(root: &'static str, content: impl Strategy<Value = String>) -> impl Strategy<Value = Input> {
    let name = prop_oneof![15 => Just(root), 1 => Just("DescribeInstancesResponse"), 1 => Just("Response")];
    let before = select(&["", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", "<!DOCTYPE a [<!ENTITY b \"c\">]>", "<a/>", " \n"][..]);
    let after = prop_oneof![9 => Just(""), 1 => Just("\n"), 1 => Just("<a/>"), 1 => Just("x")];
    let request = leaf("requestId", "59dbff89-35bd-4eac-99ed-be587EXAMPLE", ODD);
    let whole = (before, element(name, (request, content).prop_map(|(request, rest)| request + &rest)), after);
    perhaps_damaged(whole.prop_map(|(before, root, after)| format!("{before}{root}{after}")))
}
