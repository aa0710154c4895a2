//! What may be typed: `[ADDRESS[@INTERFACE]…] ACTION` and the options.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;

use crate::config::Setting;
use crate::escape::printable;
use crate::ids::Target;
use crate::message::Message;

/// What to do, in the words of an LSB init script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the address ours.
    Start,
    /// Stop holding the address.
    Stop,
    /// Say whether the address is ours.
    Status,
    /// Make the address ours; nothing is released first, so that there is no gap.
    Restart,
    /// Do nothing: an address that is held needs no restart, and one that is not held stays where it is.
    TryRestart,
    /// The same as [`Action::TryRestart`]: the configuration is read afresh at each call.
    ForceReload,
}

impl Action {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "start" => Self::Start,
            "stop" => Self::Stop,
            "status" => Self::Status,
            "restart" => Self::Restart,
            "try-restart" => Self::TryRestart,
            "force-reload" => Self::ForceReload,
            _ => return None,
        })
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Call {
    /// To act on addresses, or to ask for their status.
    Act(Invocation),
    /// To tell whether this machine is ready to act.
    Check(Question),
    /// To tell which permissions it needs for that.
    Policy(Question),
}

/// A call that acts on nothing.
#[derive(Debug)]
pub struct Question {
    /// The addresses named, in place of `ELASTIC_IP`'s; may be empty.
    pub targets: Vec<Target>,
    /// The configuration file, where it is not the standard one.
    pub config: Option<PathBuf>,
    /// The folder below which every file of the system is looked for.
    pub root: PathBuf,
    /// Answer in JSON.
    pub json: bool,
    /// Tell each request and how long it took.
    pub verbose: bool,
}

/// One call that acts.
#[derive(Debug)]
pub struct Invocation {
    /// What to do.
    pub action: Action,
    /// The addresses named, in place of `ELASTIC_IP`'s; may be empty.
    pub targets: Vec<Target>,
    /// A cluster manager's parameters, by the names that the configuration file has for them.
    pub parameters: Vec<(&'static str, Setting)>,
    /// How long the call may take, where the caller says so.
    pub limit: Option<Duration>,
    /// The configuration file, where it is not the standard one.
    pub config: Option<PathBuf>,
    /// The folder below which every file of the system is looked for.
    pub root: PathBuf,
    /// Say what would be called, and change nothing.
    pub dry_run: bool,
    /// Leave an address that somebody has where it is; only a start can be so.
    pub if_free: bool,
    /// Answer in JSON; only a status does.
    pub json: bool,
    /// Tell each request and how long it took.
    pub verbose: bool,
}

impl Call {
    /// Whether to tell each request and how long it took.
    #[must_use]
    pub fn verbose(&self) -> bool {
        match self {
            Self::Act(Invocation { verbose, .. }) | Self::Check(Question { verbose, .. }) | Self::Policy(Question { verbose, .. }) => {
                *verbose
            }
        }
    }
}

/// Why there is nothing to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Misuse {
    /// `--help` or `--version` was asked for. Holds the text for stdout.
    Asked(String),
    /// The arguments are wrong. Holds the text for stderr.
    BadArguments(Message),
    /// As [`Misuse::BadArguments`], by a call that asks for the status.
    BadStatusArguments {
        /// The text for stderr.
        line: Message,
        /// Whether the answer is to be JSON.
        json: bool,
    },
    /// The action is none that this program knows. Holds the text for stderr.
    UnknownAction(Message),
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Act(Action),
    Check,
    Policy,
}

impl Verb {
    fn named(word: &str) -> Option<Self> {
        match word {
            "check" => Some(Self::Check),
            "policy" => Some(Self::Policy),
            _ => Action::named(word).map(Self::Act),
        }
    }
}

