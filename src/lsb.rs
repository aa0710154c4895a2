//! The exit codes of an LSB init script
//! (<https://refspecs.linuxbase.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/iniscrptact.html>).

use crate::cli::{Misuse, UsageError};
use crate::report::{Report, Style, Summary};
use crate::run::Done;
use crate::session::{Kind, SetupError};

/// The exit code of status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StatusCode {
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
pub(crate) enum ActionCode {
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

impl From<Summary> for StatusCode {
    fn from(summary: Summary) -> Self {
        match summary {
            Summary::Held => Self::Running,
            Summary::NotHeld => Self::Stopped,
            Summary::Unknown => Self::Unknown,
        }
    }
}

impl From<Summary> for ActionCode {
    fn from(summary: Summary) -> Self {
        match summary {
            Summary::Held | Summary::NotHeld => Self::Done,
            Summary::Unknown => Self::Failed,
        }
    }
}

impl From<&SetupError> for ActionCode {
    fn from(error: &SetupError) -> Self {
        match error.kind {
            Kind::NotConfigured | Kind::NoCredentials => Self::NotConfigured,
            Kind::NotAllowed => Self::NotAllowed,
            Kind::Unavailable => Self::Failed,
        }
    }
}

/// The code of a call that is answered in this style. A status has its own codes, also where the call itself is wrong.
fn code(style: Style, as_action: ActionCode, as_status: StatusCode) -> u8 {
    match style {
        Style::Action | Style::Silent => as_action.into(),
        Style::Status | Style::Json => as_status.into(),
    }
}

/// A call that could not be understood.
#[must_use]
pub fn misuse(error: UsageError) -> Report {
    match error.kind {
        Misuse::BadArguments(style) => {
            Report::of_no_address(style, code(style, ActionCode::BadArguments, StatusCode::Unknown), error.message)
        }
        Misuse::UnknownAction => Report::of_no_address(Style::Action, ActionCode::UnknownAction, error.message),
    }
}

/// A call that was understood.
#[must_use]
pub fn report(style: Style, result: Result<Done, SetupError>) -> Report {
    let code = match &result {
        Ok(done) => code(style, Summary::of(done).into(), Summary::of(done).into()),
        Err(error) => code(style, error.into(), StatusCode::Unknown),
    };
    Report::of(style, code, result)
}

/// What a question was answered, for stdout, and whether all is well; or why there is no answer.
#[must_use]
pub fn answered(answer: Result<(String, bool), SetupError>) -> Report {
    match answer {
        Ok((stdout, true)) => Report::new(stdout, vec![], ActionCode::Done),
        Ok((stdout, false)) => Report::new(stdout, vec![], ActionCode::Failed),
        Err(error) => Report::of_error(Style::Action, ActionCode::from(&error), error),
    }
}
