//! What is moved, and what EC2 calls the things around it: an Elastic IP and EC2's ids, as types.

use crate::message::Message;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// One Elastic IP to hold, as an administrator writes it: `203.0.113.25` or `eipalloc-…`, either with `@INTERFACE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which Elastic IP.
    pub name: Name,
    /// Where on this instance it belongs, if that is not left to the instance.
    pub interface: Option<Interface>,
}

/// What names an Elastic IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The public address.
    Address(Ipv4Addr),
    /// Its id in this account.
    Allocation(AllocationId),
}

/// What names an interface of this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// The kernel's name, such as `eth1`.
    Device(String),
    /// EC2's id.
    Id(InterfaceId),
    /// A private address on it.
    Private(Ipv4Addr),
}

/// Where on this node an Elastic IP belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The instance.
    pub instance: InstanceId,
    /// The interface of the instance, where it matters which.
    pub interface: Option<InterfaceId>,
    /// The private address on the interface, where it matters which.
    pub private: Option<Ipv4Addr>,
}

impl Target {
    /// Reads the words of a list. A word that is there twice counts once. The error is one line with what is wrong and the remedy.
    pub(crate) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>, Message> {
        let mut targets: Vec<Self> = Vec::new();
        for word in words {
            let target: Self = word.parse()?;
            if targets.contains(&target) {
                continue;
            }
            if let Some(other) = targets.iter().find(|other| other.name == target.name) {
                return Err(Message::new(format!("{other} and {target} name the same address"), "keep one of them"));
            }
            if let Some(other) = targets.iter().find(|other| other.interface == target.interface) {
                return Err(Message::new(
                    format!("{other} and {target} would displace each other, for both belong on the same interface"),
                    format!("name another one, such as {}@eth1, or a second private address", target.name),
                ));
            }
            targets.push(target);
        }
        Ok(targets)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        match &self.interface {
            None => Ok(()),
            Some(interface) => write!(f, "@{interface}"),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Allocation(id) => id.fmt(f),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(name) => name.fmt(f),
            Self::Id(id) => id.fmt(f),
            Self::Private(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.instance.fmt(f)?;
        if let Some(interface) = &self.interface {
            write!(f, " on {interface}")?;
        }
        match self.private {
            Some(private) => write!(f, " at {private}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Target {
    type Err = Message;

    /// Reads one word. The error is one line that quotes the word and says what is expected.
    fn from_str(word: &str) -> Result<Self, Message> {
        let (name, interface) = match word.split_once('@') {
            Some((name, interface)) => (name, Some(interface)),
            None => (word, None),
        };
        let wrong = |what: &str, remedy: &str| Message::new(format!("\"{}\" {what}", shown(word)), format!("give {remedy}"));
        let name = read_name(name).map_err(|what| wrong(what, "an Elastic IP such as 203.0.113.25"))?;
        let interface = interface.map(read_interface).transpose();
        let interface = interface.map_err(|what| wrong(what, "an interface such as @eth1, @eni-0123456789abcdef0 or @10.0.0.5"))?;
        Ok(Self { name, interface })
    }
}

fn read_name(word: &str) -> Result<Name, &'static str> {
    if word.starts_with("eipalloc-") {
        return word.parse().map(Name::Allocation).map_err(|_| "is not an allocation id");
    }
    if word.parse::<Ipv6Addr>().is_ok() {
        return Err("is an IPv6 address, and Elastic IPs are IPv4");
    }
    match word.parse::<Ipv4Addr>() {
        Err(_) => Err("is not an IPv4 address"),
        Ok(ip) if can_be_no_hosts(ip) => Err("can never be an Elastic IP"),
        Ok(address) => Ok(Name::Address(address)),
    }
}

fn read_interface(word: &str) -> Result<Interface, &'static str> {
    if word.starts_with("eni-") {
        return word.parse().map(Interface::Id).map_err(|_| "has no interface id after the @");
    }
    if word.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return match word.parse::<Ipv4Addr>() {
            Ok(ip) if !can_be_no_hosts(ip) => Ok(Interface::Private(ip)),
            _ => Err("has no private address after the @"),
        };
    }
    // The kernel allows more, but the name goes into a path and into logs.
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if plain && word.len() <= LONGEST_DEVICE { Ok(Interface::Device(word.to_owned())) } else { Err("has no interface's name after the @") }
}

/// The kernel's `IFNAMSIZ`, without the NUL.
const LONGEST_DEVICE: usize = 15;

fn can_be_no_hosts(ip: Ipv4Addr) -> bool {
    ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast()
}

/// The beginning of a refused text, as printable ASCII.
fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_default).collect()
}

