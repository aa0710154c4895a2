//! What AWS's SDKs read from their variables (<https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>).

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::defaults::{Assignment, Value};
use super::{NAMES, Settings};
use crate::message::Message;

/// The names for the same, in the order in which botocore asks for them.
const PROFILES: [&str; 2] = ["AWS_DEFAULT_PROFILE", "AWS_PROFILE"];

/// Names of keys, which do not belong in a file that everybody can read.
const SECRETS: [&str; 6] =
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "EC2_ACCESS_KEY", "EC2_SECRET_KEY"];

/// Names that are near another one and no misspelling of it.
const OF_THE_SDKS: [&str; 3] = ["AWS_METADATA_SERVICE_NUM_ATTEMPTS", "AWS_EC2_METADATA_V1_DISABLED", "AWS_CREDENTIAL_FILE"];

/// The profile of `~/.aws` that is asked for keys and for the region.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Its name.
    pub name: String,
    /// Whether the name itself is named, so that it must be there.
    pub is_named: bool,
    /// What names it, or the file that it is in. Where something does, keys are looked for nowhere else.
    pub origin: Option<String>,
    /// Whether keys in the environment come before it.
    pub is_after_environment: bool,
}

/// A file that is named in place of the one in `~/.aws`.
#[derive(Clone, Debug)]
pub struct NamedFile {
    /// Its full path, or with [`NamedFile::is_in_home`] the path below a home.
    pub path: PathBuf,
    /// Whether its name began with `~/`.
    pub is_in_home: bool,
    /// What names it.
    pub origin: String,
}

/// Where and how the metadata service is asked.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Its URL.
    pub url: Url,
    /// It is not to be asked.
    pub is_disabled: bool,
    /// How long one question may take, where that is configured.
    pub timeout: Option<Duration>,
}

/// A text as it stands: unlike other values, botocore takes these with the blanks around them.
struct Verbatim {
    text: String,
    origin: String,
    is_in_file: bool,
}

