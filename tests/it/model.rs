//! Histories of two or three nodes, EC2 and faults, with the program's own operation (`elastic_ip::takeover::operation`) in each
//! process, in virtual time.
//!
//! A process makes its next call, EC2 does it or not, and some time later the process learns what came of it, or never does. Anything
//! may happen between the two, for as long as it takes: so every pause and every race is a history. A describe shows what was so up to
//! [`LAG`] ago, of the last eight versions any. The comments say what to break in src/takeover to see a property fail.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use elastic_ip::clock::Moment;
use elastic_ip::deadline::Deadline;
use elastic_ip::ec2::{Address, Association, Error, Kind, Owner, Response, Tie};
use elastic_ip::ids::{AssociationId, Destination, InstanceId, InterfaceId, Name, Target};
use elastic_ip::instance;
use elastic_ip::message::Message;
use elastic_ip::retry::Retry;
use elastic_ip::takeover::operation::{self, Act, Cloud, Operation, Pauses, Rules};
use elastic_ip::takeover::state::LAG;
use elastic_ip::takeover::{Outcome, Permission, operation::World as Surroundings};
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet, yield_now};
use tokio::time::{Instant, advance};

use crate::account::store::Memory;
use crate::account::{self, Account, Refusal};

const IP: &str = "203.0.113.25";

/// Heartbeat's tries of a failing stop before it asks for the status.
const TRIES_OF_A_STOP: usize = 11;

/// A describe shows one of so many versions at the most.
const VERSIONS: usize = 8;

/// How long a start may rely on a look, as long as nothing says that the process was stopped: a second, and the longest attempt.
const RELIES: Duration = Duration::from_secs(7);

/// What becomes of one call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    /// A describe that shows what was so this many changes ago, or as many as the lag allows.
    Late(usize),
    /// Applied, and the answer is lost.
    AnswerLost,
    /// Not applied, and the process cannot know it.
    RequestLost,
    Unsent,
    Throttled,
    /// Refused for now.
    NotYet,
    Refused,
}

#[derive(Clone, Debug)]
enum Event {
    /// The cluster manager, or somebody else, runs the program on a node, and it makes its first call.
    Begin(usize, Act, Fate),
    /// A node's guard looks, at a describe that shows what was so this many changes ago, and may begin a start of its own.
    Look(usize, usize, Fate),
    /// A process learns what came of its last call, and makes the next one.
    Step(usize, Fate),
    /// Somebody releases the address in the console.
    Release,
    /// Time passes, in milliseconds.
    Pass(u64),
    /// A process goes on after it was stopped (SIGCONT).
    Continue(usize),
    /// A process is killed.
    Kill(usize),
    /// A node loses its processes and what it knows.
    Reboot(usize),
    /// The action is run from beginning to end, twice, with nothing between, and EC2 well.
    RunTwice(usize, Act),
    /// All the tries of a failing stop, and the status that decides about a reboot.
    FailToStop(usize),
    /// A status with nothing between, whose describes show what was so this many changes ago.
    Ask(usize, usize),
}

/// What is enough to know which events can happen.
#[derive(Clone, Debug)]
struct Shape {
    nodes: usize,
    hand_over: bool,
    /// Whether an associate to where the address is already leaves the association as it is.
    keeps: bool,
    /// Whether the address has an allocation id, which a node that knows it takes without asking first.
    has_allocation: bool,
    processes: usize,
}

struct History;

impl ReferenceStateMachine for History {
    type State = Shape;
    type Transition = Event;

