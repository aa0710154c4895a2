//! `/etc/default/elastic-ip`, `AWS_PARAMS` and the environment, made into one [`Config`].

mod aws_params;
mod aws_sdk;
mod defaults;
mod setting;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use crate::failure::Failure;
use crate::file;
use crate::ids::{InstanceId, NotAnId, RegionName, Target};
use crate::message::Message;
use aws_params::AwsParams;
pub use aws_sdk::{Choice, Metadata, NamedFile};
use defaults::{Assignment, Value};
pub(crate) use setting::Setting;

/// Where the configuration is looked for.
pub(crate) const FILE: &str = "/etc/default/elastic-ip";

/// Where Debian's ca-certificates keeps all authorities, an operator's own among them (update-ca-certificates(8)).
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Looks a name up in the caller's environment.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process, as far as it is Unicode.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Every name the file may set, for the warning about a misspelt one.
const NAMES: [&str; 32] = [
    "ELASTIC_IP",
    "AWS_PARAMS",
    "MY_ID",
    "ALLOW_REASSOCIATION",
    "RELEASE_ON_STOP",
    "START_TIMEOUT",
    "STOP_TIMEOUT",
    "STATUS_TIMEOUT",
    "STATE_DIR",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_ENDPOINT_URL_EC2",
    "AWS_ENDPOINT_URL",
    "EC2_URL",
    "AWS_ENDPOINT_URL_STS",
    "ALLOW_PLAIN_HTTP",
    "AWS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_METADATA_SERVICE_TIMEOUT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// What a caller gives for its configuration, beside the environment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file, where it is not `/etc/default/elastic-ip`. That one may be absent, this one may not.
    pub file: Option<PathBuf>,
    /// The folder below which every file of the system is looked for.
    pub root: PathBuf,
    /// Addresses in place of `ELASTIC_IP`'s, which is not looked at then; may be empty.
    pub targets: Vec<Target>,
    /// A cluster manager's parameters, by the names that the file has for them.
    pub parameters: Vec<(&'static str, Setting)>,
}

/// Why there is no configuration. Its message names the file and the line in it.
pub type Error = Failure<Kind>;

/// What kind of reason that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller may not read the file.
    NotAllowed,
    /// Something is missing or wrong.
    Unfit,
}

/// How long each action may take in all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Timeouts {
    /// For start: long, because under Heartbeat a failed start is final.
    pub(crate) start: Duration,
    /// For start while EC2 does not answer, not even that it has too many calls: a live peer may reach it.
    pub(crate) no_response_limit: Duration,
    /// For stop: short, because Heartbeat repeats a failed one eleven times.
    pub(crate) stop: Duration,
    /// For status.
    pub(crate) status: Duration,
}

/// An instance's id that is configured.
#[derive(Clone, Debug)]
pub struct NamedInstance {
    /// The id.
    pub(crate) id: InstanceId,
    /// What names it.
    pub(crate) origin: String,
}

/// Everything that may be configured. It cannot be shown as a whole, for a proxy's URL may hold a password.
#[derive(Clone)]
pub struct Config {
    /// The addresses to hold, at least one.
    pub targets: Vec<Target>,
    /// `MY_ID`, where it is set to an id.
    pub(crate) instance: Option<NamedInstance>,
    /// The region, where `AWS_PARAMS` or a variable names one.
    pub region: Option<RegionName>,
    /// The EC2 API's URL, where it is not the region's own.
    pub(crate) endpoint: Option<Url>,
    /// The STS API's URL, where it is not the region's own.
    pub(crate) sts_endpoint: Option<Url>,
    /// Use the region's FIPS endpoint.
    pub(crate) fips: bool,
    /// Use the region's dual-stack endpoint.
    pub(crate) dualstack: bool,
    /// The file of the authorities whose certificates an `https` endpoint may have, where it is not the system's.
    pub(crate) authorities: Option<PathBuf>,
    /// The system's file of authorities, which may be absent.
    pub(crate) system_authorities: PathBuf,
    /// The proxy for calls to an `https` endpoint.
    pub(crate) proxy: Option<Url>,
    /// The hosts that are called without the proxy, in curl's form.
    pub no_proxy: Option<String>,
    /// The metadata service.
    pub(crate) imds: Metadata,
    /// The role whose credentials to take from the metadata service, to the exclusion of other credentials.
    pub role: Option<String>,
    /// The profile for what `~/.aws` is asked.
    pub profile: Choice,
    /// The file in place of `~/.aws/credentials`.
    pub(crate) credentials_file: Option<NamedFile>,
    /// The file in place of `~/.aws/config`.
    pub(crate) aws_config_file: Option<NamedFile>,
    /// The file to take credentials from, to the exclusion of other credentials.
    pub secrets_file: Option<PathBuf>,
    /// Whether start may take an address that somebody holds.
    pub(crate) allow_reassociation: bool,
    /// Whether stop releases the address, or leaves it until a peer takes it.
    pub(crate) release_on_stop: bool,
    /// How long each action may take.
    pub(crate) timeouts: Timeouts,
    /// Where what later calls must know is kept.
    pub(crate) state_dir: PathBuf,
}

