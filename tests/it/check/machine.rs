//! The machine that is looked at.

use crate::stage::{self, Stage};

pub const HARESOURCES: &str = "etc/ha.d/haresources";

/// A machine where all is well, and the address is at the peer.
pub fn ready() -> Stage {
    let stage = Stage::with_the_address_at_the_peer();
    stage.write(HARESOURCES, "server1 elastic-ip\n");
    stage
}

/// The calls that would have changed something.
pub fn changes(stage: &Stage) -> Vec<stage::Request> {
    let may = |request: &stage::Request| request.action != "DescribeAddresses" && !request.action.is_empty();
    let undone = |request: &stage::Request| request.parameters.get("DryRun").map(String::as_str) == Some("true");
    stage.ec2.requests().into_iter().filter(|request| may(request) && !undone(request)).collect()
}
