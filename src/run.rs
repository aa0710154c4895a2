//! One call: from its request, through the configuration, to what became of each address. Signals and the deadline end it.

mod patience;

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use signal_hook::consts::SIGCONT;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::clock;
use crate::config::{self, Config, Sources};
use crate::deadline::Deadline;
use crate::ec2::{Limits, Owner};
use crate::ids::{InstanceId, Target};
use crate::message::Message;
use crate::retry::Retry;
use crate::session::{Connection, Kind, Session, SetupError};
use crate::takeover::operation::{Act, Operation, Pauses, Rules, World, end_failed_stop};
use crate::takeover::store::Folder;
use crate::takeover::{Outcome, Permission};
use patience::patience;

/// How long after its deadline a call is cut off whatever it is doing.
const GRACE: Duration = Duration::from_millis(500);

/// How long a start goes on, for a caller that looks at once, until a describe shows it.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);

/// One call that acts on addresses, or asks for their status.
#[derive(Debug)]
pub struct Request {
    /// What to do.
    pub(crate) act: Act,
    /// Where its configuration comes from.
    pub sources: Sources,
    /// Say what would be called, and change nothing.
    pub(crate) dry_run: bool,
    /// Leave an address that somebody has where it is; only a start can be so.
    pub(crate) if_free: bool,
    /// How long the call may take, where the caller says so. Such a caller looks at once at what a start has done, and starts it elsewhere
    /// where it failed.
    pub(crate) limit: Option<Duration>,
}

impl Request {
    /// With none of the options.
    #[must_use]
    pub(crate) fn new(act: Act, sources: Sources) -> Self {
        Self { act, sources, dry_run: false, if_free: false, limit: None }
    }

    fn rules(&self, config: &Config) -> Rules {
        Rules {
            permission: match (self.if_free, config.allow_reassociation) {
                (true, _) => Permission::NobodyAsked,
                (false, true) => Permission::Anybody,
                (false, false) => Permission::Nobody,
            },
            release_on_stop: config.release_on_stop,
            dry_run: self.dry_run,
            confirm_for: self.limit.is_some().then_some(CONFIRM_LIMIT),
        }
    }
}

/// What became of a call.
pub struct Done {
    /// What was to be done.
    pub(crate) act: Act,
    /// This instance, where that is known.
    pub(crate) me: Option<InstanceId>,
    /// Each address.
    pub(crate) addresses: Vec<AddressOutcome>,
    /// Whether a signal ended it.
    pub(crate) interrupted: bool,
}

/// What became of one address.
pub(crate) struct AddressOutcome {
    /// Which it is.
    pub(crate) target: Target,
    /// What became of it, or the reason why that is not known, in one line.
    pub(crate) outcome: Result<Outcome, Message>,
    /// Who has it, where a status has found somebody to have it.
    pub(crate) owner: Option<Owner>,
}

