//! Start, stop, status: carries a plan out against EC2, within the deadline.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join;
use tokio::sync::OnceCell;

use crate::ec2::{Address, Association, Ec2, Error, Kind, Owner};
use crate::ids::{Destination, Target};
use crate::instance::Identity;
use crate::interfaces::Interfaces;
use crate::marks::Marks;
use crate::plan::{LetGo, Outcome, Release, Take, Takeover, is_mine};
use crate::retry::{self, Deadline, Transient};

/// How old a describe may be for a takeover to rely on it. A peer takes longer to find this node dead.
pub const FRESH: Duration = Duration::from_secs(1);

/// How to act.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether start may take an address that somebody holds.
    pub allow_reassociation: bool,
    /// Whether stop releases the address, or leaves it until a peer takes it.
    pub release_on_stop: bool,
    /// Whether to say what would be called, and change nothing.
    pub dry_run: bool,
}

/// One instance's hand on its addresses.
pub struct Agent {
    /// The API.
    pub ec2: Ec2,
    /// What earlier calls left to remember.
    pub marks: Marks,
    /// Which instance this is.
    pub identity: Identity,
    /// Its interfaces.
    pub interfaces: Interfaces,
    /// All the addresses that are acted on.
    pub targets: Vec<Target>,
    /// How to act.
    pub rules: Rules,
    /// When the call began.
    pub begun: Instant,
    /// When every action must have ended.
    pub deadline: Deadline,
    /// The calls whose effect is not known, each with its address.
    pub pending: RefCell<Vec<(Target, String)>>,
    /// Whether the process was stopped and goes on.
    pub pauses: Pauses,
    /// What EC2 said first.
    pub first: OnceCell<FirstLook>,
}

/// What EC2 said of each target, in their order, and when it did.
pub struct FirstLook {
    addresses: Vec<Result<Address, Error>>,
    at: Instant,
    pauses: usize,
}

/// What EC2 says of an address, and when it said so.
struct Told {
    /// `None` once a plan has taken note of it.
    address: Option<Result<Address, Error>>,
    at: Instant,
    pauses: usize,
}

/// Counts how often the process went on after it was stopped (SIGCONT).
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

impl Agent {
    /// Makes the address this instance's. The error is the reason why it is not known to be, in one line.
    pub async fn start(&self, target: &Target) -> Result<Outcome, String> {
        let (destination, mut told) = self.begin("start", target).await?;
        let mut plan = Takeover::new(destination, self.rules.allow_reassociation);
        let what = format!("start of {target}");
        let taken = retry::until(self.deadline, &what, async || self.take(target, &mut plan, &mut told).await);
        let outcome = taken.await.map_err(|error| self.verdict(target, &error))??;
        self.remember(target, || self.marks.update(target, |memory| memory.after_start(Some(outcome))));
        Ok(outcome)
    }

    /// Stops holding the address, if this instance does. The error is the reason why it is not known to be so, in one line.
    pub async fn stop(&self, target: &Target) -> Result<Outcome, String> {
        let (destination, mut told) = self.begin("stop", target).await?;
        let mut plan = Release::new(destination, !self.rules.release_on_stop);
        let what = format!("stop of {target}");
        let released = retry::until(self.deadline, &what, async || self.let_go(target, &mut plan, &mut told).await);
        let outcome = released.await.map_err(|error| self.verdict(target, &error))?;
        self.remember(target, || self.marks.update(target, |memory| memory.after_stop(Some(outcome))));
        Ok(outcome)
    }

    /// Whether this instance has the address. The error is the reason why that cannot be told, in one line.
    pub async fn status(&self, target: &Target) -> Result<Outcome, String> {
        // From before the describe: what a stop leaves after it is not settled by it.
        let before = self.marks.read(target);
        let (destination, mut told) = self.begin("status", target).await?;
        let what = format!("status of {target}");
        let described = retry::until(self.deadline, &what, async || {
            loop {
                let address = self.describe(target, &mut told).await?;
                // A peer may have taken it while the process was stopped.
                if told.pauses == self.pauses.count() {
                    return Ok(address);
                }
            }
        });
        let address = described.await.map_err(|error| self.verdict(target, &error))?;
        let mine = is_mine(&address, &destination);
        if let Some(held) = address.association.as_ref().filter(|held| !mine && held.owner == Owner::Instance(destination.instance.clone()))
        {
            log::warn!("{target}: this instance has it, but {}; start moves it to where it belongs", place(held));
        }
        self.remember(target, || self.marks.change(target, before, before.after_describe(mine)));
        before.judge(mine).ok_or_else(|| "a stop failed earlier, and EC2 still shows the address here; run start or stop again".to_owned())
    }

