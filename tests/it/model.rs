//! Histories of two or three nodes, EC2 and faults, with the program's own operation (`elastic_ip::takeover::operation`) in each
//! process, in virtual time. `event` says what may happen, `stage` plays it.
//!
//! A process makes its next call, EC2 does it or not, and some time later the process learns what came of it, or never does. Anything
//! may happen between the two, for as long as it takes: so every pause and every race is a history. A describe shows what was so up to
//! [`LAG`](elastic_ip::takeover::state::LAG) ago, of the last eight versions any. The comments in `properties` and
//! `trials` say what to break in src/takeover to see a property fail.

#![allow(clippy::panic, clippy::unwrap_used)]

mod call;
mod ec2;
mod event;
mod guard;
mod properties;
mod stage;
mod trials;
mod world;

use std::time::Duration;

use elastic_ip::takeover::operation::Act;
use proptest::test_runner::Config;
use proptest_state_machine::{StateMachineTest, prop_state_machine};

use event::{Event, Fate, History, Shape};
use stage::Stage;

struct Nodes;

impl StateMachineTest for Nodes {
    type SystemUnderTest = Stage;
    type Reference = History;

    fn init_test(shape: &Shape) -> Stage {
        Stage::new(shape)
    }

    fn apply(mut stage: Stage, _: &Shape, event: Event) -> Stage {
        let had_an_owner = stage.world.borrow().owner().is_some();
        match event {
            Event::Begin(node, act, fate) => {
                let number = stage.begin(node, act, fate);
                stage.named.push(number);
            }
            Event::Look(node, changes, fate) => {
                let number = stage.look(node, changes, fate);
                stage.named.push(number);
            }
            Event::Step(name, fate) => stage.step(stage.named[name], fate),
            Event::Pass(millis) => stage.pass(Duration::from_millis(millis)),
            Event::Release => stage.release(),
            Event::Continue(name) => stage.go_on(stage.named[name]),
            Event::Kill(name) => stage.kill(stage.named[name]),
            Event::Reboot(node) => stage.reboot(node),
            Event::RunTwice(node, act) => stage.alone(|| trials::run_twice(&stage, node, act)),
            Event::FailToStop(node) => stage.alone(|| trials::fail_to_stop(&stage, node)),
            Event::Ask(node, changes) => stage.alone(|| drop(stage.run_meeting(node, Act::Status, Fate::Late(changes)))),
        }
        properties::after_an_event(&stage.world.borrow(), had_an_owner);
        stage
    }
}

prop_state_machine! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_history_keeps_the_address_with_one_rightful_owner(sequential 1..120 => Nodes);
}