    fn init_state() -> BoxedStrategy<Shape> {
        let shape = |(nodes, hand_over, keeps, has_allocation)| Shape { nodes, hand_over, keeps, has_allocation, processes: 0 };
        (2..=3usize, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(shape).boxed()
    }

    fn transitions(shape: &Shape) -> BoxedStrategy<Event> {
        let node = 0..shape.nodes;
        let act = prop_oneof![3 => Just(Act::Start), 3 => Just(Act::Stop), 2 => Just(Act::Status)];
        let late = prop_oneof![2 => 1..3usize, 1 => 3..VERSIONS];
        let fate = prop_oneof![
            8 => Just(Fate::Done),
            3 => late.clone().prop_map(Fate::Late),
            2 => Just(Fate::AnswerLost),
            1 => Just(Fate::RequestLost),
            1 => Just(Fate::Unsent),
            1 => Just(Fate::Throttled),
            1 => Just(Fate::NotYet),
            1 => Just(Fate::Refused),
        ];
        let time = prop_oneof![4 => 1..500u64, 3 => 500..5000u64, 2 => 5_000..60_000u64, 1 => 60_000..200_000u64];
        let alone = prop_oneof![
            6 => (node.clone(), act.clone(), fate.clone()).prop_map(|(node, act, fate)| Event::Begin(node, act, fate)),
            3 => time.prop_map(Event::Pass),
            1 => (node.clone(), act).prop_map(|(node, act)| Event::RunTwice(node, act)),
            1 => node.clone().prop_map(Event::Reboot),
            1 => Just(Event::Release),
            1 => node.clone().prop_map(Event::FailToStop),
            2 => (node.clone(), prop_oneof![1 => Just(0), 2 => late.clone()], fate.clone())
                .prop_map(|(node, changes, fate)| Event::Look(node, changes, fate)),
            3 => (node, prop_oneof![1 => Just(0), 2 => late]).prop_map(|(node, changes)| Event::Ask(node, changes)),
        ];
        if shape.processes == 0 {
            return alone.boxed();
        }
        // The latest processes are those that have not ended.
        let recent = shape.processes.saturating_sub(4)..shape.processes;
        prop_oneof![
            4 => alone,
            9 => (recent.clone(), fate).prop_map(|(process, fate)| Event::Step(process, fate)),
            1 => recent.clone().prop_map(Event::Continue),
            1 => recent.prop_map(Event::Kill),
        ]
        .boxed()
    }

    fn apply(mut shape: Shape, event: &Event) -> Shape {
        // Processes keep their number after they have ended, so that shrinking leaves the others' numbers alone.
        if matches!(event, Event::Begin(..) | Event::Look(..)) {
            shape.processes += 1;
        }
        shape
    }

    fn preconditions(shape: &Shape, event: &Event) -> bool {
        match event {
            Event::Step(process, _) | Event::Continue(process) | Event::Kill(process) => *process < shape.processes,
            Event::Begin(node, ..) | Event::RunTwice(node, _) | Event::Ask(node, _) => *node < shape.nodes,
            Event::Look(node, ..) | Event::Reboot(node) | Event::FailToStop(node) => *node < shape.nodes,
            Event::Release => !shape.hand_over,
            Event::Pass(_) => true,
        }
    }
}

/// Who runs a process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    Manager,
    /// follow-heartbeat, which looks at the address between two calls of the manager's.
    Guard,
}

/// What EC2 showed a process of the address.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Duration,
    /// The version that was shown.
    shown: usize,
}

struct Process {
    node: usize,
    act: Act,
    by: Caller,
    permission: Permission,
    begun: Duration,
    fate: Option<Fate>,
    learns: Rc<Notify>,
    is_waiting: bool,
    continued: Arc<AtomicBool>,
    /// When it last went on after it was stopped.
    went_on: Option<Duration>,
    first: Option<Look>,
    last: Option<Look>,
    /// The version that EC2 acknowledged to an associate of this process.
    acknowledged: Option<usize>,
    task: Option<JoinHandle<()>>,
    outcome: Option<Result<Outcome, Message>>,
    /// Whether a status found the address to be nobody's.
    is_free: bool,
}

/// What a node's caller was told, as far as it binds later answers.
#[derive(Default)]
struct Node {
    store: Memory,
    /// The version that the node's caller was told of last, by a status or by its own change.
    told: usize,
    /// The version that an acknowledged start of this node made last, and no stop of it has ended since.
    held: Option<usize>,
    /// What the manager has called last, but for a status.
    called: Option<Act>,
    /// Whether the node has had the address since then, as its guard knows.
    had: bool,
}

