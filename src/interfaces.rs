//! The network interfaces of this instance, and which of them an Elastic IP belongs on.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::Mutex;

use crate::config::below;
use crate::file;
use crate::ids::{Destination, InstanceId, Interface, InterfaceId, Mac, Target};
use crate::imds::{self, Imds};
use crate::instance::{Error, Kind};
use crate::message::Message;

/// Where the kernel tells the hardware addresses.
const DEVICES: &str = "/sys/class/net";

/// One interface, as far as the metadata service shows it. One that is just being attached is shown in part.
#[derive(Debug)]
struct Attached {
    mac: Mac,
    id: InterfaceId,
    /// The primary private address first. An interface for IPv6 or EFA alone has none.
    privates: Vec<Ipv4Addr>,
}

/// The interfaces of this instance. The metadata service is asked once for each thing that matters, and for no other.
pub(crate) struct Interfaces {
    root: PathBuf,
    imds: Rc<Imds>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    primary: Option<Mac>,
    macs: Option<Vec<Mac>>,
    attached: Vec<Rc<Attached>>,
}

impl Interfaces {
    /// Nothing is asked yet. The kernel's files are looked for below `root`.
    #[must_use]
    pub(crate) fn new(root: &Path, imds: Rc<Imds>) -> Self {
        Self { root: root.to_owned(), imds, known: Mutex::default() }
    }

    /// Where an address belongs that is one of several. One that names no interface belongs on the instance. The error says that the
    /// interface is not there, or that another of the addresses belongs in the same place and goes first.
    pub(crate) async fn destination(&self, instance: &InstanceId, target: &Target, all: &[Target]) -> Result<Destination, Error> {
        let destination = |interface, private| Destination { instance: instance.clone(), interface, private };
        let Some(named) = &target.interface else { return Ok(destination(None, None)) };
        let mut known = self.known.lock().await;
        let found = self.find(named, &mut known).await;
        let (id, private) = match found {
            Ok(found) => found,
            Err(error) => {
                // It may be attached by and by.
                *known = Known::default();
                return Err(error);
            }
        };
        let before = all.iter().take_while(|other| *other != target);
        for other in before.chain(all.iter().filter(|other| other.interface.is_none())) {
            let taken = match &other.interface {
                None => self.primary_place(&mut known).await?,
                Some(interface) => self.find(interface, &mut known).await.ok(),
            };
            if taken.is_some_and(|taken| taken == (id.clone(), private)) {
                let what = Message::new(
                    format!("it would displace {other}, for both belong on {id} at {private}"),
                    "name another interface for it",
                );
                return Err(Error::new(Kind::Final, what));
            }
        }
        let named_private = matches!(named, Interface::Private(_)).then_some(private);
        Ok(destination(Some(id), named_private))
    }

    /// The primary interface of an instance that has several, and `None` of one that has not.
    pub(crate) async fn primary(&self) -> Result<Option<InterfaceId>, Error> {
        let mut known = self.known.lock().await;
        if self.macs(&mut known).await?.len() > 1 {
            let mac = self.primary_mac(&mut known).await?;
            return Ok(self.attached(&mac, &mut known).await?.map(|interface| interface.id.clone()));
        }
        *known = Known::default();
        Ok(None)
    }

    /// The public address that a place has, as far as the metadata service tells: another Elastic IP, or one that EC2 has given by itself.
    pub(crate) async fn public_address(&self, place: &Destination) -> Option<Ipv4Addr> {
        let mut known = self.known.lock().await;
        let interface = match &place.interface {
            None => {
                let mac = self.primary_mac(&mut known).await.ok()?;
                self.attached(&mac, &mut known).await.ok()??
            }
            Some(id) => self.find_attached(|interface| interface.id == *id, &mut known).await.ok()??,
        };
        let private = place.private.or(interface.privates.first().copied())?;
        for public in self.imds.public_addresses(&interface.mac).await.ok()?.lines().filter_map(|line| line.trim().parse().ok()) {
            let privates = self.imds.mapped_to(&interface.mac, public).await.ok()?;
            if privates.lines().any(|line| line.trim().parse() == Ok(private)) {
                return Some(public);
            }
        }
        None
    }

