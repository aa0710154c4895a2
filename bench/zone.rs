//! A zone fails: all its nodes' peers take their addresses over at once, in one account, through EC2's token buckets. Each node's start
//! is the program's own (`elastic_ip::takeover::operation`); EC2 is a model, and time is virtual.
//!
//! `zone NODES SPREAD ANSWER BUCKET [BUCKET] RUNS [charged]` prints a JSON document with a list of RUNS runs. The nodes begin evenly
//! within SPREAD ms, and each call takes ANSWER ms. A BUCKET is `SIZE:REFILL`, in calls and calls per second. A second one is for
//! the associations; else these draw from the same as the describes. With `charged`, a call that is refused costs what has come in.
//!
//! EC2 gives each account, in each region, a bucket for each action. One call takes one token, an empty bucket means
//! `RequestLimitExceeded`, and what is refused to one action leaves the others alone. Actions that change nothing have 100 tokens and
//! get 20 per second (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>), those that do 50 and 5. One bucket
//! for both is harder: there, who asks takes away from who changes.

#[path = "../tests/it/account/mod.rs"]
mod account;

use std::cell::{Cell, RefCell};
use std::env;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use elastic_ip::clock::Moment;
use elastic_ip::deadline::Deadline;
use elastic_ip::ec2::{Address, Association, Error, Kind, Owner, Response, Tie};
use elastic_ip::ids::{AssociationId, Destination, InterfaceId, Name, Target};
use elastic_ip::instance;
use elastic_ip::message::Message;
use elastic_ip::retry::Retry;
use elastic_ip::takeover::operation::{Act, Cloud, Operation, Pauses, Rules, World};

use account::store::Memory;
use account::{Bucket, Limit};

/// How long a start goes on that EC2 throttles.
const START_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long it goes on without an answer.
const NO_RESPONSE_LIMIT: Duration = Duration::from_secs(120);

const USAGE: &str = "zone NODES SPREAD ANSWER SIZE:REFILL [SIZE:REFILL] RUNS [charged]";

/// What is played.
#[derive(Clone, Debug)]
struct Zone {
    nodes: u32,
    /// The time from the first node's beginning to the last one's.
    spread: Duration,
    /// The time from a call to its answer. EC2 counts it in the middle of that.
    answer: Duration,
    describes: Limit,
    /// `None`: the same bucket.
    associates: Option<Limit>,
    /// Whether a call that is refused costs what has come in since the last one.
    charged: bool,
}

/// EC2 as far as a takeover sees it, for one account.
struct Ec2 {
    answer: Duration,
    begun: Instant,
    describes: Rc<RefCell<Bucket>>,
    associates: Rc<RefCell<Bucket>>,
    played: RefCell<Played>,
}

/// One run.
#[derive(Clone, Debug, Default)]
struct Played {
    /// When each node had its address, in seconds from the first node's beginning, in that order.
    served: Vec<f64>,
    /// The longest that a node took for it, in seconds.
    slowest: f64,
    /// The calls that were sent, and how many of them EC2 took.
    describes: (u32, u32),
    associates: (u32, u32),
    /// The calls of the node that sent most.
    most: u32,
    /// The nodes that gave up.
    gave_up: u32,
}

impl Ec2 {
    async fn call(&self, bucket: &RefCell<Bucket>, count: fn(&mut Played) -> &mut (u32, u32)) -> Result<(), Error> {
        sleep(self.answer / 2).await;
        let granted = bucket.borrow_mut().draw(self.begun.elapsed());
        {
            let mut played = self.played.borrow_mut();
            let (sent, taken) = count(&mut played);
            *sent += 1;
            *taken += u32::from(granted);
        }
        sleep(self.answer / 2).await;
        if granted { Ok(()) } else { Err(Error::new(Kind::Throttled, "RequestLimitExceeded")) }
    }
}

/// A node whose peer is dead, and which has never had the address.
struct Node<'a> {
    ec2: &'a Ec2,
    calls: Cell<u32>,
}