/// Reads the command line, the program's own name first.
pub fn parse(arguments: Vec<OsString>) -> Result<Call, Misuse> {
    // A status call must answer in a status call's codes, even when nothing else about it can be understood.
    let wants_status = arguments.iter().skip(1).any(|word| word == "status");
    let json = arguments.iter().skip(1).any(|word| word == "--json");
    let bad = |line: Message| if wants_status { Misuse::BadStatusArguments { line, json } } else { Misuse::BadArguments(line) };
    let words = Words::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Misuse::Asked(error.to_string()),
        ErrorKind::MissingRequiredArgument => bad(Message::new("no action given", ACTIONS)),
        _ => bad(one_line(&error)),
    })?;
    let (verb, addresses) = split(&words.call).ok_or_else(|| {
        let last = words.call.last().map(String::as_str).unwrap_or_default();
        if last.parse::<Target>().is_ok() {
            Misuse::BadArguments(Message::new(format!("no action given after {last}"), ACTIONS))
        } else {
            Misuse::UnknownAction(Message::new(format!("{last:?} is not an action"), ACTIONS))
        }
    })?;
    let targets = Target::list(addresses.iter().map(String::as_str)).map_err(bad)?;
    let Words { config, root, dry_run, if_free, json, verbose, .. } = words;
    let question = |targets| Question { targets, config: config.clone(), root: root.clone(), json, verbose };
    match verb {
        verb if if_free && verb != Verb::Act(Action::Start) => Err(bad("--if-free goes with start only".into())),
        Verb::Check => Ok(Call::Check(question(targets))),
        Verb::Policy => Ok(Call::Policy(question(targets))),
        Verb::Act(action) if json && action != Action::Status => Err(bad("--json goes with status and check only".into())),
        Verb::Act(action) => {
            let (parameters, limit) = (Vec::new(), None);
            Ok(Call::Act(Invocation { action, targets, parameters, limit, config, root, dry_run, if_free, json, verbose }))
        }
    }
}

const ACTIONS: &str = "use start, stop, status, restart, try-restart, force-reload, check or policy";

/// Heartbeat puts the action last; a person may put it first.
fn split(words: &[String]) -> Option<(Verb, &[String])> {
    let (last, before) = words.split_last()?;
    if let Some(verb) = Verb::named(last) {
        return Some((verb, before));
    }
    let (first, after) = words.split_first()?;
    Verb::named(first).map(|verb| (verb, after))
}

fn one_line(error: &clap::Error) -> Message {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    Message::new(printable(first.trim_start_matches("error: ")), "see elastic-ip --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &[&str]) -> Result<Invocation, Misuse> {
        match read(words)? {
            Call::Act(invocation) => Ok(invocation),
            question => panic!("{question:?}"),
        }
    }

    fn read(words: &[&str]) -> Result<Call, Misuse> {
        parse(std::iter::once(&"elastic-ip").chain(words).map(OsString::from).collect())
    }

    #[test]
    fn heartbeat_s_order_and_a_person_s_order_mean_the_same() {
        for words in [["203.0.113.25", "start"], ["start", "203.0.113.25"]] {
            let invocation = call(&words).unwrap();
            assert_eq!(invocation.action, Action::Start);
            assert_eq!(invocation.targets, ["203.0.113.25".parse().unwrap()]);
        }
    }

    #[test]
    fn a_question_is_asked_in_either_order_too() {
        for words in [["203.0.113.25", "check"], ["check", "203.0.113.25"]] {
            assert!(matches!(read(&words), Ok(Call::Check(Question { targets, .. })) if targets.len() == 1));
        }
        assert!(matches!(read(&["policy"]), Ok(Call::Policy(Question { targets, .. })) if targets.is_empty()));
        assert!(matches!(read(&["--json", "check"]), Ok(Call::Check(Question { json: true, .. }))));
        assert!(matches!(read(&["--json", "start"]), Err(Misuse::BadArguments(_))));
        assert!(matches!(read(&["--json", "--bogus", "status"]), Err(Misuse::BadStatusArguments { json: true, .. })));
    }

    #[test]
    fn an_address_named_twice_is_one() {
        assert_eq!(call(&["203.0.113.25", "203.0.113.25", "status"]).unwrap().targets.len(), 1);
    }

    #[test]
    fn addresses_that_would_displace_each_other_are_misuse() {
        assert!(matches!(call(&["203.0.113.25", "203.0.113.26", "start"]), Err(Misuse::BadArguments(_))));
    }

    #[test]
    fn misuse_is_told_apart_by_kind() {
        assert!(matches!(call(&[]), Err(Misuse::BadArguments(_))));
        assert!(matches!(call(&["203.0.113.25"]), Err(Misuse::BadArguments(_))));
        assert!(matches!(call(&["--bogus", "start"]), Err(Misuse::BadArguments(_))));
        assert!(matches!(call(&["--bogus", "status"]), Err(Misuse::BadStatusArguments { .. })));
        assert!(matches!(call(&["256.1.1.1", "status"]), Err(Misuse::BadStatusArguments { .. })));
        assert!(matches!(call(&["reload"]), Err(Misuse::UnknownAction(_))));
        assert!(matches!(call(&["203.0.113.25", "frobnicate"]), Err(Misuse::UnknownAction(_))));
        assert!(matches!(call(&["--help"]), Err(Misuse::Asked(_))));
        assert!(matches!(call(&["--version"]), Err(Misuse::Asked(_))));
    }
}
