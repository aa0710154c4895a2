//! Is this machine ready to take the addresses now? Asks what a start would ask, and changes nothing.

mod addresses;
mod document;
mod fact;
mod permissions;
mod table;

use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::{join, join3};
use ring::digest;

use crate::cluster::{self, Guard, Manager};
use crate::config::{self, Config, Origins, Sources};
use crate::credentials::{self, Found};
use crate::deadline::Deadline;
use crate::ec2::Limits;
use crate::endpoint::{Endpoint, Reached};
use crate::ids::{InstanceId, RegionName, Target};
use crate::instance;
use crate::message::Message;
use crate::partition::Partition;
use crate::session::{Origin, Session};
use crate::takeover::store::{Folder, Store};
pub(crate) use fact::{Fact, Verdict};
pub use table::Style;

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How much of that the metadata service may take.
const METADATA_LIMIT: Duration = Duration::from_secs(3);

/// The limits of one call to EC2: two that follow each other fit into what the metadata service leaves.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(3);

/// More than this, in seconds, is worth setting the clock: EC2 refuses from five minutes on.
const CLOCK_TOLERANCE: i64 = 30;

const FAILURES_FIRST: &str = "correct what is marked fail first";

/// All facts.
#[derive(Debug)]
pub struct Check {
    /// In the order in which a start comes upon them.
    pub(crate) facts: Vec<Fact>,
    /// A short hash of what must be the same on both nodes, where it is known.
    pub(crate) fingerprint: Option<String>,
}

impl Check {
    /// Whether nothing stands against a start.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.facts.iter().all(|fact| fact.verdict != Verdict::Fail)
    }

    /// The facts as a table for people, one line each.
    #[must_use]
    pub fn table(&self, style: Style) -> String {
        table::of(self, style)
    }

    /// The facts as a JSON document.
    #[must_use]
    pub fn document(&self) -> String {
        document::of(self)
    }
}

/// Looks at everything. What cannot be known hides nothing else.
#[must_use]
pub fn run(sources: &Sources) -> Check {
    let load = || -> Result<_, config::Error> {
        Ok((Origins::find(sources, &config::environment)?, Config::load(sources, &config::environment)?))
    };
    let mut facts = Vec::new();
    let mut fingerprint = None;
    match load() {
        Err(error) => facts.push(Fact::message("configuration", Verdict::Fail, error)),
        Ok((origins, config)) => {
            facts.extend([configured(&origins, !sources.targets.is_empty()), rules(&config)]);
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Err(error) => facts.push(Fact::message("api", Verdict::Fail, format!("cannot start: {error}"))),
                Ok(runtime) => {
                    let (asked, region) = runtime.block_on(ask(sources, &config));
                    runtime.shutdown_background();
                    facts.extend(asked);
                    fingerprint = Some(self::fingerprint(&config, region.as_ref()));
                }
            }
            facts.extend(state(&config));
        }
    }
    let managers = cluster::find(&sources.root);
    facts.push(manager(&managers));
    facts.extend(cluster::guard(&sources.root, &managers).map(guard));
    facts.extend(fingerprint.as_ref().map(|hash| Fact::ok("fingerprint", &format!("{hash}: the same on both nodes, if all is well"))));
    Check { facts, fingerprint }
}

fn configured(origins: &Origins, addresses_named: bool) -> Fact {
    let mut parts = Vec::new();
    let lines = origins.lines.iter().map(|(name, line)| format!("{name} in line {line}")).collect::<Vec<_>>();
    let file = origins.file.display();
    parts.push(match (origins.exists, lines.as_slice()) {
        (false, _) => format!("{file} does not exist"),
        (true, []) => format!("{file} sets nothing"),
        (true, lines) => format!("{file} sets {}", lines.join(", ")),
    });
    if !origins.environment.is_empty() {
        parts.push(format!("the environment sets {}", origins.environment.join(", ")));
    }
    if addresses_named {
        parts.push("the command line names the addresses".to_owned());
    }
    Fact::ok("configuration", &format!("{}; all else has its default", parts.join("; ")))
}

fn rules(config: &Config) -> Fact {
    let word = |yes| if yes { "yes" } else { "no" };
    let what = format!("RELEASE_ON_STOP={}, ALLOW_REASSOCIATION={}", word(config.release_on_stop), word(config.allow_reassociation));
    if config.allow_reassociation {
        Fact::ok("rules", &what)
    } else {
        Fact::warn("rules", &what, "remove ALLOW_REASSOCIATION=no: a dead node keeps the address, and a peer could not take it")
    }
}

