//! Signed requests, also for an EC2 whose clock is not this machine's. EC2 refuses what was signed more than five minutes off, and a
//! node whose clock is wrong must still be able to take the address.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder};
use ring::{digest, hmac};
use rusoto_core::credential::AwsCredentials;
use rusoto_core::signature::{SignedRequest, SignedRequestPayload};

/// Below this much, the clock is no reason for a refusal.
const TOLERANCE: TimeDelta = TimeDelta::minutes(4);

/// How far EC2's clock, as an answer's `Date` tells it, is ahead of this machine's, if that is far enough to matter.
#[must_use]
pub(crate) fn skew(date: &str) -> Option<TimeDelta> {
    ahead(date).filter(|ahead| ahead.abs() > TOLERANCE)
}

/// How far EC2's clock is ahead of this machine's, to the second.
#[must_use]
pub(crate) fn ahead(date: &str) -> Option<TimeDelta> {
    let theirs = DateTime::parse_from_rfc2822(date).ok()?;
    Some(theirs.with_timezone(&Utc) - Utc::now())
}

/// Signs a request, which rusoto has signed for this machine's clock, anew for another moment
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
pub(crate) fn sign_again(request: &mut SignedRequest, keys: &AwsCredentials, moment: DateTime<Utc>) {
    let time = moment.format("%Y%m%dT%H%M%SZ").to_string();
    let day = &time[..8];
    request.remove_header("x-amz-date");
    request.add_header("x-amz-date", &time);

    let mut headers = String::new();
    let mut names = Vec::new();
    let mut payload_hash = String::new();
    for (name, values) in request.headers().iter().filter(|(name, _)| !matches!(name.as_str(), "authorization" | "content-length")) {
        let value = values.iter().map(|value| String::from_utf8_lossy(value)).collect::<Vec<_>>().join(",");
        if name == "x-amz-content-sha256" {
            payload_hash.clone_from(&value);
        }
        headers.push_str(&format!("{name}:{}\n", value.trim()));
        names.push(name.as_str());
    }
    let names = names.join(";");
    let canonical =
        [request.method(), request.canonical_uri(), request.canonical_query_string(), &headers, &names, &payload_hash].join("\n");
    let scope = [day, &request.region_for_service(), &request.service, "aws4_request"];
    let digest = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{}\n{digest}", scope.join("/"));

    let mut key = format!("AWS4{}", keys.aws_secret_access_key()).into_bytes();
    for part in scope {
        key = mac(&key, part);
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={}",
        keys.aws_access_key_id(),
        scope.join("/"),
        hex(&mac(&key, &text))
    );
    request.remove_header("authorization");
    request.add_header("authorization", &authorization);
}

/// rusoto's request, as reqwest sends it.
pub(crate) fn prepare(http: &Client, request: SignedRequest) -> RequestBuilder {
    let url = format!("{}://{}{}", request.scheme(), request.hostname(), request.canonical_path());
    let mut headers = HeaderMap::new();
    for (name, values) in request.headers() {
        for value in values {
            // Names are rusoto's own; the values that are not (keys) were seen to be printable ASCII.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
    }
    let builder = http.post(url).headers(headers);
    match request.payload {
        Some(SignedRequestPayload::Buffer(bytes)) => builder.body(bytes),
        _ => builder,
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rusoto_core::Region;

    use super::*;

    #[test]
    fn a_request_signed_anew_for_the_same_moment_is_the_one_that_rusoto_signed() {
        for (endpoint, token) in [("https://ec2.eu-west-1.amazonaws.com", None), ("http://127.0.0.1:8773/services/compute", Some("token"))]
        {
            let region = Region::Custom { name: "eu-west-1".to_owned(), endpoint: endpoint.to_owned() };
            let keys = AwsCredentials::new("AKID", "secret/+=", token.map(str::to_owned), None);
            let mut request = SignedRequest::new("POST", "ec2", &region, "/");
            request.set_payload(Some("Action=DescribeAddresses&PublicIp.1=203.0.113.25"));
            request.set_content_type("application/x-www-form-urlencoded".to_owned());
            request.sign(&keys);
            let header = |request: &SignedRequest, name: &str| String::from_utf8(request.headers()[name][0].clone()).unwrap();
            let signed = header(&request, "authorization");
            let date = header(&request, "x-amz-date");
            let moment = chrono::NaiveDateTime::parse_from_str(&date, "%Y%m%dT%H%M%SZ").unwrap().and_utc();
            sign_again(&mut request, &keys, moment + TimeDelta::minutes(10));
            assert_ne!(header(&request, "authorization"), signed);
            sign_again(&mut request, &keys, moment);
            assert_eq!(header(&request, "authorization"), signed);
        }
    }

    #[test]
    fn only_a_clock_far_off_matters() {
        let date = |ahead: TimeDelta| (Utc::now() + ahead).to_rfc2822();
        assert_eq!(skew(&date(TimeDelta::seconds(100))), None);
        assert!(skew(&date(TimeDelta::minutes(10))).unwrap() > TimeDelta::minutes(9));
        assert!(skew(&date(TimeDelta::minutes(-10))).unwrap() < TimeDelta::minutes(-9));
        assert_eq!(skew("yesterday"), None);
    }
}
