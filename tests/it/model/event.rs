//! What may happen, and histories made of it.

use elastic_ip::takeover::operation::Act;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

/// A describe shows one of so many versions at the most.
pub const VERSIONS: usize = 8;

/// What becomes of one call.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
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
pub enum Event {
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
pub struct Shape {
    pub nodes: usize,
    pub hand_over: bool,
    /// Whether an associate to where the address is already leaves the association as it is.
    pub keeps: bool,
    /// Whether the address has an allocation id, which a node that knows it takes without asking first.
    pub has_allocation: bool,
    pub processes: usize,
}

pub struct History;

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
