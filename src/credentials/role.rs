//! The keys of an instance's role, from the metadata service.

use rusoto_core::credential::AwsCredentials;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Error, keys};
use crate::escape::printable;
use crate::imds::Imds;
use crate::message::Message;

/// Fetches the keys of the named role, or of the one the instance has.
pub(super) async fn fetch(imds: &Imds, named: Option<&str>) -> Result<AwsCredentials, Error> {
    let role = match named {
        Some(role) => role.to_owned(),
        None => imds.role().await?,
    };
    // The characters of a role's name, and how many: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    if role.is_empty() || role.len() > 64 || !role.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b)) {
        let text = format!("{:?} is not the name of a role", printable(&role));
        // What is configured can be put right there; what the metadata service tells may be right the next time.
        return Err(if named.is_some() { Error::Unfit(text.into()) } else { Error::Unavailable(text.into()) });
    }
    let text = imds.role_credentials(&role).await.map_err(|error| match (Error::from(error), named) {
        (Error::Nowhere, Some(role)) => {
            Error::NotYet(Message::new(format!("the metadata service knows no role {role}"), "AWS_PARAMS names it with --role"))
        }
        (Error::Nowhere, None) => Error::NotYet(format!("the metadata service has no keys of the role {role}").into()),
        (error, _) => error,
    })?;
    parse(&role, &text)
}

fn parse(role: &str, text: &str) -> Result<AwsCredentials, Error> {
    let place = format!("the metadata service's keys of role {role}");
    let mut answer: Value = serde_json::from_str(text).map_err(|_| Error::Unavailable(format!("{place} are not JSON").into()))?;
    let mut field = |name: &str| match answer.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Some(Zeroizing::new(text)),
        _ => None,
    };
    if let Some(code) = field("Code").filter(|code| code.as_str() != "Success") {
        return Err(Error::NotYet(Message::new(
            format!("{place} are not available: {}", printable(&code)),
            "check the role's trust policy",
        )));
    }
    match (field("AccessKeyId"), field("SecretAccessKey")) {
        (Some(id), Some(secret)) => {
            let keys = keys(&place, &id, &secret, field("Token").as_deref().map(String::as_str));
            keys.map_err(|error| match error {
                Error::Unfit(text) => Error::Unavailable(text),
                error => error,
            })
        }
        _ => Err(Error::Unavailable(format!("{place} lack AccessKeyId or SecretAccessKey").into())),
    }
}
