//! One call: from its words, through the configuration, to what became of each address.

use std::cell::RefCell;
use std::env;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{join, join_all};
use signal_hook::consts::SIGCONT;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::agent::{Agent, Pauses, Rules};
use crate::cli::{Action, Invocation};
use crate::config::{self, Config, Environment};
use crate::credentials::{self, Places};
use crate::ec2::{Ec2, Endpoint, Limits};
use crate::ids::{InstanceId, Target};
use crate::imds::Imds;
use crate::instance::{self, Identity};
use crate::interfaces::Interfaces;
use crate::marks::Marks;
use crate::plan::Outcome;
use crate::retry::Deadline;

/// The deadline of a stop after a failed stop. Heartbeat makes eleven tries before it asks for the status.
const STOP_AGAIN: Duration = Duration::from_secs(2);

/// How long after its deadline a call is cut off whatever it is doing.
const GRACE: Duration = Duration::from_millis(500);

/// What became of a call.
pub struct Done {
    /// This instance, where that is known.
    pub me: Option<InstanceId>,
    /// Each address, with what became of it or the reason why that cannot be told, in one line.
    pub outcomes: Vec<(Target, Result<Outcome, String>)>,
    /// Whether a signal ended it.
    pub interrupted: bool,
}

/// Why nothing was tried. Each holds one line with the remedy.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The configuration is missing or wrong.
    NotConfigured(String),
    /// No credentials in any place.
    NoCredentials,
    /// The caller may not read what is needed.
    NotAllowed(String),
}

impl From<config::Error> for Trouble {
    fn from(error: config::Error) -> Self {
        match error {
            config::Error::NotAllowed(line) => Self::NotAllowed(line),
            config::Error::Unfit(line) => Self::NotConfigured(line),
        }
    }
}

/// Why a call ends before it is done.
#[derive(Clone, Copy)]
enum CutOff {
    Signal(&'static str),
    Late(Duration),
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(what) => f.write_str(what),
            Self::Late(limit) => write!(f, "no end within {} s", limit.as_secs_f64()),
        }
    }
}

/// Why the agent could not be made.
enum Unready {
    Trouble(Trouble),
    /// Something did not answer, which says nothing about the address.
    Unknown(Option<InstanceId>, String),
}

/// Does what is asked.
pub fn run(invocation: &Invocation) -> Result<Done, Trouble> {
    let environment = |name: &str| env::var(name).ok();
    let config = load(invocation, &environment)?;
    let runtime = match room().and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build()) {
        Ok(runtime) => runtime,
        Err(error) => return Ok(all_unknown(&config, None, &format!("cannot start: {error}"))),
    };
    let done = runtime.block_on(perform(invocation, &config));
    // A name look-up that hangs must not hold up the exit.
    runtime.shutdown_background();
    if invocation.action != Action::Stop || invocation.dry_run {
        return done;
    }
    let done = if config.release_on_stop { done } else { hand_over(&config, done) };
    remember_failures(&config, done.as_ref().ok());
    done
}

/// What a stop comes to that is to leave the address for a peer and could not see where it is: this node claims it no more.
/// Failing it would help nobody. Heartbeat would hold the peer up with ten more tries, and Pacemaker would fence this node.
fn hand_over(config: &Config, done: Result<Done, Trouble>) -> Result<Done, Trouble> {
    let marks = Marks::new(config.state_dir.clone());
    let leave = |target: &Target, why: &str| match marks.update(target, |memory| memory.after_stop(Some(Outcome::HandedOver))) {
        Ok(()) => {
            log::warn!("{target}: {why}; stays where it is until a peer takes it (RELEASE_ON_STOP=no)");
            Ok(Outcome::HandedOver)
        }
        Err(error) => Err(format!("{why}; and the handover cannot be marked: {error}")),
    };
    match done {
        Ok(done) if done.interrupted => Ok(done),
        Ok(done) => {
            let outcomes = done.outcomes.into_iter();
            let outcomes = outcomes.map(|(target, outcome)| (target.clone(), outcome.or_else(|why| leave(&target, &why)))).collect();
            Ok(Done { outcomes, ..done })
        }
        Err(trouble) => {
            let why = match &trouble {
                Trouble::NotConfigured(line) | Trouble::NotAllowed(line) => line,
                Trouble::NoCredentials => "no credentials in any place",
            };
            let left = |target: &Target| leave(target, why).ok().map(|outcome| (target.clone(), Ok(outcome)));
            let outcomes: Option<Vec<_>> = config.targets.iter().map(left).collect();
            outcomes.map(|outcomes| Done { me: None, outcomes, interrupted: false }).ok_or(trouble)
        }
    }
}

