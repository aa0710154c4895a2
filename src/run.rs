//! One call: from its words, through the configuration, to what became of each address. Signals and the deadline end it.

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

use crate::cli::{Action, Invocation};
use crate::clock;
use crate::config::{self, Config, Environment};
use crate::deadline::Deadline;
use crate::ec2::{Limits, Owner};
use crate::ids::{InstanceId, Target};
use crate::message::Message;
use crate::retry::Retry;
use crate::session::{Connection, Session, SetupError};
use crate::takeover::operation::{Act, Operation, Pauses, Rules, World, end_failed_stop};
use crate::takeover::store::{Folder, Store};
use crate::takeover::{Outcome, Permission};

/// The deadline of a stop after a failed stop. Heartbeat makes eleven tries before it asks for the status.
const STOP_AGAIN: Duration = Duration::from_secs(2);

/// How long after its deadline a call is cut off whatever it is doing.
const GRACE: Duration = Duration::from_millis(500);

/// How long a start tries again what EC2 or the metadata service refuses for now: under Heartbeat and keepalived nobody else does.
const REFUSAL_LIMIT: Duration = Duration::from_secs(60);

/// The same for a caller with a limit of its own, which starts it elsewhere.
const REFUSAL_LIMIT_OF_CALLER: Duration = Duration::from_secs(10);

/// How long a start goes on, for a caller that looks at once, until a describe shows it.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);

/// What became of a call.
pub struct Done {
    /// This instance, where that is known.
    pub me: Option<InstanceId>,
    /// Each address, with what became of it or the reason why that is not known, in one line.
    pub outcomes: Vec<(Target, Result<Outcome, Message>)>,
    /// Who has each address, where a status has found somebody to have it.
    pub owners: Vec<Option<Owner>>,
    /// Whether a signal ended it.
    pub interrupted: bool,
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
pub fn run(invocation: &Invocation) -> Result<Done, SetupError> {
    let config = load(invocation, &config::environment)?;
    let runtime = match room().and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build()) {
        Ok(runtime) => runtime,
        Err(error) => return Ok(all_unknown(&config, None, &format!("cannot start: {error}").into())),
    };
    let done = runtime.block_on(perform(invocation, &config));
    // A name look-up that hangs must not hold up the exit.
    runtime.shutdown_background();
    if invocation.action == Action::Stop { end_stop(invocation, &config, done) } else { done }
}

/// Settles what a stop that failed comes to, whatever it failed of.
fn end_stop(invocation: &Invocation, config: &Config, done: Result<Done, SetupError>) -> Result<Done, SetupError> {
    let store = Folder::new(config.state_dir.clone());
    let mut rules = rules(invocation, config);
    // Who ends a stop by a signal learns that it failed.
    rules.release_on_stop |= done.as_ref().is_ok_and(|done| done.interrupted);
    let settle = |target: &Target, why: Message| end_failed_stop(&store, target, rules, why, clock::now());
    match done {
        Ok(done) => {
            let settle = |(target, outcome): (Target, Result<Outcome, Message>)| {
                let outcome = outcome.or_else(|why| settle(&target, why));
                (target, outcome)
            };
            Ok(Done { outcomes: done.outcomes.into_iter().map(settle).collect(), ..done })
        }
        Err(error) => {
            let settled: Vec<_> = config.targets.iter().map(|target| (target.clone(), settle(target, error.clone().into()))).collect();
            if settled.iter().any(|(_, outcome)| outcome.is_err()) {
                return Err(error);
            }
            Ok(Done { me: None, owners: vec![None; settled.len()], outcomes: settled, interrupted: false })
        }
    }
}

/// Whether the configuration is whole and, where keys are kept in files or the environment, the keys are. Asks nobody.
pub fn validate(invocation: &Invocation) -> Result<(), SetupError> {
    let config = load(invocation, &config::environment)?;
    Session::new(config, &invocation.root, Deadline::after(Duration::ZERO))?.validate()
}

fn load(invocation: &Invocation, environment: Environment) -> Result<Config, SetupError> {
    let Invocation { config, root, targets, parameters, .. } = invocation;
    Ok(Config::load(config.as_deref(), root, targets.clone(), parameters, environment)?)
}

