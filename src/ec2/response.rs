//! What an answer's bytes say before rusoto reads them: is it whole, is it for this call, is it an error?

use std::collections::HashSet;

use chrono::TimeDelta;
use reqwest::StatusCode;
use xml::EventReader;
use xml::name::OwnedName;
use xml::reader::{ParserConfig, XmlEvent};

use super::{Error, Kind};
use crate::escape::printable;
use crate::http::Answer;
use crate::message::Message;
use crate::signing;

/// The parts of an answer that tell success from failure.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    root: String,
    code: String,
    message: String,
    request: String,
    done: Option<bool>,
    /// A field that is there twice.
    repeated: Option<String>,
}

/// Lets an answer through only if it is a success: status 200 and one whole document whose root is named for the call.
/// rusoto reads on its own only as far as it needs, and takes the answer to a disassociate for success unread. Returned is the
/// request's id, which may be empty.
pub(super) fn check(action: &str, answer: &Answer) -> Result<String, Error> {
    let parts = read(&answer.body);
    if answer.status == StatusCode::OK {
        return match parts {
            Ok(parts) if parts.root != format!("{action}Response") => {
                Err(Error::malformed(format!("it is a {:?} where {action}Response was due", printable(&parts.root))))
            }
            // Of two fields with one name, rusoto would take the second.
            Ok(Parts { repeated: Some(name), .. }) => Err(Error::malformed(format!("it has more than one {:?}", printable(&name)))),
            Ok(Parts { done: Some(false), .. }) => Err(Error::malformed("it says that the call was not done")),
            Ok(parts) => Ok(parts.request),
            Err(what) => Err(Error::malformed(what)),
        };
    }
    Err(refusal(action, answer, &parts.unwrap_or_default()))
}

fn refusal(action: &str, answer: &Answer, parts: &Parts) -> Error {
    let status = answer.status.as_u16();
    let Parts { code, message, request, .. } = parts;
    let skew = if may_be_the_clock(code) { answer.date.as_deref().and_then(signing::skew) } else { None };
    let kind = if let Some(skew) = skew {
        Kind::Clock(skew)
    } else if is_throttle(code) || status == 429 {
        Kind::Throttled
    } else if matches!(status, 500 | 502 | 503 | 504) {
        Kind::Ambiguous
    } else if may_pass(code) {
        Kind::NotYet(code.clone())
    } else {
        Kind::Refused(code.clone())
    };
    let mut text = format!("EC2 answers {status} to {action}");
    for part in [code, message].into_iter().filter(|part| !part.is_empty()) {
        text.push_str(": ");
        text.push_str(part.trim_end_matches('.'));
    }
    let remedy = match skew {
        Some(skew) => {
            let direction = if skew > TimeDelta::zero() { "behind" } else { "ahead of" };
            Some(format!("this machine's clock is {} s {direction} EC2's: set it", skew.num_seconds().abs()))
        }
        None => remedy(action, code, message),
    };
    Error { request: request.clone(), ..Error::new(kind, Message { what: text, remedy: remedy.map(Into::into) }) }
}

/// Whether a minute may help: after a boot, a new key, a rotated role, an attached interface, a new policy or a new address, EC2
/// refuses for a while what it then allows. Of AWS's list of codes
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>), these name who calls, whether it may, or what is
/// acted on; not those that name a wrong parameter.
fn may_pass(code: &str) -> bool {
    matches!(
        code,
        // Who calls: the keys may be too new, or have been replaced.
        "AuthFailure"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "InvalidSecurityToken"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException"
            // Whether it may: a policy, an account or a region may be too new.
            | "AccessDenied"
            | "AccessDeniedException"
            | "OptInRequired"
            | "PendingVerification"
            | "UnauthorizedOperation"
            // What is acted on: it may be too new, or in between two states.
            | "Gateway.NotAttached"
            | "IncorrectInstanceState"
            | "IncorrectState"
            | "InvalidAddress.NotFound"
            | "InvalidAddressID.NotFound"
            | "InvalidAllocationID.NotFound"
            | "InvalidInstanceID"
            | "InvalidInstanceID.NotFound"
            | "InvalidInterface.NotFound"
            | "InvalidNetworkInterface.NotFound"
            | "InvalidNetworkInterfaceID.NotFound"
            | "InvalidNetworkInterfaceId.NotFound"
            | "InvalidState"
    )
}

fn is_throttle(code: &str) -> bool {
    matches!(code, "RequestLimitExceeded" | "TooManyRequestsException" | "SlowDown" | "EC2ThrottledException" | "BandwidthLimitExceeded")
        || code.starts_with("Throttling")
        || code.starts_with("RequestThrottled")
}

