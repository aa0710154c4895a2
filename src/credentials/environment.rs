//! Keys in environment variables.

use super::{Error, Found, keys};
use crate::config::Environment;
use crate::message::Message;

/// Places of keys that other programs read and this one does not, and how they are called.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "a web identity"),
    ("AWS_CREDENTIAL_FILE", "the file of the old EC2 tools"),
    ("BOTO_CONFIG", "a file of boto"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "a container's role"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "a container's role"),
];

/// The keys by the names of AWS's SDKs.
pub fn of_the_sdks(environment: Environment) -> Result<Option<Found>, Error> {
    pair(environment, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", &["AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"])
}

/// The keys by the names of the old EC2 tools, which know no tokens.
pub fn of_the_old_tools(environment: Environment) -> Result<Option<Found>, Error> {
    pair(environment, "EC2_ACCESS_KEY", "EC2_SECRET_KEY", &[])
}

/// Refuses to pass by a place that other programs would take keys from: whoever set it does not expect the instance's role.
pub fn refuse_unsupported(environment: Environment) -> Result<(), Error> {
    match UNSUPPORTED.iter().find(|(name, _)| value(environment, name).is_some()) {
        Some((name, what)) => Err(Error::Unfit(Message::new(
            format!("environment variable {name} names {what}, which this program does not read"),
            "unset it, or name a profile with keys in AWS_PROFILE",
        ))),
        None => Ok(()),
    }
}

fn value(environment: Environment, name: &str) -> Option<String> {
    environment(name).filter(|text| !text.is_empty())
}

/// The first of `tokens` that is set goes with the keys.
fn pair(environment: Environment, id: &str, secret: &str, tokens: &[&str]) -> Result<Option<Found>, Error> {
    let (id_name, secret_name) = (id, secret);
    match (value(environment, id), value(environment, secret)) {
        (Some(id), Some(secret)) => {
            let token = tokens.iter().find_map(|name| value(environment, name));
            let keys = keys(&format!("environment variable {id_name}"), &id, &secret, token.as_deref())?;
            Ok(Some(Found { keys, place: "the environment".to_owned() }))
        }
        (Some(_), None) => Err(half(id_name, secret_name)),
        (None, Some(_)) => Err(half(secret_name, id_name)),
        (None, None) => Ok(None),
    }
}

fn half(set: &str, missing: &str) -> Error {
    Error::Unfit(Message::new(format!("environment variable {set} is set but {missing} is not"), "set both or neither"))
}
