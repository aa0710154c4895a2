//! What may be typed: `[ADDRESS[@INTERFACE]…] ACTION` and the options.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;

use crate::config::Sources;
use crate::escape::printable;
use crate::failure::Failure;
use crate::ids::Target;
use crate::message::Message;
use crate::report::Style;
use crate::run::Request;
use crate::takeover::operation::Act;

/// A command line that was understood.
#[derive(Debug)]
pub struct CommandLine {
    /// What it asks for.
    pub call: Call,
    /// Tell each request and how long it took.
    pub verbose: bool,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Call {
    /// To act on addresses, or to ask for their status; and how to answer that.
    Act(Request, Style),
    /// To tell whether this machine is ready to act.
    Check {
        /// For which configuration.
        sources: Sources,
        /// Answer in JSON.
        json: bool,
    },
    /// To tell which permissions it needs for that.
    Policy(Sources),
    /// To print this, the help or the version.
    Text(String),
}

/// Why a command line cannot be understood.
pub(crate) type UsageError = Failure<Misuse>;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// The arguments, of a call that wants to be answered in this style.
    BadArguments(Style),
    /// The action is none that this program knows.
    UnknownAction,
}

/// Keeps an EC2 Elastic IP on the live one of two instances.
#[derive(Parser)]
#[command(
    version,
    override_usage = "elastic-ip [OPTIONS] [ADDRESS[@INTERFACE]]… ACTION",
    after_help = "\
Actions:
  start         make the address this instance's
  stop          let go of the address, if it is this instance's
  status        say whether it is: exit 0 running, 3 stopped, 4 unknown
  restart       the same as start: nothing is released first
  try-restart, force-reload
                do nothing: the configuration is read afresh at each call
  check         say whether this machine is ready to take the address: exit 0 or 1
  policy        print the IAM policy that the addresses need

Addresses replace ELASTIC_IP of /etc/default/elastic-ip. INTERFACE is a name (eth1),
an id (eni-…) or a private address (10.0.0.5). See elastic-ip(8)."
)]
struct Words {
    /// Elastic IPs, then what to do with them (the action may also come first)
    #[arg(value_name = "WORD", required = true, value_parser = NonEmptyStringValueParser::new())]
    call: Vec<String>,
    /// Read this file instead of /etc/default/elastic-ip
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look for /etc, /root, /run and /sys below this folder
    #[arg(long, value_name = "DIR", default_value = "/", hide_default_value = true)]
    root: PathBuf,
    /// Say what would be called, and call nothing that changes anything
    #[arg(long)]
    dry_run: bool,
    /// Leave the address where it is if anybody has it; for start
    #[arg(long)]
    if_free: bool,
    /// Answer in JSON; for status and check
    #[arg(long)]
    json: bool,
    /// Tell each request and how long it took
    #[arg(long)]
    verbose: bool,
}

#[derive(Clone, Copy)]
enum Verb {
    Act(Act, Style),
    Check,
    Policy,
}

impl Verb {
    /// What an LSB init script's words come to here, and the words of this program's own.
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            // Nothing is released before a restart, so that there is no gap.
            "start" | "restart" => Self::Act(Act::Start, Style::Action),
            "stop" => Self::Act(Act::Stop, Style::Action),
            "status" => Self::Act(Act::Status, Style::Status),
            // Nothing to do: the configuration is read afresh at each call, an address that is held needs no restart, and one that is
            // not held stays where it is.
            "try-restart" | "force-reload" => Self::Act(Act::Status, Style::Action),
            "check" => Self::Check,
            "policy" => Self::Policy,
            _ => return None,
        })
    }
}

/// Reads the command line, the program's own name first.
pub fn parse(arguments: Vec<OsString>) -> Result<CommandLine, UsageError> {
    // A status call must be answered as one, even when nothing else about it can be understood.
    let has = |wanted: &str| arguments.iter().skip(1).any(|word| word == wanted);
    let style = match (has("status"), has("--json")) {
        (true, true) => Style::Json,
        (true, false) => Style::Status,
        (false, _) => Style::Action,
    };
    let bad = |line: Message| UsageError::new(Misuse::BadArguments(style), line);
    let words = match Words::try_parse_from(arguments) {
        Ok(words) => words,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                return Ok(CommandLine { call: Call::Text(error.to_string()), verbose: false });
            }
            ErrorKind::MissingRequiredArgument => return Err(bad(Message::new("no action given", ACTIONS))),
            _ => return Err(bad(one_line(&error))),
        },
    };
    let (word, verb, addresses) = split(&words.call).ok_or_else(|| {
        let last = words.call.last().map(String::as_str).unwrap_or_default();
        if last.parse::<Target>().is_ok() {
            let message = Message::new(format!("no action given after {last}"), ACTIONS);
            UsageError::new(Misuse::BadArguments(Style::Action), message)
        } else {
            UsageError::new(Misuse::UnknownAction, Message::new(format!("{last:?} is not an action"), ACTIONS))
        }
    })?;
    let targets = Target::list(addresses.iter().map(String::as_str)).map_err(bad)?;
    let Words { config: file, root, dry_run, if_free, json, verbose, .. } = words;
    if if_free && word != "start" {
        return Err(bad("--if-free goes with start only".into()));
    }
    let sources = Sources { file, root, targets, ..Sources::default() };
    let call = match verb {
        Verb::Check => Call::Check { sources, json },
        Verb::Policy => Call::Policy(sources),
        Verb::Act(_, Style::Action) if json => return Err(bad("--json goes with status and check only".into())),
        Verb::Act(act, style) => {
            let style = if json { Style::Json } else { style };
            Call::Act(Request { dry_run, if_free, ..Request::new(act, sources) }, style)
        }
    };
    Ok(CommandLine { call, verbose })
}

