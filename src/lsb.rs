//! What became of a call, in the article's words and the codes of an LSB init script
//! (<https://refspecs.linuxbase.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/iniscrptact.html>).

mod document;

use std::process::ExitCode;

use crate::cli::{Action, Misuse};
use crate::message::Message;
use crate::run::Done;
use crate::session::SetupError;
use crate::takeover::Outcome;

const NAME: &str = "elastic-ip remapper";

/// The exit code of status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StatusCode {
    /// Every address is this instance's.
    Running = 0,
    /// Some address is not this instance's.
    Stopped = 3,
    /// It is not known.
    Unknown = 4,
}

/// The exit code of every other action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ActionCode {
    /// It is done.
    Done = 0,
    /// It could not be done, or it is not known whether it was.
    Failed = 1,
    /// The arguments are wrong.
    BadArguments = 2,
    /// There is no such action.
    UnknownAction = 3,
    /// The caller may not do it.
    NotAllowed = 4,
    /// The configuration is missing or wrong.
    NotConfigured = 6,
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
    pub code: u8,
}

impl Report {
    /// Without a line that explains what is right.
    #[must_use]
    pub fn new(stdout: String, complaints: Vec<Message>, code: impl Into<u8>) -> Self {
        Self { stdout, complaints, notes: Vec::new(), code: code.into() }
    }

    /// The code to leave with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<StatusCode> for u8 {
    fn from(code: StatusCode) -> Self {
        code as Self
    }
}

impl From<ActionCode> for u8 {
    fn from(code: ActionCode) -> Self {
        code as Self
    }
}

/// A call that could not be understood.
#[must_use]
pub fn misuse(misuse: Misuse) -> Report {
    match misuse {
        Misuse::Asked(text) => Report::new(text, vec![], ActionCode::Done),
        Misuse::BadArguments(text) => Report::new(String::new(), vec![text], ActionCode::BadArguments),
        Misuse::BadStatusArguments { line, json: false } => Report::new("unknown\n".to_owned(), vec![line], StatusCode::Unknown),
        Misuse::BadStatusArguments { line, json: true } => Report::new(document::of_nothing(), vec![line], StatusCode::Unknown),
        Misuse::UnknownAction(text) => Report::new(String::new(), vec![text], ActionCode::UnknownAction),
    }
}

/// A status, for machines: the same but for stdout.
#[must_use]
pub fn status_document(done: Result<Done, SetupError>) -> Report {
    let stdout = done.as_ref().map_or_else(|_| document::of_nothing(), document::of);
    Report { stdout, ..report(Action::Status, done) }
}

/// What a question was answered, for stdout, or why it cannot be.
#[must_use]
pub fn answered(answer: Result<(String, bool), SetupError>) -> Report {
    match answer {
        Ok((stdout, true)) => Report::new(stdout, vec![], ActionCode::Done),
        Ok((stdout, false)) => Report::new(stdout, vec![], ActionCode::Failed),
        Err(error) => errord(Action::Start, error),
    }
}

/// A call that was understood.
#[must_use]
pub fn report(action: Action, done: Result<Done, SetupError>) -> Report {
    match done {
        Ok(done) if action == Action::Status => status(&done),
        Ok(done) => acted(action, &done),
        Err(error) => errord(action, error),
    }
}

fn errord(action: Action, error: SetupError) -> Report {
    let (stdout, complaint, code) = match error {
        SetupError::NotConfigured(line) => (String::new(), line, ActionCode::NotConfigured),
        SetupError::NotAllowed(line) => (String::new(), line, ActionCode::NotAllowed),
        SetupError::Unavailable(line) => (String::new(), line, ActionCode::Failed),
        SetupError::NoCredentials => (
            format!("{NAME}: cannot find ~/.awssecret or /root/.awssecret\n"),
            Message::new(
                "no credentials in any place",
                "give the instance a role, or put access key id and secret key on two lines of /root/.awssecret and run: chmod 600 \
                 /root/.awssecret",
            ),
            ActionCode::NotConfigured,
        ),
    };
    if action != Action::Status {
        return Report::new(stdout, vec![complaint], code);
    }
    let stdout = if stdout.is_empty() { "unknown\n".to_owned() } else { stdout };
    Report::new(stdout, vec![complaint], StatusCode::Unknown)
}

fn status(done: &Done) -> Report {
    let mut stdout = String::new();
    let mut complaints = Vec::new();
    let mut notes = Vec::new();
    let mut code = StatusCode::Running;
    for (target, outcome) in &done.outcomes {
        let (has, this) = match outcome {
            Ok(Outcome::Held) => ("I have", StatusCode::Running),
            Ok(Outcome::HandedOver) => {
                notes.push(format!("{target}: stopped here, and left with this instance until a peer takes it"));
                ("I have", StatusCode::Stopped)
            }
            Ok(_) => ("I do not have", StatusCode::Stopped),
            Err(why) => {
                complaints.push(why.clone().at(format!("{target}: cannot tell who has it")));
                code = StatusCode::Unknown;
                continue;
            }
        };
        stdout.push_str(&format!("{NAME}: {has} {}\n", target.name));
        if code == StatusCode::Running {
            code = this;
        }
    }
    stdout.push_str(match code {
        StatusCode::Running => "running\n",
        StatusCode::Stopped => "stopped\n",
        StatusCode::Unknown => "unknown\n",
    });
    Report { notes, ..Report::new(stdout, complaints, code) }
}

fn acted(action: Action, done: &Done) -> Report {
    let mut stdout = String::new();
    let mut complaints = Vec::new();
    let mut code = ActionCode::Done;
    let me = done.me.as_ref().map_or_else(|| "this instance".to_owned(), ToString::to_string);
    let starting = matches!(action, Action::Start | Action::Restart);
    for (target, outcome) in &done.outcomes {
        let name = &target.name;
        let line = match outcome {
            Ok(Outcome::DryRun) => continue,
            Ok(Outcome::Held) if starting => format!("IP {name} associated with {me}"),
            Ok(Outcome::Held) => format!("I have {name}"),
            Ok(Outcome::HandedOver) if action != Action::Stop => format!("I have {name}"),
            Ok(Outcome::Released | Outcome::HandedOver) => format!("IP {name} disowned"),
            Ok(Outcome::NotHeld) => format!("I do not have {name}"),
            Err(why) => {
                code = ActionCode::Failed;
                complaints.push(why.clone().at(target));
                match action {
                    Action::Start | Action::Restart => format!("Could not map IP {name} to {me}"),
                    Action::Stop => format!("Could not disown {name}"),
                    _ => continue,
                }
            }
        };
        stdout.push_str(&format!("{NAME}: {line}\n"));
    }
    Report::new(stdout, complaints, code)
}
