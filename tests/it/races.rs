//! Starts and stops at the same time, and calls that are stopped (SIGSTOP) or killed after any of their requests.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::stage::stdout::{ASSOCIATED, DISOWNED, HAVE_NOT, NOT_MAPPED, STOPPED};
use crate::stage::{Ended, Fault, IP, ME, Metadata, PEER, Running, Stage, Wire, each_at_once, share, wait_for};

const TOKEN: &str = "PUT /latest/api/token";
const ID: &str = "GET /latest/meta-data/instance-id";
const REGION: &str = "GET /latest/meta-data/placement/region";
const DESCRIBE: &str = "Action=DescribeAddresses&";
const ASSOCIATE: &str = "Action=AssociateAddress&";
const DISASSOCIATE: &str = "Action=DisassociateAddress&";

/// The instance that has died, and whose address is taken over.
const DEAD: &str = "i-0dddddddddddddddd";

/// A call whose instance asks the metadata service who it is, held where its first request with a text has been served, and
/// before it learns what came of that. EC2 has had its first look by then, unless it is the region that is asked for.
struct Held {
    stage: Stage,
    running: Running,
    let_go: Sender<()>,
    _metadata: Metadata,
}

impl Held {
    fn at(request: &'static str, action: &str, owner: Option<&str>, then: Fault) -> Self {
        let metadata = Metadata::version_2();
        metadata.tell("instance-id", ME);
        let stage = Stage::new();
        stage.ec2.set_owner(IP, owner);
        stage.unset("MY_ID");
        if request == REGION {
            metadata.tell("placement/region", "eu-west-1");
            stage.unset("AWS_PARAMS");
        }
        let (comes, came) = mpsc::channel();
        let (let_go, waiting) = mpsc::channel::<()>();
        let gate = Mutex::new((comes, waiting));
        let first = AtomicBool::new(true);
        let held = AtomicBool::new(false);
        let is_it = move |text: &str| text.contains(request) && first.swap(false, Ordering::SeqCst);
        let gate = move |text: &str| {
            if text.contains(request) && !held.swap(true, Ordering::SeqCst) {
                let (comes, waiting): &(Sender<()>, Receiver<()>) = &gate.lock().unwrap();
                comes.send(()).unwrap();
                let _ = waiting.recv();
            }
        };
        let (name, url) = if request.contains("latest") {
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url())
        } else {
            stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
            ("AWS_ENDPOINT_URL_EC2", stage.ec2.url())
        };
        let wire = Wire::with_a_say(&url, move |text| if is_it(text) { then } else { Fault::None }, gate);
        stage.configure(&format!("{name}={}", wire.url()));
        let running = stage.call([action]).spawn();
        came.recv_timeout(Duration::from_secs(15)).unwrap();
        wait_for("the first look", || request == REGION || !stage.ec2.actions().is_empty());
        Self { stage, running, let_go, _metadata: metadata }
    }

    /// Stops the process while a peer takes the address.
    fn pause_while_a_peer_takes_over(self) -> (Stage, Ended) {
        let Self { stage, running, let_go, _metadata } = self;
        running.send(Signal::SIGSTOP);
        wait_for("the pause", || running.is_stopped());
        stage.ec2.give(IP, PEER);
        let_go.send(()).unwrap();
        running.send(Signal::SIGCONT);
        (stage, running.end())
    }
}

// P9. Fails when the comparison of `pauses` in `Operation::is_stale` in src/takeover/operation.rs is removed.
#[test]
fn a_call_that_is_paused_after_any_request_leaves_the_address_to_the_peer_that_takes_it_meanwhile() {
    let cases = [
        // The describe that follows shows the peer, or the change is known to EC2 by an id that is gone.
        (TOKEN, "stop", Some(ME), Fault::None, HAVE_NOT, 0),
        (ID, "stop", Some(ME), Fault::None, HAVE_NOT, 0),
        (DESCRIBE, "stop", Some(ME), Fault::None, HAVE_NOT, 0),
        (DESCRIBE, "stop", Some(ME), Fault::LoseAnswer, HAVE_NOT, 0),
        (DISASSOCIATE, "stop", Some(ME), Fault::None, DISOWNED, 0),
        (DISASSOCIATE, "stop", Some(ME), Fault::LoseAnswer, DISOWNED, 0),
        (TOKEN, "start", Some(DEAD), Fault::None, NOT_MAPPED, 1),
        (ID, "start", Some(DEAD), Fault::None, NOT_MAPPED, 1),
        (DESCRIBE, "start", None, Fault::None, NOT_MAPPED, 1),
        (DESCRIBE, "start", Some(DEAD), Fault::None, NOT_MAPPED, 1),
        // EC2 has acknowledged it, and nobody asks again.
        (ASSOCIATE, "start", Some(DEAD), Fault::None, ASSOCIATED, 0),
        (ASSOCIATE, "start", Some(DEAD), Fault::LoseAnswer, NOT_MAPPED, 1),
        (TOKEN, "status", Some(ME), Fault::None, STOPPED, 3),
        (ID, "status", Some(ME), Fault::None, STOPPED, 3),
        // What EC2 has told before the pause is asked again.
        (DESCRIBE, "status", Some(ME), Fault::None, STOPPED, 3),
    ];
    each_at_once(&cases, |&(request, action, owner, then, stdout, code)| {
        let (stage, ended) = Held::at(request, action, owner, then).pause_while_a_peer_takes_over();
        let case = format!("{action} after {request}, {then:?}: {ended:?}");
        assert_eq!((ended.stdout.as_str(), ended.code()), (stdout, code), "{case}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER), "{case}");
    });
}

#[test]
fn a_start_that_is_paused_before_its_first_look_at_ec2_is_a_start_of_afterwards() {
    let (stage, ended) = Held::at(REGION, "start", Some(DEAD), Fault::None).pause_while_a_peer_takes_over();
    ended.says(ASSOCIATED, 0);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
}

// P8. Fails when `State::released` in src/takeover/state.rs leaves `stop_failed` as it is.
#[test]
fn a_call_that_is_ended_after_any_request_can_be_run_again() {
    let mut cases = Vec::new();
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
        for (action, owner, change) in [("start", PEER, ASSOCIATE), ("stop", ME, DISASSOCIATE), ("status", ME, DESCRIBE)] {
            for request in [TOKEN, ID, DESCRIBE, change] {
                cases.push((signal, action, owner, request));
            }
        }
    }
    each_at_once(&cases, |&(signal, action, owner, request)| {
        let Held { stage, running, let_go, _metadata } = Held::at(request, action, Some(owner), Fault::None);
        running.send(signal);
        let ended = running.reap();
        drop(let_go);
        let case = format!("{signal} of {action} after {request}: {ended:?}");
        assert_ne!(ended.code(), 0, "{case}");
        // After a failed stop, a stop has two seconds, which a busy machine may spend on others.
        assert!((0..5).any(|_| stage.run([action]).code() == 0), "{case}");
        let owner = (action != "stop").then_some(ME);
        assert_eq!(stage.ec2.owner(IP).as_deref(), owner, "{case}");
        assert!(!stage.has_failed_stop(), "{case}");
        assert_eq!(stage.run(["status"]).code(), if owner.is_some() { 0 } else { 3 }, "{case}");
    });
}

