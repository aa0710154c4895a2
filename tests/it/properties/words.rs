//! The command line, and strangers' texts made fit for a log.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStringExt;

use elastic_ip::cli::{self, Call, CommandLine, Misuse};
use elastic_ip::escape::{one_line, printable};
use elastic_ip::ids::{Interface, Name, Target};
use elastic_ip::report::Style;
use elastic_ip::run::Request;

use super::{assert_is_fit_for_a_log, assert_is_one_line};

/// One word that should be an address. `true` if it is taken.
pub fn address_word(word: &str) -> bool {
    let read = word.parse::<Target>();
    match &read {
        Ok(target) => {
            assert_eq!(target.to_string(), word);
            let no_host = |ip: &Ipv4Addr| ip.is_unspecified() || ip.is_loopback();
            assert!(!matches!(&target.name, Name::Address(ip) if no_host(ip)));
            match &target.interface {
                Some(Interface::Private(ip)) => assert!(!no_host(ip)),
                // It becomes part of a path.
                Some(Interface::Device(name)) => assert!(!name.contains('/') && !name.is_empty() && name != "." && name != ".."),
                Some(Interface::Id(_)) | None => {}
            }
        }
        Err(line) => {
            assert_is_one_line(line);
            assert!(line.to_string().len() < 1000, "{line}");
        }
    }
    read.is_ok()
}

/// The command line, one word a line. `true` if it is taken.
pub fn command_line(input: &[u8]) -> bool {
    let words: Vec<&[u8]> = if input.is_empty() { vec![] } else { input.split(|&b| b == b'\n').collect() };
    let wants_status = words.contains(&b"status".as_slice());
    let arguments = std::iter::once(b"elastic-ip".as_slice()).chain(words.iter().copied());
    let read = cli::parse(arguments.map(|word| OsString::from_vec(word.to_vec())).collect());
    match &read {
        Ok(CommandLine { call: Call::Text(text), .. }) => {
            assert!(text.contains("elastic-ip"), "{text:?}");
            false
        }
        Ok(CommandLine { call, .. }) => {
            let (Call::Act(Request { sources, .. }, _) | Call::Check { sources, .. } | Call::Policy(sources)) = call else {
                panic!("{call:?}");
            };
            for target in &sources.targets {
                assert!(words.contains(&target.to_string().as_bytes()), "{target} was not named");
            }
            assert!(wants_status || !matches!(call, Call::Act(_, Style::Status | Style::Json)));
            true
        }
        Err(error) => {
            assert_is_one_line(&error.message);
            assert!(wants_status || matches!(error.kind, Misuse::UnknownAction | Misuse::BadArguments(Style::Action)));
            false
        }
    }
}

/// Both ways to escape. `true` if there is nothing to escape.
pub fn escapes(text: &str) -> bool {
    let shown = printable(text);
    if !shown.is_empty() {
        assert_is_fit_for_a_log(&shown);
    }
    assert!(shown.len() <= 1000);
    assert!(!one_line(text).chars().any(char::is_control));
    if text.chars().all(|c| c.is_ascii_graphic()) && text.len() <= 300 {
        assert_eq!((shown.as_str(), one_line(text).as_str()), (text, text));
    }
    shown == text
}