    /// Finds out where the address belongs and, at the same time, what EC2 says of it.
    async fn begin(&self, action: &str, target: &Target) -> Result<(Destination, Told), String> {
        let destination = async { self.interfaces.destination(&self.identity.id().await?, target, &self.targets).await };
        let look = async { Ok(self.first_look(action, target).await) };
        try_join(destination, look).await
    }

    /// What EC2 says of the address. All addresses are asked for together, once, and again while EC2 tells of none.
    async fn first_look(&self, action: &str, target: &Target) -> Told {
        let ask = async || {
            let names = self.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{action} of {names}");
            let looked = retry::until(self.deadline, &what, async || {
                let pauses = self.pauses.count();
                let addresses = self.ec2.describe(&self.targets).await;
                let unheard = |address: &Result<Address, Error>| matches!(address, Err(error) if error.pace().is_some());
                match addresses.first() {
                    Some(Err(error)) if addresses.iter().all(unheard) => Err(error.clone()),
                    _ => Ok(FirstLook { addresses, at: Instant::now(), pauses }),
                }
            });
            let failed =
                |error| FirstLook { addresses: vec![Err(error); self.targets.len()], at: Instant::now(), pauses: self.pauses.count() };
            looked.await.unwrap_or_else(failed)
        };
        let FirstLook { addresses, at, pauses } = self.first.get_or_init(ask).await;
        let mut told = self.targets.iter().zip(addresses);
        let address = told.find_map(|(other, address)| (other == target).then(|| address.clone()));
        Told { address, at: *at, pauses: *pauses }
    }

    /// What EC2 has told and nobody has taken note of, else what it says now.
    async fn describe(&self, target: &Target, told: &mut Told) -> Result<Address, Error> {
        if let Some(address) = told.address.take() {
            return address;
        }
        let pauses = self.pauses.count();
        let address = self.ec2.describe_one(target).await;
        *told = Told { address: None, at: Instant::now(), pauses };
        address
    }

    /// Whether a peer may have taken the address since EC2 told of it.
    fn is_stale(&self, told: &Told) -> bool {
        told.at.elapsed() > FRESH || told.pauses != self.pauses.count()
    }

    fn hand_over(&self, target: &Target) -> Result<(), String> {
        self.marks.update(target, |memory| memory.after_stop(Some(Outcome::HandedOver)))
    }

    /// Changes what later calls know of an address.
    fn remember(&self, target: &Target, change: impl FnOnce() -> Result<(), String>) {
        if self.rules.dry_run {
            return;
        }
        if let Err(error) = change() {
            log::warn!("{target}: {error}; mend that by hand, for later calls go by it");
        }
    }

    /// One attempt. The inner error is final.
    async fn take(&self, target: &Target, plan: &mut Takeover, told: &mut Told) -> Result<Result<Outcome, String>, Error> {
        let mut refused = None;
        loop {
            match plan.next() {
                Take::Describe => plan.described(self.describe(target, told).await?),
                Take::Associate(..) if self.is_stale(told) => plan.doubt(),
                Take::Associate(address, destination) if self.rules.dry_run => {
                    log::info!("{target}: would call AssociateAddress to move it from {} to {destination}", holder(address));
                    return Ok(Ok(Outcome::Rehearsed));
                }
                Take::Associate(address, destination) => {
                    let (address, destination) = (address.clone(), destination.clone());
                    let change = format!("AssociateAddress of {target} to {destination}");
                    let answer =
                        self.settle(target, &change, self.ec2.associate(&address, &destination, self.rules.allow_reassociation)).await;
                    match answer {
                        Ok(answer) => {
                            if !plan.associated(answer.value.as_ref()) {
                                return Err(Error::unconfirmed(&change));
                            }
                            let id = answer.value.map_or_else(String::new, |id| format!(" ({id})"));
                            log::info!("{target}: moved from {} to {destination}{id}{}", holder(&address), self.trace(&answer.request));
                            return Ok(Ok(Outcome::Mine));
                        }
                        Err(error) if plan.failed(&error) => refused = Some(error),
                        Err(error) if error.kind == Kind::Throttled => {
                            let left = FRESH.saturating_sub(told.at.elapsed()).min(self.deadline.left());
                            if !retry::press(left, &format!("start of {target}"), &error).await {
                                return Err(error);
                            }
                        }
                        Err(error) => return Err(error),
                    }
                }
                Take::FindPrimary => match self.interfaces.primary().await {
                    Ok(interface) => plan.found_primary(interface),
                    Err(why) => {
                        let refused = refused.map_or_else(String::new, |error: Error| format!("{error}; "));
                        return Ok(Err(format!("{refused}{why}")));
                    }
                },
                Take::LostTo(owner) => {
                    return Ok(Err(format!("{owner} took it while this start was held up, so it stays there; start again to take it")));
                }
                Take::Keep => {
                    log::info!("{target}: {} has it already", plan.me());
                    return Ok(Ok(Outcome::Mine));
                }
                Take::LeaveTo(owner) => {
                    return Ok(Err(format!("{owner} has it, and ALLOW_REASSOCIATION=no forbids taking it; release it there first")));
                }
            }
        }
    }