struct World {
    hand_over: bool,
    has_allocation: bool,
    epoch: Instant,
    account: Account,
    nodes: Vec<Node>,
    processes: Vec<Process>,
    changes_sent: usize,
    /// The first of the processes whose calls reach EC2.
    from: usize,
}

type Shared = Rc<RefCell<World>>;

fn instance(node: usize) -> InstanceId {
    format!("i-{node:08x}").parse().unwrap()
}

fn target() -> Target {
    IP.parse().unwrap()
}

impl World {
    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// The number of the present version.
    fn present(&self) -> usize {
        self.account.history(IP).len() - 1
    }

    fn owner_of(&self, version: usize) -> Option<usize> {
        let held = self.account.history(IP)[version].held.as_ref()?;
        (0..self.nodes.len()).find(|node| instance(*node).to_string() == held.owner)
    }

    fn owner(&self) -> Option<usize> {
        self.owner_of(self.present())
    }

    /// The version that a describe shows: at the most this many changes old, and not older than the lag.
    fn shown(&self, changes_ago: usize) -> usize {
        let history = self.account.history(IP);
        let oldest = self.now().saturating_sub(LAG);
        let is_shown = |version: &usize| history.get(version + 1).is_none_or(|next| next.since >= oldest);
        (self.present().saturating_sub(changes_ago.min(VERSIONS - 1))..=self.present()).find(is_shown).unwrap()
    }

    fn address(&self, version: usize) -> Address {
        let association = self.account.history(IP)[version].held.as_ref().map(|held| Association {
            id: Some(held.association.parse().unwrap()),
            owner: Owner::Instance(held.owner.parse().unwrap()),
            interface: None,
            private: None,
        });
        let allocation = self.has_allocation.then(|| "eipalloc-00000001".parse().unwrap());
        Address { public: IP.parse().unwrap(), allocation, association }
    }

    /// EC2's part of a call: what it does, and what it answers.
    fn serve<T>(&mut self, fate: Fate, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        match fate {
            Fate::Done | Fate::Late(_) => work(self),
            Fate::AnswerLost => {
                let _ = work(self);
                Err(Error::new(Kind::Ambiguous, "no answer"))
            }
            Fate::RequestLost => Err(Error::new(Kind::Ambiguous, "no answer")),
            Fate::Unsent => Err(Error::new(Kind::Unsent, "no connection")),
            Fate::Throttled => Err(Error::new(Kind::Throttled, "slow down")),
            Fate::NotYet => Err(Error::new(Kind::NotYet("UnauthorizedOperation".to_owned()), "no permission yet")),
            Fate::Refused => Err(Error::new(Kind::Refused("InvalidParameterValue".to_owned()), "no")),
        }
    }

    fn describe(&mut self, number: usize, fate: Fate) -> Result<Address, Error> {
        let version = self.shown(if let Fate::Late(changes) = fate { changes } else { 0 });
        let look = Look { at: self.now(), shown: version };
        let address = self.address(version);
        let is_old = {
            let association = address.association.as_ref().and_then(|held| held.id.as_ref());
            self.nodes[self.processes[number].node].store.0.borrow().has_ended(association)
        };
        let result = self.serve(fate, |_| Ok(address));
        if result.is_ok() {
            let process = &mut self.processes[number];
            process.last = Some(look);
            if !is_old {
                process.first.get_or_insert(look);
            }
        }
        result
    }