/// Whether the configuration is whole and, where keys are kept in files or the environment, the keys are. Asks nobody.
pub fn validate(invocation: &Invocation) -> Result<(), Trouble> {
    let environment = |name: &str| env::var(name).ok();
    let config = load(invocation, &environment)?;
    let places = Places::new(&invocation.root, &environment);
    credentials::check(&config, &places, &environment).map_err(|error| match error {
        credentials::Error::NotAllowed(line) => Trouble::NotAllowed(line),
        credentials::Error::Unfit(line) | credentials::Error::Unavailable(line) => Trouble::NotConfigured(line),
        credentials::Error::Nowhere => Trouble::NoCredentials,
    })
}

fn load(invocation: &Invocation, environment: Environment) -> Result<Config, Trouble> {
    let Invocation { config, root, targets, parameters, .. } = invocation;
    Ok(Config::load(config.as_deref(), root, targets.clone(), parameters, environment)?)
}

/// Whether there are descriptors for a call's work. tokio panics where it finds none for its signals.
fn room() -> io::Result<()> {
    (0..4).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>().map(drop)
}

/// Leaves the marks by which later calls know that a stop failed.
fn remember_failures(config: &Config, done: Option<&Done>) {
    let marks = Marks::new(config.state_dir.clone());
    for target in &config.targets {
        let stopped = done.is_some_and(|done| done.outcomes.iter().any(|(other, outcome)| other == target && outcome.is_ok()));
        if stopped {
            continue;
        }
        if let Err(error) = marks.update(target, |memory| memory.after_stop(None)) {
            log::warn!("{target}: the failed stop cannot be marked: {error}; status may still call it running");
        }
    }
}

async fn perform(invocation: &Invocation, config: &Config) -> Result<Done, Trouble> {
    let begun = Instant::now();
    let (limit, deadline) = deadline(invocation, config);
    // Taken from here on: the parent may have left SIGTERM ignored, as Heartbeat does.
    let mut terminate = signal(SignalKind::terminate());
    let mut interrupt = signal(SignalKind::interrupt());
    let continued = Arc::new(AtomicBool::new(false));
    if let Err(error) = signal_hook::flag::register(SIGCONT, Arc::clone(&continued)) {
        log::warn!("cannot watch for SIGCONT: {error}");
    }
    let cut_off = async {
        tokio::select! {
            () = caught(&mut terminate) => CutOff::Signal("ended by SIGTERM"),
            () = caught(&mut interrupt) => CutOff::Signal("ended by SIGINT"),
            () = sleep(limit + GRACE) => CutOff::Late(limit),
        }
    };
    let cut_off = cut_off.boxed_local().shared();
    let interrupted = || matches!(cut_off.peek(), Some(CutOff::Signal(_)));
    let agent = tokio::select! {
        agent = prepare(invocation, config, begun, deadline, &continued) => agent,
        why = cut_off.clone() => Err(Unready::Unknown(config.instance.clone(), format!("{why}; nothing was changed"))),
    };
    let agent = match agent {
        Ok(agent) => agent,
        Err(Unready::Trouble(trouble)) => return Err(trouble),
        Err(Unready::Unknown(me, why)) => return Ok(Done { interrupted: interrupted(), ..all_unknown(config, me, &why) }),
    };
    let outcomes = config.targets.iter().map(async |target| {
        let acted = async {
            match invocation.action {
                Action::Start | Action::Restart => agent.start(target).await,
                Action::Stop => agent.stop(target).await,
                Action::Status | Action::TryRestart | Action::ForceReload => agent.status(target).await,
            }
        };
        let outcome = tokio::select! {
            outcome = acted => outcome,
            why = cut_off.clone() => Err(match agent.unsettled(target) {
                None => format!("{why}; nothing was changed"),
                Some(change) => format!("{why} during {change}; whether it took effect is not known, ask status"),
            }),
        };
        (target.clone(), outcome)
    });
    let outcomes = join_all(outcomes).await;
    Ok(Done { me: agent.identity.known(), outcomes, interrupted: interrupted() })
}

