//! The world of a history: the address, the nodes and their processes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use elastic_ip::ec2::{Address, Association, Owner};
use elastic_ip::ids::{InstanceId, Target};
use elastic_ip::message::Message;
use elastic_ip::takeover::operation::Act;
use elastic_ip::takeover::state::LAG;
use elastic_ip::takeover::{Outcome, Permission};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::event::{Fate, VERSIONS};
use crate::account::Account;
use crate::account::store::Memory;

pub const IP: &str = "203.0.113.25";

/// Who runs a process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Manager,
    /// follow-heartbeat, which looks at the address between two calls of the manager's.
    Guard,
}

/// What EC2 showed a process of the address.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub at: Duration,
    /// The version that was shown.
    pub shown: usize,
}

pub struct Process {
    pub node: usize,
    pub act: Act,
    pub by: Caller,
    pub permission: Permission,
    pub begun: Duration,
    pub fate: Option<Fate>,
    pub learns: Rc<Notify>,
    pub is_waiting: bool,
    pub continued: Arc<AtomicBool>,
    /// When it last went on after it was stopped.
    pub went_on: Option<Duration>,
    pub first: Option<Look>,
    pub last: Option<Look>,
    /// The version that EC2 acknowledged to an associate of this process.
    pub acknowledged: Option<usize>,
    pub task: Option<JoinHandle<()>>,
    pub outcome: Option<Result<Outcome, Message>>,
    /// Whether a status found the address to be nobody's.
    pub is_free: bool,
}

/// What a node's caller was told, as far as it binds later answers.
#[derive(Default)]
pub struct Node {
    pub store: Memory,
    /// The version that the node's caller was told of last, by a status or by its own change.
    pub told: usize,
    /// The version that an acknowledged start of this node made last, and no stop of it has ended since.
    pub held: Option<usize>,
    /// What the manager has called last, but for a status.
    pub called: Option<Act>,
    /// Whether the node has had the address since then, as its guard knows.
    pub had: bool,
}

pub struct World {
    pub hand_over: bool,
    pub has_allocation: bool,
    pub epoch: Instant,
    pub account: Account,
    pub nodes: Vec<Node>,
    pub processes: Vec<Process>,
    pub changes_sent: usize,
    /// The first of the processes whose calls reach EC2.
    pub from: usize,
}

pub type Shared = Rc<RefCell<World>>;

pub fn instance(node: usize) -> InstanceId {
    format!("i-{node:08x}").parse().unwrap()
}

pub fn target() -> Target {
    IP.parse().unwrap()
}

impl World {
    pub fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The number of the present version.
    pub fn present(&self) -> usize {
        self.account.history(IP).len() - 1
    }

    pub fn owner_of(&self, version: usize) -> Option<usize> {
        let held = self.account.history(IP)[version].held.as_ref()?;
        (0..self.nodes.len()).find(|node| instance(*node).to_string() == held.owner)
    }

    pub fn owner(&self) -> Option<usize> {
        self.owner_of(self.present())
    }

    /// The version that a describe shows: at the most this many changes old, and not older than the lag.
    pub fn shown(&self, changes_ago: usize) -> usize {
        let history = self.account.history(IP);
        let oldest = self.now().saturating_sub(LAG);
        let is_shown = |version: &usize| history.get(version + 1).is_none_or(|next| next.since >= oldest);
        (self.present().saturating_sub(changes_ago.min(VERSIONS - 1))..=self.present()).find(is_shown).unwrap()
    }

    pub fn address(&self, version: usize) -> Address {
        let association = self.account.history(IP)[version].held.as_ref().map(|held| Association {
            id: Some(held.association.parse().unwrap()),
            owner: Owner::Instance(held.owner.parse().unwrap()),
            interface: None,
            private: None,
        });
        let allocation = self.has_allocation.then(|| "eipalloc-00000001".parse().unwrap());
        Address { public: IP.parse().unwrap(), allocation, association }
    }

    pub fn kill(&mut self, number: usize) {
        let process = &mut self.processes[number];
        if let Some(task) = process.task.take() {
            task.abort();
        }
        process.is_waiting = false;
        process.outcome.get_or_insert_with(|| Err("killed".into()));
    }
}
