//! What happened and what to do about it, which stay two parts until they are printed.

use std::borrow::Cow;
use std::fmt;

/// One line for a person, in two parts. Only the first may hold what a peer said: nothing that EC2, a file or the environment says
/// becomes advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What happened, and to what.
    pub what: String,
    /// What to do about it, where that is known.
    pub(crate) remedy: Option<Cow<'static, str>>,
}

impl Message {
    /// With something to do about it.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), remedy: Some(remedy.into()) }
    }

    /// The same, of this place.
    #[must_use]
    pub(crate) fn at(self, place: impl fmt::Display) -> Self {
        Self { what: format!("{place}: {}", self.what), ..self }
    }

    /// The same, with something to do about it where nothing is known yet.
    #[must_use]
    pub(crate) fn or_advise(self, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { remedy: self.remedy.or_else(|| Some(remedy.into())), ..self }
    }
}

impl From<String> for Message {
    fn from(what: String) -> Self {
        Self { what, remedy: None }
    }
}

impl From<&str> for Message {
    fn from(what: &str) -> Self {
        Self::from(what.to_owned())
    }
}

/// Both parts in one line.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl std::error::Error for Message {}