/// A machine of its own, beside the stage's: another instance, with its own state.
fn call(stage: &Stage, instance: &str, action: &str) -> Running {
    stage.call([action]).env("MY_ID", instance).env("STATE_DIR", &format!("/run/{instance}")).spawn()
}

// P2. Fails when `State::judge` in src/takeover/state.rs says `Held` and not `Old` while an acknowledged start is young.
#[test]
fn of_many_starts_at_once_one_has_the_address_and_each_that_is_done_was_acknowledged() {
    each_at_once(&[2, 8, 32], |&count| {
        let stage = Stage::with_the_address_at_the_peer();
        stage.unset("MY_ID");
        // As long as the losers wait for EC2 to show who has it.
        stage.configure("STATUS_TIMEOUT=2");
        let instances: Vec<String> = (0..count).map(|number| format!("i-{number:017x}")).collect();
        let running: Vec<Running> = instances.iter().map(|instance| call(&stage, instance, "start")).collect();
        let ended: Vec<Ended> = running.into_iter().map(Running::end).collect();
        let acknowledged: Vec<String> = stage
            .ec2
            .requests()
            .into_iter()
            .filter(|request| request.action == "AssociateAddress")
            .map(|request| request.parameters["InstanceId"].clone())
            .collect();
        let owner = stage.ec2.owner(IP).unwrap();
        assert_eq!(acknowledged.last(), Some(&owner));
        for (instance, ended) in instances.iter().zip(&ended) {
            let line = format!("elastic-ip remapper: IP {IP} associated with {instance}\n");
            assert_eq!(ended.code() == 0, ended.stdout == line, "{ended:?}");
            assert!(ended.code() != 0 || acknowledged.contains(instance), "{instance} was not acknowledged: {ended:?}");
            assert!(ended.code() == 0 || *instance != owner, "{instance} has it and does not know: {ended:?}");
        }
        let running: Vec<Running> = instances.iter().map(|instance| call(&stage, instance, "status")).collect();
        let claims: Vec<i32> = running.into_iter().map(|running| running.end().code()).collect();
        assert_eq!(claims.iter().filter(|code| **code == 0).count(), 1, "{count} starts: {claims:?}");
    });
}

#[test]
fn a_start_on_one_node_and_a_stop_on_another_at_once_leave_the_address_with_the_start() {
    let rounds: Vec<u32> = (0..16).step_by(share()).collect();
    each_at_once(&rounds, |_| {
        let stage = Stage::with_the_address();
        stage.unset("MY_ID");
        let (start, stop) = thread::scope(|scope| {
            let start = scope.spawn(|| call(&stage, PEER, "start").end());
            let stop = scope.spawn(|| call(&stage, ME, "stop").end());
            (start.join().unwrap(), stop.join().unwrap())
        });
        assert_eq!((start.code(), stop.code()), (0, 0), "{start:?} {stop:?}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER), "{:?}", stage.ec2.actions());
    });
}

#[test]
fn a_start_and_a_stop_on_one_node_at_once_end_in_what_ec2_says() {
    let rounds: Vec<u32> = (0..16).step_by(share()).collect();
    each_at_once(&rounds, |_| {
        let stage = Stage::with_the_address();
        let (start, stop) = thread::scope(|scope| {
            let start = scope.spawn(|| stage.run(["start"]));
            let stop = scope.spawn(|| stage.run(["stop"]));
            (start.join().unwrap(), stop.join().unwrap())
        });
        assert_eq!((start.code(), stop.code()), (0, 0), "{start:?} {stop:?}");
        let code = if stage.ec2.owner(IP).as_deref() == Some(ME) { 0 } else { 3 };
        assert_eq!(stage.run(["status"]).code(), code, "{:?}", stage.ec2.actions());
    });
}
