//! The Elastic IPs of one account, as EC2 keeps and shows them: changes act on the present at once, and a describe may be late
//! (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>). No I/O and no clock: the time is handed in, as the
//! time since some beginning that all calls for one account share.
#![allow(dead_code, reason = "the tests and the bench each use a part")]

pub mod store;

use std::collections::BTreeMap;
use std::time::Duration;

/// An association that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub owner: String,
    /// Never used again once the association has ended.
    pub association: String,
    /// The interface and its private address, where the association was made for one.
    pub place: Option<(String, String)>,
}

/// Who had an address from some moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub since: Duration,
    pub held: Option<Held>,
}

/// Which version of the account describes show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Present,
    /// What was so this long ago.
    Late(Duration),
    /// Two replicas answer in turn: first one that is this late, then one that shows the present.
    Replicas(Duration),
}

/// What one describe sees of all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Present,
    /// What was so at this moment.
    Then(Duration),
    /// What was so before all changes that a view can hide.
    First,
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoSuchAddress,
    NoSuchAssociation,
    AlreadyAssociated,
}

impl Refusal {
    /// EC2's code for it.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoSuchAddress => "InvalidAllocationID.NotFound",
            Self::NoSuchAssociation => "InvalidAssociationID.NotFound",
            Self::AlreadyAssociated => "Resource.AlreadyAssociated",
        }
    }
}

/// One address. The last version is the present.
#[derive(Clone, Debug)]
struct History {
    versions: Vec<Version>,
    /// The version that was the present when the view was chosen: from then on nobody sees an older one.
    settled: usize,
}

impl History {
    fn held(&self) -> Option<&Held> {
        self.versions.last().and_then(|version| version.held.as_ref())
    }

    fn then(&self, moment: Duration) -> Option<&Held> {
        let count = self.versions.partition_point(|version| version.since <= moment);
        self.versions[count.saturating_sub(1).max(self.settled)].held.as_ref()
    }
}

/// The Elastic IPs of one account, by their public addresses.
#[derive(Clone, Debug)]
pub struct Account {
    addresses: BTreeMap<String, History>,
    associations: u32,
    view: View,
    describes: usize,
    keeps_associations: bool,
}

impl Account {
    /// An account with these addresses, which nobody has.
    pub fn new(ips: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let unheld = || History { versions: vec![Version { since: Duration::ZERO, held: None }], settled: 0 };
        let addresses = ips.into_iter().map(|ip| (ip.into(), unheld())).collect();
        Self { addresses, associations: 0, view: View::Present, describes: 0, keeps_associations: false }
    }

    /// From now on describes see this. What has been changed until now, they see in any case.
    pub fn set_view(&mut self, view: View) {
        self.view = view;
        self.describes = 0;
        for address in self.addresses.values_mut() {
            address.settled = address.versions.len() - 1;
        }
    }

    /// From now on an associate to where the address is already leaves the association as it is, and answers its id. AWS calls the
    /// call idempotent, and does not say whether the association is a new one.
    pub fn keep_associations(&mut self) {
        self.keeps_associations = true;
    }

    pub fn ips(&self) -> impl Iterator<Item = &str> {
        self.addresses.keys().map(String::as_str)
    }

    pub fn knows(&self, ip: &str) -> bool {
        self.addresses.contains_key(ip)
    }

    /// Who has the address. Nobody has one that the account does not know.
    pub fn held(&self, ip: &str) -> Option<&Held> {
        self.addresses.get(ip)?.held()
    }

    /// All versions of an address, oldest first.
    pub fn history(&self, ip: &str) -> &[Version] {
        self.addresses.get(ip).map_or(&[], |address| &address.versions)
    }

    /// What the next describe sees.
    pub fn look(&mut self, now: Duration) -> Sight {
        self.describes += 1;
        match self.view {
            View::Present => Sight::Present,
            View::Replicas(_) if self.describes.is_multiple_of(2) => Sight::Present,
            View::Late(lag) | View::Replicas(lag) => now.checked_sub(lag).map_or(Sight::First, Sight::Then),
        }
    }

    /// Who has the address, as a describe sees it.
    pub fn seen(&self, ip: &str, sight: Sight) -> Option<&Held> {
        let address = self.addresses.get(ip)?;
        match sight {
            Sight::Present => address.held(),
            Sight::Then(moment) => address.then(moment),
            Sight::First => address.versions[address.settled].held.as_ref(),
        }
    }

    /// Who had the address this many changes ago; of too many, who had it first.
    pub fn changes_ago(&self, ip: &str, changes: usize) -> Option<&Held> {
        let versions = self.history(ip);
        versions.get(versions.len().saturating_sub(1 + changes))?.held.as_ref()
    }

    /// Associates the address with an owner, and answers the association's id.
    pub fn associate(
        &mut self,
        now: Duration,
        ip: &str,
        owner: &str,
        place: Option<(String, String)>,
        reassociate: bool,
    ) -> Result<String, Refusal> {
        let Some(address) = self.addresses.get(ip) else { return Err(Refusal::NoSuchAddress) };
        let here = |held: &Held| held.owner == owner && held.place == place;
        match address.held() {
            Some(held) if here(held) && self.keeps_associations => return Ok(held.association.clone()),
            Some(held) if !here(held) && !reassociate => return Err(Refusal::AlreadyAssociated),
            _ => {}
        }
        self.associations += 1;
        let association = format!("eipassoc-{:017x}", self.associations);
        self.change(now, ip, Some(Held { owner: owner.to_owned(), association: association.clone(), place }));
        Ok(association)
    }

    /// Ends this association.
    pub fn disassociate(&mut self, now: Duration, association: &str) -> Result<(), Refusal> {
        let stands = |address: &History| address.held().is_some_and(|held| held.association == association);
        let found = self.addresses.iter().find(|(_, address)| stands(address)).map(|(ip, _)| ip.clone());
        let ip = found.ok_or(Refusal::NoSuchAssociation)?;
        self.change(now, &ip, None);
        Ok(())
    }

    /// Ends whatever association the address has, as is done by its public IP where associations have no ids.
    pub fn release(&mut self, now: Duration, ip: &str) -> Result<(), Refusal> {
        if !self.knows(ip) {
            return Err(Refusal::NoSuchAddress);
        }
        self.change(now, ip, None);
        Ok(())
    }

    fn change(&mut self, now: Duration, ip: &str, held: Option<Held>) {
        if let Some(address) = self.addresses.get_mut(ip) {
            address.versions.push(Version { since: now, held });
        }
    }
}

/// The calls that EC2 takes at once, and per second.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub size: f64,
    pub refill: f64,
}

/// The tokens for an action. A call takes one (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>).
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    limit: Limit,
    /// Whether a call that is refused costs what has come in since the last one.
    charged: bool,
    level: f64,
    at: Duration,
}

impl Bucket {
    /// A full one.
    pub fn new(limit: Limit, charged: bool, now: Duration) -> Self {
        Self { limit, charged, level: limit.size, at: now }
    }

    /// Whether a call is taken; else it is one too many.
    pub fn draw(&mut self, now: Duration) -> bool {
        let refilled = self.limit.refill * now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        let level = (self.level + refilled).min(self.limit.size);
        // Tokens that come in by fractions add up to one less than a rounding error.
        let granted = level > 1.0 - 1e-9;
        self.level = if granted || self.charged { (level - 1.0).max(0.0) } else { level };
        granted
    }
}
