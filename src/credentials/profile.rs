//! What a profile says of where its keys come from, with botocore's order of precedence
//! (`create_credential_resolver` in its `credentials.py`).

use super::aws_files::{AwsFiles, Profile};
use super::{Error, Found, Kind, environment};
use crate::config::Environment;
use crate::message::Message;

/// Where keys come from.
pub(super) enum Source {
    /// They are here.
    Keys(Found),
    /// The role of this name of the instance, or the one that it has.
    Instance(Option<String>),
    /// A role that STS lets somebody act in.
    Role(Box<Role>),
}

/// A role to act in.
pub(super) struct Role {
    /// Which.
    pub arn: String,
    /// What its owner may want to hear from whoever acts in it.
    pub external_id: Option<String>,
    /// What `CloudTrail` shows.
    pub session_name: Option<String>,
    /// How long its keys live, in seconds.
    pub duration: Option<u32>,
    /// Who asks for it.
    pub base: Source,
    /// The profile that names it, for messages.
    pub place: String,
}

/// What else a profile may have that gives keys, with what it is called.
const SSO: (&str, &str) = ("sso_account_id", "SSO");
const SSO_ROLE: (&str, &str) = ("sso_role_name", "SSO");
const LOGIN: (&str, &str) = ("login_session", "aws login");
const PROCESS: (&str, &str) = ("credential_process", "credential_process, a command to run");

/// The source that a profile names; `None` where it says nothing of keys, or is not there.
pub(super) fn source(files: &AwsFiles, name: &str, environment: Environment) -> Result<Option<Source>, Error> {
    let Some(profile) = files.profile(name) else { return Ok(None) };
    if acts_in_a_role(&profile) {
        return role(files, &profile, &mut vec![name.to_owned()], environment).map(Some);
    }
    Ok(own(&profile)?.map(Source::Keys))
}

fn acts_in_a_role(profile: &Profile) -> bool {
    profile.get("role_arn").is_some() && profile.get("web_identity_token_file").is_none()
}

/// The keys that stand in the profile, unless it has something that goes before them.
fn own(profile: &Profile) -> Result<Option<Found>, Error> {
    if profile.get("web_identity_token_file").is_some_and(|file| !file.is_empty()) {
        return Err(unsupported(profile, "web_identity_token_file", "web_identity_token_file"));
    }
    refuse(profile, SSO)?;
    refuse(profile, SSO_ROLE)?;
    if let Some(found) = profile.keys_in_credentials()? {
        return Ok(Some(found));
    }
    refuse(profile, LOGIN)?;
    refuse(profile, PROCESS)?;
    profile.keys_in_config()
}

fn refuse(profile: &Profile, (key, what): (&str, &str)) -> Result<(), Error> {
    if profile.get(key).is_some() { Err(unsupported(profile, key, what)) } else { Ok(()) }
}

fn unsupported(profile: &Profile, key: &str, what: &str) -> Error {
    unfit(
        profile,
        key,
        Message::new(format!("its keys would come from {what}, which this program does not support"), "name a profile with keys"),
    )
}

fn unfit(profile: &Profile, key: &str, what: impl Into<Message>) -> Error {
    Error::new(Kind::Unfit, what.into().at(profile.place(key)))
}

/// The role of a profile that names one. `visited` are the profiles on the way to it, itself the last.
fn role(files: &AwsFiles, profile: &Profile, visited: &mut Vec<String>, environment: Environment) -> Result<Source, Error> {
    let wrong = |key: &str, what: Message| unfit(profile, key, what);
    profile.check_owner("role_arn")?;
    let text = |key: &str| match profile.get(key) {
        Some("") => Err(wrong(key, Message::new(format!("{key} has no value"), "add it or remove the line"))),
        Some(text) if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
            Err(wrong(key, Message::new(format!("{key} holds a character that it cannot have"), "write it anew")))
        }
        other => Ok(other.map(str::to_owned)),
    };
    let arn = text("role_arn")?.filter(|arn| arn.len() >= 20 && arn.starts_with("arn:"));
    let arn = arn.ok_or_else(|| {
        wrong("role_arn", Message::new("role_arn is not the ARN of a role", "write it as arn:aws:iam::ACCOUNT:role/NAME"))
    })?;
    if profile.get("mfa_serial").is_some() {
        return Err(wrong(
            "mfa_serial",
            Message::new("it wants the code of an MFA device, which nobody can type here", "name a profile without mfa_serial"),
        ));
    }
    let duration = profile.get("duration_seconds").and_then(|text| text.trim().parse::<u32>().ok());
    if duration.is_some_and(|seconds| seconds < 900) {
        return Err(wrong("duration_seconds", "duration_seconds is less than 900, the least that STS takes".into()));
    }
    let base = match (profile.get("source_profile"), profile.get("credential_source")) {
        (Some(_), Some(_)) => {
            return Err(wrong("source_profile", Message::new("it has both source_profile and credential_source", "remove one")));
        }
        (None, None) => {
            return Err(wrong(
                "role_arn",
                Message::new("it has role_arn without source_profile or credential_source", "add who is to act in the role"),
            ));
        }
        (Some(source), None) => source_profile(files, profile, source, visited, environment)?,
        (None, Some("Ec2InstanceMetadata")) => Source::Instance(None),
        (None, Some("Environment")) => match environment::of_the_sdks(environment)? {
            Some(found) => Source::Keys(found),
            None => {
                return Err(wrong(
                    "credential_source",
                    Message::new("credential_source is Environment, and the environment has no keys", "set them"),
                ));
            }
        },
        (None, Some(_)) => {
            return Err(wrong(
                "credential_source",
                Message::new("its credential_source is neither Ec2InstanceMetadata nor Environment", "name one of them"),
            ));
        }
    };
    Ok(Source::Role(Box::new(Role {
        arn,
        external_id: text("external_id")?,
        session_name: text("role_session_name")?,
        duration,
        base,
        place: profile.place("role_arn"),
    })))
}

fn source_profile(
    files: &AwsFiles,
    profile: &Profile,
    name: &str,
    visited: &mut Vec<String>,
    environment: Environment,
) -> Result<Source, Error> {
    let wrong = |what: &str, remedy: &'static str| unfit(profile, "source_profile", Message::new(what, remedy));
    let source = files.profile(name).ok_or_else(|| wrong("its source_profile does not exist", "correct the name"))?;
    let has_keys = ["aws_access_key_id", "aws_secret_access_key"].iter().any(|key| source.get(key).is_some());
    // A profile may name itself for its own keys.
    if visited.iter().any(|other| other == name) && (name != profile.name || !has_keys) {
        return Err(wrong("its source_profile leads back to itself", "name one with keys"));
    }
    visited.push(name.to_owned());
    if acts_in_a_role(&source) && !has_keys {
        return role(files, &source, visited, environment);
    }
    let found = own(&source)?.ok_or_else(|| wrong("its source_profile has no keys", "add them"))?;
    Ok(Source::Keys(found))
}
