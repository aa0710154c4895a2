//! The keys that sign a call: the chain of places where they may be, first that answers.

mod aws_files;
mod awssecret;
mod environment;
mod role;

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::unistd::{User, geteuid};
use rusoto_core::credential::AwsCredentials;

use crate::config::{self, Config, Environment, below};
use crate::file;
use crate::ids::RegionName;
use crate::imds::{self, Imds};
use crate::retry::{Pace, Transient};

/// Why there are no credentials. Each text is one line with the place and the remedy, and never a secret.
#[derive(Debug)]
pub enum Error {
    /// No place has any.
    Nowhere,
    /// A place that may have some cannot be read by the caller.
    NotAllowed(String),
    /// A place that may have some is another user's.
    Foreign(String),
    /// A place has some that cannot be used.
    Unfit(String),
    /// The metadata service does not have the role or its keys, which it may within a minute.
    NotYet(String),
    /// The metadata service did not tell.
    Unavailable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("no credentials in any place"),
            Self::NotAllowed(line) | Self::Foreign(line) | Self::Unfit(line) | Self::NotYet(line) | Self::Unavailable(line) => {
                f.write_str(line)
            }
        }
    }
}

impl std::error::Error for Error {}

impl Transient for Error {
    fn pace(&self) -> Option<Pace> {
        match self {
            // A role may be given to an instance that runs.
            Self::Nowhere | Self::NotYet(_) => Some(Pace::Refused),
            Self::Unavailable(_) => Some(Pace::Brisk),
            Self::NotAllowed(_) | Self::Foreign(_) | Self::Unfit(_) => None,
        }
    }
}

impl Error {
    /// Whether another place is looked into after it.
    fn is_passed_over(&self) -> bool {
        matches!(self, Self::NotAllowed(_) | Self::Foreign(_))
    }
}

impl From<file::Error> for Error {
    fn from(error: file::Error) -> Self {
        match error {
            file::Error::Missing => Self::Nowhere,
            file::Error::Denied(line) => Self::NotAllowed(line),
            file::Error::Unfit(line) => Self::Unfit(line),
        }
    }
}

impl From<file::Unsafe> for Error {
    fn from(error: file::Unsafe) -> Self {
        match error {
            file::Unsafe::Foreign(line) => Self::Foreign(line),
            file::Unsafe::Open(line) => Self::Unfit(line),
        }
    }
}

/// The folders in which a person keeps keys.
pub struct Places<'a> {
    root: &'a Path,
    environment: Environment<'a>,
}

impl<'a> Places<'a> {
    /// The caller's folders, below `root`.
    #[must_use]
    pub fn new(root: &'a Path, environment: Environment<'a>) -> Self {
        Self { root, environment }
    }

    /// `HOME`, the home of the passwd entry (under sysvinit `HOME` is `/`, under systemd unset), and root's; each is looked up
    /// only when it is its turn.
    fn homes(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let given = || (self.environment)("HOME").filter(|home| home.starts_with('/')).map(PathBuf::from);
        let passwd = || User::from_uid(geteuid()).ok().flatten().map(|user| user.dir);
        let mut seen = Vec::new();
        std::iter::once_with(given)
            .chain(std::iter::once_with(passwd))
            .chain(std::iter::once(Some(PathBuf::from("/root"))))
            .flatten()
            .map(|home| below(self.root, &home))
            .filter(move |home| {
                !seen.contains(home) && {
                    seen.push(home.clone());
                    true
                }
            })
    }

    fn secrets(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.homes().map(|home| home.join(".awssecret"))
    }

    fn aws_folders(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.homes().map(|home| home.join(".aws"))
    }

    /// The region that the profile in `~/.aws/config` names. The error is one line with the file and the remedy.
    pub fn profile_region(&self, profile: &str) -> Result<Option<RegionName>, String> {
        self.aws_folders().find_map(|folder| aws_files::region(&folder, profile)).transpose()
    }
}

/// The keys of one process, which are looked for once, and again where EC2 refuses them.
pub struct Keys {
    cached: RefCell<Option<AwsCredentials>>,
    source: Option<Source>,
}

/// Where keys are looked for.
struct Source {
    config: Rc<Config>,
    root: PathBuf,
    imds: Rc<Imds>,
}

impl Keys {
    /// Nothing is looked for yet.
    #[must_use]
    pub fn new(config: Rc<Config>, root: &Path, imds: Rc<Imds>) -> Self {
        let source = Source { config, root: root.to_owned(), imds };
        Self { cached: RefCell::default(), source: Some(source) }
    }

    /// These keys and no others.
    #[must_use]
    pub fn fixed(keys: AwsCredentials) -> Self {
        Self { cached: RefCell::new(Some(keys)), source: None }
    }

    /// The keys.
    pub async fn get(&self) -> Result<AwsCredentials, Error> {
        let cached = self.cached.borrow().clone();
        match cached {
            Some(keys) => Ok(keys),
            None => Ok(self.find().await?.keys),
        }
    }

    /// Looks for the keys, and says where they were found.
    pub async fn find(&self) -> Result<Found, Error> {
        let source = self.source.as_ref().ok_or(Error::Nowhere)?;
        let places = Places::new(&source.root, &config::environment);
        let found = find(&source.config, &places, &config::environment, &source.imds).await?;
        *self.cached.borrow_mut() = Some(found.keys.clone());
        Ok(found)
    }