/// Says that a text is not an id of the kind that was expected. Holds the text, cut and escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnId {
    kind: &'static str,
    text: String,
}

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not an id of the form {}0123456789abcdef0", self.text, self.kind)
    }
}

/// How long what follows an id's prefix may be. EC2 has had 8 digits and has 17
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html>).
const LONGEST_ID: usize = 64;

/// Ids are opaque: AWS has lengthened them once, and Eucalyptus writes capitals. What is let through is fit for a log and a header.
fn check_id(prefix: &'static str, text: &str) -> Result<(), NotAnId> {
    let rest = text.strip_prefix(prefix).unwrap_or_default();
    if (1..=LONGEST_ID).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(NotAnId { kind: prefix, text: shown(text) })
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

/// An interface's hardware address, as the kernel and the metadata service write it: `0e:49:61:0f:c3:11`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mac(String);

impl FromStr for Mac {
    type Err = String;

    /// The error is one line that quotes the text.
    fn from_str(text: &str) -> Result<Self, String> {
        let pair = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        if text.split(':').count() == 6 && text.split(':').all(pair) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(format!("\"{}\" is not a hardware address", shown(text)))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a region, such as `eu-west-1`. Whether there is such a region only EC2 knows: new ones come every year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionName(String);

impl FromStr for RegionName {
    type Err = Message;

    /// The error is one line that quotes the text and says what is expected.
    fn from_str(text: &str) -> Result<Self, Message> {
        let mut parts = text.split('-').rev();
        let number = parts.next().unwrap_or_default();
        let numbered = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let named = parts.clone().count() >= 2 && parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()));
        if numbered && named && text.len() <= 32 {
            return Ok(Self(text.to_owned()));
        }
        Err(Message::new(format!("\"{}\" is not a region", shown(text)), "give one such as eu-west-1"))
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
    fn an_elastic_ip_and_its_interface_are_read() {
        for word in [
            "203.0.113.25",
            "203.0.113.25@eth1",
            "203.0.113.25@ens5.100",
            "203.0.113.25@eni-0123456789abcdef0",
            "203.0.113.25@10.0.0.5",
            "eipalloc-0123456789abcdef0",
            "eipalloc-0123456789abcdef0@eth1",
        ] {
            assert_eq!(word.parse::<Target>().unwrap().to_string(), word);
        }
    }

    #[test]
    fn addresses_that_would_displace_each_other_are_refused() {
        for (words, reason) in [
            (["203.0.113.25", "203.0.113.26"], "displace"),
            (["203.0.113.25@eth1", "203.0.113.26@eth1"], "displace"),
            (["203.0.113.25", "203.0.113.25@eth1"], "the same address"),
        ] {
            let error = Target::list(words).unwrap_err().to_string();
            assert!(error.contains(reason) && words.iter().all(|word| error.contains(word)), "{error}");
        }
        assert_eq!(Target::list(["203.0.113.25", "203.0.113.26@eth1", "203.0.113.25"]).unwrap().len(), 2);
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
            ("eipalloc-", "is not an allocation id"),
            ("eipassoc-0123456789abcdef0", "not an IPv4 address"),
            ("203.0.113.25@", "has no private address after the @"),
            ("203.0.113.25@10.0.0", "has no private address after the @"),
            ("203.0.113.25@10.0.0.256", "has no private address after the @"),
            ("203.0.113.25@127.0.0.1", "has no private address after the @"),
            ("203.0.113.25@eni-", "has no interface id after the @"),
            ("203.0.113.25@../eth0", "has no interface's name after the @"),
            ("203.0.113.25@..", "has no private address after the @"),
            ("203.0.113.25@eth0@eth1", "has no interface's name after the @"),
            ("203.0.113.25@eth0:1", "has no interface's name after the @"),
            ("203.0.113.25@abcdefghijklmnop", "has no interface's name after the @"),
            ("@eth1", "not an IPv4 address"),
        ] {
            let error = word.parse::<Target>().unwrap_err().to_string();
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
    fn ids_are_a_prefix_and_letters_and_digits() {
        let longest = format!("i-{}", "a".repeat(64));
        for good in ["i-12345678", "i-0123456789abcdef0", "i-3F2A0B1C", "i-1", &longest] {
            assert_eq!(good.parse::<InstanceId>().unwrap().to_string(), good);
        }
        let too_long = format!("{longest}a");
        for bad in [
            "",
            "i-",
            &too_long,
            "i-1234-5678",
            "i-1234\u{e9}",
            "i-\"1\"",
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
        let region = text.parse::<RegionName>().unwrap_err().to_string();
        for shown in [id, region] {
            assert!(shown.starts_with("\"i-\\u{1b}[31m\\n\\u{202e}\\u{15e}running\" is not a"), "{shown:?}");
        }
    }
}