async fn caught(signal: &mut std::io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

/// How long the call may take at the most, and the deadline that its tries keep. A caller's own limit is all that counts.
fn deadline(invocation: &Invocation, config: &Config) -> (Duration, Deadline) {
    let limit = invocation.limit.unwrap_or_else(|| limit(invocation.action, config));
    let deadline = match (invocation.action, invocation.limit) {
        (Action::Start | Action::Restart, None) => Deadline::after(limit).or_unheard_for(config.timeouts.start_unheard),
        _ => Deadline::after(limit),
    };
    (limit, deadline)
}

fn limit(action: Action, config: &Config) -> Duration {
    let marks = Marks::new(config.state_dir.clone());
    let again = config.targets.iter().any(|target| marks.read(target).stop_failed);
    match action {
        Action::Start | Action::Restart => config.timeouts.start,
        Action::Stop if again => STOP_AGAIN.min(config.timeouts.stop),
        Action::Stop => config.timeouts.stop,
        Action::Status | Action::TryRestart | Action::ForceReload => config.timeouts.status,
    }
}

/// Finds out where this instance is and with which keys it calls, both at the same time. Who it is, is found out while EC2 is asked.
async fn prepare(
    invocation: &Invocation,
    config: &Config,
    begun: Instant,
    deadline: Deadline,
    continued: &Arc<AtomicBool>,
) -> Result<Agent, Unready> {
    let unknown = |why: String| Unready::Unknown(config.instance.clone(), why);
    let environment = |name: &str| env::var(name).ok();
    let places = Places::new(&invocation.root, &environment);
    let imds = Imds::new(config.imds.clone(), deadline).map_err(|error| unknown(format!("{error:#}")))?;
    let region = match &config.region {
        Some(region) => Some(region.clone()),
        None => places.profile_region(&config.profile).map_err(|line| Unready::Trouble(Trouble::NotConfigured(line)))?,
    };
    let (region, keys) = join(instance::locate(region, &imds), credentials::find(config, &places, &environment, &imds)).await;
    let keys = keys.map_err(|error| match error {
        credentials::Error::Nowhere => Unready::Trouble(Trouble::NoCredentials),
        credentials::Error::NotAllowed(line) => Unready::Trouble(Trouble::NotAllowed(line)),
        credentials::Error::Unfit(line) => Unready::Trouble(Trouble::NotConfigured(line)),
        credentials::Error::Unavailable(line) => unknown(line),
    })?;
    let region = region.map_err(|instance::Error(why)| unknown(why))?;
    let asking = matches!(invocation.action, Action::Status | Action::TryRestart | Action::ForceReload);
    let (connect, attempt) = if asking { (1, 2) } else { (2, 5) };
    let limits = Limits { connect: Duration::from_secs(connect), attempt: Duration::from_secs(attempt), deadline };
    let endpoint = Endpoint::new(&region, config).map_err(|line| Unready::Trouble(Trouble::NotConfigured(line)))?;
    let ec2 = Ec2::new(&endpoint, keys.keys, limits).map_err(|error| unknown(format!("{error:#}")))?;
    let rules =
        Rules { allow_reassociation: config.allow_reassociation, release_on_stop: config.release_on_stop, dry_run: invocation.dry_run };
    let imds = Rc::new(imds);
    Ok(Agent {
        ec2,
        marks: Marks::new(config.state_dir.clone()),
        identity: Identity::new(config.instance.clone(), &invocation.root, Rc::clone(&imds)),
        interfaces: Interfaces::new(&invocation.root, imds),
        targets: config.targets.clone(),
        rules,
        begun,
        deadline,
        pending: RefCell::default(),
        pauses: Pauses::new(Arc::clone(continued)),
        first: OnceCell::new(),
    })
}

fn all_unknown(config: &Config, me: Option<InstanceId>, why: &str) -> Done {
    let outcomes = config.targets.iter().map(|target| (target.clone(), Err(why.to_owned()))).collect();
    Done { me, outcomes, interrupted: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{self, Call};
    use crate::ec2::{Error, Kind};
    use crate::retry;

    /// How long a call of these words goes on where EC2 meets it with nothing but this, in seconds.
    async fn lasts(words: &[&str], start_timeout: Option<&str>, allowed: Option<u64>, kind: Kind) -> u64 {
        let call = cli::parse(["elastic-ip", "--root", "/nonexistent", "203.0.113.25"].iter().chain(words).map(Into::into).collect());
        let Ok(Call::Act(mut invocation)) = call else { panic!("{words:?}") };
        invocation.limit = allowed.map(Duration::from_secs);
        let environment = |name: &str| start_timeout.filter(|_| name == "START_TIMEOUT").map(str::to_owned);
        let config = load(&invocation, &environment).unwrap();
        let begun = tokio::time::Instant::now();
        let (limit, deadline) = deadline(&invocation, &config);
        let result: Result<(), _> = retry::until(deadline, "call", async || Err(Error::new(kind.clone(), ""))).await;
        assert!(result.is_err() && begun.elapsed() <= limit, "{words:?}");
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_waits_for_a_silent_ec2_for_two_minutes_and_for_a_busy_one_for_an_hour() {
        for action in ["start", "restart"] {
            assert!((110..=120).contains(&lasts(&[action], None, None, Kind::Unsent).await));
            assert!((2400..=3600).contains(&lasts(&[action], None, None, Kind::Throttled).await));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_keeps_the_limit_that_it_is_given_whatever_ec2_says() {
        for kind in [Kind::Unsent, Kind::Throttled] {
            assert!((190..=300).contains(&lasts(&["start"], Some("300"), None, kind.clone()).await));
            assert!((300..=450).contains(&lasts(&["start"], Some("1"), Some(450), kind.clone()).await));
            assert!((3..=5).contains(&lasts(&["status"], Some("300"), None, kind).await));
        }
    }
}
