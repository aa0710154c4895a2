//! The IAM policy that the configured addresses need, and no more
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html>).

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::{self, Config, Sources};
use crate::credentials::{self, Assumed, Places};
use crate::deadline::Deadline;
use crate::ids::{Name, RegionName, Target};
use crate::partition::Partition;
use crate::retry::Retry;
use crate::session::{Kind, Session, SetupError};

/// How long the metadata service may take to tell the region.
const LIMIT: Duration = Duration::from_secs(3);

/// Prints the policy. The metadata service is asked only for a region that is needed and not configured.
pub fn run(sources: &Sources) -> Result<String, SetupError> {
    let config = Config::load(sources, &config::environment)?;
    let environment = &config::environment;
    tell_of_roles(&credentials::roles(&config, &Places::new(&sources.root, environment), environment));
    let Some(allocations) = allocations(&config.targets) else {
        log::info!("an address named by its allocation id (eipalloc-...) in ELASTIC_IP lets this policy name it");
        return Ok(print(&open()));
    };
    let region = match &config.region {
        Some(region) => region.clone(),
        None => region(config, &sources.root)?,
    };
    Ok(print(&narrow(&region, &allocations)))
}

/// Says where the policy belongs, where it is not to whoever has the keys, and what they need.
fn tell_of_roles(roles: &[Assumed]) {
    if let Some(Assumed { arn, place, .. }) = roles.first() {
        log::info!("this policy is for {arn}, the role of {place}");
    }
    for Assumed { arn, by, .. } in roles {
        log::info!("{arn} is assumed by {by}; allow sts:AssumeRole on it in a policy of theirs, and name them in its trust policy");
    }
}

/// The region that the profile or the metadata service tells.
fn region(config: Config, root: &Path) -> Result<RegionName, SetupError> {
    let retry = Retry::until(Deadline::after(LIMIT));
    let session = Session::new(config, root, retry.deadline().clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| SetupError::new(Kind::NotConfigured, format!("cannot start: {error}")))?;
    let region = runtime.block_on(retry.run("region", async || session.region().await));
    runtime.shutdown_background();
    region.map(|(region, _)| region).map_err(|error| error.map(|_| Kind::NotConfigured))
}

/// The allocation ids, if all are known: EC2 checks a change against the address's own id.
fn allocations(targets: &[Target]) -> Option<Vec<String>> {
    let id = |target: &Target| match &target.name {
        Name::Allocation(id) => Some(id.to_string()),
        Name::Address(_) => None,
    };
    targets.iter().map(id).collect()
}

/// Any address of the account, in any partition.
fn open() -> Value {
    let all = ["ec2:DescribeAddresses", "ec2:AssociateAddress", "ec2:DisassociateAddress"];
    policy(&[statement(&all, &json!("*"))])
}

/// These addresses. Which instances and interfaces there will be is not known; the account is the one whose policy it is.
fn narrow(region: &RegionName, allocations: &[String]) -> Value {
    let arn = |resource: &str| format!("arn:{}:ec2:{region}:*:{resource}", Partition::of(region).name);
    let addresses = allocations.iter().map(|id| arn(&format!("elastic-ip/{id}")));
    let disassociate: Vec<String> = addresses.chain([arn("network-interface/*")]).collect();
    let associate: Vec<String> = disassociate.iter().cloned().chain([arn("instance/*")]).collect();
    policy(&[
        // It takes no other resource.
        statement(&["ec2:DescribeAddresses"], &json!("*")),
        statement(&["ec2:AssociateAddress"], &json!(associate)),
        statement(&["ec2:DisassociateAddress"], &json!(disassociate)),
    ])
}

fn statement(actions: &[&str], resource: &Value) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resource })
}

fn policy(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn print(policy: &Value) -> String {
    format!("{policy:#}\n")
}
