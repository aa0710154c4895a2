//! Start, stop, status: carries a plan out against EC2, within the deadline.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::address::{InstanceId, Target};
use crate::ec2::{Address, Ec2, Error, Kind};
use crate::marks::Marks;
use crate::plan::{LetGo, Memory, Outcome, Release, Take, Takeover, is_mine};
use crate::retry::{self, Deadline, Transient};

/// How old a describe may be for a takeover to rely on it. A peer takes longer to find this node dead.
const FRESH: Duration = Duration::from_secs(1);

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
    /// This instance.
    pub me: InstanceId,
    /// How to act.
    pub rules: Rules,
    /// When every action must have ended.
    pub deadline: Deadline,
    /// The calls whose effect is not known.
    pub unsettled: RefCell<Vec<String>>,
    /// Set whenever the process goes on after it was stopped (SIGCONT).
    pub continued: Arc<AtomicBool>,
}

impl Agent {
    /// Makes the address this instance's. The error is the reason why it is not known to be, in one line.
    pub async fn start(&self, target: Target) -> Result<Outcome, String> {
        let mut plan = Takeover::new(self.me.clone(), self.rules.allow_reassociation);
        let mut told = Instant::now();
        let what = format!("start of {target}");
        let taken = retry::until(self.deadline, &what, async || self.take(target, &mut plan, &mut told).await);
        let outcome = taken.await.map_err(|error| self.verdict(&error))??;
        let before = self.marks.read(target);
        self.remember(target, before, before.after_start(Some(outcome)));
        Ok(outcome)
    }

    /// Stops holding the address, if this instance does. The error is the reason why it is not known to be so, in one line.
    pub async fn stop(&self, target: Target) -> Result<Outcome, String> {
        let mut plan = Release::new(self.me.clone(), !self.rules.release_on_stop);
        let what = format!("stop of {target}");
        let released = retry::until(self.deadline, &what, async || self.let_go(target, &mut plan).await);
        let outcome = released.await.map_err(|error| self.verdict(&error))?;
        let before = self.marks.read(target);
        self.remember(target, before, before.after_stop(Some(outcome)));
        Ok(outcome)
    }

    /// Whether this instance has the address. The error is the reason why that cannot be told, in one line.
    pub async fn status(&self, target: Target) -> Result<Outcome, String> {
        // From before the describe: what a stop leaves after it is not settled by it.
        let before = self.marks.read(target);
        let what = format!("status of {target}");
        let described = retry::until(self.deadline, &what, async || self.ec2.describe(target).await);
        let mine = is_mine(&described.await.map_err(|error| self.verdict(&error))?, &self.me);
        self.remember(target, before, before.after_describe(mine));
        before.judge(mine).ok_or_else(|| "a stop failed earlier, and EC2 still shows the address here; run start or stop again".to_owned())
    }

    fn hand_over(&self, target: Target) -> Result<(), String> {
        let before = self.marks.read(target);
        self.marks.change(target, before, before.after_stop(Some(Outcome::HandedOver)))
    }

    /// Changes what later calls know of an address.
    fn remember(&self, target: Target, before: Memory, after: Memory) {
        if self.rules.dry_run {
            return;
        }
        if let Err(error) = self.marks.change(target, before, after) {
            log::warn!("{target}: {error}; mend that by hand, for later calls go by it");
        }
    }

    /// One attempt. `told` is when EC2 last told who has the address. The inner error is final.
    async fn take(&self, target: Target, plan: &mut Takeover, told: &mut Instant) -> Result<Result<Outcome, String>, Error> {
        let me = &self.me;
        let address = loop {
            match plan.next() {
                Take::Describe => {
                    self.continued.store(false, Ordering::Relaxed);
                    plan.described(self.ec2.describe(target).await?);
                    *told = Instant::now();
                }
                Take::Associate(_) if self.continued.load(Ordering::Relaxed) || told.elapsed() > FRESH => plan.doubt(),
                Take::Associate(address) => break address.clone(),
                Take::LostTo(owner) => {
                    return Ok(Err(format!("{owner} took it while this start was held up, so it stays there; start again to take it")));
                }
                Take::Keep => {
                    log::info!("{target}: {me} has it already");
                    return Ok(Ok(Outcome::Mine));
                }
                Take::LeaveTo(owner) => {
                    return Ok(Err(format!("{owner} has it, and ALLOW_REASSOCIATION=no forbids taking it; release it there first")));
                }
            }
        };
        let from = holder(&address);
        if self.rules.dry_run {
            log::info!("{target}: would call AssociateAddress to move it from {from} to {me}");
            return Ok(Ok(Outcome::Rehearsed));
        }
        let change = format!("AssociateAddress of {target} to {me}");
        let answer = self.settle(&change, self.ec2.associate(&address, me, self.rules.allow_reassociation)).await;
        let id = answer.inspect_err(|error| plan.failed(error))?;
        if !plan.associated(id.as_ref()) {
            return Err(Error::unconfirmed(&change));
        }
        let id = id.map_or_else(String::new, |id| format!(", association {id}"));
        log::info!("{target}: moved from {from} to {me}{id}");
        Ok(Ok(Outcome::Mine))
    }

    /// One attempt.
    async fn let_go(&self, target: Target, plan: &mut Release) -> Result<Outcome, Error> {
        let me = &self.me;
        let (address, association) = loop {
            match plan.next() {
                LetGo::Describe => plan.described(self.ec2.describe(target).await?),
                LetGo::Disassociate(address, association) => break (address.clone(), association.clone()),
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
        };
        if self.rules.dry_run {
            log::info!("{target}: would call DisassociateAddress to release it from {me}");
            return Ok(Outcome::Rehearsed);
        }
        let change = format!("DisassociateAddress of {target} from {me}");
        let error = match self.settle(&change, self.ec2.disassociate(&address, &association)).await {
            Ok(()) => {
                plan.disassociated();
                log::info!("{target}: released from {me}");
                return Ok(Outcome::Released);
            }
            Err(error) => error,
        };
        let outcome = plan.failed(&error).ok_or(error)?;
        log::info!("{target}: {me} lost it meanwhile; nothing to release");
        Ok(outcome)
    }

    /// Keeps a change on the list of unsettled ones while its effect is not known.
    async fn settle<T>(&self, change: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.unsettled.borrow_mut().push(change.to_owned());
        let result = call.await;
        if !matches!(&result, Err(error) if error.kind == Kind::Ambiguous) {
            self.unsettled.borrow_mut().retain(|other| other != change);
        }
        result
    }

    /// What an error means once no more tries are made.
    fn verdict(&self, error: &Error) -> String {
        let advice = match error.kind {
            Kind::Unsent => "; check the region, and that this node reaches the EC2 API without the address",
            Kind::Ambiguous if !self.unsettled.borrow().is_empty() => "; whether it took effect is not known, ask status",
            Kind::Throttled => "; too many calls in this account",
            _ => "",
        };
        let end = if error.pace().is_some() { "; gave up at the deadline" } else { "" };
        format!("{error}{end}{advice}")
    }
}

fn holder(address: &Address) -> String {
    address.association.as_ref().map_or_else(|| "nobody".to_owned(), |held| held.owner.to_string())
}
