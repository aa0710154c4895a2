//! The keys that sign a call: the chain of places where they may be, first that answers.

mod aws_files;
mod awssecret;
mod environment;
mod role;

use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};
use rusoto_core::credential::AwsCredentials;

use crate::config::{Config, Environment, below};
use crate::file;
use crate::metadata::{self, Metadata};

/// Why there are no credentials. Each text is one line with the place and the remedy, and never a secret.
#[derive(Debug)]
pub enum Error {
    /// No place has any.
    Nowhere,
    /// A place that may have some cannot be read by the caller.
    NotAllowed(String),
    /// A place has some that cannot be used.
    Unfit(String),
    /// The metadata service did not tell.
    Unavailable(String),
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

/// The files that may hold keys.
pub struct Places {
    secrets: Vec<PathBuf>,
    aws_homes: Vec<PathBuf>,
}

impl Places {
    /// The files for the caller: in `HOME`, in the home of the passwd entry (under sysvinit `HOME` is `/`, under systemd
    /// unset), and root's.
    #[must_use]
    pub fn new(root: &Path, environment: Environment) -> Self {
        let mut homes = Vec::new();
        let passwd = || User::from_uid(geteuid()).ok().flatten().map(|user| user.dir);
        let given = environment("HOME").filter(|home| home.starts_with('/')).map(PathBuf::from);
        for home in [given, passwd(), Some(PathBuf::from("/root"))].into_iter().flatten() {
            let home = below(root, &home);
            if !homes.contains(&home) {
                homes.push(home);
            }
        }
        let secrets = homes.iter().map(|home| home.join(".awssecret")).collect();
        Self { secrets, aws_homes: homes.iter().map(|home| home.join(".aws")).collect() }
    }

    /// The region that the profile in `~/.aws/config` names.
    #[must_use]
    pub fn profile_region(&self, profile: &str) -> Option<String> {
        self.aws_homes.iter().find_map(|folder| aws_files::region(folder, profile))
    }
}

/// Looks through the places in turn. A place that `AWS_PARAMS` names excludes all others.
pub async fn find(config: &Config, places: &Places, environment: Environment<'_>, metadata: &Metadata) -> Result<AwsCredentials, Error> {
    if let Some(path) = &config.secrets_file {
        return awssecret::read(path).map_err(|error| match error {
            Error::Nowhere => Error::Unfit(format!("{} does not exist; AWS_PARAMS names it with --secrets-file", path.display())),
            error => error,
        });
    }
    if let Some(profile) = &config.only_profile {
        let found = first(places.aws_homes.iter().map(|folder| aws_files::read(folder, profile)));
        return found.map_err(|error| match error {
            Error::Nowhere => {
                Error::Unfit(format!("no keys for profile {profile:?} in ~/.aws/credentials; AWS_PARAMS names it with --profile"))
            }
            error => error,
        });
    }
    if let Some(role) = &config.role {
        return role::fetch(metadata, Some(role)).await;
    }
    let in_files = first(
        std::iter::once_with(|| environment::read(environment))
            .chain(places.secrets.iter().map(|path| awssecret::read(path)))
            .chain(places.aws_homes.iter().map(|folder| aws_files::read(folder, &config.profile))),
    );
    match in_files {
        Ok(credentials) => Ok(credentials),
        Err(error @ Error::Unfit(_)) => Err(error),
        Err(before) => role::fetch(metadata, None).await.map_err(|error| match error {
            // A file that may not be read is the likelier reason, and the one that can be mended.
            Error::Nowhere => before,
            error => error,
        }),
    }
}

/// The first place that has keys. A place that cannot be read is passed over, and remembered in case no other has any.
fn first(places: impl Iterator<Item = Result<AwsCredentials, Error>>) -> Result<AwsCredentials, Error> {
    let mut remembered = Error::Nowhere;
    for place in places {
        match place {
            Ok(credentials) => return Ok(credentials),
            Err(Error::Nowhere) => {}
            Err(error @ Error::NotAllowed(_)) => remembered = error,
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

impl From<metadata::Error> for Error {
    fn from(error: metadata::Error) -> Self {
        match error {
            metadata::Error::Absent(_) => Self::Nowhere,
            metadata::Error::Refused(text) | metadata::Error::Unavailable(text) => Self::Unavailable(text),
        }
    }
}
