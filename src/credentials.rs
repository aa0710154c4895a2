//! The keys that sign a call: the chain of places where they may be, first that answers.

mod assume_role;
mod aws_files;
mod awssecret;
mod environment;
mod ini;
mod profile;
mod role;

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::unistd::{User, geteuid};
use rusoto_core::credential::AwsCredentials;

use crate::config::{self, Choice, Config, Environment, NamedFile, below};
use crate::deadline::Deadline;
use crate::escape::one_line;
use crate::failure::Failure;
use crate::file;
use crate::ids::RegionName;
use crate::imds::{self, Imds};
use crate::message::Message;
use crate::retry::{Pace, Transient};
use aws_files::{AwsFiles, Paths};
use profile::Source;

/// Why there are no credentials.
pub type Error = Failure<Kind>;

/// What kind of reason that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No place has any.
    Nowhere,
    /// A place that may have some cannot be read by the caller.
    NotAllowed,
    /// A place that may have some is another user's.
    Foreign,
    /// A place has some that cannot be used.
    Unfit,
    /// The metadata service does not have the role or its keys, which it may within a minute.
    NotYet,
    /// The metadata service did not tell.
    Unavailable,
}

impl Kind {
    /// Whether another place is looked into after it.
    fn is_passed_over(self) -> bool {
        matches!(self, Self::NotAllowed | Self::Foreign)
    }
}

impl Transient for Error {
    fn pace(&self) -> Option<Pace> {
        match self.kind {
            // A role may be given to an instance that runs.
            Kind::Nowhere | Kind::NotYet => Some(Pace::Refused),
            Kind::Unavailable => Some(Pace::Brisk),
            Kind::NotAllowed | Kind::Foreign | Kind::Unfit => None,
        }
    }
}

/// A place has some that cannot be used, with what to do about it.
fn unfit(what: String, remedy: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::Unfit, Message::new(what, remedy))
}

fn nowhere() -> Error {
    Error::new(Kind::Nowhere, "no credentials in any place")
}

