//! An error: its kind, by which the program goes, and the message that is printed.

use std::borrow::Cow;
use std::fmt;

use crate::message::Message;

/// Each module has kinds of its own. What depends on them, an exit code or whether to try again, is decided where it is needed; the
/// message of a cause is handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure<Kind> {
    /// What it means for the program.
    pub kind: Kind,
    /// What happened, with the place, and what to do about it; never a secret.
    pub message: Message,
}

impl<Kind> Failure<Kind> {
    /// Of this kind, for this reason.
    pub(crate) fn new(kind: Kind, reason: impl Into<Message>) -> Self {
        Self { kind, message: reason.into() }
    }

    /// The same failure, as another module sees it.
    pub(crate) fn map<Other>(self, kind: impl FnOnce(Kind) -> Other) -> Failure<Other> {
        Failure { kind: kind(self.kind), message: self.message }
    }

    /// The same, with something to do about it where nothing is known yet.
    pub(crate) fn or_advise(self, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { message: self.message.or_advise(remedy), ..self }
    }
}

impl<Kind> fmt::Display for Failure<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl<Kind: fmt::Debug> std::error::Error for Failure<Kind> {}

impl<Kind> From<Failure<Kind>> for Message {
    fn from(failure: Failure<Kind>) -> Self {
        failure.message
    }
}