/// Whether there are descriptors for a call's work. tokio panics where it finds none for its signals.
fn room() -> io::Result<()> {
    (0..4).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>().map(drop)
}

async fn perform(invocation: &Invocation, config: &Config) -> Result<Done, SetupError> {
    let begun = clock::now();
    let act = act(invocation.action);
    let store = Folder::new(config.state_dir.clone());
    let (limit, retry) = patience(invocation, config, &store);
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
        connected = connect(invocation, config, act, &retry) => connected,
        why = cut_off.clone() => Err(SetupError::Unavailable(Message::from(format!("{why}; nothing was changed")))),
    };
    let cloud = match connected {
        Ok(cloud) => cloud,
        Err(SetupError::Unavailable(why)) => {
            return Ok(Done {
                interrupted: interrupted(),
                ..all_unknown(config, config.instance.as_ref().map(|named| named.id.clone()), &why)
            });
        }
        Err(error) => return Err(error),
    };
    let world =
        World { cloud: &cloud, store: &store, retry: &retry, clock: &clock::now, begun, pauses: Pauses::new(Arc::clone(&continued)) };
    let operation = Operation::new(act, &config.targets, rules(invocation, config), world);
    let outcomes = config.targets.iter().map(async |target| {
        let outcome = tokio::select! {
            outcome = operation.run(target) => outcome,
            why = cut_off.clone() => Err(match operation.unsettled(target) {
                None => Message::from(format!("{why}; nothing was changed")),
                Some(change) => Message::new(format!("{why} during {change}"), "whether it took effect is not known, ask status"),
            }),
        };
        (target.clone(), outcome)
    });
    let outcomes = join_all(outcomes).await;
    let owners = config.targets.iter().map(|target| operation.owner(target)).collect();
    Ok(Done { me: cloud.me(), outcomes, owners, interrupted: interrupted() })
}

fn act(action: Action) -> Act {
    match action {
        Action::Start | Action::Restart => Act::Start,
        Action::Stop => Act::Stop,
        Action::Status | Action::TryRestart | Action::ForceReload => Act::Status,
    }
}

fn rules(invocation: &Invocation, config: &Config) -> Rules {
    Rules {
        permission: match (invocation.if_free, config.allow_reassociation) {
            (true, _) => Permission::NobodyAsked,
            (false, true) => Permission::Anybody,
            (false, false) => Permission::Nobody,
        },
        release_on_stop: config.release_on_stop,
        dry_run: invocation.dry_run,
        confirm_for: invocation.limit.is_some().then_some(CONFIRM_LIMIT),
    }
}

async fn connect(invocation: &Invocation, config: &Config, act: Act, retry: &Retry) -> Result<Connection, SetupError> {
    let (connect, attempt) = if act == Act::Status { (1, 2) } else { (2, 5) };
    let deadline = retry.deadline().clone();
    let limits = Limits { connect: Duration::from_secs(connect), attempt: Duration::from_secs(attempt), deadline: deadline.clone() };
    Session::new(config.clone(), &invocation.root, deadline)?.connect(retry, limits).await
}

