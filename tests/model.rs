//! Histories of two or three nodes, EC2 and faults, with the program's own decisions (`elastic_ip::plan`) in each process.
//!
//! A process asks its plan for the next call, EC2 does the call or not, and some time later the process learns what came of it,
//! or never does. Anything may happen between two of these, for as long as it takes: so every pause and every race is a history.
//! The comments say what to break, in src/plan.rs or src/memory.rs, to see a property fail.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeMap;

use elastic_ip::ec2::{Address, Association, Error, Kind, Owner};
use elastic_ip::ids::{AssociationId, Destination, InstanceId};
use elastic_ip::memory::Memory;
use elastic_ip::plan::{LetGo, Outcome, Release, Take, Takeover, is_mine};
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// Heartbeat's tries of a failing stop before it asks for the status.
const TRIES_OF_A_STOP: usize = 11;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Start,
    Stop,
    Status,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    /// A describe that shows what was so this many changes ago.
    Late(usize),
    /// Applied, and the answer is lost.
    AnswerLost,
    /// Not applied, and the process cannot know it.
    RequestLost,
    Unsent,
    Throttled,
    Refused,
}

#[derive(Clone, Debug)]
enum Event {
    /// A process begins on a node.
    Begin(usize, Action),
    /// A process makes its next call.
    Call(usize, Fate),
    /// A process learns what came of its call.
    Learn(usize),
    /// A process is killed.
    Kill(usize),
    /// A process reaches its deadline.
    Expire(usize),
    /// A node loses its processes and its memory.
    Reboot(usize),
    /// The action is run from beginning to end, twice, with nothing between, and EC2 well.
    RunTwice(usize, Action),
    /// All the tries of a failing stop, and the status that decides about a reboot.
    FailToStop(usize),
}

/// What is enough to know which events can happen.
#[derive(Clone, Debug)]
struct Shape {
    nodes: usize,
    hand_over: bool,
    processes: usize,
}

struct History;

impl ReferenceStateMachine for History {
    type State = Shape;
    type Transition = Event;

    fn init_state() -> BoxedStrategy<Shape> {
        (2..=3usize, any::<bool>()).prop_map(|(nodes, hand_over)| Shape { nodes, hand_over, processes: 0 }).boxed()
    }

    fn transitions(shape: &Shape) -> BoxedStrategy<Event> {
        let node = 0..shape.nodes;
        let action = prop_oneof![3 => Just(Action::Start), 3 => Just(Action::Stop), 1 => Just(Action::Status)];
        let fate = prop_oneof![
            8 => Just(Fate::Done),
            1 => (1..4usize).prop_map(Fate::Late),
            2 => Just(Fate::AnswerLost),
            1 => Just(Fate::RequestLost),
            1 => Just(Fate::Unsent),
            1 => Just(Fate::Throttled),
            1 => Just(Fate::Refused),
        ];
        let alone = prop_oneof![
            6 => (node.clone(), action.clone()).prop_map(|(node, action)| Event::Begin(node, action)),
            1 => (node.clone(), action).prop_map(|(node, action)| Event::RunTwice(node, action)),
            1 => node.clone().prop_map(Event::Reboot),
            1 => node.prop_map(Event::FailToStop),
        ];
        if shape.processes == 0 {
            return alone.boxed();
        }
        let process = 0..shape.processes;
        prop_oneof![
            3 => alone,
            8 => (process.clone(), fate).prop_map(|(process, fate)| Event::Call(process, fate)),
            8 => process.clone().prop_map(Event::Learn),
            1 => process.clone().prop_map(Event::Kill),
            1 => process.prop_map(Event::Expire),
        ]
        .boxed()
    }

    fn apply(mut shape: Shape, event: &Event) -> Shape {
        // Processes keep their number after they have ended, so that shrinking leaves the others' numbers alone.
        if matches!(event, Event::Begin(..)) {
            shape.processes += 1;
        }
        shape
    }

    fn preconditions(shape: &Shape, event: &Event) -> bool {
        match event {
            Event::Call(process, _) | Event::Learn(process) | Event::Kill(process) | Event::Expire(process) => *process < shape.processes,
            _ => true,
        }
    }
}

/// What a call came to, on its way back to the process.
#[derive(Clone, Debug)]
enum Answer {
    Described(Result<Address, Error>),
    Associated(Result<Option<AssociationId>, Error>),
    Disassociated(Result<(), Error>),
}

