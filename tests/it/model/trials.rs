//! What a caller may rely on where nothing comes between two calls.

use std::time::Duration;

use elastic_ip::takeover::Outcome;
use elastic_ip::takeover::operation::Act;

use super::event::Fate;
use super::stage::Stage;

/// Heartbeat's tries of a failing stop before it asks for the status.
const TRIES_OF_A_STOP: usize = 11;

pub fn run_twice(stage: &Stage, node: usize, act: Act) {
    let owner = || stage.world.borrow().owner();
    let before = owner();
    let outcome = stage.run(node, act);
    match act {
        // P2, P8: whatever was killed before, a start converges. Fails when `State::associated` in src/takeover/state.rs keeps a
        // failed stop.
        Act::Start => {
            assert_eq!((outcome, owner()), (Ok(Outcome::Held), Some(node)));
            assert_eq!(stage.run(node, Act::Status), Ok(Outcome::Held));
        }
        Act::Stop => {
            let kept = before == Some(node) && stage.world.borrow().hand_over;
            assert_eq!(owner(), if before == Some(node) && !kept { None } else { before });
            assert_ne!(stage.run(node, Act::Status), Ok(Outcome::Held), "it claims the address after a stop");
        }
        Act::Status => assert_eq!(owner(), before),
    }
    // P7. Fails when `State::released` in src/takeover/state.rs leaves what is known as it is.
    let (before, sent) = (owner(), stage.world.borrow().changes_sent);
    let again = stage.run(node, act);
    assert_eq!(owner(), before, "the second {act:?} changed something");
    match act {
        Act::Start => assert_eq!(again, Ok(Outcome::Held)),
        Act::Stop | Act::Status => assert_eq!(stage.world.borrow().changes_sent, sent, "the second {act:?} sent a change"),
    }
}

pub fn fail_to_stop(stage: &Stage, node: usize) {
    for _ in 0..TRIES_OF_A_STOP {
        let number = stage.begin(node, Act::Stop, Fate::RequestLost);
        // To its deadline, and Heartbeat's pause.
        for _ in 0..6 {
            stage.step(number, Fate::RequestLost);
            stage.pass(Duration::from_secs(2));
        }
        // P14. Fails when `stop` in src/takeover/operation/stop.rs makes its tries within a deadline of its own, and not by
        // `world.retry`.
        assert!(stage.is_over(number), "a stop does not end at its deadline");
    }
    // P5: at the status that decides about a reboot, EC2 is well again. Fails when `State::stop_failed` in src/takeover/state.rs
    // does nothing.
    assert_ne!(stage.run(node, Act::Status), Ok(Outcome::Held), "heartbeat would reboot node {node}");
}
