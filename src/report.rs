//! The answer to a call: what became of each address, in the article's words or in JSON, the lines beside stdout, and how to exit.

mod document;

use std::process::ExitCode;

use crate::ids::InstanceId;
use crate::message::Message;
use crate::run::{AddressOutcome, Done};
use crate::session::{Kind, SetupError};
use crate::takeover::Outcome;
use crate::takeover::operation::Act;

const NAME: &str = "elastic-ip remapper";

/// How a call is answered on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line for each address: what became of it.
    Action,
    /// A line for each address, and one word for all of them: running, stopped or unknown.
    Status,
    /// A status in JSON.
    Json,
    /// Nothing.
    Silent,
}

/// What the outcomes of all addresses come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Summary {
    /// Every address is this instance's.
    Held,
    /// What became of each is known, and some address is not this instance's.
    NotHeld,
    /// With some address the call failed, or it is not known what became of it.
    Unknown,
}

impl Summary {
    /// The one place where several addresses become one answer.
    #[must_use]
    pub(crate) fn of(done: &Done) -> Self {
        let mut outcomes = done.addresses.iter().map(|address| &address.outcome);
        if outcomes.clone().any(Result::is_err) {
            Self::Unknown
        } else if outcomes.all(|outcome| matches!(outcome, Ok(Outcome::Held))) {
            Self::Held
        } else {
            Self::NotHeld
        }
    }

    /// The line by which Heartbeat judges.
    fn closing_line(self) -> &'static str {
        match self {
            Self::Held => "running\n",
            Self::NotHeld => "stopped\n",
            Self::Unknown => "unknown\n",
        }
    }
}

/// What to print and how to exit.
#[derive(Debug)]
pub struct Report {
    /// The lines for stdout.
    pub stdout: String,
    /// The lines for stderr and syslog that say what is wrong.
    pub complaints: Vec<Message>,
    /// The lines for stderr and syslog that explain what is right.
    pub notes: Vec<String>,
    /// How to exit.
    code: u8,
}

impl Report {
    /// Without a line that explains what is right.
    #[must_use]
    pub(crate) fn new(stdout: String, complaints: Vec<Message>, code: impl Into<u8>) -> Self {
        Self { stdout, complaints, notes: Vec::new(), code: code.into() }
    }

    /// A call that came to an end, or not even to a beginning.
    #[must_use]
    pub(crate) fn of(style: Style, code: impl Into<u8>, result: Result<Done, SetupError>) -> Self {
        match result {
            Ok(done) => Self::of_addresses(style, code, &done),
            Err(error) => Self::of_error(style, code, error),
        }
    }

    /// A call in which no address was looked at, for this reason.
    #[must_use]
    pub(crate) fn of_error(style: Style, code: impl Into<u8>, error: SetupError) -> Self {
        if error.kind != Kind::NoCredentials {
            return Self::of_no_address(style, code, error.message);
        }
        let remedy = "give the instance a role, or put access key id and secret key on two lines of /root/.awssecret and run: chmod 600 \
                      /root/.awssecret";
        let report = Self::of_no_address(style, code, error.message.or_advise(remedy));
        // The article's script says it on stdout.
        match style {
            Style::Action | Style::Status => Self { stdout: format!("{NAME}: cannot find ~/.awssecret or /root/.awssecret\n"), ..report },
            Style::Json | Style::Silent => report,
        }
    }

    /// The same, where all there is to say is this line.
    #[must_use]
    pub(crate) fn of_no_address(style: Style, code: impl Into<u8>, line: Message) -> Self {
        let stdout = match style {
            Style::Action | Style::Silent => String::new(),
            Style::Status => Summary::Unknown.closing_line().to_owned(),
            Style::Json => document::of_nothing(),
        };
        Self::new(stdout, vec![line], code)
    }