#[derive(Clone, Debug)]
enum Plan {
    Start(Takeover),
    Stop(Release),
    Status,
}

#[derive(Clone, Debug)]
struct Process {
    node: usize,
    plan: Plan,
    answer: Option<Answer>,
    /// How many changes EC2 had seen when it last told this process who has the address.
    told: usize,
    /// How many it had seen when it first did.
    begun: Option<usize>,
    /// EC2 has told it what was so earlier, which no process can know.
    misled: bool,
    /// An associate of this process was acknowledged, or a describe showed it the address as its own.
    entitled: bool,
    ended: bool,
}

struct World {
    hand_over: bool,
    /// Who had the address, oldest first; each change is a new association.
    history: Vec<Option<(usize, usize)>>,
    memories: BTreeMap<usize, Memory>,
    processes: Vec<Process>,
    changes_sent: usize,
}

fn instance(node: usize) -> InstanceId {
    format!("i-{node:08x}").parse().unwrap()
}

fn destination(node: usize) -> Destination {
    Destination { instance: instance(node), interface: None, private: None }
}

fn association_id(number: usize) -> AssociationId {
    format!("eipassoc-{number:08x}").parse().unwrap()
}

impl World {
    fn owner(&self) -> Option<usize> {
        self.history.last().copied().flatten().map(|(_, node)| node)
    }

    fn address(&self, changes_ago: usize) -> Address {
        let then = self.history[self.history.len().saturating_sub(1 + changes_ago)];
        Address {
            public: "203.0.113.25".parse().unwrap(),
            allocation: Some("eipalloc-00000001".parse().unwrap()),
            association: then.map(|(number, node)| Association {
                id: Some(association_id(number)),
                owner: Owner::Instance(instance(node)),
                interface: None,
                private: None,
            }),
        }
    }

