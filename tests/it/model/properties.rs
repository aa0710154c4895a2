//! What holds whenever EC2 changes the address, and whenever a caller learns what came of a call. What holds where nothing comes
//! between two calls is in `trials`. The numbers are those of docs/reliability.md.

use std::time::Duration;

use elastic_ip::takeover::operation::Act;
use elastic_ip::takeover::{Outcome, Permission};

use super::world::{Caller, IP, World};

/// How long a start may rely on a look, as long as nothing says that the process was stopped: a second, and the longest attempt.
const RELIES: Duration = Duration::from_secs(7);

/// A start is about to associate the address.
///
/// P9: who was stopped, or delayed, leaves the address to a peer that has taken it since.
pub fn before_an_associate(world: &World, number: usize) {
    let process = &world.processes[number];
    let Some(owner) = world.owner().filter(|owner| *owner != process.node) else { return };
    let (now, taken) = (world.now(), world.account.history(IP)[world.present()].since);
    let relied_on = process.last.map_or(process.begun, |look| look.at);
    // Fails when `is_stale` in src/takeover/operation.rs says no.
    let was_stopped = process.went_on.is_some_and(|moment| moment >= taken && taken >= relied_on);
    let is_stale = relied_on < taken && (now.saturating_sub(relied_on) > RELIES || was_stopped);
    assert!(!is_stale, "a start took the address from node {owner} and had not looked since");
    let Some((first, last)) = process.first.zip(process.last) else { return };
    // Fails when the arm with `LostTo` of `Takeover::with` in src/takeover.rs is removed. What is excluded is in
    // docs/reliability.md: a describe that shows what was so before the peer's takeover cannot be told from one that is right.
    let is_misled = last.shown < world.present();
    assert!(is_misled || taken <= first.at || last.at < taken, "a start that was delayed took the address from node {owner}");
}

/// A start has sent an associate, whatever became of it. `before` is who had the address until then.
pub fn after_an_associate(world: &World, number: usize, before: Option<usize>) {
    let process = &world.processes[number];
    let node = &world.nodes[process.node];
    // P15. Fails when `take` in src/takeover/operation/start.rs lets EC2 take the address from anybody, whatever the permission.
    let is_taken = world.owner() != before && before.is_some();
    let is_allowed = process.permission == Permission::Anybody;
    assert!(!is_taken || is_allowed, "a start that takes from nobody took the address from {before:?}");
    // The guard's part of it, as `Stage::look` plays it.
    let is_guards = process.by == Caller::Guard;
    assert!(!is_taken || !is_guards || !node.had, "node {} has had the address, and its guard took it from {before:?}", process.node);
    // Heartbeat's part of it, as `Stage::begin` plays it.
    let is_overtaken = is_guards && node.called != Some(Act::Start);
    assert!(!is_overtaken, "a start of the guard's goes on after a stop");
}

/// A stop on this node has sent a disassociate, whatever became of it. `before` is who had the address until then.
pub fn after_a_disassociate(world: &World, node: usize, before: Option<usize>) {
    // P1, P9. Fails when `Release::described` in src/takeover/release.rs takes everything for its own.
    assert!(before == Some(node) || world.owner() == before, "a stop of node {node} took the address from {before:?}");
    // P12. Fails when `Release::new` in src/takeover/release.rs does not heed `hand_over`.
    assert!(!world.hand_over, "a node that hands over has released");
}

/// A process has ended with this outcome, and its caller is about to learn of it.
pub fn at_the_end(world: &World, number: usize, outcome: Outcome) {
    let process = &world.processes[number];
    let node = &world.nodes[process.node];
    match (process.act, outcome) {
        (Act::Start, outcome) => {
            // P3. Fails when `take` in src/takeover/operation/start.rs ends where a describe shows the address here.
            assert!(process.acknowledged.is_some(), "a start is done ({outcome:?}) that EC2 never acknowledged");
        }
        (Act::Status, Outcome::Held) => {
            let look = process.last.unwrap();
            // P4. Fails when `State::judge` in src/takeover/state.rs takes an address that is shown here for the latest, whatever is known.
            assert_eq!(world.owner_of(look.shown), Some(process.node), "running, and no describe showed it");
            assert!(look.shown >= node.told, "running, by what is older than what was told or done before");
        }
        (Act::Status, Outcome::NotHeld) => {
            // P13. Fails when `State::judge` in src/takeover/state.rs believes a describe that may be older than an acknowledged start.
            let truly_held = node.held.filter(|version| *version == world.present());
            assert_eq!(truly_held, None, "not running, while the address is where the start has put it");
        }
        _ => {}
    }
}

/// An event is over, before which the address had an owner or not.
pub fn after_an_event(world: &World, had_an_owner: bool) {
    let lost = world.hand_over && had_an_owner && world.owner().is_none();
    assert!(!lost, "P12: the address has lost its owner");
}
