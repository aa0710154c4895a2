//! The network interfaces of this instance, and which of them an Elastic IP belongs on.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::Mutex;

use crate::config::below;
use crate::file;
use crate::ids::{Destination, InstanceId, Interface, InterfaceId, Mac, Target};
use crate::imds::Imds;
use crate::instance::Error;

/// Where the kernel tells the hardware addresses.
const DEVICES: &str = "/sys/class/net";

/// One interface as the metadata service shows it.
#[derive(Debug)]
struct Attached {
    mac: Mac,
    id: InterfaceId,
    /// The primary private address first.
    privates: Vec<Ipv4Addr>,
}

/// The interfaces of this instance. The metadata service is asked for them once, and only when it matters.
pub struct Interfaces {
    root: PathBuf,
    imds: Rc<Imds>,
    attached: Mutex<Option<Rc<[Attached]>>>,
}

impl Interfaces {
    /// Nothing is asked yet. The kernel's files are looked for below `root`.
    #[must_use]
    pub fn new(root: &Path, imds: Rc<Imds>) -> Self {
        Self { root: root.to_owned(), imds, attached: Mutex::default() }
    }

    /// Where an address belongs that is one of several. One that names no interface belongs on the instance. The error says that the
    /// interface is not there, or that another of the addresses belongs in the same place and goes first.
    pub async fn destination(&self, instance: &InstanceId, target: &Target, all: &[Target]) -> Result<Destination, Error> {
        let destination = |interface, private| Destination { instance: instance.clone(), interface, private };
        let Some(named) = &target.interface else { return Ok(destination(None, None)) };
        let attached = self.attached().await?;
        let (id, private) = match self.find(named, &attached) {
            Ok(found) => found,
            Err(error) => {
                // It may be attached by and by.
                self.invalidate().await;
                return Err(error);
            }
        };
        let before = all.iter().take_while(|other| *other != target);
        for other in before.chain(all.iter().filter(|other| other.interface.is_none())) {
            let taken = match &other.interface {
                None => attached.first().and_then(|primary| Some((primary.id.clone(), *primary.privates.first()?))),
                Some(interface) => self.find(interface, &attached).ok(),
            };
            if taken.is_some_and(|taken| taken == (id.clone(), private)) {
                let what = format!("it would displace {other}, for both belong on {id} at {private}; name another interface for it");
                return Err(Error::Final(what));
            }
        }
        let named_private = matches!(named, Interface::Private(_)).then_some(private);
        Ok(destination(Some(id), named_private))
    }

    /// The primary interface of an instance that has several, and `None` of one that has not.
    pub async fn primary(&self) -> Result<Option<InterfaceId>, Error> {
        if let [primary, _, ..] = &*self.attached().await? {
            return Ok(Some(primary.id.clone()));
        }
        self.invalidate().await;
        Ok(None)
    }

    async fn invalidate(&self) {
        *self.attached.lock().await = None;
    }

    /// The interface, and the private address on it that an Elastic IP is mapped to.
    fn find(&self, named: &Interface, attached: &[Attached]) -> Result<(InterfaceId, Ipv4Addr), Error> {
        let found = match named {
            Interface::Device(device) => {
                let mac = self.mac(device)?;
                attached.iter().find(|interface| interface.mac == mac)
            }
            Interface::Id(id) => attached.iter().find(|interface| interface.id == *id),
            Interface::Private(private) => attached.iter().find(|interface| interface.privates.contains(private)),
        };
        let private = |interface: &Attached| match named {
            Interface::Private(private) => Some(*private),
            _ => interface.privates.first().copied(),
        };
        let has = || attached.iter().map(|interface| interface.id.to_string()).collect::<Vec<_>>().join(", ");
        found.and_then(|interface| Some((interface.id.clone(), private(interface)?))).ok_or_else(|| {
            let what = "is no interface of this instance, which has";
            Error::NotYet(format!("{named} {what} {}; correct what stands after the @, or attach it", has()))
        })
    }

    /// The hardware address of a device of this machine.
    fn mac(&self, device: &str) -> Result<Mac, Error> {
        let path = below(&self.root, Path::new(DEVICES)).join(device).join("address");
        match file::read(&path) {
            Ok(file) => file.text.trim().parse().map_err(|what| Error::Final(format!("{}: {what}", path.display()))),
            Err(file::Error::Missing) => {
                Err(Error::NotYet(format!("this machine has no interface {device}; correct what stands after the @, or attach it")))
            }
            Err(file::Error::Denied(line) | file::Error::Unfit(line)) => Err(Error::Final(line)),
        }
    }

    /// The primary interface first.
    async fn attached(&self) -> Result<Rc<[Attached]>, Error> {
        let mut attached = self.attached.lock().await;
        if let Some(attached) = &*attached {
            return Ok(Rc::clone(attached));
        }
        let asked: Rc<[Attached]> = self.ask().await?.into();
        *attached = Some(Rc::clone(&asked));
        Ok(asked)
    }

    async fn ask(&self) -> Result<Vec<Attached>, Error> {
        let wrong = |what: &dyn std::fmt::Display| Error::Final(format!("the metadata service's interfaces cannot be read: {what}"));
        let primary: Mac = self.imds.primary_mac().await?.parse().map_err(|what: String| wrong(&what))?;
        let mut attached = Vec::new();
        for line in self.imds.macs().await?.lines() {
            let mac: Mac = line.trim_end_matches('/').parse().map_err(|what: String| wrong(&what))?;
            let id = self.imds.interface_id(&mac).await?;
            let privates = self.imds.private_addresses(&mac).await?;
            let privates = privates.lines().map(str::parse).collect::<Result<_, _>>().map_err(|what| wrong(&what))?;
            attached.push(Attached { mac, id: id.parse().map_err(|what| wrong(&what))?, privates });
        }
        attached.sort_by_key(|interface| interface.mac != primary);
        Ok(attached)
    }
}
