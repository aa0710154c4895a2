//! Keys in environment variables.

use super::{Error, Found, keys, unfit};
use crate::config::Environment;

/// A place of keys that botocore looks into before those in a profile.
const WEB_IDENTITY: (&str, &str) = ("AWS_WEB_IDENTITY_TOKEN_FILE", "a web identity");

/// Others that come after them. Of all but the first, botocore does not ask whether there is a value.
const UNSUPPORTED: [(&str, &str); 4] = [
    ("BOTO_CONFIG", "a file of boto"),
    ("AWS_CREDENTIAL_FILE", "the file of the old EC2 tools"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "a container's role"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "a container's role"),
];

/// The keys by the names of AWS's SDKs.
pub(super) fn of_the_sdks(environment: Environment) -> Result<Option<Found>, Error> {
    pair(environment, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", &["AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"])
}

/// The keys by the names of the old EC2 tools, which know no tokens.
pub(super) fn of_the_old_tools(environment: Environment) -> Result<Option<Found>, Error> {
    pair(environment, "EC2_ACCESS_KEY", "EC2_SECRET_KEY", &[])
}

/// Refuses to pass by a place that other programs would take keys from: whoever set it does not expect the instance's role.
pub(super) fn refuse_unsupported(environment: Environment) -> Result<(), Error> {
    refuse_web_identity(environment)?;
    let is_set = |name: &str| if name == UNSUPPORTED[0].0 { value(environment, name) } else { environment(name) }.is_some();
    UNSUPPORTED.iter().find(|(name, _)| is_set(name)).map_or(Ok(()), |place| Err(unsupported(*place)))
}

/// The same for the one place that comes before a profile's keys.
pub(super) fn refuse_web_identity(environment: Environment) -> Result<(), Error> {
    value(environment, WEB_IDENTITY.0).map_or(Ok(()), |_| Err(unsupported(WEB_IDENTITY)))
}

fn unsupported((name, what): (&str, &str)) -> Error {
    unfit(
        format!("environment variable {name} names {what}, which this program does not read"),
        "unset it, or name a profile with keys in /etc/default/elastic-ip",
    )
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
    unfit(format!("environment variable {set} is set but {missing} is not"), "set both or neither")
}
