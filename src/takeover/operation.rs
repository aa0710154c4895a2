//! Start, stop and status of an address: does what the decisions say, within the deadline, and keeps what later calls must know.

mod start;
mod stop;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::try_join;
use tokio::sync::OnceCell;

use super::state::{State, Verdict};
use super::store::Store;
use super::{Outcome, Permission, is_mine, shown};
use crate::clock::{Clock, Moment};
use crate::ec2::{Address, Association, Error, Kind, Owner, Response, Tie};
use crate::ids::{AllocationId, AssociationId, Destination, InterfaceId, Name, Target};
use crate::instance;
use crate::message::Message;
use crate::retry::{Retry, Transient};

pub use stop::end_failed_stop;

/// How old the caller's decision or a describe may be for a takeover to rely on it. A peer takes longer to find this node dead.
pub(crate) const FRESH: Duration = Duration::from_secs(1);

/// How long ago EC2 may have been asked for a takeover to rely on the answer: longer than an attempt takes, so that the machine itself
/// must have stood still.
const STOOD_STILL: Duration = Duration::from_secs(7);

/// EC2's three calls, and this instance's place in it.
#[expect(async_fn_in_trait, reason = "each call is served by one thread")]
pub trait Cloud {
    /// Where an address belongs on this instance.
    async fn destination(&self, target: &Target) -> Result<Destination, instance::Error>;

    /// The primary interface of an instance that has several, and `None` of one that has not.
    async fn primary(&self) -> Result<Option<InterfaceId>, instance::Error>;

    /// The public address that this place has, where the machine knows that without EC2.
    async fn public_address(&self, _place: &Destination) -> Option<Ipv4Addr> {
        None
    }

    /// What EC2 says about some addresses, in their order.
    async fn describe(&self, targets: &[Target]) -> Vec<Result<Address, Error>>;

    /// Puts an address where it belongs, in one step, from whoever has it if `reassociate`. The response has no id where
    /// associations have none.
    async fn associate(&self, name: &Name, to: &Destination, reassociate: bool) -> Result<Response<Option<AssociationId>>, Error>;

    /// Ends an association.
    async fn disassociate(&self, tie: &Tie) -> Result<Response<()>, Error>;
}

/// How to act.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// From whom start may take the address.
    pub permission: Permission,
    /// Whether stop releases the address, or leaves it until a peer takes it.
    pub release_on_stop: bool,
    /// Whether to say what would be called, and change nothing.
    pub dry_run: bool,
    /// How long a start that is done goes on until a describe shows it.
    pub confirm_for: Option<Duration>,
}

/// What one action does on the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Make the address this instance's.
    Start,
    /// Stop holding it.
    Stop,
    /// Say who has it.
    Status,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Status => "status",
        })
    }
}

/// What an operation works with.
pub struct World<'a, C, S> {
    /// EC2.
    pub cloud: &'a C,
    /// What calls know of earlier ones.
    pub store: &'a S,
    /// The deadline.
    pub retry: &'a Retry,
    /// The time.
    pub clock: Clock<'a>,
    /// When the call began.
    pub begun: Moment,
    /// Whether the process was stopped and goes on.
    pub pauses: Pauses,
}

/// One call's work on its addresses.
pub struct Operation<'a, C, S> {
    act: Act,
    targets: &'a [Target],
    rules: Rules,
    world: World<'a, C, S>,
    /// The changes whose effect is not known, each with its address.
    pending: RefCell<Vec<(Target, String)>>,
    /// Who has the addresses whose status is known.
    owners: RefCell<Vec<(Target, Owner)>>,
    first: OnceCell<FirstLook>,
}

/// What EC2 said first of each target that is asked for.
struct FirstLook(Vec<(Target, Observation)>);

/// What EC2 said of an address, and when.
#[derive(Clone)]
struct Observation {
    /// `None` once it has been taken note of.
    address: Option<Result<Address, Error>>,
    /// When EC2 was asked. What it says may have been so then.
    asked: Moment,
    /// When it answered; for a call that has not asked yet, when it began.
    at: Moment,
    /// How often the process had been stopped by then.
    pauses: usize,
}

/// Counts how often the process went on after it was stopped (SIGCONT).
#[derive(Default)]
pub struct Pauses {
    continued: Arc<AtomicBool>,
    count: Cell<usize>,
}

impl Pauses {
    /// `continued` is set whenever the process goes on.
    #[must_use]
    pub fn new(continued: Arc<AtomicBool>) -> Self {
        Self { continued, count: Cell::new(0) }
    }

    fn count(&self) -> usize {
        if self.continued.swap(false, Ordering::Relaxed) {
            self.count.set(self.count.get() + 1);
        }
        self.count.get()
    }
}