    fn associate(&mut self, number: usize, may_take: bool, fate: Fate) -> Result<Option<AssociationId>, Error> {
        self.changes_sent += usize::from(number >= self.from);
        self.check_takeover(number);
        let (now, node, before) = (self.now(), self.processes[number].node, self.owner());
        let owner = instance(node).to_string();
        let result = self.serve(fate, |world| Ok(world.account.associate(now, IP, &owner, None, may_take)));
        // P15. Fails when `take` in src/takeover/operation/start.rs lets EC2 take the address from anybody, whatever the permission.
        let is_taken = self.owner() != before && before.is_some();
        let is_allowed = self.processes[number].permission == Permission::Anybody;
        assert!(!is_taken || is_allowed, "a start that takes from nobody took the address from {before:?}");
        // The guard's part of it, as `Stage::look` plays it.
        let is_guards = self.processes[number].by == Caller::Guard;
        assert!(!is_taken || !is_guards || !self.nodes[node].had, "node {node} has had the address, and its guard took it from {before:?}");
        // Heartbeat's part of it, as `Stage::begin` plays it.
        let is_overtaken = is_guards && self.nodes[node].called != Some(Act::Start);
        assert!(!is_overtaken, "a start of the guard's goes on after a stop");
        let id = result?.map_err(refused)?;
        let is_it = |version: &account::Version| version.held.as_ref().is_some_and(|held| held.association == id);
        self.processes[number].acknowledged = self.account.history(IP).iter().position(is_it);
        // Which association the node holds, its caller is told at the end.
        let node = self.processes[number].node;
        self.nodes[node].held = None;
        Ok(Some(id.parse().unwrap()))
    }

    /// P9: who was stopped, or delayed, leaves the address to a peer that has taken it since.
    fn check_takeover(&self, number: usize) {
        let process = &self.processes[number];
        let Some(owner) = self.owner().filter(|owner| *owner != process.node) else { return };
        let (now, taken) = (self.now(), self.account.history(IP)[self.present()].since);
        let relied_on = process.last.map_or(process.begun, |look| look.at);
        // Fails when `is_stale` in src/takeover/operation.rs says no.
        let was_stopped = process.went_on.is_some_and(|moment| moment >= taken && taken >= relied_on);
        let is_stale = relied_on < taken && (now.saturating_sub(relied_on) > RELIES || was_stopped);
        assert!(!is_stale, "a start took the address from node {owner} and had not looked since");
        let Some((first, last)) = process.first.zip(process.last) else { return };
        // Fails when the arm with `LostTo` of `Takeover::with` in src/takeover.rs is removed. What is excluded is in
        // docs/reliability.md: a describe that shows what was so before the peer's takeover cannot be told from one that is right.
        let is_misled = last.shown < self.present();
        assert!(is_misled || taken <= first.at || last.at < taken, "a start that was delayed took the address from node {owner}");
    }

    fn disassociate(&mut self, number: usize, tie: &Tie, fate: Fate) -> Result<(), Error> {
        self.changes_sent += usize::from(number >= self.from);
        let (before, node, now) = (self.owner(), self.processes[number].node, self.now());
        let Tie::Association(id) = tie else { panic!("each association has an id") };
        let result = self.serve(fate, |world| Ok(world.account.disassociate(now, &id.to_string())));
        // P1, P9. Fails when `Release::described` in src/takeover/release.rs takes everything for its own.
        assert!(before == Some(node) || self.owner() == before, "a stop of node {node} took the address from {before:?}");
        // P12. Fails when `Release::new` in src/takeover/release.rs does not heed `hand_over`.
        assert!(!self.hand_over, "a node that hands over has released");
        result?.map_err(refused)
    }

