//! The keys of an instance's role, from the metadata service.

use rusoto_core::credential::AwsCredentials;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Error, Kind, keys};
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
        return Err(if named.is_some() { Error::new(Kind::Unfit, text) } else { Error::new(Kind::Unavailable, text) });
    }
    let text = imds.role_credentials(&role).await.map_err(|error| match (Error::from(error), named) {
        (Error { kind: Kind::Nowhere, .. }, Some(role)) => {
            Error::new(Kind::NotYet, Message::new(format!("the metadata service knows no role {role}"), "AWS_PARAMS names it with --role"))
        }
        (Error { kind: Kind::Nowhere, .. }, None) => {
            Error::new(Kind::NotYet, format!("the metadata service has no keys of the role {role}"))
        }
        (error, _) => error,
    })?;
    parse(&role, &text)
}

fn parse(role: &str, text: &str) -> Result<AwsCredentials, Error> {
    let place = format!("the metadata service's keys of role {role}");
    let mut answer: Value = serde_json::from_str(text).map_err(|_| Error::new(Kind::Unavailable, format!("{place} are not JSON")))?;
    let mut field = |name: &str| match answer.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Some(Zeroizing::new(text)),
        _ => None,
    };
    if let Some(code) = field("Code").filter(|code| code.as_str() != "Success") {
        return Err(Error::new(
            Kind::NotYet,
            Message::new(format!("{place} are not available: {}", printable(&code)), "check the role's trust policy"),
        ));
    }
    match (field("AccessKeyId"), field("SecretAccessKey")) {
        (Some(id), Some(secret)) => {
            let keys = keys(&place, &id, &secret, field("Token").as_deref().map(String::as_str));
            // What it tells may be right the next time.
            keys.map_err(|error| error.map(|_| Kind::Unavailable))
        }
        _ => Err(Error::new(Kind::Unavailable, format!("{place} lack AccessKeyId or SecretAccessKey"))),
    }
}
