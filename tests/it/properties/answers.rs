//! EC2's answers: each is taken for what a strict reading of the whole document says, or for an error.

use std::net::Ipv4Addr;
use std::str::FromStr;

use elastic_ip::ec2::{Address, Association, Ec2, Error, Kind, Owner};
use elastic_ip::ids::{Destination, InterfaceId};

use super::server::with_server;
use super::xml::{Element, Malformed};
use super::{IP, ME, assert_is_fit_for_a_log};

fn address() -> Address {
    Address {
        public: IP.parse().unwrap(),
        allocation: Some("eipalloc-0123456789abcdef0".parse().unwrap()),
        association: Some(association()),
    }
}

fn association() -> Association {
    Association {
        id: Some("eipassoc-0123456789abcdef0".parse().unwrap()),
        owner: Owner::Instance(ME.parse().unwrap()),
        interface: None,
        private: None,
    }
}

async fn describe(ec2: &Ec2) -> Result<Address, Error> {
    ec2.describe(&[IP.parse().unwrap()]).await.remove(0)
}

/// An answer with status 200 that cannot be used leaves open whether the call was done.
fn assert_leaves_it_open(error: &Error) {
    assert_eq!(error.kind, Kind::Ambiguous, "{error}");
    assert_is_fit_for_a_log(&error.to_string());
}

/// An answer to a describe, with status 200. `true` if it is taken.
pub fn describe_answer(body: &[u8]) -> bool {
    let told = with_server(|server| server.ask(200, body, async |ec2| describe(ec2).await));
    match &told {
        Ok(told) => assert_eq!(Ok(told), described(body).as_ref(), "{}", String::from_utf8_lossy(body)),
        Err(error) => assert_leaves_it_open(error),
    }
    told.is_ok()
}

/// An answer to an associate, with status 200. `true` if it is taken.
pub fn associate_answer(body: &[u8]) -> bool {
    let destination = Destination { instance: ME.parse().unwrap(), interface: None, private: None };
    let told = with_server(|server| server.ask(200, body, async |ec2| ec2.associate(&address().name(), &destination, true).await));
    match &told {
        Ok(told) => {
            let id = done("AssociateAddressResponse", body).and_then(|root| id(&root, "associationId"));
            assert_eq!(Ok(&told.value), id.as_ref(), "{}", String::from_utf8_lossy(body));
        }
        Err(error) => assert_leaves_it_open(error),
    }
    told.is_ok()
}

/// An answer to a disassociate, with status 200. `true` if it is taken.
pub fn disassociate_answer(body: &[u8]) -> bool {
    let told = with_server(|server| server.ask(200, body, async |ec2| ec2.disassociate(&address().tie().unwrap()).await));
    match &told {
        Ok(_) => assert!(done("DisassociateAddressResponse", body).is_ok(), "{}", String::from_utf8_lossy(body)),
        Err(error) => assert_leaves_it_open(error),
    }
    told.is_ok()
}

/// An answer with another status, which the first byte chooses. `true` if trying again cannot mend it.
pub fn error_answer(input: &[u8]) -> bool {
    let Some((choice, body)) = input.split_first() else { return false };
    let statuses = [400, 500, 503, 403, 404, 429, 401, 302, 502, 504, 201, 418];
    let status = statuses[usize::from(*choice) % statuses.len()];
    let error = with_server(|server| server.ask(status, body, async |ec2| describe(ec2).await)).unwrap_err();
    let text = error.to_string();
    assert_is_fit_for_a_log(&text);
    assert!(text.contains(&status.to_string()), "{text:?}");
    match &error.kind {
        Kind::Throttled => {}
        Kind::Ambiguous => assert!(matches!(status, 500 | 502 | 503 | 504), "{status}: {text}"),
        Kind::Refused(code) | Kind::NotYet(code) => assert!(text.contains(code.trim_end_matches('.')), "{code:?} is not told: {text:?}"),
        Kind::Clock(_) | Kind::Unsent => panic!("{text}"),
    }
    matches!(error.kind, Kind::Refused(_))
}

/// Every field at most once, and an id of the right form or none.
fn id<T: FromStr>(element: &Element, name: &str) -> Result<Option<T>, Malformed> {
    element.field(name)?.map(|text| text.parse().map_err(|_| Malformed)).transpose()
}

fn done(name: &str, body: &[u8]) -> Result<Element, Malformed> {
    let root = Element::document(name, body)?;
    let said = root.child("return")?.is_none_or(|said| said.text().trim() == "true");
    if said { Ok(root) } else { Err(Malformed) }
}

fn described(body: &[u8]) -> Result<Address, Malformed> {
    let root = done("DescribeAddressesResponse", body)?;
    let item = root.child("addressesSet")?.ok_or(Malformed)?.child("item")?.ok_or(Malformed)?;
    let public: Ipv4Addr = item.field("publicIp")?.ok_or(Malformed)?.parse().map_err(|_| Malformed)?;
    if public != address().public {
        return Err(Malformed);
    }
    let interface: Option<InterfaceId> = id(item, "networkInterfaceId")?;
    let private = id(item, "privateIpAddress")?;
    let owner = match id(item, "instanceId")? {
        Some(instance) => Some(Owner::Instance(instance)),
        None => interface.clone().map(Owner::Interface),
    };
    let association = match (owner, id(item, "associationId")?) {
        (Some(owner), id) => Some(Association { id, owner, interface, private }),
        (None, None) => None,
        (None, Some(_)) => return Err(Malformed),
    };
    Ok(Address { public, allocation: id(item, "allocationId")?, association })
}
