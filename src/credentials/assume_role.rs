//! Keys to act in a role, from STS (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>): how an instance of
//! one account moves the address of another.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Utc;
use reqwest::{Client, StatusCode, Url};
use rusoto_core::Region;
use rusoto_core::credential::AwsCredentials;
use rusoto_core::signature::SignedRequest;
use xml::EventReader;
use xml::reader::{ParserConfig, XmlEvent};
use zeroize::Zeroizing;

use super::profile::{Role, Source};
use super::{Error, Found, Kind, Places, keys, of_the_instance};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::endpoint::Endpoint;
use crate::escape::printable;
use crate::http::{self, Answer};
use crate::ids::RegionName;
use crate::imds::Imds;
use crate::instance;
use crate::message::Message;
use crate::signing;

const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);

/// The API's version, which has never changed.
const VERSION: &str = "2011-06-15";

/// What `CloudTrail` shows where the profile has no other name for it.
const SESSION: &str = "elastic-ip";

/// The elements around the keys.
const WAY: [&str; 3] = ["AssumeRoleResponse", "AssumeRoleResult", "Credentials"];

/// The answer has four levels.
const DEEPEST: usize = 32;

/// Asks for the role's keys, and before that for those of each role on the way to it.
pub(super) async fn fetch(role: &Role, config: &Config, places: &Places<'_>, imds: &Imds, deadline: &Deadline) -> Result<Found, Error> {
    let mut way = vec![role];
    let mut base = &role.base;
    while let Source::Role(role) = base {
        way.push(role);
        base = &role.base;
    }
    let region = region(config, places, imds).await?;
    let mut found = match base {
        Source::Keys(Found { keys, place }) => Found { keys: keys.clone(), place: place.clone() },
        _ => of_the_instance(imds, None).await.map_err(|error| match error.kind {
            Kind::Nowhere => Error::new(
                Kind::NotYet,
                Message::new(format!("{}: this instance has no role to ask for it with", role.place), "give it one"),
            ),
            _ => error,
        })?,
    };
    let endpoint = Endpoint::sts(&region, config).map_err(|line| Error::new(Kind::Unfit, line))?;
    let http = endpoint.client(CONNECT_LIMIT).map_err(|error| Error::new(Kind::Unavailable, error))?;
    let sts = Sts { http, proxy: endpoint.proxy(), region: endpoint.region(), deadline };
    for role in way.into_iter().rev() {
        let keys = sts.assume(role, &found.keys).await?;
        found = Found { keys, place: format!("the role of {}, by {}", role.place, found.place) };
    }
    Ok(found)
}

async fn region(config: &Config, places: &Places<'_>, imds: &Imds) -> Result<RegionName, Error> {
    if let Some(region) = &config.region {
        return Ok(region.clone());
    }
    match places.profile_region(config) {
        Err(line) => Err(Error::new(Kind::Unfit, line)),
        Ok(Some(region)) => Ok(region),
        Ok(None) => instance::region(imds)
            .await
            .map_err(|error| error.map(|kind| if kind == instance::Kind::NotYet { Kind::NotYet } else { Kind::Unavailable })),
    }
}

/// STS in one region.
struct Sts<'a> {
    http: Client,
    proxy: Option<String>,
    region: Region,
    deadline: &'a Deadline,
}

impl Sts<'_> {
    async fn assume(&self, role: &Role, keys: &AwsCredentials) -> Result<AwsCredentials, Error> {
        let signed = || {
            let mut request = SignedRequest::new("POST", "sts", &self.region, "/");
            request.set_payload(Some(body(role)));
            request.set_content_type("application/x-www-form-urlencoded".to_owned());
            request.sign(keys);
            request
        };
        let answer = self.send(signed()).await?;
        let skew = if is_about_the_clock(&answer) { answer.date.as_deref().and_then(signing::skew) } else { None };
        let Some(skew) = skew else { return read(role, &answer) };
        log::warn!("STS refuses what is signed by this machine's clock, which is {} s off; trying again with its time", skew.num_seconds());
        let mut request = signed();
        signing::sign_again(&mut request, keys, Utc::now() + skew);
        read(role, &self.send(request).await?)
    }

    async fn send(&self, request: SignedRequest) -> Result<Answer, Error> {
        // Half of a short deadline is left for asking again.
        let limit = ATTEMPT_LIMIT.min(self.deadline.left() / 2);
        let answer = http::exchange(signing::prepare(&self.http, request), self.proxy.as_deref(), limit).await;
        answer.map_err(|http::Error { message, .. }| {
            Error::new(Kind::Unavailable, Message { what: format!("AssumeRole got {}", message.what), ..message })
        })
    }
}

