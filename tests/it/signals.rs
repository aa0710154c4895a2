//! What becomes of a call that is ended, killed or paused.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::os::unix::process::ExitStatusExt;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::stage::stdout::{ASSOCIATED, HAVE_NOT, NOT_DISOWNED, NOT_MAPPED, UNKNOWN};
use crate::stage::{self, Call, Ended, Fault, IP, ME, PEER, Running, Stage, Wire, bare, wait_for};

/// Does this to the exchanges of one action.
fn at(stage: &Stage, action: &str, fault: Fault) -> Wire {
    let needle = format!("Action={action}&");
    stage.cut_in(move |request| if request.contains(&needle) { fault } else { Fault::None })
}

/// Sends the signal, and demands that the call ends by itself at once.
fn end_by(running: Running, signal: Signal) -> Ended {
    let sent = Instant::now();
    running.send(signal);
    let ended = running.end();
    assert!(sent.elapsed() < Duration::from_secs(1), "{ended:?}");
    ended
}

#[test]
fn a_signal_ends_a_call_at_once_and_it_says_what_was_done() {
    let nothing = "nothing was changed";
    for (action, owner, held, requests, stdout, code, told) in [
        ("status", ME, "DescribeAddresses", 1, UNKNOWN, 4, nothing),
        ("start", PEER, "DescribeAddresses", 1, NOT_MAPPED, 1, nothing),
        ("stop", ME, "DescribeAddresses", 1, NOT_DISOWNED, 1, nothing),
        ("start", PEER, "AssociateAddress", 2, NOT_MAPPED, 1, "during AssociateAddress"),
        ("stop", ME, "DisassociateAddress", 2, NOT_DISOWNED, 1, "during DisassociateAddress"),
    ] {
        for (signal, name) in [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGINT, "SIGINT")] {
            for ignored in [false, true] {
                let stage = Stage::new();
                stage.ec2.give(IP, owner);
                let wire = at(&stage, held, Fault::HoldAnswer);
                // Heartbeat calls its scripts with SIGTERM ignored while it shuts down.
                let call = if ignored { Call::with_signals_ignored(stage.root(), [action]) } else { stage.call([action]) };
                let running = call.spawn();
                wait_for("the call", || wire.requests() == requests);
                let ended = end_by(running, signal);
                ended.says(stdout, code);
                ended.complains_once_of(&[IP, name, told]);
                assert_eq!(stage.has_failed_stop(), action == "stop");
            }
        }
    }
}

#[test]
fn a_stop_that_a_signal_ends_has_not_handed_the_address_over() {
    let stage = Stage::with_the_address();
    stage.configure("RELEASE_ON_STOP=no");
    let wire = at(&stage, "DescribeAddresses", Fault::HoldAnswer);
    let running = stage.call(["stop"]).spawn();
    wait_for("the call", || wire.requests() == 1);
    end_by(running, Signal::SIGTERM).says(NOT_DISOWNED, 1);
    assert!(!stage.is_handed_over());
}

#[test]
fn a_signal_ends_the_search_for_the_own_id_at_once() {
    let metadata = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (action, stdout, code) in [
        ("status", UNKNOWN, 4),
        ("start", "elastic-ip remapper: Could not map IP 203.0.113.25 to this instance\n", 1),
        ("stop", NOT_DISOWNED, 1),
    ] {
        let stage = Stage::with_the_address();
        stage.unset("MY_ID");
        stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT=http://{}", metadata.local_addr().unwrap()));
        let running = stage.call([action]).spawn();
        // By the time it connects, its handlers are in place.
        let (connection, _) = metadata.accept().unwrap();
        connection.peek(&mut [0]).unwrap();
        let ended = end_by(running, Signal::SIGTERM);
        ended.says(stdout, code);
        ended.tells(&["SIGTERM", "nothing was changed"]);
    }
}

#[test]
fn a_signal_ends_the_pause_between_two_tries_at_once() {
    let stage = Stage::with_the_address_at_the_peer();
    // Throttling makes the longest pauses.
    stage.ec2.answer("", stage::Answer::error(503, "RequestLimitExceeded"));
    let running = stage.call(["start"]).spawn();
    wait_for("two tries", || stage.ec2.actions().len() >= 2);
    end_by(running, Signal::SIGTERM).says(NOT_MAPPED, 1);
}

