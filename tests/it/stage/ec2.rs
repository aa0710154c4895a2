//! An EC2 that knows sixteen addresses, keeps their owners, and writes down what it is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{NaiveDateTime, TimeDelta, Utc};
use tokio::runtime::{Builder, Runtime};
use wiremock::matchers::{body_string_contains, header, method};
use wiremock::{Mock, MockBuilder, MockServer, Respond, ResponseTemplate};

use super::ME;
use super::answer::{Answer, document, item};
use super::moments::{After, During};
use crate::account::{Account, Held, Refusal, Sight, View};

/// One call that EC2 was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub action: String,
    /// The parameters, without those that are the same in every call.
    pub parameters: BTreeMap<String, String>,
    /// The headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub path: String,
}

impl Request {
    /// The access key id that it was signed with.
    pub fn signer(&self) -> String {
        let (_, rest) = self.headers["authorization"].split_once("Credential=").unwrap();
        rest.split('/').next().unwrap().to_owned()
    }

    fn read(request: &wiremock::Request) -> Self {
        let mut parameters: BTreeMap<String, String> = url_pairs(&request.body);
        let action = parameters.remove("Action").unwrap_or_default();
        parameters.remove("Version");
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        Self { action, parameters, headers, path: request.url.path().to_owned() }
    }
}

fn url_pairs(body: &[u8]) -> BTreeMap<String, String> {
    wiremock::http::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(body))).unwrap().query_pairs().into_owned().collect()
}

/// The first interface of [`ME`](super::ME), with sixteen private addresses.
pub const ETH0: &str = "eni-0aaaaaaaaaaaaaaa0";
/// Its second one.
pub const ETH1: &str = "eni-0aaaaaaaaaaaaaaa1";
/// The private addresses of an interface, the primary one first.
pub fn privates(interface: &str) -> Vec<String> {
    match interface {
        ETH0 => (4..20).map(|number| format!("10.0.0.{number}")).collect(),
        ETH1 => vec!["10.0.1.4".to_owned()],
        _ => vec![],
    }
}

#[derive(Debug)]
struct World {
    account: Account,
    begun: Instant,
    /// Whether [`ME`](super::ME) has its second interface attached.
    two_interfaces: bool,
    /// Whether there are allocation and association ids, as there are none on Eucalyptus.
    ids: bool,
    /// How far EC2's clock is ahead. It refuses what was signed for a moment too far from its own, and tells its time.
    clock: Option<TimeDelta>,
    /// Whether `DryRun` keeps a call from being done.
    heeds_dry_run: bool,
    /// The field that holds the address.
    public: &'static str,
}

impl World {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Makes somebody or nobody the owner of the address, at an interface's private address if one is told.
    fn give(&mut self, ip: &str, owner: Option<&str>, place: Option<(String, String)>) {
        let now = self.now();
        match owner {
            Some(owner) => self.account.associate(now, ip, owner, place, true).map(drop),
            None => self.account.release(now, ip),
        }
        .unwrap();
    }

