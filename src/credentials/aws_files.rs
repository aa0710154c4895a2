//! `~/.aws/credentials` and `~/.aws/config`, as botocore puts them together
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>).

use std::collections::HashMap;
use std::path::PathBuf;

use super::ini::{self, Sections, Values};
use super::{Error, Found, Kind, keys, unfit};
use crate::file::{self, TextFile};
use crate::message::Message;

type ByName = HashMap<String, Values>;

/// The tools that write a profile for each account and role of an organization write large files.
const LIMIT: u64 = 256 * 1024;

/// One of the two files.
struct Part {
    path: PathBuf,
    file: TextFile,
    profiles: ByName,
    /// What SSO is asked with, by its names.
    sessions: ByName,
}

/// The two files of one folder, or what is named in their place.
pub(super) struct AwsFiles {
    credentials: Option<Part>,
    config: Option<Part>,
    shown: String,
    /// Why one of them could not be read, where it is there.
    unread: Option<Error>,
}

/// Where the two files are, each with what names it, if anything does.
pub(super) struct Paths {
    /// The credentials.
    pub credentials: (PathBuf, Option<String>),
    /// The settings.
    pub config: (PathBuf, Option<String>),
}

impl AwsFiles {
    /// Reads what is there. A file that is named must be there; another that the caller may not read is remembered.
    pub(super) fn read(paths: &Paths) -> Result<Self, Error> {
        let shown = format!("{} or {}", paths.credentials.0.display(), paths.config.0.display());
        let mut files = Self { credentials: None, config: None, shown, unread: None };
        files.credentials = files.part(&paths.credentials, |sections| (sections.into_iter().collect(), ByName::new()))?;
        files.config = files.part(&paths.config, |sections| (profiles(&sections), sessions(&sections)))?;
        Ok(files)
    }