    /// A process has ended, and its caller learns of it.
    fn end(&mut self, number: usize, outcome: Result<Outcome, Message>) {
        let present = self.present();
        let (act, node, last) = (self.processes[number].act, self.processes[number].node, self.processes[number].last);
        let truly_held = self.nodes[node].held.filter(|version| *version == present);
        match (act, &outcome) {
            (Act::Start, Ok(outcome)) => {
                // P3. Fails when `take` in src/takeover/operation/start.rs ends where a describe shows the address here.
                let own = self.processes[number].acknowledged;
                assert!(own.is_some(), "a start is done ({outcome:?}) that EC2 never acknowledged");
                self.nodes[node].held = own;
                self.nodes[node].told = own.unwrap_or_default();
                self.nodes[node].had |= self.nodes[node].called == Some(Act::Start);
            }
            (Act::Stop, _) => self.nodes[node].held = None,
            (Act::Status, Ok(Outcome::Held)) => {
                let look = last.unwrap();
                // P4. Fails when `State::judge` in src/takeover/state.rs takes an address that is shown here for the latest, whatever is known.
                assert_eq!(self.owner_of(look.shown), Some(node), "running, and no describe showed it");
                assert!(look.shown >= self.nodes[node].told, "running, by what is older than what was told or done before");
                self.nodes[node].told = look.shown;
            }
            (Act::Status, Ok(Outcome::NotHeld)) => {
                // P13. Fails when `State::judge` in src/takeover/state.rs believes a describe that may be older than an acknowledged start.
                assert_eq!(truly_held, None, "not running, while the address is where the start has put it");
                let look = last.unwrap();
                if self.owner_of(look.shown) != Some(node) {
                    self.nodes[node].told = self.nodes[node].told.max(look.shown);
                }
            }
            _ => {}
        }
        let process = &mut self.processes[number];
        process.outcome = Some(outcome);
        process.is_waiting = false;
    }

    fn kill(&mut self, number: usize) {
        let process = &mut self.processes[number];
        if let Some(task) = process.task.take() {
            task.abort();
        }
        process.is_waiting = false;
        process.outcome.get_or_insert_with(|| Err("killed".into()));
    }
}

fn refused(refusal: Refusal) -> Error {
    Error::new(Kind::Refused(refusal.code().to_owned()), refusal.code())
}

/// EC2 as one process meets it.
struct Ec2 {
    world: Shared,
    process: usize,
}

impl Ec2 {
    /// Makes a call, and learns what came of it when the history says so.
    async fn call<T>(&self, serve: impl FnOnce(&mut World, usize, Fate) -> Result<T, Error>) -> Result<T, Error> {
        let (result, learns) = {
            let mut world = self.world.borrow_mut();
            let is_cut_off = self.process < world.from;
            let fate = if is_cut_off { None } else { world.processes[self.process].fate.take() };
            let fate = fate.unwrap_or(if is_cut_off { Fate::RequestLost } else { Fate::Done });
            let result = serve(&mut world, self.process, fate);
            let process = &mut world.processes[self.process];
            process.is_waiting = true;
            (result, Rc::clone(&process.learns))
        };
        learns.notified().await;
        self.world.borrow_mut().processes[self.process].is_waiting = false;
        result
    }
}

impl Cloud for Ec2 {
    async fn destination(&self, _: &Target) -> Result<Destination, instance::Error> {
        let node = self.world.borrow().processes[self.process].node;
        Ok(Destination { instance: instance(node), interface: None, private: None })
    }

    async fn primary(&self) -> Result<Option<InterfaceId>, instance::Error> {
        Ok(None)
    }

    async fn describe(&self, _: &[Target]) -> Vec<Result<Address, Error>> {
        vec![self.call(World::describe).await]
    }

    async fn associate(&self, _: &Name, _: &Destination, may_take: bool) -> Result<Response<Option<AssociationId>>, Error> {
        let value = self.call(|world, process, fate| world.associate(process, may_take, fate)).await?;
        Ok(Response { value, request: String::new() })
    }

    async fn disassociate(&self, tie: &Tie) -> Result<Response<()>, Error> {
        self.call(|world, process, fate| world.disassociate(process, tie, fate)).await?;
        Ok(Response { value: (), request: String::new() })
    }
}

/// A node's store, reached through the world.
struct StoreOf(Shared, usize);

impl elastic_ip::takeover::store::Store for StoreOf {
    fn read(&self, target: &Target) -> Result<elastic_ip::takeover::state::State, Message> {
        self.0.borrow().nodes[self.1].store.read(target)
    }

