//! One call of the program, from its first request to what its caller learns.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use elastic_ip::clock::Moment;
use elastic_ip::deadline::Deadline;
use elastic_ip::ids::Target;
use elastic_ip::message::Message;
use elastic_ip::retry::Retry;
use elastic_ip::takeover::Outcome;
use elastic_ip::takeover::operation::{self, Act, Operation, Pauses, Rules, World as Surroundings};
use elastic_ip::takeover::state::State;
use elastic_ip::takeover::store::Store;

use super::ec2::Ec2;
use super::properties;
use super::world::{Shared, World, target};

/// A node's store, reached through the world.
struct StoreOf(Shared, usize);

impl Store for StoreOf {
    fn read(&self, target: &Target) -> Result<State, Message> {
        self.0.borrow().nodes[self.1].store.read(target)
    }

    fn change(&self, target: &Target, change: &mut dyn FnMut(&mut State)) -> Result<(), Message> {
        self.0.borrow().nodes[self.1].store.change(target, change)
    }
}

/// One call of the program, as src/run.rs makes it.
pub async fn run(world: Shared, number: usize) {
    let (node, act, permission, continued, epoch, hand_over) = {
        let world = world.borrow();
        let process = &world.processes[number];
        (process.node, process.act, process.permission, Arc::clone(&process.continued), world.epoch, world.hand_over)
    };
    let clock = || Moment::from_millis(i64::try_from(epoch.elapsed().as_millis()).unwrap());
    let (limit, refusals) = match act {
        Act::Start => (Duration::from_secs(120), Duration::from_secs(60)),
        Act::Stop => (Duration::from_secs(10), Duration::ZERO),
        Act::Status => (Duration::from_secs(5), Duration::ZERO),
    };
    let retry = Retry::until(Deadline::after(limit)).outlasting_refusals_for(refusals);
    let (cloud, store) = (Ec2 { world: Rc::clone(&world), process: number }, StoreOf(Rc::clone(&world), node));
    let rules = Rules { release_on_stop: !hand_over, permission, ..Rules::default() };
    let targets = [target()];
    let pauses = Pauses::new(continued);
    let surroundings = Surroundings { cloud: &cloud, store: &store, retry: &retry, clock: &clock, begun: clock(), pauses };
    let operation = Operation::new(act, &targets, rules, surroundings);
    let outcome = operation.run(&targets[0]).await;
    world.borrow_mut().processes[number].is_free = operation.owner(&targets[0]).is_none();
    let outcome = match outcome {
        Err(why) if act == Act::Stop => operation::end_failed_stop(&store, &targets[0], rules, why, clock()),
        outcome => outcome,
    };
    end(&mut world.borrow_mut(), number, outcome);
}

/// A process has ended, and its caller learns of it.
fn end(world: &mut World, number: usize, outcome: Result<Outcome, Message>) {
    if let Ok(outcome) = outcome {
        properties::at_the_end(world, number, outcome);
    }
    let process = &world.processes[number];
    let (act, node, last, own) = (process.act, process.node, process.last, process.acknowledged);
    match (act, &outcome) {
        (Act::Start, Ok(_)) => {
            world.nodes[node].held = own;
            world.nodes[node].told = own.unwrap_or_default();
            world.nodes[node].had |= world.nodes[node].called == Some(Act::Start);
        }
        (Act::Stop, _) => world.nodes[node].held = None,
        (Act::Status, Ok(Outcome::Held)) => world.nodes[node].told = last.unwrap().shown,
        (Act::Status, Ok(Outcome::NotHeld)) => {
            let look = last.unwrap();
            if world.owner_of(look.shown) != Some(node) {
                world.nodes[node].told = world.nodes[node].told.max(look.shown);
            }
        }
        _ => {}
    }
    let process = &mut world.processes[number];
    process.outcome = Some(outcome);
    process.is_waiting = false;
}