/// Everything that takes the network, with the region, which is needed for more.
async fn ask(sources: &Sources, config: &Config) -> (Vec<Fact>, Option<RegionName>) {
    // What fails now is reported, rather than tried until it works.
    let session = match Session::new(config.clone(), &sources.root, Deadline::after(METADATA_LIMIT)) {
        Ok(session) => session,
        Err(error) => return (vec![Fact::message("instance", Verdict::Fail, error)], None),
    };
    let (me, region, keys) = join3(session.identity.id(), session.region(), session.credentials()).await;
    let mut facts = vec![credentials(&keys), identity(config, &sources.root, &me), locality(&region)];
    let region = region.ok().map(|(region, _)| region);
    let Some(region) = region else {
        facts.push(Fact::warn("api", "not asked, for the region is not known", FAILURES_FIRST));
        return (facts, None);
    };
    let endpoint = match Endpoint::new(&region, config) {
        Ok(endpoint) => endpoint,
        Err(line) => {
            facts.push(Fact::message("endpoint", Verdict::Fail, line));
            return (facts, Some(region));
        }
    };
    facts.push(way(&endpoint));
    let reach = endpoint.reach(CONNECT_LIMIT, ATTEMPT_LIMIT);
    let limits = Limits { connect: CONNECT_LIMIT, attempt: ATTEMPT_LIMIT, deadline: Deadline::after(LIMIT) };
    match keys.map(|_| session.ec2(&endpoint, limits)) {
        Ok(Ok(ec2)) => {
            let (reached, asked) = join(reach, addresses::ask(&ec2, config, me.ok().as_ref(), &session.interfaces)).await;
            facts.extend(reachability(&reached));
            facts.extend(asked);
        }
        Ok(Err(error)) => facts.push(Fact::message("api", Verdict::Fail, error)),
        Err(_) => {
            facts.extend(reachability(&reach.await));
            facts.push(Fact::warn("address", "not asked for, without credentials", FAILURES_FIRST));
        }
    }
    (facts, Some(region))
}

fn credentials(keys: &Result<Found, credentials::Error>) -> Fact {
    match keys {
        Ok(Found { keys, place }) => Fact::ok("credentials", &format!("{} from {place}", shorten(keys.aws_access_key_id()))),
        Err(credentials::Error { kind: credentials::Kind::Nowhere, .. }) => Fact::fail(
            "credentials",
            "no credentials in any place",
            "give the instance a role, or write access key id and secret key into /root/.awssecret, mode 600",
        ),
        Err(error) => Fact::message("credentials", Verdict::Fail, error.clone()),
    }
}

/// Enough of an access key id to know it again.
fn shorten(id: &str) -> String {
    let (head, tail) = (id.get(..4).unwrap_or_default(), id.get(id.len().saturating_sub(4).max(8)..).unwrap_or_default());
    format!("{head}...{tail}")
}

fn identity(config: &Config, root: &Path, me: &Result<InstanceId, instance::Error>) -> Fact {
    let me = match me {
        Ok(me) => me,
        Err(error) => return Fact::message("instance", Verdict::Fail, error.clone()),
    };
    let firmware = instance::asset_tag(root);
    match (&config.instance, &firmware) {
        (Some(_), _) => Fact::ok("instance", &format!("{me} from MY_ID")),
        (None, Some(_)) => Fact::ok("instance", &format!("{me} from the firmware")),
        (None, None) => Fact::ok("instance", &format!("{me} from the metadata service")),
    }
}

fn locality(region: &Result<(RegionName, Origin), instance::Error>) -> Fact {
    match region {
        Ok((region, origin)) => {
            let source = match origin {
                Origin::Configuration => "as configured",
                Origin::Profile => "from the profile",
                Origin::Imds => "from the metadata service",
            };
            Fact::ok("region", &format!("{region} in the partition {}, {source}", Partition::of(region).name))
        }
        Err(error) => Fact::message("region", Verdict::Fail, error.clone()),
    }
}

fn way(endpoint: &Endpoint) -> Fact {
    let through = endpoint.proxy().map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"));
    Fact::ok("endpoint", &format!("{}{through}", endpoint.shown()))
}

fn reachability(reached: &Result<Reached, Message>) -> Vec<Fact> {
    let reached = match reached {
        Ok(reached) => reached,
        Err(line) => {
            let remedy = "check the region, DNS, routes and the security group: see THE WAY TO EC2 in elastic-ip(8)";
            return vec![Fact::message("api", Verdict::Fail, line.clone().or_advise(remedy))];
        }
    };
    let api = Fact::ok("api", &format!("answers after {} ms", reached.elapsed.as_millis()));
    vec![api, clock(reached.ahead)]
}