impl From<file::Error> for Error {
    fn from(error: file::Error) -> Self {
        match error.kind {
            file::Kind::Missing => nowhere(),
            file::Kind::Denied => error.map(|_| Kind::NotAllowed),
            file::Kind::Foreign => error.map(|_| Kind::Foreign),
            file::Kind::Unfit => error.map(|_| Kind::Unfit),
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

    /// The files of AWS's SDKs in each home.
    fn aws_files<'b>(&'b self, config: &'b Config) -> impl Iterator<Item = Result<AwsFiles, Error>> + 'b {
        self.homes().map(|home| {
            let path = |named: Option<&NamedFile>, name: &str| match named {
                // Who wrote `~` meant the one home.
                Some(file) if file.is_in_home => (self.homes().next().unwrap_or_default().join(&file.path), Some(file.origin.clone())),
                Some(file) => (below(self.root, &file.path), Some(file.origin.clone())),
                None => (home.join(".aws").join(name), None),
            };
            AwsFiles::read(&Paths {
                credentials: path(config.credentials_file.as_ref(), "credentials"),
                config: path(config.aws_config_file.as_ref(), "config"),
            })
        })
    }

    /// The region that the configured profile names. The error is one line with the file and the remedy.
    pub fn profile_region(&self, config: &Config) -> Result<Option<RegionName>, Message> {
        let mut is_known = !config.profile.is_named;
        for files in self.aws_files(config) {
            let files = files.map_err(Message::from)?;
            let Some(profile) = files.profile(&config.profile.name) else { continue };
            is_known = true;
            if let Some(region) = profile.get("region") {
                return region.parse().map(Some).map_err(|what: Message| what.at(profile.place("region")));
            }
        }
        if is_known { Ok(None) } else { Err(no_profile(config)) }
    }
}

fn no_profile(config: &Config) -> Message {
    let Choice { name, origin, .. } = &config.profile;
    let name = one_line(name);
    let shown = |named: Option<&NamedFile>, name: &str| match named {
        Some(file) if file.is_in_home => format!("~/{}", file.path.display()),
        Some(file) => file.path.display().to_string(),
        None => format!("~/.aws/{name}"),
    };
    let files = [shown(config.credentials_file.as_ref(), "credentials"), shown(config.aws_config_file.as_ref(), "config")].join(" or ");
    Message::new(format!("no profile {name:?} in {files}"), format!("{}: correct the name", origin.as_deref().unwrap_or_default()))
}

/// The keys of one process, which are looked for once, and again where EC2 refuses them.
pub struct Keys {
    cached: RefCell<Option<AwsCredentials>>,
    source: Option<Origin>,
}

/// Where keys are looked for.
struct Origin {
    config: Rc<Config>,
    root: PathBuf,
    imds: Rc<Imds>,
    deadline: Deadline,
}

impl Keys {
    /// Nothing is looked for yet. A call to STS does not take longer than `deadline`.
    #[must_use]
    pub(crate) fn new(config: Rc<Config>, root: &Path, imds: Rc<Imds>, deadline: Deadline) -> Self {
        let source = Origin { config, root: root.to_owned(), imds, deadline };
        Self { cached: RefCell::default(), source: Some(source) }
    }

    /// These keys and no others.
    #[must_use]
    pub fn fixed(keys: AwsCredentials) -> Self {
        Self { cached: RefCell::new(Some(keys)), source: None }
    }

    /// The keys.
    pub(crate) async fn get(&self) -> Result<AwsCredentials, Error> {
        let cached = self.cached.borrow().clone();
        match cached {
            Some(keys) => Ok(keys),
            None => Ok(self.find().await?.keys),
        }
    }

    /// Looks for the keys, and says where they were found.
    pub(crate) async fn find(&self) -> Result<Found, Error> {
        let Origin { config, root, imds, deadline } = self.source.as_ref().ok_or_else(nowhere)?;
        let places = Places::new(root, &config::environment);
        let found = find(config, &places, &config::environment, imds, deadline).await?;
        *self.cached.borrow_mut() = Some(found.keys.clone());
        Ok(found)
    }

    /// EC2 has refused them: they are looked for anew before the next call.
    pub(crate) fn invalidate(&self) {
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
    pub(crate) place: String,
}

/// Looks through the places in turn. A place that is named excludes all others. Nothing is asked of STS beyond `deadline`.
pub async fn find(
    config: &Config,
    places: &Places<'_>,
    environment: Environment<'_>,
    imds: &Imds,
    deadline: &Deadline,
) -> Result<Found, Error> {
    let (source, before) = locate(config, places, environment)?;
    let is_the_last_place = matches!(source, Source::Instance(None));
    let found = match source {
        Source::Keys(found) => Ok(found),
        Source::Instance(named) => of_the_instance(imds, named.as_deref()).await,
        Source::Role(role) => assume_role::fetch(&role, config, places, imds, deadline).await,
    };
    if !is_the_last_place {
        return found;
    }
    found.map_err(|mut error| match (error.kind, before) {
        // A file that may not be read is the likelier reason, and the one that somebody can put right.
        (Kind::Nowhere | Kind::Unavailable | Kind::Unfit, Some(before)) => before,
        (Kind::Unavailable | Kind::Unfit, None) => {
            error.message.what.insert_str(0, "no keys in ~/.awssecret, /root/.awssecret or ~/.aws, and ");
            error
        }
        _ => error,
    })
}

/// The keys of the instance's role, or of the one of this name.
async fn of_the_instance(imds: &Imds, named: Option<&str>) -> Result<Found, Error> {
    let keys = role::fetch(imds, named).await?;
    Ok(Found { keys, place: named.map_or_else(|| "the instance's role".to_owned(), |role| format!("the role {role}")) })
}

/// Whether the places that need no network have keys that can be used, or leave it to the instance's role.
pub(crate) fn check(config: &Config, places: &Places<'_>, environment: Environment<'_>) -> Result<(), Error> {
    match locate(config, places, environment)? {
        (Source::Instance(None), Some(before @ Error { kind: Kind::NotAllowed, .. })) => Err(before),
        _ => Ok(()),
    }
}

/// A role that STS is asked for.
pub(crate) struct Assumed {
    /// Its ARN.
    pub(crate) arn: String,
    /// The profile that names it.
    pub(crate) place: String,
    /// Who asks for it, in words.
    pub(crate) by: String,
}

/// The roles that STS is asked for, and first the one that calls EC2. None where the keys need no role or are not found.
#[must_use]
pub(crate) fn roles(config: &Config, places: &Places<'_>, environment: Environment<'_>) -> Vec<Assumed> {
    let mut roles = Vec::new();
    let mut source = locate(config, places, environment).map(|(source, _)| source);
    while let Ok(Source::Role(role)) = source {
        let by = match &role.base {
            Source::Keys(Found { place, .. }) => format!("the owner of the keys from {place}"),
            Source::Instance(_) => "the instance's role".to_owned(),
            Source::Role(other) => other.arn.clone(),
        };
        roles.push(Assumed { arn: role.arn, place: role.place, by });
        source = Ok(role.base);
    }
    roles
}

/// The place where the keys are, and with the last one, the instance's role, why one before it could not be looked into.
fn locate(config: &Config, places: &Places<'_>, environment: Environment<'_>) -> Result<(Source, Option<Error>), Error> {
    if let Some(path) = &config.secrets_file {
        return match in_secret(path) {
            Err(Error { kind: Kind::Nowhere, .. }) => {
                let missing = format!("{} does not exist", path.display());
                Err(unfit(missing, "AWS_PARAMS names it with --secrets-file"))
            }
            found => Ok((found?, None)),
        };
    }
    if config.role.is_some() {
        return Ok((Source::Instance(config.role.clone()), None));
    }
    if config.profile.origin.is_some() {
        return Ok((in_named_profile(config, places, environment)?, None));
    }
    if let Some(found) = environment::of_the_sdks(environment)? {
        // As botocore does: whose files are broken may mean others.
        places.aws_files(config).next().transpose()?.map(|files| files.know(&config.profile.name)).transpose()?;
        return Ok((Source::Keys(found), None));
    }
    if let Some(found) = environment::of_the_old_tools(environment)? {
        return Ok((Source::Keys(found), None));
    }
    let in_profiles = || beside_the_environment(in_profile(config, places, environment), environment);
    let mut before = None;
    for found in places.secrets().map(|path| in_secret(&path)).chain(std::iter::once_with(in_profiles)) {
        match found {
            Ok(source) => return Ok((source, None)),
            Err(Error { kind: Kind::Nowhere, .. }) => {}
            Err(error) if error.kind.is_passed_over() => before = before.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    Ok((Source::Instance(None), before))
}

fn in_secret(path: &Path) -> Result<Source, Error> {
    let keys = awssecret::read(path)?;
    Ok(Source::Keys(Found { keys, place: format!("{}, which only its owner may read", path.display()) }))
}

/// What the configured profile gives, in the first home where it gives anything.
fn in_profile(config: &Config, places: &Places<'_>, environment: Environment<'_>) -> Result<Source, Error> {
    let mut before = nowhere();
    for files in places.aws_files(config) {
        let mut files = files?;
        files.know(&config.profile.name)?;
        match profile::source(&files, &config.profile.name, environment) {
            Ok(Some(source)) => return Ok(source),
            Ok(None) => before = files.unread().unwrap_or(before),
            Err(error) if error.kind.is_passed_over() => before = error,
            Err(error) => return Err(error),
        }
    }
    Err(before)
}

/// What a profile gives, unless other programs would take keys from elsewhere in its place.
fn beside_the_environment(found: Result<Source, Error>, environment: Environment<'_>) -> Result<Source, Error> {
    match &found {
        Ok(Source::Keys(_)) => environment::refuse_web_identity(environment)?,
        Err(Error { kind: Kind::Nowhere, .. }) => environment::refuse_unsupported(environment)?,
        _ => {}
    }
    found
}

/// The same for a profile, or a file, that is named: then there is no other place but the environment, where that names it.
fn in_named_profile(config: &Config, places: &Places<'_>, environment: Environment<'_>) -> Result<Source, Error> {
    let Choice { name, origin, is_named, is_after_environment } = &config.profile;
    let mut is_known = false;
    let mut shown = String::new();
    for files in places.aws_files(config) {
        let files = files?;
        let is_here = files.know(name)?;
        if shown.is_empty() || (is_here && !is_known) {
            files.shown().clone_into(&mut shown);
        }
        is_known |= is_here;
    }
    let found = in_profile(config, places, environment);
    if *is_named && !is_known && !matches!(&found, Err(error) if error.kind.is_passed_over()) {
        return Err(Error::new(Kind::Unfit, no_profile(config)));
    }
    if *is_after_environment && let Some(found) = environment::of_the_sdks(environment)? {
        return Ok(Source::Keys(found));
    }
    let found = if *is_after_environment { beside_the_environment(found, environment) } else { found };
    found.map_err(|error| match error.kind {
        Kind::Nowhere => {
            let origin = origin.as_deref().unwrap_or_default();
            unfit(
                format!("no keys for profile {:?} in {shown}", one_line(name)),
                format!("{origin}: add its keys, or remove that to use other places"),
            )
        }
        _ => error,
    })
}

/// Puts keys together, once they are seen to be fit for an HTTP header. `place` is named in the error.
fn keys(place: &str, id: &str, secret: &str, token: Option<&str>) -> Result<AwsCredentials, Error> {
    let graphic = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if !graphic(id) || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return Err(unfit(
            format!("{place}: the access key id is not made of letters and digits"),
            "look whether id and secret are in the wrong order",
        ));
    }
    if !graphic(secret) || !token.is_none_or(graphic) {
        return Err(unfit(format!("{place}: the secret key or session token holds a character that none has"), "copy it anew"));
    }
    Ok(AwsCredentials::new(id, secret, token.map(str::to_owned), None))
}

impl From<imds::Error> for Error {
    fn from(error: imds::Error) -> Self {
        match error.kind {
            imds::Kind::Absent => nowhere(),
            imds::Kind::NotYet => error.map(|_| Kind::NotYet),
            // Whoever has said so gives keys elsewhere.
            imds::Kind::Disabled => error.map(|_| Kind::Unfit),
            imds::Kind::Refused | imds::Kind::Unavailable { .. } => error.map(|_| Kind::Unavailable),
        }
    }
}