impl Config {
    /// Reads the configuration file and the environment. What the file sets wins over the environment, and a parameter over both.
    /// Names that nobody reads, but that look like some that somebody should, are warned about.
    pub fn load(sources: &Sources, environment: Environment) -> Result<Self, Error> {
        let settings = Settings::read(sources, environment)?;
        settings.warn_of_strangers();
        settings.config().map_err(unfit)
    }
}

/// Where the names are set that are set at all; all others have their defaults.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origins {
    /// The configuration file.
    pub(crate) file: PathBuf,
    /// Whether there is one.
    pub(crate) exists: bool,
    /// Each name that the file sets, with its line.
    pub(crate) lines: Vec<(&'static str, usize)>,
    /// Each name that only the environment sets.
    pub(crate) environment: Vec<&'static str>,
}

impl Origins {
    /// Reads as [`Config::load`] does.
    pub(crate) fn find(sources: &Sources, environment: Environment) -> Result<Self, Error> {
        let settings = Settings::read(sources, environment)?;
        let mut lines = Vec::new();
        let mut in_environment = Vec::new();
        for name in NAMES {
            match settings.assigned(name) {
                Some(Assignment { value, line, .. }) if *value != Value::Text(String::new()) => lines.push((name, *line)),
                _ if environment(name).is_some_and(|text| !text.trim().is_empty()) => in_environment.push(name),
                _ => {}
            }
        }
        lines.sort_by_key(|(_, line)| *line);
        Ok(Self { file: settings.path, exists: !settings.missing, lines, environment: in_environment })
    }
}

fn unfit(reason: impl Into<Message>) -> Error {
    Error::new(Kind::Unfit, reason)
}

/// Where a path of the running system is, when the system is looked for below `root`.
#[must_use]
pub(crate) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

struct Settings<'a> {
    sources: &'a Sources,
    path: PathBuf,
    missing: bool,
    assignments: Vec<Assignment>,
    environment: Environment<'a>,
}

impl<'a> Settings<'a> {
    fn read(sources: &'a Sources, environment: Environment<'a>) -> Result<Self, Error> {
        let path = sources.file.clone().unwrap_or_else(|| below(&sources.root, Path::new(FILE)));
        let (assignments, missing) = match file::read(&path) {
            Ok(file) => (defaults::parse(&path, &file.text, &NAMES).map_err(unfit)?, false),
            Err(error) if error.kind == file::Kind::Missing && sources.file.is_none() => (Vec::new(), true),
            Err(error) if error.kind == file::Kind::Missing => return Err(unfit(error.or_advise("give --config the right file"))),
            Err(error) if error.kind == file::Kind::Denied => return Err(error.map(|_| Kind::NotAllowed)),
            Err(error) => return Err(unfit(error)),
        };
        Ok(Self { sources, path, missing, assignments, environment })
    }

    /// Where the file set the name, as a shell would see it: the last assignment counts.
    fn assigned(&self, name: &str) -> Option<&Assignment> {
        self.assignments.iter().rfind(|assignment| assignment.name == name)
    }

    /// The cluster manager's own value.
    fn parameter(&self, name: &str) -> Option<&Setting> {
        self.sources.parameters.iter().find_map(|(other, setting)| (*other == name).then_some(setting))
    }

    /// The first of several names for the same thing; a parameter wins, then the file, and an empty value is none.
    fn first(&self, names: &[&str]) -> Option<Setting> {
        if let Some(setting) = names.iter().find_map(|name| self.parameter(name)) {
            return Some(setting.clone());
        }
        let in_file = names.iter().find_map(|name| match self.assigned(name) {
            Some(Assignment { value: Value::Text(text), line, .. }) => {
                Setting::new(text, format!("{} line {line}: {name}", self.path.display()))
            }
            _ => None,
        });
        let in_environment =
            || names.iter().find_map(|name| Setting::new(&(self.environment)(name)?, format!("environment variable {name}")));
        in_file.or_else(in_environment)
    }

    fn truth(&self, name: &str, default: bool) -> Result<bool, Message> {
        self.first(&[name]).map_or(Ok(default), |setting| setting.truth())
    }

    fn seconds(&self, name: &str, default: u64) -> Result<Duration, Message> {
        self.first(&[name]).map_or(Ok(Duration::from_secs(default)), |setting| setting.seconds())
    }