    /// One attempt.
    async fn let_go(&self, target: &Target, plan: &mut Release, told: &mut Told) -> Result<Outcome, Error> {
        let me = &plan.me().clone();
        loop {
            match plan.next() {
                LetGo::Describe => plan.described(self.describe(target, told).await?),
                LetGo::Disassociate(..) if self.rules.dry_run => {
                    log::info!("{target}: would call DisassociateAddress to release it from {me}");
                    return Ok(Outcome::Rehearsed);
                }
                LetGo::Disassociate(address, association) => {
                    let change = format!("DisassociateAddress of {target} from {me}");
                    let from = holder(address);
                    let answer = self.settle(target, &change, self.ec2.disassociate(address, association)).await;
                    match answer {
                        Ok(answer) => {
                            plan.disassociated();
                            log::info!("{target}: released from {from}{}", self.trace(&answer.request));
                            return Ok(Outcome::Released);
                        }
                        Err(error) => {
                            let outcome = plan.failed(&error).ok_or(error)?;
                            log::info!("{target}: {me} lost it meanwhile; nothing to release");
                            return Ok(outcome);
                        }
                    }
                }
                LetGo::HandOver if self.rules.dry_run => {
                    log::info!("{target}: would leave it with {me} until a peer takes it");
                    return Ok(Outcome::Rehearsed);
                }
                LetGo::HandOver => match self.hand_over(target) {
                    Ok(()) => {
                        log::info!("{target}: stays with {me} until a peer takes it (RELEASE_ON_STOP=no)");
                        return Ok(Outcome::HandedOver);
                    }
                    Err(error) => {
                        log::warn!("{target}: the handover cannot be marked: {error}; releasing it instead");
                        plan.cannot_hand_over();
                    }
                },
                LetGo::End(outcome) => {
                    log::info!("{target}: {me} does not have it; nothing to release");
                    return Ok(outcome);
                }
            }
        }
    }

    /// What helps to find a change again: how long after the beginning of the call it was done, and in AWS's own logs.
    fn trace(&self, request: &str) -> String {
        let request = if request.is_empty() { String::new() } else { format!(" (request {request})") };
        format!(" after {} ms{request}", self.begun.elapsed().as_millis())
    }

    /// Keeps a change on the list of unsettled ones while its effect is not known.
    async fn settle<T>(&self, target: &Target, change: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.pending.borrow_mut().push((target.clone(), change.to_owned()));
        let result = call.await;
        if !matches!(&result, Err(error) if error.kind == Kind::Ambiguous) {
            self.pending.borrow_mut().retain(|(other, _)| other != target);
        }
        result
    }

    /// The call for this address whose effect is not known, if there is one.
    #[must_use]
    pub fn unsettled(&self, target: &Target) -> Option<String> {
        self.pending.borrow().iter().find(|(other, _)| other == target).map(|(_, change)| change.clone())
    }

    /// What an error means once no more tries are made.
    fn verdict(&self, target: &Target, error: &Error) -> String {
        let advice = match error.kind {
            Kind::Unsent => "; check the region, and that this node reaches the EC2 API without the address",
            Kind::Ambiguous if self.unsettled(target).is_some() => "; whether it took effect is not known, ask status",
            Kind::Throttled => "; too many calls in this account",
            _ => "",
        };
        let end = if error.pace().is_some() { "; gave up at the deadline" } else { "" };
        format!("{error}{end}{advice}")
    }
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