const ACTIONS: &str = "use start, stop, status, restart, try-restart, force-reload, check or policy";

/// Heartbeat puts the action last; a person may put it first.
fn split(words: &[String]) -> Option<(&str, Verb, &[String])> {
    let ends = [words.split_last()?, words.split_first()?];
    ends.into_iter().find_map(|(word, others)| Some((word.as_str(), Verb::named(word)?, others)))
}

fn one_line(error: &clap::Error) -> Message {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    Message::new(printable(first.trim_start_matches("error: ")), "see elastic-ip --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &[&str]) -> Result<(Request, Style), UsageError> {
        match read(words)? {
            Call::Act(request, style) => Ok((request, style)),
            question => panic!("{question:?}"),
        }
    }

    fn read(words: &[&str]) -> Result<Call, UsageError> {
        let line = parse(std::iter::once(&"elastic-ip").chain(words).map(OsString::from).collect())?;
        Ok(line.call)
    }

    fn is_bad(words: &[&str], as_style: Style) -> bool {
        read(words).is_err_and(|error| error.kind == Misuse::BadArguments(as_style))
    }

    #[test]
    fn heartbeat_s_order_and_a_person_s_order_mean_the_same() {
        for words in [["203.0.113.25", "start"], ["start", "203.0.113.25"]] {
            let (request, style) = call(&words).unwrap();
            assert_eq!((request.act, style), (Act::Start, Style::Action));
            assert_eq!(request.sources.targets, ["203.0.113.25".parse().unwrap()]);
        }
    }

    #[test]
    fn a_question_is_asked_in_either_order_too() {
        for words in [["203.0.113.25", "check"], ["check", "203.0.113.25"]] {
            assert!(matches!(read(&words), Ok(Call::Check { sources, .. }) if sources.targets.len() == 1));
        }
        assert!(matches!(read(&["policy"]), Ok(Call::Policy(sources)) if sources.targets.is_empty()));
        assert!(matches!(read(&["--json", "check"]), Ok(Call::Check { json: true, .. })));
        assert!(is_bad(&["--json", "start"], Style::Action));
        assert!(is_bad(&["--json", "--bogus", "status"], Style::Json));
    }

    #[test]
    fn the_words_of_an_init_script_come_to_start_stop_and_status() {
        for (word, act, style) in [
            ("restart", Act::Start, Style::Action),
            ("stop", Act::Stop, Style::Action),
            ("status", Act::Status, Style::Status),
            ("try-restart", Act::Status, Style::Action),
            ("force-reload", Act::Status, Style::Action),
        ] {
            let (request, answered) = call(&[word]).unwrap();
            assert_eq!((request.act, answered), (act, style), "{word}");
            assert!(call(&["--if-free", word]).is_err(), "{word}");
        }
        assert!(call(&["--if-free", "start"]).unwrap().0.if_free);
    }

    #[test]
    fn an_address_named_twice_is_one() {
        assert_eq!(call(&["203.0.113.25", "203.0.113.25", "status"]).unwrap().0.sources.targets.len(), 1);
    }

    #[test]
    fn addresses_that_would_displace_each_other_are_misuse() {
        assert!(is_bad(&["203.0.113.25", "203.0.113.26", "start"], Style::Action));
    }

    #[test]
    fn misuse_is_told_apart_by_kind() {
        assert!(is_bad(&[], Style::Action));
        assert!(is_bad(&["203.0.113.25"], Style::Action));
        assert!(is_bad(&["--bogus", "start"], Style::Action));
        assert!(is_bad(&["--bogus", "status"], Style::Status));
        assert!(is_bad(&["256.1.1.1", "status"], Style::Status));
        for words in [&["reload"][..], &["203.0.113.25", "frobnicate"]] {
            assert!(read(words).is_err_and(|error| error.kind == Misuse::UnknownAction));
        }
        for word in ["--help", "--version"] {
            assert!(matches!(read(&[word]), Ok(Call::Text(_))));
        }
    }
}