    fn change(&self, target: &Target, change: &mut dyn FnMut(&mut elastic_ip::takeover::state::State)) -> Result<(), Message> {
        self.0.borrow().nodes[self.1].store.change(target, change)
    }
}

/// One call of the program, as src/run.rs makes it.
async fn run(world: Shared, number: usize) {
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
    world.borrow_mut().end(number, outcome);
}

/// The world, with what lets its processes run.
struct Stage {
    time: Runtime,
    tasks: LocalSet,
    world: Shared,
    /// The processes that the events name, by their numbers.
    named: Vec<usize>,
}

impl Stage {
    fn new(shape: &Shape) -> Self {
        let time = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let epoch = time.block_on(async {
            // EC2 has been there for longer than it lags.
            let epoch = Instant::now();
            advance(LAG * 2).await;
            epoch
        });
        let mut account = Account::new([IP]);
        if shape.keeps {
            account.keep_associations();
        }
        let nodes = (0..shape.nodes).map(|_| Node::default()).collect();
        let world = World {
            hand_over: shape.hand_over,
            has_allocation: shape.has_allocation,
            epoch,
            account,
            nodes,
            processes: Vec::new(),
            changes_sent: 0,
            from: 0,
        };
        Self { time, tasks: LocalSet::new(), world: Rc::new(RefCell::new(world)), named: Vec::new() }
    }

    /// Lets so much time pass, and the processes do what they can meanwhile.
    fn pass(&self, time: Duration) {
        self.tasks.block_on(&self.time, async {
            if !time.is_zero() {
                advance(time).await;
            }
            for _ in 0..6 {
                yield_now().await;
            }
        });
        let has_panicked = |process: &mut Process| process.task.take_if(|task| task.is_finished() && process.outcome.is_none());
        let panicked = self.world.borrow_mut().processes.iter_mut().find_map(has_panicked);
        if let Some(task) = panicked {
            resume_unwind(self.time.block_on(task).unwrap_err().into_panic());
        }
    }

    /// As heartbeat-call does it: a start or a stop ends the guard's start first.
    fn begin(&self, node: usize, act: Act, fate: Fate) -> usize {
        if act != Act::Status {
            let mut world = self.world.borrow_mut();
            for number in 0..world.processes.len() {
                if world.processes[number].node == node && world.processes[number].by == Caller::Guard {
                    world.kill(number);
                }
            }
            world.nodes[node].called = Some(act);
            world.nodes[node].had = false;
        }
        self.spawn(node, act, Caller::Manager, Permission::Anybody, fate)
    }

    /// As follow-heartbeat does it, while its node is to hold the address. The number is that of the status, or of the start.
    fn look(&self, node: usize, changes: usize, fate: Fate) -> usize {
        let status = self.spawn(node, Act::Status, Caller::Guard, Permission::Anybody, Fate::Late(changes));
        let outcome = self.carry_on(status, Fate::Late(changes));
        let decision = {
            let mut world = self.world.borrow_mut();
            let is_at_work = |process: &Process| process.node == node && process.act == Act::Start && process.outcome.is_none();
            if world.nodes[node].called != Some(Act::Start) || world.processes.iter().any(is_at_work) {
                return status;
            }
            let decision = decide(outcome.ok(), world.processes[status].is_free, world.nodes[node].had);
            world.nodes[node].had |= decision == Decision::Remember;
            decision
        };
        match decision {
            Decision::Start(permission) => self.spawn(node, Act::Start, Caller::Guard, permission, fate),
            Decision::Remember | Decision::Nothing => status,
        }
    }