impl Done {
    /// Asks `outcome` what became of each address.
    fn all(act: Act, config: &Config, outcome: impl Fn(&Target) -> Result<Outcome, Message>) -> Self {
        let of = |target: &Target| AddressOutcome { target: target.clone(), outcome: outcome(target), owner: None };
        Self { act, me: None, addresses: config.targets.iter().map(of).collect(), interrupted: false }
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

/// Does what is asked.
pub fn run(request: &Request) -> Result<Done, SetupError> {
    let config = Config::load(&request.sources, &config::environment)?;
    let runtime = match room().and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build()) {
        Ok(runtime) => runtime,
        Err(error) => return Ok(Done::all(request.act, &config, |_| Err(format!("cannot start: {error}").into()))),
    };
    let done = runtime.block_on(perform(request, &config));
    // A name look-up that hangs must not hold up the exit.
    runtime.shutdown_background();
    if request.act == Act::Stop { end_stop(request, &config, done) } else { done }
}

/// Settles what a stop that failed comes to, whatever it failed of.
fn end_stop(request: &Request, config: &Config, done: Result<Done, SetupError>) -> Result<Done, SetupError> {
    let store = Folder::new(config.state_dir.clone());
    let mut rules = request.rules(config);
    // Who ends a stop by a signal learns that it failed.
    rules.release_on_stop |= done.as_ref().is_ok_and(|done| done.interrupted);
    let settle = |target: &Target, why: Message| end_failed_stop(&store, target, rules, why, clock::now());
    match done {
        Ok(mut done) => {
            for AddressOutcome { target, outcome, .. } in &mut done.addresses {
                if let Err(why) = outcome {
                    *outcome = settle(target, why.clone());
                }
            }
            Ok(done)
        }
        Err(error) => {
            let done = Done::all(request.act, config, |target| settle(target, error.clone().into()));
            if done.addresses.iter().any(|address| address.outcome.is_err()) { Err(error) } else { Ok(done) }
        }
    }
}

/// Whether the configuration is whole and, where keys are kept in files or the environment, the keys are. Asks nobody.
pub(crate) fn validate(sources: &Sources) -> Result<(), SetupError> {
    let config = Config::load(sources, &config::environment)?;
    Session::new(config, &sources.root, Deadline::after(Duration::ZERO))?.validate()
}

/// Whether there are descriptors for a call's work. tokio panics where it finds none for its signals.
fn room() -> io::Result<()> {
    (0..4).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>().map(drop)
}

async fn perform(request: &Request, config: &Config) -> Result<Done, SetupError> {
    let begun = clock::now();
    let store = Folder::new(config.state_dir.clone());
    let (limit, retry) = patience(request, config, &store);
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
    let connected = tokio::select! {
        connected = connect(request, config, &retry) => connected,
        why = cut_off.clone() => Err(SetupError::new(Kind::Unavailable, format!("{why}; nothing was changed"))),
    };
    let cloud = match connected {
        Ok(cloud) => cloud,
        Err(SetupError { kind: Kind::Unavailable, message }) => {
            let me = config.instance.as_ref().map(|named| named.id.clone());
            return Ok(Done { me, interrupted: interrupted(), ..Done::all(request.act, config, |_| Err(message.clone())) });
        }
        Err(error) => return Err(error),
    };
    let world =
        World { cloud: &cloud, store: &store, retry: &retry, clock: &clock::now, begun, pauses: Pauses::new(Arc::clone(&continued)) };
    let operation = Operation::new(request.act, &config.targets, request.rules(config), world);
    let addresses = config.targets.iter().map(async |target| {
        let outcome = tokio::select! {
            outcome = operation.run(target) => outcome,
            why = cut_off.clone() => Err(match operation.unsettled(target) {
                None => Message::from(format!("{why}; nothing was changed")),
                Some(change) => Message::new(format!("{why} during {change}"), "whether it took effect is not known, ask status"),
            }),
        };
        AddressOutcome { target: target.clone(), outcome, owner: operation.owner(target) }
    });
    let addresses = join_all(addresses).await;
    Ok(Done { act: request.act, me: cloud.me(), addresses, interrupted: interrupted() })
}

async fn connect(request: &Request, config: &Config, retry: &Retry) -> Result<Connection, SetupError> {
    let (connect, attempt) = if request.act == Act::Status { (1, 2) } else { (2, 5) };
    let deadline = retry.deadline().clone();
    let limits = Limits { connect: Duration::from_secs(connect), attempt: Duration::from_secs(attempt), deadline: deadline.clone() };
    Session::new(config.clone(), &request.sources.root, deadline)?.connect(retry, limits).await
}

async fn caught(signal: &mut std::io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test(start_paused = true)]
    async fn what_a_start_must_know_before_it_calls_ec2_draws_on_the_same_deadline() {
        let root = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let config = root.path().join("elastic-ip");
        let known = "AWS_REGION=eu-west-1\nMY_ID=i-0aaaaaaaaaaaaaaaa\n";
        for facts in ["", known] {
            let text = format!("{facts}AWS_ENDPOINT_URL_EC2={url}\nAWS_EC2_METADATA_SERVICE_ENDPOINT={url}\nALLOW_PLAIN_HTTP=yes\n");
            std::fs::write(&config, text).unwrap();
            let targets = vec!["203.0.113.25".parse().unwrap()];
            let sources = Sources { root: root.path().to_owned(), file: Some(config.clone()), targets, ..Sources::default() };
            let request = Request::new(Act::Start, sources);
            let begun = tokio::time::Instant::now();
            let done = perform(&request, &Config::load(&request.sources, &|_| None).unwrap()).await;
            assert!(done.is_ok_and(|done| done.addresses[0].outcome.is_err()), "{facts}");
            let lasted = begun.elapsed().as_secs();
            assert!((110..=121).contains(&lasted), "{facts}: {lasted} s");
        }
    }
}