    fn of_addresses(style: Style, code: impl Into<u8>, done: &Done) -> Self {
        let mut report = Self::new(String::new(), vec![], code);
        for AddressOutcome { target, outcome, .. } in &done.addresses {
            match outcome {
                Err(why) if style == Style::Action => report.complaints.push(why.clone().at(target)),
                Err(why) => report.complaints.push(why.clone().at(format!("{target}: cannot tell who has it"))),
                Ok(Outcome::HandedOver) if style != Style::Action => {
                    report.notes.push(format!("{target}: stopped here, and left with this instance until a peer takes it"));
                }
                Ok(_) => {}
            }
        }
        report.stdout = match style {
            Style::Action => words(done),
            Style::Status => words(done) + Summary::of(done).closing_line(),
            Style::Json => document::of(done),
            Style::Silent => String::new(),
        };
        report
    }

    /// The code to leave with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// A line for each address, in the article's words.
fn words(done: &Done) -> String {
    let me = done.me.as_ref().map_or_else(|| "this instance".to_owned(), InstanceId::to_string);
    let line = |AddressOutcome { target, outcome, .. }: &AddressOutcome| {
        let name = &target.name;
        Some(match (done.act, outcome) {
            (_, Ok(Outcome::DryRun)) | (Act::Status, Err(_)) => return None,
            (Act::Start, Ok(Outcome::Held)) => format!("{NAME}: IP {name} associated with {me}\n"),
            (Act::Start, Err(_)) => format!("{NAME}: Could not map IP {name} to {me}\n"),
            (Act::Stop, Ok(Outcome::Released | Outcome::HandedOver)) => format!("{NAME}: IP {name} disowned\n"),
            (Act::Stop, Err(_)) => format!("{NAME}: Could not disown {name}\n"),
            (_, Ok(Outcome::Held | Outcome::HandedOver)) => format!("{NAME}: I have {name}\n"),
            (_, Ok(Outcome::NotHeld | Outcome::Released)) => format!("{NAME}: I do not have {name}\n"),
        })
    };
    done.addresses.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(act: Act, outcomes: &[Result<Outcome, &str>]) -> Done {
        let address = |(number, outcome): (usize, &Result<Outcome, &str>)| AddressOutcome {
            target: format!("203.0.113.{number}").parse().unwrap(),
            outcome: (*outcome).map_err(Message::from),
            owner: None,
        };
        Done { act, me: None, addresses: outcomes.iter().enumerate().map(address).collect(), interrupted: false }
    }

    #[test]
    fn several_addresses_come_to_one_answer() {
        let (held, not_held, left, unknown) = (Ok(Outcome::Held), Ok(Outcome::NotHeld), Ok(Outcome::HandedOver), Err("silence"));
        for (outcomes, summary, word) in [
            (vec![held, held], Summary::Held, "running"),
            (vec![held, not_held], Summary::NotHeld, "stopped"),
            (vec![left, held], Summary::NotHeld, "stopped"),
            (vec![unknown, not_held], Summary::Unknown, "unknown"),
            (vec![held, unknown], Summary::Unknown, "unknown"),
        ] {
            let done = done(Act::Status, &outcomes);
            assert_eq!(Summary::of(&done), summary, "{outcomes:?}");
            let report = Report::of(Style::Status, 0, Ok(done));
            assert_eq!(report.stdout.lines().last(), Some(word), "{outcomes:?}");
            assert_eq!(report.complaints.len(), outcomes.iter().filter(|outcome| outcome.is_err()).count());
        }
    }

    #[test]
    fn an_action_says_nothing_of_who_has_the_address_where_that_is_not_known() {
        let report = Report::of(Style::Action, 1, Ok(done(Act::Status, &[Err("silence"), Ok(Outcome::HandedOver)])));
        assert_eq!(report.stdout, "elastic-ip remapper: I have 203.0.113.1\n");
        assert_eq!(report.complaints[0].to_string(), "203.0.113.0: silence");
        assert!(report.notes.is_empty());
    }
}