/// `AuthFailure` stands for bad keys, a wrong clock and somebody else's address alike; the answer's date tells them apart.
fn may_be_the_clock(code: &str) -> bool {
    matches!(code, "RequestExpired" | "RequestTimeTooSkewed" | "AuthFailure" | "SignatureDoesNotMatch")
}

/// The kinds of policy that a refusal may name, and who keeps each
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>).
const POLICIES: [(&str, &str); 7] = [
    ("service control policy", "the administrators of the AWS organization"),
    ("resource control policy", "the administrators of the AWS organization"),
    ("permissions boundary", "whoever manages the role or user of these credentials"),
    ("session policy", "whoever issues these temporary credentials"),
    ("VPC endpoint policy", "whoever manages the VPC endpoint of EC2"),
    ("resource-based policy", "whoever manages the account of the address"),
    ("identity-based policy", "whoever manages the role or user of these credentials"),
];

/// What makes EC2 permit an action, by its own words for why it does not. A denial is not overridden by a permission elsewhere.
fn permit(action: &str, message: &str) -> String {
    let named = POLICIES.iter().find(|(policy, _)| message.contains(policy));
    let is_denied = message.contains("explicit deny");
    match (named, is_denied) {
        (Some((policy, keeper)), true) => {
            format!("have {keeper} remove the denial of ec2:{action} from the {policy}: no permission elsewhere overrides it")
        }
        (None, true) => {
            format!("remove the denial of ec2:{action} from the policies of these credentials: no permission elsewhere overrides it")
        }
        (Some(("identity-based policy", _)) | None, false) => format!("allow ec2:{action} in the IAM policy of these credentials"),
        (Some((policy, keeper)), false) => format!("have {keeper} allow ec2:{action} in the {policy} as well"),
    }
}

/// What to do about an error code (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>).
fn remedy(action: &str, code: &str, message: &str) -> Option<String> {
    Some(match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => permit(action, message),
        "AuthFailure" | "SignatureDoesNotMatch" => {
            "check the keys, this machine's clock, and that the address belongs to this account and region".to_owned()
        }
        "InvalidClientTokenId" | "InvalidAccessKeyId" | "UnrecognizedClientException" => {
            "EC2 does not know this access key id: check the keys and the region's partition".to_owned()
        }
        "RequestExpired" | "RequestTimeTooSkewed" => "set this machine's clock".to_owned(),
        "ExpiredToken" | "ExpiredTokenException" => "the session token has expired: get new credentials".to_owned(),
        "InvalidAddress.NotFound" | "InvalidAllocationID.NotFound" => {
            "no such Elastic IP in this account and region: check ELASTIC_IP and the region".to_owned()
        }
        "InvalidInstanceID" | "InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed" => "check MY_ID and the region".to_owned(),
        "OptInRequired" => "this account is not enabled for the region".to_owned(),
        _ => return None,
    })
}

/// EC2's own answers have six levels. The parser's time grows with the square of the depth.
const DEEPEST: usize = 32;

/// Entities are declared here, and XML bombs are made of them.
const DOCTYPE: &str = "<!DOCTYPE";