fn clock(ahead: Option<TimeDelta>) -> Fact {
    let Some(seconds) = ahead.map(|ahead| ahead.num_seconds()) else {
        return Fact::warn("clock", "the API does not tell its time", "look at timedatectl");
    };
    let direction = if seconds > 0 { "behind" } else { "ahead of" };
    let what = format!("{} s {direction} EC2's", seconds.abs());
    match seconds.abs() {
        0..=1 => Fact::ok("clock", "the same as EC2's"),
        2..=CLOCK_TOLERANCE => Fact::ok("clock", &what),
        _ => Fact::warn("clock", &what, "set this machine's clock: EC2 refuses what is 5 minutes off, and each call is made twice then"),
    }
}

/// What earlier calls have left.
fn state(config: &Config) -> Vec<Fact> {
    let store = Folder::new(config.state_dir.clone());
    let fact = |target: &Target| match store.read(target) {
        Err(line) => Fact::message("state", Verdict::Warn, line),
        Ok(state) if state.has_failed_stop() => {
            Fact::warn("state", "a stop failed, so status says unknown while the address is here", "run start or stop again")
        }
        Ok(state) if state.is_handed_over() => {
            Fact::warn("state", "stopped here, and left with this instance until a peer takes it", "start takes it back")
        }
        Ok(_) => Fact::ok("state", "nothing is left to settle"),
    };
    config.targets.iter().map(|target| fact(target).about(target)).collect()
}

fn manager(found: &[Manager]) -> Fact {
    let naming: Vec<&Manager> = found.iter().filter(|manager| manager.moves_it == Ok(true)).collect();
    let shown = |managers: &[&Manager]| {
        let each = managers.iter().map(|manager| format!("{} ({})", manager.name, manager.file.display()));
        each.collect::<Vec<_>>().join(" and ")
    };
    let unread = found.iter().find_map(|manager| manager.moves_it.as_ref().err());
    let all: Vec<&Manager> = found.iter().collect();
    match (naming.as_slice(), unread) {
        ([_], _) => Fact::ok("manager", &format!("{} names elastic-ip", shown(&naming))),
        ([_, _, ..], _) => {
            Fact::warn("manager", &format!("{} name elastic-ip", shown(&naming)), "leave it to one of them: two would fight")
        }
        ([], Some(line)) => Fact::message("manager", Verdict::Warn, line.clone()),
        ([], None) if found.is_empty() => {
            Fact::warn("manager", "no cluster manager is configured here", "nobody starts the address when a node fails; set one up")
        }
        ([], None) => Fact::warn(
            "manager",
            &format!("{} does not name elastic-ip", shown(&all)),
            "nobody starts the address when a node fails; add the resource",
        ),
    }
}

fn guard(found: Result<Guard, Message>) -> Fact {
    let found = match found {
        Ok(found) => found,
        Err(line) => return Fact::message("guard", Verdict::Warn, line),
    };
    let file = found.file.display();
    match (found.is_configured, found.is_alive) {
        (true, true) => Fact::ok("guard", "follow-heartbeat runs"),
        (true, false) => Fact::warn(
            "guard",
            &format!("{file} names follow-heartbeat, and it does not run"),
            "start heartbeat; where it runs already, restart it",
        ),
        (false, true) => {
            Fact::warn("guard", &format!("follow-heartbeat runs, and {file} does not name it"), "add it again, or restart heartbeat")
        }
        (false, false) => Fact::warn(
            "guard",
            &format!("{file} does not name follow-heartbeat, and Heartbeat does not look again at what it has started"),
            "add \"respawn root /usr/libexec/elastic-ip/follow-heartbeat\" to it on both nodes, and restart heartbeat",
        ),
    }
}

/// A hash of what must be the same on both nodes: not which instance, interface or keys are theirs.
fn fingerprint(config: &Config, region: Option<&RegionName>) -> String {
    let mut names: Vec<String> = config.targets.iter().map(|target| target.name.to_string()).collect();
    names.sort();
    let region = region.map_or_else(String::new, ToString::to_string);
    let endpoint = config.endpoint.as_ref().map_or("", |url| url.as_str());
    let Config { fips, dualstack, release_on_stop, allow_reassociation, .. } = config;
    let settings = format!("{names:?} {region} {endpoint:?} {fips} {dualstack} {release_on_stop} {allow_reassociation}");
    let hash = digest::digest(&digest::SHA256, settings.as_bytes());
    hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