impl<'a, C: Cloud, S: Store> Operation<'a, C, S> {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(act: Act, targets: &'a [Target], rules: Rules, world: World<'a, C, S>) -> Self {
        Self { act, targets, rules, world, pending: RefCell::default(), owners: RefCell::default(), first: OnceCell::new() }
    }

    /// Does it to one of the addresses. The error is the reason why its effect is not known, or why it failed.
    pub async fn run(&self, target: &Target) -> Result<Outcome, Message> {
        match self.act {
            Act::Start => self.start(target).await,
            Act::Stop => self.stop(target).await,
            Act::Status => self.status(target).await,
        }
    }

    /// Who has the address, where a status has found somebody to have it.
    #[must_use]
    pub fn owner(&self, target: &Target) -> Option<Owner> {
        let owners = self.owners.borrow();
        owners.iter().find(|(other, _)| other == target).map(|(_, owner)| owner.clone())
    }

    async fn status(&self, target: &Target) -> Result<Outcome, Message> {
        let (destination, mut seen) = self.begin(target, &self.recall(target)).await?;
        let what = self.what(target);
        let judged = self.world.retry.run(&what, async || {
            loop {
                let address = self.describe(target, &mut seen).await?;
                // A peer may have taken it while the process was stopped.
                if seen.pauses != self.world.pauses.count() {
                    continue;
                }
                let verdict = self.judge(target, &address, &destination, seen.asked);
                if verdict == Verdict::Old {
                    return Err(Error::new(Kind::Ambiguous, old(&address)));
                }
                return Ok((verdict, address));
            }
        });
        let (verdict, address) = judged.await.map_err(|error| self.explain(target, &error))?;
        let elsewhere =
            |held: &&Association| !is_mine(&address, &destination) && held.owner == Owner::Instance(destination.instance.clone());
        if let Some(held) = address.association.as_ref().filter(elsewhere) {
            log::warn!("{target}: this instance has it, but {}; start moves it to where it belongs", place(held));
        }
        match verdict {
            Verdict::Known(outcome) => {
                self.owners.borrow_mut().extend(address.association.map(|held| (target.clone(), held.owner)));
                Ok(outcome)
            }
            Verdict::Old | Verdict::StopFailed => {
                Err(Message::new("a stop failed earlier, and EC2 still shows the address here", "run start or stop again"))
            }
        }
    }

    /// Finds out where the address belongs and, at the same time, what EC2 says of it, where that is needed first.
    async fn begin(&self, target: &Target, state: &State) -> Result<(Destination, Observation), Message> {
        let what = self.what(target);
        let destination = async {
            let found = self.world.retry.run(&what, async || self.world.cloud.destination(target).await).await;
            found.map_err(Message::from)
        };
        let look = async {
            if self.needs_look(target, state) {
                return Ok(self.first_look(target).await);
            }
            let (at, pauses) = (self.world.begun, 0);
            Ok(Observation { address: None, asked: at, at, pauses })
        };
        try_join(destination, look).await
    }

    /// Whether nothing can be done before EC2 was asked.
    fn needs_look(&self, target: &Target, state: &State) -> bool {
        match self.act {
            Act::Start => self.rules.permission == Permission::NobodyAsked || known_allocation(target, state).is_none(),
            Act::Stop => !self.rules.release_on_stop || state.held().is_none(),
            Act::Status => true,
        }
    }

    /// What EC2 says of the address. All that need it are asked for together, once, and again while EC2 says nothing about any.
    async fn first_look(&self, target: &Target) -> Observation {
        let ask = async || {
            let needed = self.targets.iter().filter(|other| self.needs_look(other, &self.world.store.read(other).unwrap_or_default()));
            let targets: Vec<Target> = needed.cloned().collect();
            let names = targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{} of {names}", self.act);
            let looked = self.world.retry.run(&what, async || {
                let (asked, pauses) = (self.now(), self.world.pauses.count());
                let addresses = self.world.cloud.describe(&targets).await;
                let is_silent = |address: &Result<Address, Error>| matches!(address, Err(error) if error.pace().is_some());
                match addresses.first() {
                    Some(Err(error)) if addresses.iter().all(is_silent) => Err(error.clone()),
                    _ => Ok((addresses, asked, pauses)),
                }
            });
            let (addresses, asked, pauses) =
                looked.await.unwrap_or_else(|error| (vec![Err(error); targets.len()], self.now(), self.world.pauses.count()));
            let at = self.now();
            let seen = addresses.into_iter().map(|address| Observation { address: Some(address), asked, at, pauses });
            FirstLook(targets.into_iter().zip(seen).collect())
        };
        let FirstLook(seen) = self.first.get_or_init(ask).await;
        let stale = || Observation { address: None, asked: self.world.begun, at: self.world.begun, pauses: 0 };
        seen.iter().find(|(other, _)| other == target).map_or_else(stale, |(_, seen)| seen.clone())
    }

