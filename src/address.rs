//! What is moved, and what EC2 calls the things around it: an Elastic IP and EC2's ids, as types.

use std::fmt;
use std::net::{AddrParseError, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// One Elastic IP to hold, as an administrator writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The public address.
    pub address: Ipv4Addr,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl FromStr for Target {
    type Err = String;

    /// Reads an address in dotted form. The error is one line that quotes the word and says what is expected.
    fn from_str(word: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            let shown: String = word.chars().take(40).collect();
            Err(format!("{shown:?} {what}; give an Elastic IP such as 203.0.113.25"))
        };
        if word.contains('@') {
            return wrong("names an interface, which this version cannot choose");
        }
        if word.starts_with("eipalloc-") {
            return wrong("is an allocation id");
        }
        if word.parse::<Ipv6Addr>().is_ok() {
            return wrong("is an IPv6 address, and Elastic IPs are IPv4");
        }
        let parsed: Result<Ipv4Addr, AddrParseError> = word.parse();
        match parsed {
            Err(_) => wrong("is not an IPv4 address"),
            Ok(ip) if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() => {
                wrong("can never be an Elastic IP")
            }
            Ok(address) => Ok(Self { address }),
        }
    }
}

/// Says that a text is not an id of the kind that was expected. Holds the text, cut and escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnId {
    kind: &'static str,
    text: String,
}

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not an id of the form {}0123456789abcdef0", self.text.escape_default(), self.kind)
    }
}

/// EC2's ids are a prefix and 8 or 17 hexadecimal digits
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html>); what lies between is let through.
fn check_id(prefix: &'static str, text: &str) -> Result<(), NotAnId> {
    let digits = text.strip_prefix(prefix).unwrap_or_default();
    if (8..=17).contains(&digits.len()) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        Ok(())
    } else {
        Err(NotAnId { kind: prefix, text: text.chars().take(40).collect() })
    }
}

macro_rules! id {
    ($name:ident, $prefix:literal, $meaning:literal) => {
        #[doc = $meaning]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                check_id($prefix, text).map(|()| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(InstanceId, "i-", "An EC2 instance, `i-…`.");
id!(InterfaceId, "eni-", "A network interface, `eni-…`.");
id!(AllocationId, "eipalloc-", "An Elastic IP as this account owns it, `eipalloc-…`.");
id!(
    AssociationId,
    "eipassoc-",
    "One tie of an Elastic IP to an instance, `eipassoc-…`. EC2 makes a new one at every move, \
     so it serves as a fencing token: it can never name a later owner's tie."
);

/// The name of a region, such as `eu-west-1`. Whether there is such a region only EC2 knows: new ones come every year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionName(String);

impl FromStr for RegionName {
    type Err = String;

    /// The error is one line that quotes the text and says what is expected.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('-').rev();
        let number = parts.next().unwrap_or_default();
        let numbered = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let named = parts.clone().count() >= 2 && parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()));
        if numbered && named && text.len() <= 32 {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(40).flat_map(char::escape_default).collect();
        Err(format!("\"{shown}\" is not a region; give one such as eu-west-1"))
    }
}

impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_elastic_ip_is_read() {
        assert_eq!("203.0.113.25".parse::<Target>().unwrap().to_string(), "203.0.113.25");
    }

    #[test]
    fn a_word_that_can_never_be_an_elastic_ip_is_refused_with_the_reason() {
        for (word, reason) in [
            ("256.256.256.4", "not an IPv4 address"),
            ("203.0.113", "not an IPv4 address"),
            ("203.0.113.025", "not an IPv4 address"),
            ("", "not an IPv4 address"),
            ("203.0.113.25 ", "not an IPv4 address"),
            ("0.0.0.0", "can never be"),
            ("127.0.0.1", "can never be"),
            ("224.0.0.1", "can never be"),
            ("255.255.255.255", "can never be"),
            ("2001:db8::1", "IPv6"),
            ("eipalloc-0123456789abcdef0", "allocation id"),
            ("203.0.113.25@eth1", "interface"),
        ] {
            let error = word.parse::<Target>().unwrap_err();
            assert!(error.contains(reason), "{word:?}: {error}");
        }
    }

    #[test]
    fn a_region_has_a_name_s_form() {
        for good in ["eu-west-1", "us-gov-west-1", "us-isob-east-1", "ap-southeast-12"] {
            assert_eq!(good.parse::<RegionName>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "eu",
            "eu-west",
            "eu-west-1a",
            "EU-WEST-1",
            "eu_west_1",
            "-west-1",
            "eu--1",
            "eu-west-1 ",
            "eu-west-1.evil.example",
            "a-b-1/x",
        ] {
            assert!(bad.parse::<RegionName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_are_a_prefix_and_hexadecimal_digits() {
        for good in ["i-12345678", "i-0123456789abcdef0"] {
            assert_eq!(good.parse::<InstanceId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "i-",
            "i-1234567",
            "i-0123456789abcdef01",
            "i-0123456789ABCDEF0",
            "i-12345678 running OK",
            "i-12345678\n",
            "eni-12345678",
            "12345678",
        ] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_refused_is_shown_as_printable_ascii() {
        let text = "i-\u{1b}[31m\n\u{202e}\u{15e}running";
        let id = text.parse::<InstanceId>().unwrap_err().to_string();
        let region = text.parse::<RegionName>().unwrap_err();
        for shown in [id, region] {
            assert!(shown.starts_with("\"i-\\u{1b}[31m\\n\\u{202e}\\u{15e}running\" is not a"), "{shown:?}");
        }
    }
}
