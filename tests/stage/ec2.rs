//! An EC2 that knows three addresses, keeps their owners, and writes down what it is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::runtime::{Builder, Runtime};
use wiremock::matchers::body_string_contains;
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

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

/// An answer other than what EC2 would give.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Headers, by name.
    pub headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), headers: Vec::new() }
    }

    /// An error, as EC2 gives it.
    pub fn error(status: u16, code: &str) -> Self {
        Self::new(
            status,
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>Words about it.</Message>\
                 </Error></Errors><RequestID>0ab1</RequestID></Response>"
            ),
        )
    }

    /// A describe's answer with these items.
    pub fn addresses(items: &str) -> Self {
        Self::new(200, document("DescribeAddresses", &format!("<addressesSet>{items}</addressesSet>")))
    }

    /// With EC2's clock.
    pub fn dated(mut self, date: &str) -> Self {
        self.headers.push(("Date", date.to_owned()));
        self
    }

    /// With a place to be redirected to.
    pub fn located(mut self, url: &str) -> Self {
        self.headers.push(("Location", url.to_owned()));
        self
    }

    fn template(&self) -> ResponseTemplate {
        let template = ResponseTemplate::new(self.status).set_body_raw(self.body.clone(), "text/xml;charset=UTF-8");
        self.headers.iter().fold(template, |template, (name, value)| template.insert_header(*name, value.as_str()))
    }
}

fn document(action: &str, content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>0ab1</requestId>{content}</{action}Response>"
    )
}

/// An item of a describe's answer.
pub fn item(fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    format!("<item>{fields}</item>")
}

#[derive(Debug)]
struct World {
    /// The owner of each address, with its association.
    owners: BTreeMap<String, Option<(String, String)>>,
    associations: u32,
    /// Whether there are allocation and association ids, as there are none on Eucalyptus.
    ids: bool,
}

impl World {
    fn give(&mut self, ip: &str, owner: Option<&str>) -> String {
        self.associations += 1;
        let association = format!("eipassoc-{:017x}", self.associations);
        let owner = owner.map(|owner| (owner.to_owned(), association.clone()));
        *self.owners.get_mut(ip).unwrap() = owner;
        association
    }

    fn perform(&mut self, request: &Request) -> Answer {
        let parameter = |name: &str| request.parameters.get(name).map(String::as_str);
        match request.action.as_str() {
            "DescribeAddresses" => self.describe(parameter("PublicIp.1").unwrap_or_default()),
            "AssociateAddress" => {
                let named = match (parameter("AllocationId"), parameter("PublicIp"), self.ids) {
                    (Some(id), None, true) => self.owners.keys().find(|ip| allocation(ip) == id).cloned(),
                    (None, Some(ip), false) => self.owners.contains_key(ip).then(|| ip.to_owned()),
                    _ => return Answer::error(400, "InvalidParameterCombination"),
                };
                let (Some(ip), Some(instance)) = (named, parameter("InstanceId")) else {
                    return Answer::error(400, "InvalidAllocationID.NotFound");
                };
                let taken = self.owners[&ip].as_ref().is_some_and(|(owner, _)| owner != instance);
                if taken && parameter("AllowReassociation") == Some("false") {
                    return Answer::error(400, "Resource.AlreadyAssociated");
                }
                let association = self.give(&ip, Some(instance));
                let id = if self.ids { format!("<associationId>{association}</associationId>") } else { String::new() };
                Answer::new(200, document("AssociateAddress", &format!("<return>true</return>{id}")))
            }
            "DisassociateAddress" => {
                let held = |(_, owner): &(&String, &Option<(String, String)>)| {
                    owner.as_ref().is_some_and(|(_, id)| Some(id.as_str()) == parameter("AssociationId"))
                };
                let ip = if self.ids {
                    self.owners.iter().find(held).map(|(ip, _)| ip.clone())
                } else {
                    parameter("PublicIp").map(ToOwned::to_owned)
                };
                let Some(ip) = ip else { return Answer::error(400, "InvalidAssociationID.NotFound") };
                self.give(&ip, None);
                Answer::new(200, document("DisassociateAddress", "<return>true</return>"))
            }
            _ => Answer::error(400, "InvalidAction"),
        }
    }

    fn describe(&self, ip: &str) -> Answer {
        let Some(owner) = self.owners.get(ip) else { return Answer::error(400, "InvalidAddress.NotFound") };
        let allocation = allocation(ip);
        let mut fields = vec![("publicIp", ip)];
        if self.ids {
            fields.extend([("allocationId", allocation.as_str()), ("domain", "vpc")]);
        }
        match owner {
            Some((owner, association)) if self.ids => {
                let kind = if owner.starts_with("eni-") { "networkInterfaceId" } else { "instanceId" };
                fields.extend([(kind, owner.as_str()), ("associationId", association)]);
            }
            Some((owner, _)) => fields.push(("instanceId", owner)),
            None if self.ids => {}
            // So EC2-Classic and Eucalyptus show an address that nobody has.
            None => fields.push(("instanceId", "")),
        }
        Answer::addresses(&item(&fields))
    }
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
        let owners = ["203.0.113.25", "203.0.113.26", "203.0.113.27"].into_iter().map(|ip| (ip.to_owned(), None)).collect();
        let world = Arc::new(Mutex::new(World { owners, associations: 0, ids: true }));
        let server = runtime.block_on(MockServer::start());
        let ec2 = Self { runtime, server, world };
        ec2.mount("", 5, None, None);
        ec2
    }

    fn mount(&self, action: &str, priority: u8, instead: Option<(Answer, bool)>, times: Option<u64>) {
        let reply = Reply { world: Arc::clone(&self.world), instead };
        // The text of the next parameter keeps one name from matching a longer one.
        let needle = if action.is_empty() { "Action=".to_owned() } else { format!("Action={action}&") };
        let mut mock = Mock::given(body_string_contains(needle)).respond_with(reply).with_priority(priority);
        if let Some(times) = times {
            mock = mock.up_to_n_times(times);
        }
        self.runtime.block_on(self.server.register(mock));
    }

    pub fn url(&self) -> String {
        self.server.uri()
    }

    /// Takes ids away from addresses and associations.
    pub fn forget_ids(&self) {
        self.world.lock().unwrap().ids = false;
    }

    /// Makes somebody the owner of the address.
    pub fn give(&self, ip: &str, owner: &str) {
        self.set_owner(ip, Some(owner));
    }

    /// Makes somebody or nobody the owner of the address.
    pub fn set_owner(&self, ip: &str, owner: Option<&str>) {
        self.world.lock().unwrap().give(ip, owner);
    }

    pub fn owner(&self, ip: &str) -> Option<String> {
        self.world.lock().unwrap().owners[ip].as_ref().map(|(owner, _)| owner.clone())
    }

    pub fn association(&self, ip: &str) -> Option<String> {
        self.world.lock().unwrap().owners[ip].as_ref().map(|(_, association)| association.clone())
    }

    /// Answers each call of this action (of every action, if empty) so, without doing it.
    pub fn answer(&self, action: &str, answer: Answer) {
        self.mount(action, 2, Some((answer, false)), None);
    }

    /// Answers the next call of this action so, without doing it.
    pub fn answer_once(&self, action: &str, answer: Answer) {
        self.mount(action, 1, Some((answer, false)), Some(1));
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

struct Reply {
    world: Arc<Mutex<World>>,
    /// The answer in place of the right one, and whether the call is done nevertheless.
    instead: Option<(Answer, bool)>,
}

impl Respond for Reply {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let perform = || self.world.lock().unwrap().perform(&Request::read(request));
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