    fn serve(&mut self, request: &Request) -> Answer {
        let Some(ahead) = self.clock else { return self.perform(request) };
        let now = Utc::now() + ahead;
        let signed = NaiveDateTime::parse_from_str(&request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").unwrap().and_utc();
        let in_time = (signed - now).abs() <= TimeDelta::minutes(5);
        let answer = if in_time { self.perform(request) } else { Answer::error(400, "RequestExpired") };
        answer.dated(&now.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }

    fn perform(&mut self, request: &Request) -> Answer {
        let parameter = |name: &str| request.parameters.get(name).map(String::as_str);
        let known = |name: &String| matches!(name.as_str(), "InstanceId" | "PublicIp") || name.starts_with("PublicIp.");
        if !self.ids && !request.parameters.keys().all(known) {
            return Answer::error(400, "InvalidParameterValue");
        }
        if self.heeds_dry_run && parameter("DryRun") == Some("true") {
            let named = parameter("InstanceId") == Some(ME);
            return if named && self.two_interfaces {
                Answer::error(400, "InvalidInstanceID")
            } else {
                Answer::error(412, "DryRunOperation")
            };
        }
        match request.action.as_str() {
            "DescribeAddresses" => self.describe(request),
            "AssociateAddress" => {
                let named = match (parameter("AllocationId"), parameter("PublicIp"), self.ids) {
                    (Some(id), None, true) => self.account.ips().find(|ip| allocation(ip) == id).map(ToOwned::to_owned),
                    (None, Some(ip), false) => self.account.knows(ip).then(|| ip.to_owned()),
                    _ => return Answer::error(400, "InvalidParameterCombination"),
                };
                let Some(ip) = named else { return refused(Refusal::NoSuchAddress) };
                let (owner, interface) = match (parameter("InstanceId"), parameter("NetworkInterfaceId")) {
                    (Some(ME), None) if self.two_interfaces => return Answer::error(400, "InvalidInstanceID"),
                    (Some(instance), None) => (instance, None),
                    (None, Some(id)) => {
                        let privates = privates(id);
                        let Some(primary) = privates.first() else {
                            return Answer::error(400, "InvalidNetworkInterfaceID.NotFound");
                        };
                        let private = parameter("PrivateIpAddress").unwrap_or(primary).to_owned();
                        if !privates.contains(&private) {
                            return Answer::error(400, "InvalidParameterValue");
                        }
                        (ME, Some((id.to_owned(), private)))
                    }
                    _ => return Answer::error(400, "InvalidParameterCombination"),
                };
                let reassociate = parameter("AllowReassociation") != Some("false");
                match self.account.associate(self.now(), &ip, owner, interface, reassociate) {
                    Ok(association) => {
                        let id = if self.ids { format!("<associationId>{association}</associationId>") } else { String::new() };
                        Answer::new(200, document("AssociateAddress", &format!("<return>true</return>{id}")))
                    }
                    Err(refusal) => refused(refusal),
                }
            }
            "DisassociateAddress" => {
                let now = self.now();
                let ended = match (self.ids, parameter("AssociationId"), parameter("PublicIp")) {
                    (true, Some(association), _) => self.account.disassociate(now, association),
                    (false, _, Some(ip)) => self.account.release(now, ip),
                    _ => Err(Refusal::NoSuchAssociation),
                };
                match ended {
                    Ok(()) => Answer::new(200, document("DisassociateAddress", "<return>true</return>")),
                    Err(refusal) => refused(refusal),
                }
            }
            _ => Answer::error(400, "InvalidAction"),
        }
    }

    /// All that are asked for, in EC2's own order; one that is unknown spoils the whole, or is passed over by Eucalyptus.
    fn describe(&mut self, request: &Request) -> Answer {
        let asked = |kind: &str| {
            let named = request.parameters.iter().filter(|(name, _)| name.starts_with(kind));
            named.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let (ips, ids) = (asked("PublicIp."), asked("AllocationId."));
        if self.ids && ips.iter().any(|ip| !self.account.knows(ip)) {
            return Answer::error(400, "InvalidAddress.NotFound");
        }
        if ids.iter().any(|id| !self.account.ips().any(|ip| allocation(ip) == *id)) {
            return refused(Refusal::NoSuchAddress);
        }
        let sight = self.account.look(self.now());
        let wanted = self.account.ips().filter(|ip| ips.iter().any(|asked| asked == ip) || ids.contains(&allocation(ip)));
        Answer::addresses(&wanted.map(|ip| self.item(ip, sight)).collect::<String>())
    }

    fn item(&self, ip: &str, sight: Sight) -> String {
        let allocation = allocation(ip);
        let mut fields = vec![(self.public, ip)];
        if self.ids {
            fields.extend([("allocationId", allocation.as_str()), ("domain", "vpc")]);
        }
        match self.account.seen(ip, sight) {
            Some(held) if self.ids => {
                let kind = if held.owner.starts_with("eni-") { "networkInterfaceId" } else { "instanceId" };
                fields.extend([(kind, held.owner.as_str()), ("associationId", &held.association)]);
                if let Some((interface, private)) = &held.place {
                    fields.extend([("networkInterfaceId", interface.as_str()), ("privateIpAddress", private)]);
                }
            }
            Some(held) => fields.push(("instanceId", &held.owner)),
            None if self.ids => {}
            // So EC2-Classic and Eucalyptus 4.0 show an address that nobody has.
            None => fields.push(("instanceId", "")),
        }
        item(&fields)
    }
}

fn refused(refusal: Refusal) -> Answer {
    Answer::error(400, refusal.code())
}

/// The allocation id of an address.
pub fn allocation(ip: &str) -> String {
    format!("eipalloc-0000000000000{:0>4}", ip.rsplit('.').next().unwrap_or_default())
}

/// The EC2 of one stage.
pub struct Ec2 {
    runtime: Runtime,
    server: MockServer,
    world: Arc<Mutex<World>>,
}

impl Ec2 {
    pub fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let account = Account::new((25..41).map(|number| format!("203.0.113.{number}")));
        let world = World {
            account,
            begun: Instant::now(),
            two_interfaces: false,
            ids: true,
            clock: None,
            heeds_dry_run: true,
            public: "publicIp",
        };
        let world = Arc::new(Mutex::new(world));
        // Not of the pool, in which another test would get its port, and whatever is still on the way to it.
        let server = runtime.block_on(MockServer::builder().start());
        let ec2 = Self { runtime, server, world };
        ec2.mount("", 5, None, None);
        ec2
    }

    fn mount(&self, action: &str, priority: u8, instead: Option<(Answer, bool)>, times: Option<u64>) {
        let reply = Reply { world: Arc::clone(&self.world), instead };
        let mut mock = calls_of(action).respond_with(reply).with_priority(priority);
        if let Some(times) = times {
            mock = mock.up_to_n_times(times);
        }
        self.register(mock);
    }

    fn register(&self, mock: Mock) {
        self.runtime.block_on(self.server.register(mock));
    }

    pub fn url(&self) -> String {
        self.server.uri()
    }

    /// From now on it is Eucalyptus without VPC: addresses and associations have no ids, and a parameter that is not known spoils the
    /// call (<https://github.com/eucalyptus/eucalyptus/tree/maint-4.4/clc/modules>: `AddressManager`, `ComputeQueryBinding`).
    pub fn be_eucalyptus(&self) {
        self.world.lock().unwrap().ids = false;
    }

    /// From now on it does what it is asked to rehearse.
    pub fn ignore_dry_run(&self) {
        self.world.lock().unwrap().heeds_dry_run = false;
    }

    /// Shows the address in this field, as in a Wavelength Zone or on an Outpost.
    pub fn call_it(&self, field: &'static str) {
        self.world.lock().unwrap().public = field;
    }

    /// Makes somebody the owner of the address.
    pub fn give(&self, ip: &str, owner: &str) {
        self.set_owner(ip, Some(owner));
    }

    /// Makes somebody or nobody the owner of the address.
    pub fn set_owner(&self, ip: &str, owner: Option<&str>) {
        self.world.lock().unwrap().give(ip, owner, None);
    }

    /// Makes [`ME`](super::ME) the owner of the address, on this interface at this private address.
    pub fn give_at(&self, ip: &str, interface: &str, private: &str) {
        self.world.lock().unwrap().give(ip, Some(ME), Some((interface.to_owned(), private.to_owned())));
    }

    /// From now on [`ME`](super::ME) has two interfaces, and EC2 wants one of them named.
    pub fn attach_second_interface(&self) {
        self.world.lock().unwrap().two_interfaces = true;
    }

    pub fn owner(&self, ip: &str) -> Option<String> {
        self.held(ip).map(|held| held.owner)
    }

    pub fn association(&self, ip: &str) -> Option<String> {
        self.held(ip).map(|held| held.association)
    }

    /// The interface and the private address, where the association was made for one.
    pub fn place(&self, ip: &str) -> Option<(String, String)> {
        self.held(ip)?.place
    }

    fn held(&self, ip: &str) -> Option<Held> {
        self.world.lock().unwrap().account.held(ip).cloned()
    }

    /// Lets describe show each change from now on only this much later.
    pub fn lag(&self, lag: Duration) {
        self.see(View::Late(lag));
    }

    /// From now on two replicas answer describes in turn: first one that shows each change only this much later, then one that shows
    /// it at once.
    pub fn replicas(&self, lag: Duration) {
        self.see(View::Replicas(lag));
    }

    /// From now on describe shows what is so.
    pub fn see_the_present(&self) {
        self.see(View::Present);
    }

    fn see(&self, view: View) {
        self.world.lock().unwrap().account.set_view(view);
    }

    /// From now on an associate to where the address is already leaves the association as it is.
    pub fn keep_associations(&self) {
        self.world.lock().unwrap().account.keep_associations();
    }

    /// Sets EC2's clock this far ahead of this machine's.
    pub fn set_clock(&self, ahead: TimeDelta) {
        self.world.lock().unwrap().clock = Some(ahead);
    }

    /// Answers each call of this action (of every action, if empty) so, without doing it.
    pub fn answer(&self, action: &str, answer: Answer) {
        self.mount(action, 2, Some((answer, false)), None);
    }

    /// Answers so whoever asks without a call.
    pub fn answer_anything(&self, answer: &Answer) {
        let asked = Mock::given(method("GET")).respond_with(answer.template()).with_priority(1).up_to_n_times(1);
        self.register(asked);
    }

    /// Answers each call of this action (of every action, if empty) so for this long, from the first one on, without doing it.
    pub fn answer_for(&self, action: &str, answer: &Answer, time: Duration) {
        self.register(calls_of(action).and(During::the_first(time)).respond_with(answer.template()).with_priority(2));
    }

    /// Refuses each call of this action (of every action, if empty) with this code for this long, from the first one on.
    pub fn refuse_for(&self, action: &str, status: u16, code: &str, time: Duration) {
        self.answer_for(action, &Answer::error(status, code), time);
    }

    /// Refuses each call with this session token from this long after the first one on.
    pub fn expire_token(&self, token: &str, time: Duration) {
        let called = calls_of("").and(header("x-amz-security-token", token)).and(After::the_first(time));
        self.register(called.respond_with(Answer::error(400, "ExpiredToken").template()).with_priority(1));
    }

    /// Answers the next call of this action so, without doing it.
    pub fn answer_once(&self, action: &str, answer: Answer) {
        self.mount(action, 1, Some((answer, false)), Some(1));
    }

    /// Does each call of this action, but answers so.
    pub fn do_but_answer(&self, action: &str, answer: Answer) {
        self.mount(action, 2, Some((answer, true)), None);
    }

    /// Does the next call of this action, but answers so.
    pub fn do_but_answer_once(&self, action: &str, answer: Answer) {
        self.mount(action, 1, Some((answer, true)), Some(1));
    }

    /// All calls since the stage was set up, in their order.
    pub fn requests(&self) -> Vec<Request> {
        let received = self.runtime.block_on(self.server.received_requests()).unwrap();
        received.iter().map(Request::read).collect()
    }

    /// The names of all calls, in their order.
    pub fn actions(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.action).collect()
    }

    /// The calls that change something.
    pub fn changes(&self) -> Vec<String> {
        self.actions().into_iter().filter(|action| action != "DescribeAddresses").collect()
    }
}

/// Calls of this action, or of every action, if empty.
fn calls_of(action: &str) -> MockBuilder {
    // The text of the next parameter keeps one name from matching a longer one.
    Mock::given(body_string_contains(if action.is_empty() { "Action=".to_owned() } else { format!("Action={action}&") }))
}

struct Reply {
    world: Arc<Mutex<World>>,
    /// The answer in place of the right one, and whether the call is done nevertheless.
    instead: Option<(Answer, bool)>,
}

impl Respond for Reply {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let perform = || self.world.lock().unwrap().serve(&Request::read(request));
        match &self.instead {
            None => perform().template(),
            Some((answer, done)) => {
                if *done {
                    perform();
                }
                answer.template()
            }
        }
    }
}
