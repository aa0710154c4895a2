//! One thing that a check looks at, and what it means.

use crate::escape::one_line;
use crate::ids::Target;
use crate::message::Message;

/// What one fact means for a takeover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Worth a thought.
    Warn,
    /// A start would fail.
    Fail,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at. Its texts are one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// What was looked at.
    pub name: &'static str,
    /// Which address it is about, if it is about one.
    pub about: Option<Target>,
    /// What it means.
    pub verdict: Verdict,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Fact {
    pub(super) fn new(name: &'static str, verdict: Verdict, what: &str, remedy: Option<&str>) -> Self {
        Self { name, about: None, verdict, what: one_line(what), remedy: remedy.map(one_line) }
    }

    pub(super) fn ok(name: &'static str, what: &str) -> Self {
        Self::new(name, Verdict::Ok, what, None)
    }

    pub(super) fn warn(name: &'static str, what: &str, remedy: &str) -> Self {
        Self::new(name, Verdict::Warn, what, Some(remedy))
    }

    pub(super) fn fail(name: &'static str, what: &str, remedy: &str) -> Self {
        Self::new(name, Verdict::Fail, what, Some(remedy))
    }

    /// From one of the program's messages.
    pub(super) fn message(name: &'static str, verdict: Verdict, message: impl Into<Message>) -> Self {
        let Message { what, remedy } = message.into();
        Self::new(name, verdict, &what, Some(remedy.as_deref().unwrap_or("see elastic-ip-messages(7)")))
    }

    pub(super) fn about(self, target: &Target) -> Self {
        Self { about: Some(target.clone()), ..self }
    }
}
