//! What a profile says of where its keys come from, with botocore's order of precedence
//! (`create_credential_resolver` in its `credentials.py`).

use super::aws_files::{AwsFiles, Profile};
use super::{Error, Found};

/// Where keys come from.
pub enum Source {
    /// They are here.
    Keys(Found),
    /// The role of this name of the instance, or the one that it has.
    Instance(Option<String>),
}

/// What else a profile may have that gives keys, with what it is called.
const ROLE: (&str, &str) = ("role_arn", "role_arn, a role to act in");
const SSO: (&str, &str) = ("sso_account_id", "SSO");
const SSO_ROLE: (&str, &str) = ("sso_role_name", "SSO");
const LOGIN: (&str, &str) = ("login_session", "aws login");
const PROCESS: (&str, &str) = ("credential_process", "credential_process, a command to run");

/// The source that a profile names; `None` where it says nothing of keys, or is not there.
pub fn source(files: &AwsFiles, name: &str) -> Result<Option<Source>, Error> {
    let Some(profile) = files.profile(name) else { return Ok(None) };
    if profile.get("web_identity_token_file").is_none() {
        refuse(&profile, ROLE)?;
    }
    Ok(own(&profile)?.map(Source::Keys))
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
    unfit(profile, key, &format!("its keys would come from {what}, which this program does not support; name a profile with keys"))
}

fn unfit(profile: &Profile, key: &str, what: &str) -> Error {
    Error::Unfit(format!("{}: {what}", profile.place(key)))
}