async fn caught(signal: &mut std::io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

/// How long the call may take at the most, and how it tries until then. A caller's own limit is all that counts.
fn patience(invocation: &Invocation, config: &Config, store: &impl Store) -> (Duration, Retry) {
    let act = act(invocation.action);
    let limit = invocation.limit.unwrap_or_else(|| limit(act, config, store));
    let deadline = Deadline::after(limit);
    let retry = match (act, invocation.limit) {
        (Act::Start, None) => {
            Retry::until(deadline.without_response_for(config.timeouts.no_response_limit)).outlasting_refusals_for(REFUSAL_LIMIT)
        }
        (Act::Start, Some(_)) => Retry::until(deadline).outlasting_refusals_for(REFUSAL_LIMIT_OF_CALLER),
        (Act::Stop | Act::Status, _) => Retry::until(deadline),
    };
    (limit, retry)
}

fn limit(act: Act, config: &Config, store: &impl Store) -> Duration {
    let has_failed = |target: &Target| store.read(target).is_ok_and(|state| state.has_failed_stop());
    match act {
        Act::Start => config.timeouts.start,
        Act::Stop if config.targets.iter().any(has_failed) => STOP_AGAIN.min(config.timeouts.stop),
        Act::Stop => config.timeouts.stop,
        Act::Status => config.timeouts.status,
    }
}

fn all_unknown(config: &Config, me: Option<InstanceId>, why: &Message) -> Done {
    let outcomes = config.targets.iter().map(|target| (target.clone(), Err(why.clone()))).collect();
    Done { me, outcomes, owners: vec![None; config.targets.len()], interrupted: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    use crate::cli::{self, Call};
    use crate::ec2::{Address, Error, Kind, Response, Tie};
    use crate::ids::{AssociationId, Destination, InterfaceId, Name};
    use crate::instance;
    use crate::takeover::operation::Cloud;

    /// An EC2, and perhaps a metadata service, that meets every question with this, after a time.
    struct Faulty {
        kind: Kind,
        after: Duration,
        knows_itself: bool,
    }

    impl Faulty {
        async fn error<T>(&self) -> Result<T, Error> {
            sleep(self.after).await;
            Err(Error::new(self.kind.clone(), ""))
        }
    }

    impl Cloud for Faulty {
        async fn destination(&self, _: &Target) -> Result<Destination, instance::Error> {
            if self.knows_itself {
                return Ok(Destination { instance: "i-0aaaaaaaaaaaaaaaa".parse().unwrap(), interface: None, private: None });
            }
            sleep(Duration::from_secs(1)).await;
            Err(instance::Error::Unavailable { text: "".into(), is_cut_short: false })
        }

        async fn primary(&self) -> Result<Option<InterfaceId>, instance::Error> {
            Ok(None)
        }

        async fn describe(&self, targets: &[Target]) -> Vec<Result<Address, Error>> {
            let error: Result<Address, Error> = self.error().await;
            vec![error; targets.len()]
        }

        async fn associate(&self, _: &Name, _: &Destination, _: bool) -> Result<Response<Option<AssociationId>>, Error> {
            self.error().await
        }

        async fn disassociate(&self, _: &Tie) -> Result<Response<()>, Error> {
            self.error().await
        }
    }

    fn invocation(words: &[&str]) -> Invocation {
        let call = cli::parse(["elastic-ip"].iter().chain(words).map(Into::into).collect());
        let Ok(Call::Act(invocation)) = call else { panic!("{words:?}") };
        invocation
    }

    /// An EC2 that acknowledges what it is asked for, and whose describes do not show it.
    struct Behind;

    impl Cloud for Behind {
        async fn destination(&self, _: &Target) -> Result<Destination, instance::Error> {
            Ok(Destination { instance: "i-0aaaaaaaaaaaaaaaa".parse().unwrap(), interface: None, private: None })
        }

        async fn primary(&self) -> Result<Option<InterfaceId>, instance::Error> {
            Ok(None)
        }

        async fn describe(&self, targets: &[Target]) -> Vec<Result<Address, Error>> {
            let address =
                Address { public: Ipv4Addr::new(203, 0, 113, 25), allocation: Some("eipalloc-1".parse().unwrap()), association: None };
            vec![Ok(address); targets.len()]
        }

        async fn associate(&self, _: &Name, _: &Destination, _: bool) -> Result<Response<Option<AssociationId>>, Error> {
            Ok(Response { value: Some("eipassoc-1".parse().unwrap()), request: String::new() })
        }

        async fn disassociate(&self, _: &Tie) -> Result<Response<()>, Error> {
            Ok(Response { value: (), request: String::new() })
        }
    }

    /// Whether a start is done that meets this, and how long it goes on, in seconds.
    async fn start(address: &str, allowed: Option<u64>, cloud: &impl Cloud) -> (bool, u64) {
        let mut invocation = invocation(&["--root", "/nonexistent", address, "start"]);
        invocation.limit = allowed.map(Duration::from_secs);
        let config = load(&invocation, &|_| None).unwrap();
        let store = Folder::new("/nonexistent".into());
        let (_, retry) = patience(&invocation, &config, &store);
        let begun = tokio::time::Instant::now();
        let world = World { cloud, store: &store, retry: &retry, clock: &clock::now, begun: clock::now(), pauses: Pauses::default() };
        let operation = Operation::new(Act::Start, &config.targets, rules(&invocation, &config), world);
        let is_done = operation.run(&config.targets[0]).await.is_ok();
        (is_done, begun.elapsed().as_secs())
    }

    /// How long a start goes on that fails of this, in seconds.
    async fn start_lasts(address: &str, cloud: &Faulty) -> u64 {
        let (is_done, lasted) = start(address, None, cloud).await;
        assert!(!is_done);
        lasted
    }

    #[tokio::test(start_paused = true)]
    async fn an_ocf_start_waits_ten_seconds_for_ec2_to_catch_up() {
        let (is_done, lasted) = start("203.0.113.25", Some(57), &Behind).await;
        assert!(is_done && (5..=10).contains(&lasted), "{is_done}, {lasted} s");
        let (is_done, lasted) = start("203.0.113.25", None, &Behind).await;
        assert!(is_done && lasted == 0, "another start: {is_done}, {lasted} s");
    }

    #[tokio::test(start_paused = true)]
    async fn an_ocf_start_gives_a_refusal_ten_seconds_for_another_node_may_do_better() {
        let refusing = Faulty { kind: Kind::NotYet("UnauthorizedOperation".to_owned()), after: Duration::ZERO, knows_itself: true };
        let (is_done, lasted) = start("203.0.113.25", Some(47), &refusing).await;
        assert!(!is_done && (5..=10).contains(&lasted), "{is_done}, {lasted} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_has_one_deadline_for_all_that_it_asks() {
        let silent = |knows_itself| Faulty { kind: Kind::Unsent, after: Duration::from_secs(2), knows_itself };
        let throttled = Faulty { kind: Kind::Throttled, after: Duration::ZERO, knows_itself: true };
        // With an allocation id the change is the first request.
        for address in ["203.0.113.25", "eipalloc-0123456789abcdef0"] {
            for knows_itself in [true, false] {
                let lasted = start_lasts(address, &silent(knows_itself)).await;
                assert!((110..=122).contains(&lasted), "{address}, {knows_itself}: {lasted} s");
            }
            let lasted = start_lasts(address, &throttled).await;
            assert!((2400..=3600).contains(&lasted), "{address}: {lasted} s");
        }
    }

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
            let words = ["--root", root.path().to_str().unwrap(), "--config", config.to_str().unwrap(), "203.0.113.25", "start"];
            let invocation = invocation(&words);
            let begun = tokio::time::Instant::now();
            let done = perform(&invocation, &load(&invocation, &|_| None).unwrap()).await;
            assert!(done.is_ok_and(|done| done.outcomes[0].1.is_err()), "{facts}");
            let lasted = begun.elapsed().as_secs();
            assert!((110..=121).contains(&lasted), "{facts}: {lasted} s");
        }
    }

    /// How long a call of these words goes on where EC2 meets it with nothing but this, in seconds.
    async fn lasts(words: &[&str], start_timeout: Option<&str>, allowed: Option<u64>, kind: Kind) -> u64 {
        let mut invocation = invocation(&[&["--root", "/nonexistent", "203.0.113.25"], words].concat());
        invocation.limit = allowed.map(Duration::from_secs);
        let environment = |name: &str| start_timeout.filter(|_| name == "START_TIMEOUT").map(str::to_owned);
        let config = load(&invocation, &environment).unwrap();
        let begun = tokio::time::Instant::now();
        let (limit, retry) = patience(&invocation, &config, &Folder::new("/nonexistent".into()));
        let result: Result<(), _> = retry.run("call", async || Err(Error::new(kind.clone(), ""))).await;
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
    async fn a_start_outlasts_a_refusal_that_may_pass_for_a_minute_and_under_pacemaker_for_some_seconds() {
        let refused = || Kind::NotYet("AuthFailure".to_owned());
        assert!((50..=60).contains(&lasts(&["start"], None, None, refused()).await));
        assert!((5..=10).contains(&lasts(&["start"], None, Some(450), refused()).await));
        for action in ["stop", "status"] {
            assert_eq!(lasts(&[action], None, None, refused()).await, 0, "{action}");
        }
        assert_eq!(lasts(&["start"], None, None, Kind::Refused("InvalidParameterValue".to_owned())).await, 0);
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