    /// What EC2 has said and nobody has taken note of, else what it says now.
    async fn describe(&self, target: &Target, seen: &mut Observation) -> Result<Address, Error> {
        let address = if let Some(address) = seen.address.take() {
            address
        } else {
            let (asked, pauses) = (self.now(), self.world.pauses.count());
            let mut addresses = self.world.cloud.describe(std::slice::from_ref(target)).await;
            *seen = Observation { address: None, asked, at: self.now(), pauses };
            addresses.pop().unwrap_or_else(|| Err(Error::new(Kind::Ambiguous, "EC2 says nothing of it")))
        };
        if address.is_ok() {
            self.world.retry.deadline().heard();
        }
        address
    }

    /// Whether a peer may have taken the address since EC2 spoke of it, or since the call began.
    fn is_stale(&self, seen: &Observation) -> bool {
        let now = self.now();
        now.since(seen.at) > FRESH || now.since(seen.asked) > STOOD_STILL || seen.pauses != self.world.pauses.count()
    }

    fn now(&self) -> Moment {
        (self.world.clock)()
    }

    fn what(&self, target: &Target) -> String {
        format!("{} of {target}", self.act)
    }

    /// What is known from earlier calls.
    fn recall(&self, target: &Target) -> State {
        self.world.store.read(target).unwrap_or_else(|what| {
            log::warn!("{target}: {what}");
            State::default()
        })
    }

    /// What a describe means by all that is known by now, of which it takes note.
    fn judge(&self, target: &Target, address: &Address, destination: &Destination, asked: Moment) -> Verdict {
        let mut verdict = Verdict::Old;
        self.remember(target, |state, _| {
            state.is_allocated(address.allocation.as_ref());
            verdict = state.judge(&shown(address, destination), asked);
        });
        verdict
    }

    /// Changes what later calls know of an address.
    fn remember(&self, target: &Target, mut change: impl FnMut(&mut State, Moment)) {
        let mut change = |state: &mut State| change(state, self.now());
        if self.rules.dry_run {
            return change(&mut self.world.store.read(target).unwrap_or_default());
        }
        if let Err(error) = self.world.store.change(target, &mut change) {
            log::warn!("{target}: {error}; later calls do not know what this one did and saw");
        }
    }

    /// What helps to find a change again: how long after the beginning of the call it was done, and in AWS's own logs.
    fn trace(&self, request: &str) -> String {
        let request = if request.is_empty() { String::new() } else { format!(" (request {request})") };
        format!(" after {} ms{request}", self.now().since(self.world.begun).as_millis())
    }

    /// Keeps a change on the list of unsettled ones while its effect is not known.
    async fn settle<T>(&self, target: &Target, change: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.pending.borrow_mut().push((target.clone(), change.to_owned()));
        let result = call.await;
        if result.is_ok() {
            self.world.retry.deadline().heard();
        }
        if !matches!(&result, Err(error) if error.kind == Kind::Ambiguous) {
            self.pending.borrow_mut().retain(|(other, _)| other != target);
        }
        result
    }

    /// The change of this address whose effect is not known, if there is one.
    #[must_use]
    pub(crate) fn unsettled(&self, target: &Target) -> Option<String> {
        self.pending.borrow().iter().find(|(other, _)| other == target).map(|(_, change)| change.clone())
    }

    /// What an error means once no more tries are made.
    fn explain(&self, target: &Target, error: &Error) -> Message {
        let end = match error.kind {
            Kind::NotYet(_) if self.act == Act::Start => "; gave up, for it did not pass",
            Kind::NotYet(_) => "",
            _ if error.pace().is_some() => "; gave up at the deadline",
            _ => "",
        };
        let mut message = Message::from(error.clone());
        message.what.push_str(end);
        match error.kind {
            Kind::Unsent => message.or_advise("check the region, and that this node reaches the EC2 API without the address"),
            Kind::Ambiguous if self.unsettled(target).is_some() => message.or_advise("whether it took effect is not known, ask status"),
            Kind::Throttled => message.or_advise("too many calls in this account"),
            _ => message,
        }
    }
}

fn known_allocation(target: &Target, state: &State) -> Option<AllocationId> {
    match &target.name {
        Name::Allocation(id) => Some(id.clone()),
        Name::Address(_) => state.allocation().cloned(),
    }
}

fn old(address: &Address) -> String {
    format!("EC2 shows {}, which may be older than what this node knows", holder(address))
}

fn holder(address: &Address) -> String {
    let Some(held) = &address.association else { return "nobody".to_owned() };
    match &held.id {
        Some(id) => format!("{} ({id})", held.owner),
        None => held.owner.to_string(),
    }
}

fn place(held: &Association) -> String {
    let interface = held.interface.as_ref().map_or_else(|| "elsewhere".to_owned(), |interface| format!("on {interface}"));
    held.private.map_or(interface.clone(), |private| format!("{interface} at {private}"))
}