impl Cloud for Node<'_> {
    async fn destination(&self, _: &Target) -> Result<Destination, instance::Error> {
        Ok(me())
    }

    async fn primary(&self) -> Result<Option<InterfaceId>, instance::Error> {
        Ok(None)
    }

    async fn describe(&self, _: &[Target]) -> Vec<Result<Address, Error>> {
        self.calls.set(self.calls.get() + 1);
        let answer = self.ec2.call(&self.ec2.describes, |played| &mut played.describes).await;
        vec![answer.map(|()| held_by_the_dead())]
    }

    async fn associate(&self, _: &Name, _: &Destination, _: bool) -> Result<Response<Option<AssociationId>>, Error> {
        self.calls.set(self.calls.get() + 1);
        self.ec2.call(&self.ec2.associates, |played| &mut played.associates).await?;
        Ok(Response { value: Some(id("eipassoc-1")), request: String::new() })
    }

    async fn disassociate(&self, _: &Tie) -> Result<Response<()>, Error> {
        Err(Error::new(Kind::Refused(String::new()), "no start calls this"))
    }
}

impl Node<'_> {
    async fn start(&self) -> Result<(), Message> {
        let begun = Instant::now();
        let clock = || Moment::from_millis(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX));
        let retry = Retry::until(Deadline::after(START_TIMEOUT).without_response_for(NO_RESPONSE_LIMIT));
        let store = Memory::default();
        let world = World { cloud: self, store: &store, retry: &retry, clock: &clock, begun: clock(), pauses: Pauses::default() };
        let (targets, rules) = ([id("203.0.113.25")], Rules::default());
        Operation::new(Act::Start, &targets, rules, world).run(&targets[0]).await.map(drop)
    }
}

fn me() -> Destination {
    Destination { instance: id("i-0123456789abcdef0"), interface: None, private: None }
}

fn held_by_the_dead() -> Address {
    let owner = Owner::Instance(id("i-0fedcba9876543210"));
    let association = Association { id: Some(id("eipassoc-0123456789abcdef0")), owner, interface: None, private: None };
    Address { public: id("203.0.113.25"), allocation: Some(id("eipalloc-0123456789abcdef0")), association: Some(association) }
}

#[expect(clippy::expect_used, reason = "it is written above")]
fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("an id")
}

impl Zone {
    /// Plays it once. Two runs differ in the lengths of the waits.
    fn play(&self) -> std::io::Result<Played> {
        let time = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        Ok(time.block_on(async {
            let begun = Instant::now();
            let bucket = |limit| Rc::new(RefCell::new(Bucket::new(limit, self.charged, begun.elapsed())));
            let describes = bucket(self.describes);
            let associates = self.associates.map_or_else(|| describes.clone(), bucket);
            let ec2 = Ec2 { answer: self.answer, begun, describes, associates, played: RefCell::default() };
            join_all((0..self.nodes).map(|number| {
                let ec2 = &ec2;
                async move {
                    sleep(self.spread * number / self.nodes.saturating_sub(1).max(1)).await;
                    let mine = Instant::now();
                    let node = Node { ec2, calls: Cell::new(0) };
                    let started = node.start().await;
                    let mut played = ec2.played.borrow_mut();
                    played.most = played.most.max(node.calls.get());
                    if started.is_ok() {
                        played.served.push(begun.elapsed().as_secs_f64());
                        played.slowest = played.slowest.max(mine.elapsed().as_secs_f64());
                    } else {
                        played.gave_up += 1;
                    }
                }
            }))
            .await;
            ec2.played.into_inner()
        }))
    }
}

fn document(played: &Played) -> Value {
    json!({
        "served": played.served, "slowest": played.slowest, "describes": played.describes, "associates": played.associates,
        "most": played.most, "gave_up": played.gave_up,
    })
}

fn limit(word: &str) -> Option<Limit> {
    let (size, refill) = word.split_once(':')?;
    Some(Limit { size: size.parse().ok()?, refill: refill.parse().ok()? })
}