#[test]
fn a_call_that_was_ended_by_a_signal_can_be_run_again() {
    for (action, owner, change, stdout) in [("start", PEER, "AssociateAddress", ASSOCIATED), ("stop", ME, "DisassociateAddress", HAVE_NOT)]
    {
        let stage = Stage::new();
        stage.ec2.give(IP, owner);
        let wire = at(&stage, change, Fault::HoldAnswer);
        let running = stage.call([action]).spawn();
        wait_for("the change", || wire.requests() == 2 && stage.ec2.changes() == [change]);
        end_by(running, Signal::SIGTERM).tells(&["whether it took effect is not known"]);
        stage.configure(&format!("AWS_ENDPOINT_URL_EC2={}", stage.ec2.url()));
        stage.run([action]).says(stdout, 0);
        // A start is done by EC2's word to it; of a stop, the association that it names has gone.
        assert_eq!(stage.ec2.changes(), [change; 2]);
        assert_eq!(stage.ec2.owner(IP).as_deref(), (action == "start").then_some(ME));
        assert!(!stage.has_failed_stop());
    }
}

#[test]
fn a_call_that_was_killed_can_be_run_again() {
    for (action, owner, held, requests) in [
        ("start", PEER, "DescribeAddresses", 1),
        ("start", PEER, "AssociateAddress", 2),
        ("stop", ME, "DescribeAddresses", 1),
        ("stop", ME, "DisassociateAddress", 2),
    ] {
        for fault in [Fault::Silence, Fault::HoldAnswer] {
            let stage = Stage::new();
            stage.ec2.give(IP, owner);
            let wire = at(&stage, held, fault);
            let running = stage.call([action]).spawn();
            wait_for("the call", || wire.requests() == requests);
            running.send(Signal::SIGKILL);
            assert_eq!(running.reap().code(), -9);
            stage.configure(&format!("AWS_ENDPOINT_URL_EC2={}", stage.ec2.url()));
            assert_eq!(stage.run([action]).code(), 0, "{action} after {held}, {fault:?}");
            let owner = (action == "start").then_some(ME);
            assert_eq!(stage.ec2.owner(IP).as_deref(), owner, "{action} after {held}, {fault:?}");
            assert_eq!(stage.run(["status"]).code(), if owner.is_some() { 0 } else { 3 });
        }
    }
}

/// Runs the action, and stops it (SIGSTOP) between EC2's first answer and its next call, while a peer takes the address.
fn paused_while_a_peer_takes_over(stage: &Stage, action: &str) -> Ended {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let wire = stage.cut_in(move |request| {
        if request.contains("Action=DescribeAddresses&") {
            let _ = released.lock().unwrap().recv();
        }
        Fault::None
    });
    let running = stage.call([action]).spawn();
    wait_for("the question", || wire.requests() == 1);
    running.send(Signal::SIGSTOP);
    wait_for("the pause", || running.is_stopped());
    release.send(()).unwrap();
    wait_for("EC2's answer", || stage.ec2.actions() == ["DescribeAddresses"]);
    stage.ec2.give(IP, PEER);
    // From here on nothing is held.
    drop(release);
    running.send(Signal::SIGCONT);
    running.end()
}

#[test]
fn a_stop_that_is_paused_while_a_peer_takes_over_leaves_the_address_to_the_peer() {
    let stage = Stage::with_the_address();
    paused_while_a_peer_takes_over(&stage, "stop").says(HAVE_NOT, 0);
    // What it was told to end is not there, so it asks whether it has another.
    assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "DisassociateAddress", "DescribeAddresses"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
}

#[test]
fn a_start_that_is_paused_while_a_peer_takes_over_leaves_the_address_to_the_peer() {
    let stage = Stage::new();
    let ended = paused_while_a_peer_takes_over(&stage, "start");
    ended.says(NOT_MAPPED, 1);
    ended.complains_once_of(&[IP, PEER, "took it while this start was delayed"]);
    assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "DescribeAddresses"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));
}

#[test]
fn a_call_whose_reader_has_gone_still_does_its_work() {
    let stage = Stage::with_the_address_at_the_peer();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_elastic-ip"));
    let mut child =
        bare(&mut command).arg("--root").arg(stage.root()).arg("start").stdout(closed_pipe()).stderr(closed_pipe()).spawn().unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
}

fn closed_pipe() -> std::process::Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}