    /// EC2's part of a call: what it does, and what it answers.
    fn serve<T>(&mut self, fate: Fate, mut work: impl FnMut(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        match fate {
            Fate::Done | Fate::Late(_) => work(self),
            Fate::AnswerLost => {
                let _ = work(self);
                Err(Error::new(Kind::Ambiguous, "no answer"))
            }
            Fate::RequestLost => Err(Error::new(Kind::Ambiguous, "no answer")),
            Fate::Unsent => Err(Error::new(Kind::Unsent, "no connection")),
            Fate::Throttled => Err(Error::new(Kind::Throttled, "slow down")),
            Fate::Refused => Err(Error::new(Kind::Refused("UnauthorizedOperation".to_owned()), "no permission")),
        }
    }

    fn describe(&mut self, fate: Fate) -> Answer {
        let changes_ago = if let Fate::Late(changes) = fate { changes } else { 0 };
        Answer::Described(self.serve(fate, |world| Ok(world.address(changes_ago))))
    }

    fn associate(&mut self, process: &Process, fate: Fate) -> Answer {
        self.changes_sent += 1;
        let node = process.node;
        // P9. Fails when the arm with `LostTo` of `Takeover::next` in src/plan.rs is removed.
        let changes = &self.history[process.begun.unwrap_or_default()..];
        let taken_since = changes.iter().skip(1).flatten().any(|(_, taker)| *taker != node);
        assert!(
            process.misled || !taken_since || self.owner().is_none_or(|owner| owner == node),
            "a start that was held up took the address from a new owner"
        );
        Answer::Associated(self.serve(fate, |world| {
            let number = world.history.len();
            world.history.push(Some((number, node)));
            Ok(Some(association_id(number)))
        }))
    }

    fn disassociate(&mut self, node: usize, named: &Association, fate: Fate) -> Answer {
        self.changes_sent += 1;
        let before = self.owner();
        let answer = self.serve(fate, |world| match world.history.last().copied().flatten() {
            Some((number, _)) if named.id == Some(association_id(number)) => {
                world.history.push(None);
                Ok(())
            }
            _ => Err(Error::new(Kind::Refused("InvalidAssociationID.NotFound".to_owned()), "no such association")),
        });
        // P1, P9. Fails when the arm with `!is_mine` of `Release::next` in src/plan.rs is removed.
        assert!(before == Some(node) || self.owner() == before, "a stop of node {node} took the address from {before:?}");
        // P12. Fails when the arm with `hand_over` of `Release::next` in src/plan.rs is removed.
        assert!(!self.hand_over, "a node that hands over has released");
        Answer::Disassociated(answer)
    }

    fn begin(&mut self, node: usize, action: Action) -> usize {
        let plan = match action {
            Action::Start => Plan::Start(Takeover::new(destination(node), true)),
            Action::Stop => Plan::Stop(Release::new(destination(node), self.hand_over)),
            Action::Status => Plan::Status,
        };
        self.processes.push(Process { node, plan, answer: None, told: 0, begun: None, misled: false, entitled: false, ended: false });
        self.processes.len() - 1
    }

    fn call(&mut self, number: usize, fate: Fate) {
        if self.processes[number].ended || self.processes[number].answer.is_some() {
            return;
        }
        // A peer takes longer to take over than a start relies on a describe; and a start that is stopped meanwhile knows it.
        let unseen = self.history.len() != self.processes[number].told;
        if let (Plan::Start(plan), true) = (&mut self.processes[number].plan, unseen) {
            plan.doubt();
        }
        let process = self.processes[number].clone();
        let answer = match &process.plan {
            Plan::Start(plan) => match plan.next() {
                Take::Describe => self.describe(fate),
                Take::Associate(..) => self.associate(&process, fate),
                Take::Keep => return self.end(number, Some(Outcome::Mine)),
                Take::LostTo(_) => return self.end(number, None),
                Take::LeaveTo(_) | Take::FindPrimary => panic!("reassociation is allowed, and each node has one interface"),
            },
            Plan::Stop(plan) => match plan.next() {
                LetGo::Describe => self.describe(fate),
                LetGo::Disassociate(_, association) => self.disassociate(process.node, association, fate),
                LetGo::HandOver => return self.end(number, Some(Outcome::HandedOver)),
                LetGo::End(outcome) => return self.end(number, Some(outcome)),
            },
            Plan::Status => self.describe(fate),
        };
        if let Answer::Described(Ok(_)) = answer {
            let told = self.history.len();
            let process = &mut self.processes[number];
            process.told = told;
            process.begun.get_or_insert(told - 1);
            process.misled |= matches!(fate, Fate::Late(_));
        }
        self.processes[number].answer = Some(answer);
    }

    fn learn(&mut self, number: usize) {
        let process = &mut self.processes[number];
        let Some(answer) = process.answer.take() else { return };
        let me = destination(process.node);
        let outcome = match (&mut process.plan, answer) {
            (Plan::Start(plan), Answer::Described(Ok(address))) => {
                process.entitled |= is_mine(&address, &me);
                plan.described(address);
                None
            }
            (Plan::Start(plan), Answer::Associated(Ok(id))) => {
                process.entitled = true;
                plan.associated(id.as_ref()).then_some(Some(Outcome::Mine))
            }
            (Plan::Start(plan), Answer::Associated(Err(error))) => {
                plan.failed(&error);
                is_final(&error).then_some(None)
            }
            (Plan::Stop(plan), Answer::Described(Ok(address))) => {
                plan.described(address);
                None
            }
            (Plan::Stop(plan), Answer::Disassociated(Ok(()))) => {
                plan.disassociated();
                Some(Some(Outcome::Released))
            }
            (Plan::Stop(plan), Answer::Disassociated(Err(error))) => match plan.failed(&error) {
                Some(outcome) => Some(Some(outcome)),
                None => is_final(&error).then_some(None),
            },
            (Plan::Status, Answer::Described(Ok(address))) => {
                let mine = is_mine(&address, &me);
                let memory = self.memories.entry(process.node).or_default();
                let judged = memory.judge(mine);
                *memory = memory.after_describe(mine);
                // P4. Fails when `Memory::judge` in src/memory.rs calls everything `Mine`.
                assert!(judged != Some(Outcome::Mine) || mine, "running, and no describe showed it");
                Some(judged)
            }
            (_, Answer::Described(Err(error))) => is_final(&error).then_some(None),
            (plan, answer) => panic!("{plan:?} never asked for {answer:?}"),
        };
        if let Some(outcome) = outcome {
            self.end(number, outcome);
        }
    }

    fn end(&mut self, number: usize, outcome: Option<Outcome>) {
        let process = &mut self.processes[number];
        process.ended = true;
        let memory = self.memories.entry(process.node).or_default();
        match process.plan {
            Plan::Start(_) => {
                // P3. Fails when the guard of the arm with `Take::Keep` of `Takeover::next` in src/plan.rs is removed.
                assert!(outcome != Some(Outcome::Mine) || process.entitled, "a start is done that EC2 never said was");
                *memory = memory.after_start(outcome);
            }
            Plan::Stop(_) => *memory = memory.after_stop(outcome),
            Plan::Status => {}
        }
    }

    fn memory(&self, node: usize) -> Memory {
        self.memories.get(&node).copied().unwrap_or_default()
    }

    /// Runs an action to its end with nothing between, and EC2 well.
    fn run(&mut self, node: usize, action: Action) {
        let number = self.begin(node, action);
        for _ in 0..10 {
            self.call(number, Fate::Done);
            self.learn(number);
            if self.processes[number].ended {
                return;
            }
        }
        panic!("{action:?} does not come to an end");
    }

    fn run_twice(&mut self, node: usize, action: Action) {
        let before = self.owner();
        self.run(node, action);
        let memory = self.memory(node);
        match action {
            // P2, P8: whatever was killed before, a start converges. Fails when the arm with `Outcome::Mine` of `Memory::after_start`
            // in src/memory.rs is removed.
            Action::Start => {
                assert_eq!(self.owner(), Some(node));
                assert_eq!(memory, Memory::default());
            }
            Action::Stop => {
                assert!(!memory.stop_failed);
                assert_eq!(self.owner(), if before == Some(node) && !self.hand_over { None } else { before });
                assert_ne!(memory.judge(self.owner() == Some(node)), Some(Outcome::Mine), "it claims the address after a stop");
            }
            Action::Status => assert_eq!(self.owner(), before),
        }
        // P7. Fails when the arm with `Take::Keep` of `Takeover::next` in src/plan.rs is removed.
        let (owner, sent) = (self.owner(), self.changes_sent);
        self.run(node, action);
        assert_eq!((self.owner(), self.changes_sent), (owner, sent), "the second {action:?} changed something");
    }

    fn fail_to_stop(&mut self, node: usize) {
        for _ in 0..TRIES_OF_A_STOP {
            let number = self.begin(node, Action::Stop);
            self.call(number, Fate::RequestLost);
            self.learn(number);
            self.end(number, None);
        }
        // P5: at the status that decides about a reboot, EC2 is well again. Fails when `Memory::after_stop` in src/memory.rs forgets
        // a failure.
        let judged = self.memory(node).judge(self.owner() == Some(node));
        assert_ne!(judged, Some(Outcome::Mine), "heartbeat would reboot node {node}");
    }
}

fn is_final(error: &Error) -> bool {
    matches!(error.kind, Kind::Refused(_) | Kind::Clock(_))
}

struct Nodes;

impl StateMachineTest for Nodes {
    type SystemUnderTest = World;
    type Reference = History;