/// What is to be played, and how often.
fn read(words: &[&str]) -> Option<(Zone, u32)> {
    let (charged, words) = match words {
        [rest @ .., "charged"] => (true, rest),
        all => (false, all),
    };
    let (nodes, spread, answer, describes, associates, runs) = match words {
        [nodes, spread, answer, both, runs] => (nodes, spread, answer, both, None, runs),
        [nodes, spread, answer, describes, associates, runs] => (nodes, spread, answer, describes, Some(limit(associates)?), runs),
        _ => return None,
    };
    let duration = |word: &str| Some(Duration::from_millis(word.parse().ok()?));
    let zone = Zone {
        nodes: nodes.parse().ok()?,
        spread: duration(spread)?,
        answer: duration(answer)?,
        describes: limit(describes)?,
        associates,
        charged,
    };
    Some((zone, runs.parse().ok()?))
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let Some((zone, runs)) = read(&words.iter().map(String::as_str).collect::<Vec<_>>()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match (0..runs).map(|_| zone.play().map(|played| document(&played))).collect::<Result<Value, _>>() {
        Ok(runs) => println!("{runs}"),
        Err(error) => {
            eprintln!("zone: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: (Limit, Limit) = (Limit { size: 100.0, refill: 20.0 }, Limit { size: 50.0, refill: 5.0 });

    fn zone(nodes: u32, describes: Limit, associates: Option<Limit>) -> Zone {
        let spread = Duration::from_secs(2);
        Zone { nodes, spread, answer: Duration::from_millis(20), describes, associates, charged: false }
    }

    /// The mean time until all have their address, in seconds, and the mean number of calls for each.
    fn mean(zone: &Zone, runs: u32) -> (f64, f64) {
        let (mut last, mut calls) = (0.0, 0.0);
        for _ in 0..runs {
            let played = zone.play().unwrap();
            assert_eq!((played.served.len(), played.gave_up), (zone.nodes as usize, 0));
            assert_eq!(played.associates.1, zone.nodes);
            last += played.served.last().unwrap() / f64::from(runs);
            calls += f64::from(played.describes.0 + played.associates.0) / f64::from(zone.nodes) / f64::from(runs);
        }
        (last, calls)
    }

    #[test]
    fn where_the_bucket_is_large_enough_two_calls_and_no_wait_are_needed() {
        let played = zone(25, DOCUMENTED.1, None).play().unwrap();
        assert_eq!((played.describes, played.associates, played.gave_up), ((25, 25), (25, 25), 0));
        assert!(played.slowest < 0.1, "{played:?}");
    }

    #[test]
    fn a_bucket_grants_what_it_held_and_what_came_in() {
        let played = zone(100, DOCUMENTED.1, None).play().unwrap();
        let granted = f64::from(played.describes.1 + played.associates.1);
        assert!(granted <= 50.0 + 5.0 * played.served.last().unwrap(), "{played:?}");
        assert!(played.describes.0 + played.associates.0 > played.describes.1 + played.associates.1, "{played:?}");
    }

    #[test]
    fn a_hundred_nodes_are_done_soon_after_the_documented_buckets_allow_it() {
        let (last, calls) = mean(&zone(100, DOCUMENTED.0, Some(DOCUMENTED.1)), 10);
        let limit = (100.0 - 50.0) / 5.0;
        assert!(last < 1.15 * limit && calls < 30.0, "{last} s, {calls} calls");
    }

    #[test]
    fn more_nodes_in_one_bucket_for_all_calls_take_more_time_but_no_larger_share_of_it() {
        for (nodes, runs, most) in [(100, 10, 20.0), (400, 2, 35.0)] {
            let (last, calls) = mean(&zone(nodes, DOCUMENTED.1, None), runs);
            let limit = (2.0 * f64::from(nodes) - 50.0) / 5.0;
            assert!(last < 1.4 * limit && calls < most, "{nodes} nodes: {last} s where {limit} s are the limit, {calls} calls");
        }
    }

    #[test]
    fn words_that_are_no_zone_are_refused() {
        for words in ["", "10", "10 2000 20 50:5", "10 2000 20 50 1", "10 2000 20 50:5 1:2:3 1", "ten 2000 20 50:5 1"] {
            assert!(read(&words.split_whitespace().collect::<Vec<_>>()).is_none(), "{words}");
        }
        let (zone, runs) = read(&["10", "2000", "20", "100:20", "50:5", "3", "charged"]).unwrap();
        assert_eq!((zone.nodes, zone.associates.unwrap().refill, zone.charged, runs), (10, 5.0, true, 3));
    }
}