fn body(role: &Role) -> String {
    // A form has the syntax of a query.
    let Ok(mut form) = Url::parse("http://form") else { return String::new() };
    let duration = role.duration.map(|seconds| seconds.to_string());
    let optional = [("ExternalId", role.external_id.as_deref()), ("DurationSeconds", duration.as_deref())];
    form.query_pairs_mut()
        .append_pair("Action", "AssumeRole")
        .append_pair("Version", VERSION)
        .append_pair("RoleArn", &role.arn)
        .append_pair("RoleSessionName", role.session_name.as_deref().unwrap_or(SESSION))
        .extend_pairs(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    form.query().unwrap_or_default().to_owned()
}

fn is_about_the_clock(answer: &Answer) -> bool {
    let code = texts(&answer.body).and_then(|mut texts| texts.remove("Code"));
    answer.status != StatusCode::OK && matches!(code.as_ref().map(|code| code.as_str()), Some("SignatureDoesNotMatch" | "RequestExpired"))
}

fn read(role: &Role, answer: &Answer) -> Result<AwsCredentials, Error> {
    let place = &role.place;
    let unreadable = || Error::new(Kind::Unavailable, format!("{place}: STS's answer to AssumeRole cannot be read"));
    let texts = texts(&answer.body);
    if answer.status != StatusCode::OK {
        return Err(refusal(role, answer.status, &texts.unwrap_or_default()));
    }
    let texts = texts.filter(|texts| !texts.contains_key("Code")).ok_or_else(unreadable)?;
    let text = |name: &str| texts.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let (Some(id), Some(secret), Some(token)) = (text("AccessKeyId"), text("SecretAccessKey"), text("SessionToken")) else {
        return Err(unreadable());
    };
    keys(place, id, secret, Some(token)).map_err(|_| unreadable())
}

fn refusal(role: &Role, status: StatusCode, texts: &HashMap<String, Zeroizing<String>>) -> Error {
    let text = |name: &str| texts.get(name).map(|text| printable(text)).unwrap_or_default();
    let (code, message) = (text("Code"), text("Message"));
    let mut what = format!("{}: STS answers {} to AssumeRole", role.place, status.as_u16());
    for part in [&code, &message].into_iter().filter(|part| !part.is_empty()) {
        what.push_str(": ");
        what.push_str(part.trim_end_matches('.'));
    }
    let (kind, remedy) = match code.as_str() {
        "AccessDenied" => (
            Kind::NotYet,
            "the role's trust policy must name who asks, the policy of who asks must allow sts:AssumeRole, and external_id must be the role's",
        ),
        "InvalidClientTokenId" | "SignatureDoesNotMatch" | "UnrecognizedClientException" => {
            (Kind::NotYet, "check the keys that ask, and this machine's clock")
        }
        "ExpiredToken" | "ExpiredTokenException" => (Kind::NotYet, "the session token has expired: get new credentials"),
        "RegionDisabledException" => (Kind::Unfit, "activate STS in this region in the account's settings"),
        "RequestExpired" => (Kind::NotYet, "set this machine's clock"),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || code.starts_with("Throttling") => {
            return Error::new(Kind::Unavailable, what);
        }
        _ => (Kind::Unfit, "correct the profile"),
    };
    Error::new(kind, Message::new(what, remedy))
}

/// The texts of the keys, or of an error, by their names; none where it is not one whole document, or one of them is there twice.
fn texts(body: &[u8]) -> Option<HashMap<String, Zeroizing<String>>> {
    let text = str::from_utf8(body).ok()?;
    // Entities are declared in one, and XML bombs are made of them.
    if text.contains("<!DOCTYPE") {
        return None;
    }
    let syntax = ParserConfig::new().allow_multiple_root_elements(false).cdata_to_characters(true).whitespace_to_characters(true);
    let mut texts: HashMap<String, Zeroizing<String>> = HashMap::new();
    let mut open: Vec<String> = Vec::new();
    for event in EventReader::new_with_config(body, syntax) {
        match event.ok()? {
            XmlEvent::StartElement { name, .. } => {
                if open.len() == DEEPEST || (open.len() > WAY.len() && is_wanted(&open)) {
                    return None;
                }
                open.push(name.local_name);
                if is_wanted(&open) && texts.insert(open.last()?.clone(), Zeroizing::default()).is_some() {
                    return None;
                }
            }
            XmlEvent::EndElement { .. } => drop(open.pop()),
            XmlEvent::Characters(text) if is_wanted(&open) => texts.get_mut(open.last()?)?.push_str(&text),
            _ => {}
        }
    }
    Some(texts)
}

/// Whether the innermost of these elements is one on the way to the keys, a part of the keys, or a part of an error.
fn is_wanted(open: &[String]) -> bool {
    let is_on_the_way = open.len() <= WAY.len() + 1 && open.iter().zip(WAY).all(|(name, wanted)| name == wanted);
    is_on_the_way || matches!(open, [.., parent, _] if parent == "Error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_document_is_read_and_each_text_but_once() {
        let answer = |inner: &str| format!("<AssumeRoleResponse><AssumeRoleResult>{inner}</AssumeRoleResult></AssumeRoleResponse>");
        let keys = |inner: &str| answer(&format!("<Credentials>{inner}</Credentials>"));
        let id = |text: &str| texts(text.as_bytes()).and_then(|texts| texts.get("AccessKeyId").map(|text| text.to_string()));
        let one = "<AccessKeyId>A</AccessKeyId>";
        assert_eq!(id(&keys(one)).as_deref(), Some("A"));
        assert_eq!(texts(b"<ErrorResponse><Error><Code>c</Code></Error></ErrorResponse>").unwrap()["Code"].as_str(), "c");
        for text in [
            String::new(),
            keys(one).replace("</AssumeRoleResponse>", ""),
            keys(&one.repeat(2)),
            answer(&format!("<Credentials>{one}</Credentials><Credentials/>")),
            keys("<AccessKeyId>A<x/></AccessKeyId>"),
            answer(one),
            format!("<a>{}</a>", keys(one)),
            format!("<!DOCTYPE a>{}", keys(one)),
            keys(one).repeat(2),
            keys(&(one.to_owned() + &"<a>".repeat(40) + &"</a>".repeat(40))),
        ] {
            assert_eq!(id(&text), None, "{text:?}");
        }
    }
}