    fn init_test(shape: &Shape) -> World {
        World { hand_over: shape.hand_over, history: vec![None], memories: BTreeMap::new(), processes: Vec::new(), changes_sent: 0 }
    }

    fn apply(mut world: World, _: &Shape, event: Event) -> World {
        let had_an_owner = world.owner().is_some();
        match event {
            Event::Begin(node, action) => {
                world.begin(node, action);
            }
            Event::Call(process, fate) => world.call(process, fate),
            Event::Learn(process) => world.learn(process),
            Event::Kill(process) => world.processes[process].ended = true,
            Event::Expire(process) if world.processes[process].ended => {}
            Event::Expire(process) => world.end(process, None),
            Event::Reboot(node) => {
                world.memories.remove(&node);
                world.processes.iter_mut().filter(|process| process.node == node).for_each(|process| process.ended = true);
            }
            Event::RunTwice(node, action) => world.run_twice(node, action),
            Event::FailToStop(node) => world.fail_to_stop(node),
        }
        assert!(!(world.hand_over && had_an_owner) || world.owner().is_some(), "P12: the address has lost its owner");
        world
    }
}

prop_state_machine! {
    #![proptest_config(Config { cases: Config::default().cases.max(2000), failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_history_keeps_the_address_with_one_rightful_owner(sequential 1..120 => Nodes);
}
