//! The world of a history on its stage: its processes run, and time passes, as the events have it.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use elastic_ip::message::Message;
use elastic_ip::takeover::operation::Act;
use elastic_ip::takeover::state::LAG;
use elastic_ip::takeover::{Outcome, Permission};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, yield_now};
use tokio::time::{Instant, advance};

use super::call;
use super::event::{Fate, Shape};
use super::guard::{Decision, decide};
use super::world::{Caller, IP, Node, Process, Shared, World};
use crate::account::Account;

/// The world, with what lets its processes run.
pub struct Stage {
    time: Runtime,
    tasks: LocalSet,
    pub world: Shared,
    /// The processes that the events name, by their numbers.
    pub named: Vec<usize>,
}

impl Stage {
    pub fn new(shape: &Shape) -> Self {
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
    pub fn pass(&self, time: Duration) {
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
    pub fn begin(&self, node: usize, act: Act, fate: Fate) -> usize {
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
    pub fn look(&self, node: usize, changes: usize, fate: Fate) -> usize {
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
        let task = self.tasks.spawn_local(call::run(Rc::clone(&self.world), number));
        self.world.borrow_mut().processes[number].task = Some(task);
        self.pass(Duration::ZERO);
        number
    }

    pub fn step(&self, number: usize, fate: Fate) {
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

    /// A process goes on after it was stopped.
    pub fn go_on(&self, number: usize) {
        let mut world = self.world.borrow_mut();
        let now = self.time.block_on(async { world.now() });
        let process = &mut world.processes[number];
        process.continued.store(true, Ordering::Relaxed);
        process.went_on = Some(now);
    }

    pub fn kill(&self, number: usize) {
        self.world.borrow_mut().kill(number);
    }

    pub fn reboot(&self, node: usize) {
        let mut world = self.world.borrow_mut();
        world.nodes[node] = Node::default();
        for number in 0..world.processes.len() {
            if world.processes[number].node == node {
                world.kill(number);
            }
        }
    }

    /// Somebody releases the address in the console.
    pub fn release(&self) {
        let mut world = self.world.borrow_mut();
        let now = self.time.block_on(async { world.now() });
        let held = world.account.history(IP)[world.present()].held.clone();
        if let Some(held) = held {
            world.account.disassociate(now, &held.association).unwrap();
        }
    }

    pub fn is_over(&self, number: usize) -> bool {
        self.world.borrow().processes[number].outcome.is_some()
    }

    /// Does this while no call of the processes that have begun reaches EC2.
    pub fn alone(&self, work: impl FnOnce()) {
        {
            let mut world = self.world.borrow_mut();
            world.from = world.processes.len();
        }
        work();
        self.world.borrow_mut().from = 0;
    }

    /// Runs an action to its end with nothing between, and EC2 well.
    pub fn run(&self, node: usize, act: Act) -> Result<Outcome, Message> {
        self.run_meeting(node, act, Fate::Done)
    }

    /// The same, with each call meeting this.
    pub fn run_meeting(&self, node: usize, act: Act, fate: Fate) -> Result<Outcome, Message> {
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
}