    fn spawn(&self, node: usize, act: Act, by: Caller, permission: Permission, fate: Fate) -> usize {
        let number = {
            let mut world = self.world.borrow_mut();
            let begun = self.time.block_on(async { world.now() });
            world.processes.push(Process {
                node,
                act,
                by,
                permission,
                begun,
                fate: Some(fate),
                learns: Rc::default(),
                is_waiting: false,
                continued: Arc::default(),
                went_on: None,
                first: None,
                last: None,
                acknowledged: None,
                task: None,
                outcome: None,
                is_free: false,
            });
            world.processes.len() - 1
        };
        let task = self.tasks.spawn_local(run(Rc::clone(&self.world), number));
        self.world.borrow_mut().processes[number].task = Some(task);
        self.pass(Duration::ZERO);
        number
    }

    fn step(&self, number: usize, fate: Fate) {
        {
            let mut world = self.world.borrow_mut();
            let process = &mut world.processes[number];
            if process.outcome.is_some() {
                return;
            }
            process.fate = Some(fate);
            if process.is_waiting {
                process.learns.notify_one();
            }
        }
        self.pass(Duration::ZERO);
    }

    fn is_over(&self, number: usize) -> bool {
        self.world.borrow().processes[number].outcome.is_some()
    }

    /// Does this while no call of the processes that have begun reaches EC2.
    fn alone(&self, work: impl FnOnce()) {
        {
            let mut world = self.world.borrow_mut();
            world.from = world.processes.len();
        }
        work();
        self.world.borrow_mut().from = 0;
    }

    /// Runs an action to its end with nothing between, and EC2 well.
    fn run(&self, node: usize, act: Act) -> Result<Outcome, Message> {
        self.run_meeting(node, act, Fate::Done)
    }

    /// The same, with each call meeting this.
    fn run_meeting(&self, node: usize, act: Act, fate: Fate) -> Result<Outcome, Message> {
        let number = self.begin(node, act, fate);
        self.carry_on(number, fate)
    }

    /// To the end of a process, with each call meeting this.
    fn carry_on(&self, number: usize, fate: Fate) -> Result<Outcome, Message> {
        for _ in 0..200 {
            if self.is_over(number) {
                return self.world.borrow().processes[number].outcome.clone().unwrap();
            }
            self.step(number, fate);
            self.pass(Duration::from_millis(100));
        }
        panic!("{:?} does not come to an end", self.world.borrow().processes[number].act);
    }

    fn run_twice(&self, node: usize, act: Act) {
        let owner = || self.world.borrow().owner();
        let before = owner();
        let outcome = self.run(node, act);
        match act {
            // P2, P8: whatever was killed before, a start converges. Fails when `State::associated` in src/takeover/state.rs keeps a
            // failed stop.
            Act::Start => {
                assert_eq!((outcome, owner()), (Ok(Outcome::Held), Some(node)));
                assert_eq!(self.run(node, Act::Status), Ok(Outcome::Held));
            }
            Act::Stop => {
                let kept = before == Some(node) && self.world.borrow().hand_over;
                assert_eq!(owner(), if before == Some(node) && !kept { None } else { before });
                assert_ne!(self.run(node, Act::Status), Ok(Outcome::Held), "it claims the address after a stop");
            }
            Act::Status => assert_eq!(owner(), before),
        }
        // P7. Fails when `State::released` in src/takeover/state.rs leaves what is known as it is.
        let (before, sent) = (owner(), self.world.borrow().changes_sent);
        let again = self.run(node, act);
        assert_eq!(owner(), before, "the second {act:?} changed something");
        match act {
            Act::Start => assert_eq!(again, Ok(Outcome::Held)),
            Act::Stop | Act::Status => assert_eq!(self.world.borrow().changes_sent, sent, "the second {act:?} sent a change"),
        }
    }

    fn fail_to_stop(&self, node: usize) {
        for _ in 0..TRIES_OF_A_STOP {
            let number = self.begin(node, Act::Stop, Fate::RequestLost);
            // To its deadline, and Heartbeat's pause.
            for _ in 0..6 {
                self.step(number, Fate::RequestLost);
                self.pass(Duration::from_secs(2));
            }
            // P14. Fails when `stop` in src/takeover/operation/stop.rs makes its tries within a deadline of its own, and not by
            // `world.retry`.
            assert!(self.is_over(number), "a stop does not end at its deadline");
        }
        // P5: at the status that decides about a reboot, EC2 is well again. Fails when `State::stop_failed` in src/takeover/state.rs
        // does nothing.
        assert_ne!(self.run(node, Act::Status), Ok(Outcome::Held), "heartbeat would reboot node {node}");
    }
}