    fn part(
        &mut self,
        (path, named): &(PathBuf, Option<String>),
        understand: fn(Sections) -> (ByName, ByName),
    ) -> Result<Option<Part>, Error> {
        match (file::read_up_to(LIMIT, path), named) {
            (Ok(file), _) => {
                let sections = ini::parse(&file.text).map_err(|message| {
                    Error::new(Kind::Unfit, Message { what: format!("{} {}", path.display(), message.what), ..message })
                })?;
                let (profiles, sessions) = understand(sections);
                Ok(Some(Part { path: path.clone(), file, profiles, sessions }))
            }
            (Err(error), Some(origin)) if error.kind == file::Kind::Missing => {
                Err(error.map(|_| Kind::Unfit).or_advise(format!("{origin} names it: correct that")))
            }
            (Err(error), None) if error.kind == file::Kind::Missing => Ok(None),
            (Err(error), None) if error.kind == file::Kind::Denied => {
                self.unread = Some(error.into());
                Ok(None)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Why there may be more than was read.
    pub(super) fn unread(&mut self) -> Option<Error> {
        self.unread.take()
    }

    /// The files, for a message.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether the files know a profile. Refuses one whose `sso_session` is not there, as botocore does wherever its keys come from.
    pub(super) fn know(&self, name: &str) -> Result<bool, Error> {
        let Some(profile) = self.profile(name) else { return Ok(false) };
        let Some(session) = profile.get("sso_session") else { return Ok(true) };
        let session = self.config.as_ref().and_then(|part| part.sessions.get(session));
        if session.is_some_and(|session| session.contains_key("sso_start_url") && session.contains_key("sso_region")) {
            return Ok(true);
        }
        let place = profile.place("sso_session");
        Err(unfit(format!("{place}: its sso_session is not there as a whole"), "remove the line, for this program knows no SSO"))
    }

    /// What the files say of a profile, if they know it.
    pub(super) fn profile<'a>(&'a self, name: &'a str) -> Option<Profile<'a>> {
        let of = |part: &'a Option<Part>| Some(part.as_ref()?).filter(|part| part.profiles.contains_key(name));
        let parts = [of(&self.credentials), of(&self.config)];
        parts.iter().any(Option::is_some).then_some(Profile { name, parts })
    }
}

/// A profile in both files.
pub(super) struct Profile<'a> {
    /// Its name.
    pub name: &'a str,
    /// The credentials, which win, and the settings.
    parts: [Option<&'a Part>; 2],
}

impl Profile<'_> {
    /// A value, which may be empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.find(key).map(|(_, value)| value)
    }

    fn find(&self, key: &str) -> Option<(&Part, &str)> {
        self.parts.into_iter().flatten().find_map(|part| Some((part, part.profiles.get(self.name)?.get(key)?.as_str())))
    }

    /// The profile, and the file that has this key of it, for a message.
    pub(super) fn place(&self, key: &str) -> String {
        let part = self.find(key).map(|(part, _)| part).or(self.parts.into_iter().flatten().next());
        part.map_or_else(|| format!("profile {:?}", self.name), |part| self.place_in(part))
    }

    fn place_in(&self, part: &Part) -> String {
        format!("profile {:?} in {}", self.name, part.path.display())
    }

    /// The keys in the credentials.
    pub(super) fn keys_in_credentials(&self) -> Result<Option<Found>, Error> {
        self.keys_in(self.parts[0])
    }

    /// The keys in the settings.
    pub(super) fn keys_in_config(&self) -> Result<Option<Found>, Error> {
        self.keys_in(self.parts[1])
    }

    /// Refuses settings that another user could have written, where they decide whom this program acts for.
    pub(super) fn check_owner(&self, key: &str) -> Result<(), Error> {
        self.find(key).map_or(Ok(()), |(part, _)| Ok(part.file.check_owner()?))
    }

    fn keys_in(&self, part: Option<&Part>) -> Result<Option<Found>, Error> {
        let Some((part, values)) = part.and_then(|part| Some((part, part.profiles.get(self.name)?))) else { return Ok(None) };
        let place = self.place_in(part);
        let value = |name: &str| match values.get(name) {
            Some(text) if text.is_empty() => Err(unfit(format!("{place}: {name} has no value"), "add it")),
            value => Ok(value),
        };
        match (value("aws_access_key_id")?, value("aws_secret_access_key")?) {
            (Some(id), Some(secret)) => {
                // Only now: a file of settings without keys may be open to everybody.
                part.file.check_secrecy()?;
                // The older name wins, even where it has no value.
                let token = values.get("aws_security_token").or(values.get("aws_session_token")).filter(|token| !token.is_empty());
                let keys = keys(&place, id, secret, token.map(String::as_str))?;
                Ok(Some(Found { keys, place: format!("{place}, which only its owner may read") }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(unfit(format!("{place}: aws_secret_access_key is missing"), "add it")),
            (None, Some(_)) => Err(unfit(format!("{place}: aws_access_key_id is missing"), "add it")),
        }
    }
}

/// The profiles among the sections of `~/.aws/config`. Of two for one name, the later counts, as a whole.
fn profiles(sections: &[(String, Values)]) -> ByName {
    let name = |heading: &str| if heading == "default" { Some(heading.to_owned()) } else { second_word(heading, "profile") };
    sections.iter().filter_map(|(heading, values)| Some((name(heading)?, values.clone()))).collect()
}

/// The sessions of SSO among them.
fn sessions(sections: &[(String, Values)]) -> ByName {
    sections.iter().filter_map(|(heading, values)| Some((second_word(heading, "sso-session")?, values.clone()))).collect()
}

/// The second of two words, where the first begins like this.
fn second_word(heading: &str, first: &str) -> Option<String> {
    match words(heading).filter(|_| heading.starts_with(first))?.as_slice() {
        [_, second] => Some(second.clone()),
        _ => None,
    }
}

/// The words of a heading as Python's `shlex` splits them; none where a quote is open. The crate `shell-words` is not it: it knows
/// comments, and more that a backslash can stand before.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(chars.next()?),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '\\' if c == '"' => match chars.next()? {
                            escaped @ ('\\' | '"') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_split_as_shlex_splits_it() {
        for (text, split) in [
            ("profile 'fail over'", &["profile", "fail over"][..]),
            ("profile \"fail over\"", &["profile", "fail over"]),
            ("profile fail\\ over", &["profile", "fail over"]),
            ("profile  #a ", &["profile", "#a"]),
            ("profile 'a'b\"c\\\"\\d\"", &["profile", "abc\"\\d"]),
            ("profile ''", &["profile", ""]),
        ] {
            assert_eq!(words(text).unwrap(), split, "{text:?}");
        }
        for open in ["profile 'a", "profile \"a", "profile a\\"] {
            assert_eq!(words(open), None, "{open:?}");
        }
    }
}