    /// EC2 has refused them: they are looked for anew before the next call.
    pub fn invalidate(&self) {
        if self.source.is_some() {
            self.cached.take();
        }
    }
}

/// Keys that were found.
pub struct Found {
    /// The keys.
    pub keys: AwsCredentials,
    /// Where they were found, in words that hold no secret.
    pub place: String,
}

fn at(place: String, read: Result<AwsCredentials, Error>) -> Result<Found, Error> {
    read.map(|keys| Found { keys, place })
}

/// A file that others may read is refused.
fn in_file(file: &str, read: Result<AwsCredentials, Error>) -> Result<Found, Error> {
    at(format!("{file}, which only its owner may read"), read)
}

/// Looks through the places in turn. A place that `AWS_PARAMS` names excludes all others.
pub async fn find(config: &Config, places: &Places<'_>, environment: Environment<'_>, imds: &Imds) -> Result<Found, Error> {
    let before = match (on_this_machine(config, places, environment), &config.role) {
        (Err(Error::Nowhere), Some(role)) => return at(format!("the role {role}"), role::fetch(imds, Some(role)).await),
        (Err(before @ (Error::Nowhere | Error::NotAllowed(_) | Error::Foreign(_))), None)
            if config.secrets_file.is_none() && config.only_profile.is_none() =>
        {
            before
        }
        (found, _) => return found,
    };
    let nothing_before = |why: String| format!("no keys in ~/.awssecret, /root/.awssecret or ~/.aws, and {why}");
    at("the instance's role".to_owned(), role::fetch(imds, None).await).map_err(|error| match (error, before) {
        (Error::Nowhere, before) => before,
        // A file that may not be read is the likelier reason, and the one that somebody can put right.
        (Error::Unavailable(_) | Error::Unfit(_), before @ (Error::NotAllowed(_) | Error::Foreign(_))) => before,
        (Error::Unavailable(why), _) => Error::Unavailable(nothing_before(why)),
        (Error::Unfit(why), _) => Error::Unfit(nothing_before(why)),
        (error, _) => error,
    })
}

/// Whether the places that need no network have keys that can be used, or leave it to the instance's role.
pub fn check(config: &Config, places: &Places<'_>, environment: Environment<'_>) -> Result<(), Error> {
    match on_this_machine(config, places, environment) {
        Err(Error::Nowhere | Error::Foreign(_)) if config.secrets_file.is_none() && config.only_profile.is_none() => Ok(()),
        Err(Error::Nowhere) => Ok(()),
        found => found.map(drop),
    }
}

/// All places but the role.
fn on_this_machine(config: &Config, places: &Places<'_>, environment: Environment<'_>) -> Result<Found, Error> {
    let in_secret = |path: &Path| in_file(&path.display().to_string(), awssecret::read(path));
    let in_profile =
        |folder: &Path, profile: &str| in_file(&format!("profile {profile} in {}", folder.display()), aws_files::read(folder, profile));
    if let Some(path) = &config.secrets_file {
        return in_secret(path).map_err(|error| match error {
            Error::Nowhere => Error::Unfit(format!("{} does not exist; AWS_PARAMS names it with --secrets-file", path.display())),
            error => error,
        });
    }
    if let Some(profile) = &config.only_profile {
        let found = first(places.aws_folders().map(|folder| in_profile(&folder, profile)));
        return found.map_err(|error| match error {
            Error::Nowhere => {
                Error::Unfit(format!("no keys for profile {profile:?} in ~/.aws/credentials; AWS_PARAMS names it with --profile"))
            }
            error => error,
        });
    }
    if config.role.is_some() {
        return Err(Error::Nowhere);
    }
    first(
        std::iter::once_with(|| at("the environment".to_owned(), environment::read(environment)))
            .chain(places.secrets().map(|path| in_secret(&path)))
            .chain(places.aws_folders().map(|folder| in_profile(&folder, &config.profile))),
    )
}

/// The first place that has keys. A place that cannot be read is passed over, and remembered in case no other has any.
fn first(places: impl Iterator<Item = Result<Found, Error>>) -> Result<Found, Error> {
    let mut remembered = Error::Nowhere;
    for place in places {
        match place {
            Ok(found) => return Ok(found),
            Err(Error::Nowhere) => {}
            Err(error) if error.is_passed_over() => remembered = error,
            Err(error) => return Err(error),
        }
    }
    Err(remembered)
}

/// Puts keys together, once they are seen to be fit for an HTTP header. `place` is named in the error.
fn keys(place: &str, id: &str, secret: &str, token: Option<&str>) -> Result<AwsCredentials, Error> {
    let graphic = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if !graphic(id) || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return Err(Error::Unfit(format!(
            "{place}: the access key id is not made of letters and digits; are id and secret in the wrong order?"
        )));
    }
    if !graphic(secret) || !token.is_none_or(graphic) {
        return Err(Error::Unfit(format!("{place}: the secret key or session token holds a character that none has; copy it anew")));
    }
    Ok(AwsCredentials::new(id, secret, token.map(str::to_owned), None))
}

impl From<imds::Error> for Error {
    fn from(error: imds::Error) -> Self {
        match error {
            imds::Error::Absent(_) => Self::Nowhere,
            imds::Error::NotYet(text) => Self::NotYet(text),
            // Whoever has said so gives keys elsewhere.
            imds::Error::Disabled(text) => Self::Unfit(text),
            imds::Error::Refused(text) | imds::Error::Unavailable { text, .. } => Self::Unavailable(text),
        }
    }
}