struct Nodes;

impl StateMachineTest for Nodes {
    type SystemUnderTest = Stage;
    type Reference = History;

    fn init_test(shape: &Shape) -> Stage {
        Stage::new(shape)
    }

    fn apply(mut stage: Stage, _: &Shape, event: Event) -> Stage {
        let owned = |stage: &Stage| stage.world.borrow().owner().is_some();
        let had_an_owner = owned(&stage);
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
            Event::Release => {
                let mut world = stage.world.borrow_mut();
                let now = stage.time.block_on(async { world.now() });
                let held = world.account.history(IP)[world.present()].held.clone();
                if let Some(held) = held {
                    world.account.disassociate(now, &held.association).unwrap();
                }
            }
            Event::Continue(name) => {
                let number = stage.named[name];
                let mut world = stage.world.borrow_mut();
                let now = stage.time.block_on(async { world.now() });
                let process = &mut world.processes[number];
                process.continued.store(true, Ordering::Relaxed);
                process.went_on = Some(now);
            }
            Event::Kill(name) => stage.world.borrow_mut().kill(stage.named[name]),
            Event::Reboot(node) => {
                let mut world = stage.world.borrow_mut();
                world.nodes[node] = Node::default();
                for number in 0..world.processes.len() {
                    if world.processes[number].node == node {
                        world.kill(number);
                    }
                }
            }
            Event::RunTwice(node, act) => stage.alone(|| stage.run_twice(node, act)),
            Event::FailToStop(node) => stage.alone(|| stage.fail_to_stop(node)),
            Event::Ask(node, changes) => stage.alone(|| drop(stage.run_meeting(node, Act::Status, Fate::Late(changes)))),
        }
        let lost = stage.world.borrow().hand_over && had_an_owner && !owned(&stage);
        assert!(!lost, "P12: the address has lost its owner");
        stage
    }
}

/// What a guard does about the answer of a status.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Decision {
    Nothing,
    /// That this node has had the address.
    Remember,
    Start(Permission),
}

/// `None`: the status could not tell.
fn decide(outcome: Option<Outcome>, is_free: bool, had: bool) -> Decision {
    match outcome {
        Some(Outcome::Held) => Decision::Remember,
        Some(_) if !had => Decision::Start(Permission::Anybody),
        Some(Outcome::NotHeld) if is_free => Decision::Start(Permission::NobodyAsked),
        Some(_) | None => Decision::Nothing,
    }
}

// tests/package/test_follow_heartbeat.py holds the script to the same table.
#[test]
fn the_models_guards_decide_as_the_script_does() {
    let rows = include_str!("guard_decisions.tsv").lines().skip(3);
    let decided = rows.map(|row| {
        let [status, had, does] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let (outcome, is_free) = match status {
            "held" => (Some(Outcome::Held), false),
            "not-held, nobody has it" => (Some(Outcome::NotHeld), true),
            "not-held, a peer has it" => (Some(Outcome::NotHeld), false),
            "handed-over" => (Some(Outcome::HandedOver), false),
            "unknown" => (None, true),
            other => panic!("{other}"),
        };
        let decision = match does {
            "remembers" => Decision::Remember,
            "start" => Decision::Start(Permission::Anybody),
            "start --if-free" => Decision::Start(Permission::NobodyAsked),
            "nothing" => Decision::Nothing,
            other => panic!("{other}"),
        };
        assert_eq!(decide(outcome, is_free, had == "yes"), decision, "{row}");
    });
    assert_eq!(decided.count(), 10);
}

prop_state_machine! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_history_keeps_the_address_with_one_rightful_owner(sequential 1..120 => Nodes);
}
