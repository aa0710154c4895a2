//! The network interfaces of this instance, and which of them an Elastic IP belongs on.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::OnceCell;

use crate::config::below;
use crate::file;
use crate::ids::{Destination, InstanceId, Interface, InterfaceId, Mac, Target};
use crate::imds::Imds;

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
    /// The primary interface first.
    attached: OnceCell<Result<Vec<Attached>, String>>,
}

impl Interfaces {
    /// Nothing is asked yet. The kernel's files are looked for below `root`.
    #[must_use]
    pub fn new(root: &Path, imds: Rc<Imds>) -> Self {
        Self { root: root.to_owned(), imds, attached: OnceCell::new() }
    }

    /// Where an address belongs that is one of several. One that names no interface belongs on the instance. The error is one line
    /// with the remedy: the interface is not there, or another of the addresses belongs in the same place and goes first.
    pub async fn destination(&self, instance: &InstanceId, target: &Target, all: &[Target]) -> Result<Destination, String> {
        let destination = |interface, private| Destination { instance: instance.clone(), interface, private };
        let Some(named) = &target.interface else { return Ok(destination(None, None)) };
        let attached = self.attached().await?;
        let (id, private) = self.find(named, attached)?;
        let before = all.iter().take_while(|other| *other != target);
        for other in before.chain(all.iter().filter(|other| other.interface.is_none())) {
            let taken = match &other.interface {
                None => attached.first().and_then(|primary| Some((primary.id.clone(), *primary.privates.first()?))),
                Some(interface) => self.find(interface, attached).ok(),
            };
            if taken.is_some_and(|taken| taken == (id.clone(), private)) {
                return Err(format!("it would displace {other}, for both belong on {id} at {private}; name another interface for it"));
            }
        }
        let named_private = matches!(named, Interface::Private(_)).then_some(private);
        Ok(destination(Some(id), named_private))
    }

    /// The primary interface of an instance that has several. The error is one line.
    pub async fn primary(&self) -> Result<InterfaceId, String> {
        match self.attached().await? {
            [primary, _, ..] => Ok(primary.id.clone()),
            _ => Err("the metadata service shows no second interface".to_owned()),
        }
    }

    /// The interface, and the private address on it that an Elastic IP is mapped to.
    fn find(&self, named: &Interface, attached: &[Attached]) -> Result<(InterfaceId, Ipv4Addr), String> {
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
        found
            .and_then(|interface| Some((interface.id.clone(), private(interface)?)))
            .ok_or_else(|| format!("{named} is no interface of this instance, which has {}; correct what stands after the @", has()))
    }

    /// The hardware address of a device of this machine.
    fn mac(&self, device: &str) -> Result<Mac, String> {
        let path = below(&self.root, Path::new(DEVICES)).join(device).join("address");
        match file::read(&path) {
            Ok(file) => file.text.trim().parse().map_err(|what| format!("{}: {what}", path.display())),
            Err(file::Error::Missing) => Err(format!("this machine has no interface {device}; correct what stands after the @")),
            Err(file::Error::Denied(line) | file::Error::Unfit(line)) => Err(line),
        }
    }

    async fn attached(&self) -> Result<&[Attached], String> {
        let told = self.attached.get_or_init(|| self.ask()).await;
        told.as_deref().map_err(Clone::clone)
    }

    async fn ask(&self) -> Result<Vec<Attached>, String> {
        let wrong = |what: &dyn std::fmt::Display| format!("the metadata service's interfaces cannot be read: {what}");
        let primary: Mac =
            self.imds.primary_mac().await.map_err(|error| error.to_string())?.parse().map_err(|what: String| wrong(&what))?;
        let mut attached = Vec::new();
        for line in self.imds.macs().await.map_err(|error| error.to_string())?.lines() {
            let mac: Mac = line.trim_end_matches('/').parse().map_err(|what: String| wrong(&what))?;
            let id = self.imds.interface_id(&mac).await.map_err(|error| error.to_string())?;
            let privates = self.imds.private_addresses(&mac).await.map_err(|error| error.to_string())?;
            let privates = privates.lines().map(str::parse).collect::<Result<_, _>>().map_err(|what| wrong(&what))?;
            attached.push(Attached { mac, id: id.parse().map_err(|what| wrong(&what))?, privates });
        }
        attached.sort_by_key(|interface| interface.mac != primary);
        Ok(attached)
    }
}