    /// The interface, and the private address on it that an Elastic IP is mapped to.
    async fn find(&self, named: &Interface, known: &mut Known) -> Result<(InterfaceId, Ipv4Addr), Error> {
        let found = match named {
            Interface::Device(device) => self.attached(&self.mac(device)?, known).await?,
            Interface::Id(id) => self.find_attached(|interface| interface.id == *id, known).await?,
            Interface::Private(private) => self.find_attached(|interface| interface.privates.contains(private), known).await?,
        };
        let Some(interface) = found else {
            let mut ids = Vec::new();
            for mac in self.macs(known).await? {
                ids.extend(self.attached(&mac, known).await.ok().flatten().map(|interface| interface.id.to_string()));
            }
            let what = format!("{named} is no interface of this instance, which has {}", ids.join(", "));
            return Err(Error::new(Kind::NotYet, Message::new(what, "correct what stands after the @, or attach it")));
        };
        let private = match named {
            Interface::Private(private) => Some(*private),
            _ => interface.privates.first().copied(),
        };
        let private = private.ok_or_else(|| {
            let what = format!("{named} is {}, which has no private IPv4 address", interface.id);
            Error::new(Kind::NotYet, Message::new(what, "assign it one, or name another interface after the @"))
        });
        Ok((interface.id.clone(), private?))
    }

    /// The first interface of this kind, the primary one before others. One that cannot be read matters only if no other is of the kind.
    async fn find_attached(&self, is_it: impl Fn(&Attached) -> bool, known: &mut Known) -> Result<Option<Rc<Attached>>, Error> {
        let mut unreadable = None;
        for mac in self.macs(known).await? {
            match self.attached(&mac, known).await {
                Ok(Some(interface)) if is_it(&interface) => return Ok(Some(interface)),
                Ok(_) => {}
                Err(error) => unreadable = Some(error),
            }
        }
        unreadable.map_or(Ok(None), Err)
    }

    /// Where an address belongs that names no interface.
    async fn primary_place(&self, known: &mut Known) -> Result<Option<(InterfaceId, Ipv4Addr)>, Error> {
        let mac = self.primary_mac(known).await?;
        let primary = self.attached(&mac, known).await?;
        Ok(primary.and_then(|primary| Some((primary.id.clone(), *primary.privates.first()?))))
    }

    /// The hardware address of a device of this machine.
    fn mac(&self, device: &str) -> Result<Mac, Error> {
        let path = below(&self.root, Path::new(DEVICES)).join(device).join("address");
        match file::read(&path) {
            Ok(file) => file.text.trim().parse().map_err(|what| Error::new(Kind::Final, format!("{}: {what}", path.display()))),
            Err(error) if error.kind == file::Kind::Missing => Err(Error::new(
                Kind::NotYet,
                Message::new(format!("this machine has no interface {device}"), "correct what stands after the @, or attach it"),
            )),
            Err(error) => Err(error.map(|_| Kind::Final)),
        }
    }

    async fn primary_mac(&self, known: &mut Known) -> Result<Mac, Error> {
        if known.primary.is_none() {
            known.primary = Some(self.imds.primary_mac().await?.parse().map_err(|what: String| unreadable(&what))?);
        }
        known.primary.clone().ok_or_else(|| unreadable(&"no primary interface"))
    }

    /// The primary interface first.
    async fn macs(&self, known: &mut Known) -> Result<Vec<Mac>, Error> {
        if known.macs.is_none() {
            let primary = self.primary_mac(known).await?;
            let listed = self.imds.macs().await?;
            let macs = listed.lines().map(|line| line.trim_end_matches('/').parse());
            let mut macs = macs.collect::<Result<Vec<Mac>, String>>().map_err(|what| unreadable(&what))?;
            macs.sort_by_key(|mac| *mac != primary);
            known.macs = Some(macs);
        }
        Ok(known.macs.clone().unwrap_or_default())
    }

    /// The interface with this hardware address. `None` if the metadata service does not know it, or not yet.
    async fn attached(&self, mac: &Mac, known: &mut Known) -> Result<Option<Rc<Attached>>, Error> {
        if let Some(found) = known.attached.iter().find(|interface| interface.mac == *mac) {
            return Ok(Some(Rc::clone(found)));
        }
        let Some(id) = unless_absent(self.imds.interface_id(mac).await)? else { return Ok(None) };
        let privates = unless_absent(self.imds.private_addresses(mac).await)?.unwrap_or_default();
        let privates = privates.lines().map(str::parse).collect::<Result<_, _>>().map_err(|what| unreadable(&what))?;
        let interface = Rc::new(Attached { mac: mac.clone(), id: id.parse().map_err(|what| unreadable(&what))?, privates });
        known.attached.push(Rc::clone(&interface));
        Ok(Some(interface))
    }
}

fn unreadable(what: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Final, format!("the metadata service's interfaces cannot be read: {what}"))
}

fn unless_absent(answer: Result<String, imds::Error>) -> Result<Option<String>, Error> {
    match answer {
        Ok(text) => Ok(Some(text)),
        Err(imds::Error { kind: imds::Kind::Absent, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