    fn config(&self) -> Result<Config, Message> {
        let Sources { root, targets, .. } = self.sources;
        let (mut params, region) = match self.first(&["AWS_PARAMS"]) {
            Some(setting) => {
                let params = AwsParams::parse(&setting.text).map_err(|what| setting.wrong(what))?;
                let region = params.region.as_deref().map(|region| setting.region_named(region)).transpose()?;
                (params, region)
            }
            None => (AwsParams::default(), None),
        };
        let region = match (region, self.first(&["AWS_REGION", "AWS_DEFAULT_REGION"])) {
            (Some(region), _) if self.parameter("AWS_REGION").is_none() => Some(region),
            (None, None) if (self.environment)("AWS_DEFAULT_REGION").is_some_and(|text| text.is_empty()) => {
                return Err(Message::new("environment variable AWS_DEFAULT_REGION is empty", "unset it"));
            }
            (_, setting) => setting.map(|setting| setting.region()).transpose()?,
        };
        if self.parameter("AWS_PROFILE").is_some() {
            params = AwsParams::default();
        }
        let credentials_file = self.named_file("AWS_SHARED_CREDENTIALS_FILE")?;
        let custom = self.first(&["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL", "EC2_URL"]);
        let allow_plain = self.truth("ALLOW_PLAIN_HTTP", false)?;
        let endpoint = custom.as_ref().map(|setting| setting.guarded_url(&["https", "http"], allow_plain)).transpose()?;
        let fips = self.truth("AWS_USE_FIPS_ENDPOINT", false)?;
        let dualstack = self.truth("AWS_USE_DUALSTACK_ENDPOINT", false)?;
        if let (Some(custom), true) = (&custom, fips || dualstack) {
            return Err(custom.wrong("an endpoint of your own excludes AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT; remove one"));
        }
        let for_sts = self.first(&["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"]);
        let state_dir = match self.first(&["STATE_DIR"]) {
            Some(setting) => setting.absolute_path()?,
            None => PathBuf::from("/run/elastic-ip"),
        };
        let authorities = self.first(&["AWS_CA_BUNDLE", "SSL_CERT_FILE"]).map(|setting| setting.absolute_path()).transpose()?;
        let allow_reassociation = self.truth("ALLOW_REASSOCIATION", true)?;
        let release_on_stop = self.truth("RELEASE_ON_STOP", true)?;
        if !allow_reassociation && !release_on_stop {
            log::warn!(
                "RELEASE_ON_STOP=no leaves the address with its owner and ALLOW_REASSOCIATION=no forbids taking it: a peer never can; remove one"
            );
        }
        Ok(Config {
            targets: if targets.is_empty() { self.targets()? } else { targets.clone() },
            instance: self.instance()?,
            region,
            endpoint,
            sts_endpoint: for_sts.map(|setting| setting.guarded_url(&["https", "http"], allow_plain)).transpose()?,
            fips,
            dualstack,
            authorities: authorities.map(|path| below(root, &path)),
            system_authorities: below(root, Path::new(SYSTEM_AUTHORITIES)),
            proxy: self.first(&["HTTPS_PROXY", "https_proxy"]).map(|setting| setting.url(&["http", "https"])).transpose()?,
            no_proxy: self.first(&["NO_PROXY", "no_proxy"]).map(|setting| setting.text),
            imds: self.metadata(allow_plain)?,
            role: params.role,
            profile: self.choice(params.profile.as_deref(), credentials_file.as_ref())?,
            credentials_file,
            aws_config_file: self.named_file("AWS_CONFIG_FILE")?,
            secrets_file: params.secrets_file.map(|path| below(root, &path)),
            allow_reassociation,
            release_on_stop,
            timeouts: Timeouts {
                start: self.seconds("START_TIMEOUT", 3600)?,
                no_response_limit: self.seconds("START_TIMEOUT", 120)?,
                stop: self.seconds("STOP_TIMEOUT", 10)?,
                status: self.seconds("STATUS_TIMEOUT", 5)?,
            },
            state_dir: below(root, &state_dir),
        })
    }

    fn targets(&self) -> Result<Vec<Target>, Message> {
        let Some(setting) = self.first(&["ELASTIC_IP"]) else {
            let state = if self.missing { "does not exist" } else { "does not set ELASTIC_IP" };
            return Err(Message::new(format!("{} {state}", self.path.display()), "put a line such as ELASTIC_IP=203.0.113.25 into it"));
        };
        setting.targets()
    }

    fn instance(&self) -> Result<Option<NamedInstance>, Message> {
        // In the file, a command hides what the environment says, as in a shell.
        if matches!(self.assigned("MY_ID"), Some(Assignment { value: Value::FindOut, .. })) {
            return Ok(None);
        }
        let Some(setting) = self.first(&["MY_ID"]) else { return Ok(None) };
        let wrong = |what: NotAnId| setting.wrong(Message::new(what.to_string(), "remove the line: the program finds it out by itself"));
        let id = setting.text.parse().map_err(wrong)?;
        Ok(Some(NamedInstance { id, origin: setting.origin.clone() }))
    }
}