/// Reads a whole document. An unfinished one, several, one with a document type, or what is not XML at all is an error.
fn read(body: &[u8]) -> Result<Parts, String> {
    let text = str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    if text.contains(DOCTYPE) {
        return Err("it has a document type, which EC2 never sends".to_owned());
    }
    let syntax = ParserConfig::new().allow_multiple_root_elements(false).cdata_to_characters(true);
    let mut parts = Parts::default();
    // Each open element's name, with the names of its fields so far.
    let mut open: Vec<(String, HashSet<String>)> = Vec::new();
    for event in EventReader::new_with_config(body, syntax) {
        match event {
            Ok(XmlEvent::StartElement { name: OwnedName { local_name: name, .. }, .. }) => {
                match open.last_mut() {
                    None => parts.root.clone_from(&name),
                    // Lists are made of these.
                    Some(_) if name == "item" => {}
                    Some((_, fields)) => {
                        if !fields.insert(name.clone()) {
                            parts.repeated = Some(name.clone());
                        }
                    }
                }
                if name == "return" && open.len() == 1 {
                    parts.done = Some(false);
                }
                open.push((name, HashSet::new()));
                if open.len() > DEEPEST {
                    return Err("it is nested too deeply".to_owned());
                }
            }
            Ok(XmlEvent::EndElement { .. }) => {
                open.pop();
            }
            Ok(XmlEvent::Characters(text)) => {
                let mut path = open.iter().rev().map(|(name, _)| name.as_str());
                match (path.next(), path.next()) {
                    (Some("Code"), Some("Error")) => parts.code = printable(&text),
                    (Some("Message"), Some("Error")) => parts.message = printable(&text),
                    (Some("RequestID" | "RequestId" | "requestId"), _) => parts.request = printable(&text),
                    (Some("return"), _) if open.len() == 2 => parts.done = Some(text.trim() == "true"),
                    _ => {}
                }
            }
            Ok(_) => {}
            Err(error) => return Err(format!("it is not whole XML ({})", printable(error.msg()))),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), body: body.as_bytes().to_vec(), date: None }
    }

    #[test]
    fn only_a_whole_answer_to_this_call_is_success() {
        let good = "<DisassociateAddressResponse xmlns=\"x\"><requestId>r</requestId><return>true</return></DisassociateAddressResponse>";
        check("DisassociateAddress", &answer(200, good)).unwrap();
        for bad in [
            "",
            "ok",
            "<html>It works</html>",
            &good[..good.len() - 5],
            "<DescribeAddressesResponse/>",
            "<DisassociateAddressResponse><return>false</return></DisassociateAddressResponse>",
            &"<DisassociateAddressResponse>".repeat(1000),
            "<!DOCTYPE a [<!ENTITY b \"c\">]><DisassociateAddressResponse>&b;</DisassociateAddressResponse>",
        ] {
            let error = check("DisassociateAddress", &answer(200, bad)).unwrap_err();
            assert_eq!(error.kind, Kind::Ambiguous, "{bad}");
        }
        let utf_16 = good.encode_utf16().flat_map(u16::to_be_bytes);
        let body = [0xfe, 0xff].into_iter().chain(utf_16).collect();
        assert!(check("DisassociateAddress", &Answer { body, ..answer(200, "") }).is_err());
    }

    #[test]
    fn a_list_may_have_several_items_and_a_field_but_one_value() {
        let answer_with = |fields: &str| answer(200, &format!("<DescribeAddressesResponse><a>{fields}</a></DescribeAddressesResponse>"));
        check("DescribeAddresses", &answer_with("<item><b>1</b></item><item><b>2</b></item><c/>")).unwrap();
        check("DescribeAddresses", &answer_with("<item><b>1</b><b>2</b></item>")).unwrap_err();
    }

    #[test]
    fn both_forms_of_an_error_are_read() {
        for body in [
            "<Response><Errors><Error><Code>InvalidAddress.NotFound</Code><Message>no</Message></Error></Errors><RequestID>r-1</RequestID></Response>",
            "<ErrorResponse><Errors><Error><Code>InvalidAddress.NotFound</Code><Message>no</Message></Error></Errors><RequestID>r-1</RequestID></ErrorResponse>",
        ] {
            let error = check("DescribeAddresses", &answer(400, body)).unwrap_err();
            assert!(error.is_refusal("InvalidAddress.NotFound"), "{error}");
            assert!(error.to_string().contains("r-1") && error.to_string().contains("check ELASTIC_IP"), "{error}");
        }
    }

    #[test]
    fn the_kind_follows_the_code_and_the_status() {
        let error = |status, code: &str| {
            check(
                "DescribeAddresses",
                &answer(status, &format!("<Response><Errors><Error><Code>{code}</Code></Error></Errors></Response>")),
            )
            .unwrap_err()
            .kind
        };
        for code in
            ["RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottledException", "SlowDown", "EC2ThrottledException"]
        {
            assert_eq!(error(503, code), Kind::Throttled);
            assert_eq!(error(400, code), Kind::Throttled);
        }
        for status in [500, 502, 503, 504] {
            assert_eq!(error(status, "InternalError"), Kind::Ambiguous);
        }
        assert_eq!(error(403, "UnauthorizedOperation"), Kind::NotYet("UnauthorizedOperation".to_owned()));
        assert_eq!(check("DescribeAddresses", &answer(404, "nothing here")).unwrap_err().kind, Kind::Refused(String::new()));
        assert_eq!(check("DescribeAddresses", &answer(502, "<html>bad gateway")).unwrap_err().kind, Kind::Ambiguous);
    }

    #[test]
    fn an_error_is_told_with_all_that_ec2_says_of_it_and_the_remedy() {
        let body = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized.</Message></Error></Errors>\
                    <RequestID>r-1</RequestID></Response>";
        assert_eq!(
            check("AssociateAddress", &answer(403, body)).unwrap_err().to_string(),
            "EC2 answers 403 to AssociateAddress: UnauthorizedOperation: You are not authorized (request r-1); \
             allow ec2:AssociateAddress in the IAM policy of these credentials"
        );
        assert_eq!(check("AssociateAddress", &answer(403, "no")).unwrap_err().to_string(), "EC2 answers 403 to AssociateAddress");
        // A code elsewhere is none.
        let elsewhere =
            "<Response><a><Code>Throttling</Code><Message>x</Message></a><Error><b><Code>Throttling</Code></b></Error></Response>";
        assert_eq!(check("AssociateAddress", &answer(400, elsewhere)).unwrap_err().to_string(), "EC2 answers 400 to AssociateAddress");
    }

    #[test]
    fn each_code_that_an_administrator_can_mend_comes_with_the_remedy() {
        for (codes, remedy) in [
            (&["UnauthorizedOperation", "AccessDenied", "AccessDeniedException"][..], "allow ec2:DescribeAddresses in the IAM policy"),
            (&["AuthFailure", "SignatureDoesNotMatch"], "check the keys, this machine's clock, and that the address belongs"),
            (&["InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException"], "EC2 does not know this access key id"),
            (&["RequestExpired", "RequestTimeTooSkewed"], "set this machine's clock"),
            (&["ExpiredToken", "ExpiredTokenException"], "the session token has expired"),
            (&["InvalidAddress.NotFound", "InvalidAllocationID.NotFound"], "no such Elastic IP in this account and region"),
            (&["InvalidInstanceID", "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"], "check MY_ID and the region"),
            (&["OptInRequired"], "this account is not enabled for the region"),
        ] {
            for code in codes {
                let body = format!("<Response><Errors><Error><Code>{code}</Code></Error></Errors></Response>");
                let text = check("DescribeAddresses", &answer(400, &body)).unwrap_err().to_string();
                assert!(text.starts_with(&format!("EC2 answers 400 to DescribeAddresses: {code}; {remedy}")), "{text}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_wrong_is_told_with_its_direction() {
        for (ahead, direction) in [(10, "behind EC2's: set it"), (-10, "ahead of EC2's: set it")] {
            for code in ["RequestExpired", "RequestTimeTooSkewed", "AuthFailure", "SignatureDoesNotMatch"] {
                let body = format!("<Response><Errors><Error><Code>{code}</Code></Error></Errors></Response>");
                let date = (chrono::Utc::now() + TimeDelta::minutes(ahead)).to_rfc2822();
                let error = check("DescribeAddresses", &Answer { date: Some(date), ..answer(401, &body) }).unwrap_err();
                assert!(
                    matches!(error.kind, Kind::Clock(skew) if (skew - TimeDelta::minutes(ahead)).abs() < TimeDelta::minutes(1)),
                    "{error}"
                );
                assert!(error.to_string().ends_with(direction), "{error}");
            }
        }
    }

    #[test]
    fn the_clock_is_not_blamed_for_what_it_cannot_cause() {
        let date = (chrono::Utc::now() + TimeDelta::minutes(10)).to_rfc2822();
        for (code, kind) in
            [("UnauthorizedOperation", Kind::NotYet("UnauthorizedOperation".to_owned())), ("RequestLimitExceeded", Kind::Throttled)]
        {
            let body = format!("<Response><Errors><Error><Code>{code}</Code></Error></Errors></Response>");
            assert_eq!(check("DescribeAddresses", &Answer { date: Some(date.clone()), ..answer(403, &body) }).unwrap_err().kind, kind);
        }
    }

    #[test]
    fn too_many_requests_is_a_throttle_whatever_the_code() {
        assert_eq!(check("DescribeAddresses", &answer(429, "")).unwrap_err().kind, Kind::Throttled);
    }

    #[test]
    fn an_answer_may_be_nested_as_deeply_as_ec2s_and_more_but_not_without_end() {
        let nested = |depth: usize| {
            let (open, close) = ("<item>".repeat(depth - 1), "</item>".repeat(depth - 1));
            answer(200, &format!("<DescribeAddressesResponse>{open}{close}</DescribeAddressesResponse>"))
        };
        check("DescribeAddresses", &nested(DEEPEST)).unwrap();
        assert!(check("DescribeAddresses", &nested(DEEPEST + 1)).unwrap_err().to_string().contains("nested too deeply"));
    }

    #[test]
    fn only_the_answers_own_return_counts() {
        let answer_with = |fields: &str| answer(200, &format!("<DisassociateAddressResponse>{fields}</DisassociateAddressResponse>"));
        check("DisassociateAddress", &answer_with("<return> true\n</return><a><return>false</return></a>")).unwrap();
        check("DisassociateAddress", &answer_with("<return>false</return><a><return>true</return></a>")).unwrap_err();
    }
}