impl Settings<'_> {
    /// What the file sets wins, where it is not empty. The error names a variable that is empty: to botocore it names the profile,
    /// or the file, of no name.
    fn verbatim(&self, names: &[&str]) -> Result<Option<Verbatim>, Message> {
        for name in names {
            if let Some(Assignment { value: Value::Text(text), line, .. }) = self.assigned(name)
                && !text.is_empty()
            {
                let origin = format!("{} line {line}: {name}", self.path.display());
                return Ok(Some(Verbatim { text: text.clone(), origin, is_in_file: true }));
            }
        }
        let Some((name, text)) = names.iter().find_map(|name| Some((name, (self.environment)(name)?))) else { return Ok(None) };
        let origin = format!("environment variable {name}");
        if text.is_empty() {
            return Err(Message::new(format!("{origin} is empty"), "unset it"));
        }
        Ok(Some(Verbatim { text, origin, is_in_file: false }))
    }

    /// The profile, which a parameter or `AWS_PARAMS` may name. `credentials` is the file that is named for it.
    pub(super) fn choice(&self, in_params: Option<&str>, credentials: Option<&NamedFile>) -> Result<Choice, Message> {
        let alone = |name: &str, origin: &str| Choice {
            name: name.to_owned(),
            is_named: true,
            origin: Some(origin.to_owned()),
            is_after_environment: false,
        };
        if let Some(profile) = self.parameter("AWS_PROFILE") {
            return Ok(alone(&profile.text, "parameter profile names it"));
        }
        if let Some(profile) = in_params {
            return Ok(alone(profile, "AWS_PARAMS names it with --profile"));
        }
        // Who set the file's names cannot know of the keys that a caller happens to have in the environment.
        let file_in_file = credentials.is_some() && self.is_in_file("AWS_SHARED_CREDENTIALS_FILE");
        Ok(match self.verbatim(&PROFILES)? {
            Some(Verbatim { text, origin, is_in_file }) => Choice {
                name: text,
                is_named: true,
                origin: Some(format!("{origin} names it")),
                is_after_environment: !is_in_file && !file_in_file,
            },
            None => Choice {
                name: "default".to_owned(),
                is_named: false,
                origin: credentials.map(|file| format!("{} names the file", file.origin)),
                is_after_environment: !file_in_file,
            },
        })
    }

    fn is_in_file(&self, name: &str) -> bool {
        matches!(self.assigned(name), Some(Assignment { value: Value::Text(text), .. }) if !text.is_empty())
    }

    /// The file that stands in for one of those in `~/.aws`.
    pub(super) fn named_file(&self, name: &str) -> Result<Option<NamedFile>, Message> {
        let Some(Verbatim { text, origin, .. }) = self.verbatim(&[name])? else { return Ok(None) };
        let (path, is_in_home) = match text.strip_prefix("~/") {
            Some(rest) => (rest, true),
            None => (text.as_str(), false),
        };
        if !(is_in_home || path.starts_with('/')) || path.contains('$') {
            return Err(Message::new(format!("{origin}: not an absolute path"), "write one that begins with / or ~/, without variables"));
        }
        Ok(Some(NamedFile { path: PathBuf::from(path), is_in_home, origin }))
    }

    /// The metadata service.
    pub(super) fn metadata(&self, allow_plain: bool) -> Result<Metadata, Message> {
        let mode = self.first(&["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"]);
        let standard = match &mode {
            Some(mode) if mode.text.eq_ignore_ascii_case("ipv6") => "http://[fd00:ec2::254]",
            Some(mode) if !mode.text.eq_ignore_ascii_case("ipv4") => {
                return Err(mode.wrong(format!("{:?} is neither IPv4 nor IPv6", mode.text)));
            }
            _ => "http://169.254.169.254",
        };
        Ok(Metadata {
            url: match self.first(&["AWS_EC2_METADATA_SERVICE_ENDPOINT"]) {
                Some(setting) => setting.guarded_url(&["http"], allow_plain)?,
                None => Url::parse(standard).map_err(|error| Message::from(error.to_string()))?,
            },
            is_disabled: self.truth("AWS_EC2_METADATA_DISABLED", false)?,
            timeout: self.first(&["AWS_METADATA_SERVICE_TIMEOUT"]).map(|setting| setting.seconds()).transpose()?,
        })
    }

    /// Says which of the file's names nobody reads, where they look like names that somebody should.
    pub(super) fn warn_of_strangers(&self) {
        let file = self.path.display();
        let strangers = self.assignments.iter().filter(|assignment| !NAMES.contains(&assignment.name.as_str()));
        let (secrets, others): (Vec<_>, Vec<_>) = strangers.partition(|assignment| SECRETS.contains(&assignment.name.as_str()));
        if let Some(Assignment { line, .. }) = secrets.first() {
            let names = secrets.iter().map(|assignment| assignment.name.as_str()).collect::<Vec<_>>().join(", ");
            log::warn!(
                "{file} line {line}: {names} not read, for everybody can read this file; put the keys into /root/.awssecret, mode 600, and \
                 remove them here"
            );
        }
        for Assignment { name, line, .. } in others {
            let distance = |known: &str| strsim::osa_distance(&name.to_ascii_uppercase(), &known.to_ascii_uppercase());
            match NAMES.iter().map(|known| (distance(known), known)).min() {
                Some((..=2, known)) if !OF_THE_SDKS.contains(&name.as_str()) => {
                    log::warn!("{file} line {line}: {name} is not a name this program reads; did you mean {known}?");
                }
                _ if name == "AWS_METADATA_SERVICE_NUM_ATTEMPTS" => {
                    log::warn!("{file} line {line}: {name} is not read: a call asks until its time is over; set START_TIMEOUT instead");
                }
                _ if name.starts_with("AWS_") => {
                    log::warn!("{file} line {line}: {name} is not a name this program reads; remove the line");
                }
                _ => {}
            }
        }
    }
}
