//! Keys in environment variables.

use rusoto_core::credential::AwsCredentials;

use super::{Error, keys};
use crate::config::Environment;

/// Reads the AWS SDKs' names, then those of the old EC2 tools.
pub fn read(environment: Environment) -> Result<AwsCredentials, Error> {
    let value = |name: &str| environment(name).filter(|text| !text.is_empty());
    for (id_name, secret_name) in [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("EC2_ACCESS_KEY", "EC2_SECRET_KEY")] {
        match (value(id_name), value(secret_name)) {
            (Some(id), Some(secret)) => {
                let token = if id_name == "AWS_ACCESS_KEY_ID" { value("AWS_SESSION_TOKEN") } else { None };
                return keys(&format!("environment variable {id_name}"), &id, &secret, token.as_deref());
            }
            (Some(_), None) => return Err(half(id_name, secret_name)),
            (None, Some(_)) => return Err(half(secret_name, id_name)),
            (None, None) => {}
        }
    }
    Err(Error::Nowhere)
}

fn half(set: &str, missing: &str) -> Error {
    Error::Unfit(format!("environment variable {set} is set but {missing} is not; set both or neither"))
}
