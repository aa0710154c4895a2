//! Eucalyptus without VPC: an EC2 below a path, whose addresses and associations have no ids, and which refuses what it does not know.

use std::collections::BTreeMap;

use crate::stage::{IP, ME, PEER, Request, Stage};

/// A cloud where the peer has the address.
fn cloud() -> Stage {
    let stage = Stage::with_the_address_at_the_peer();
    stage.ec2.be_eucalyptus();
    stage.unset("AWS_ENDPOINT_URL_EC2");
    stage.configure(&format!("EC2_URL={}/services/compute", stage.ec2.url()));
    stage
}

fn call(action: &str, pairs: &[(&str, &str)]) -> (String, BTreeMap<String, String>) {
    (action.to_owned(), pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn describe() -> (String, BTreeMap<String, String>) {
    call("DescribeAddresses", &[("PublicIp.1", IP)])
}

/// The calls since the last time, as action and parameters; each went to the path.
fn sent(stage: &Stage, seen: &mut usize) -> Vec<(String, BTreeMap<String, String>)> {
    let requests = stage.ec2.requests().split_off(*seen);
    *seen += requests.len();
    let split = |Request { action, parameters, path, .. }| {
        assert_eq!(path.trim_end_matches('/'), "/services/compute", "{action}");
        (action, parameters)
    };
    requests.into_iter().map(split).collect()
}

#[test]
fn the_address_is_named_by_itself_and_released_only_when_mine() {
    let (stage, mut seen) = (cloud(), 0);
    stage.run(["status"]).says(&format!("elastic-ip remapper: I do not have {IP}\nstopped\n"), 3);
    stage.run(["stop"]).says(&format!("elastic-ip remapper: I do not have {IP}\n"), 0);
    assert_eq!(sent(&stage, &mut seen), [describe(), describe()]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER));

    stage.run(["start"]).says(&format!("elastic-ip remapper: IP {IP} associated with {ME}\n"), 0);
    // An acknowledgement that names nothing is believed only when a describe shows the address here.
    let associate = call("AssociateAddress", &[("InstanceId", ME), ("PublicIp", IP)]);
    assert_eq!(sent(&stage, &mut seen), [describe(), associate.clone(), describe()]);
    stage.run(["start"]).says(&format!("elastic-ip remapper: IP {IP} associated with {ME}\n"), 0);
    assert_eq!(sent(&stage, &mut seen), [describe(), associate, describe()]);
    stage.run(["status"]).says(&format!("elastic-ip remapper: I have {IP}\nrunning\n"), 0);
    assert_eq!(sent(&stage, &mut seen), [describe()]);

    stage.run(["stop"]).says(&format!("elastic-ip remapper: IP {IP} disowned\n"), 0);
    assert_eq!(sent(&stage, &mut seen), [describe(), call("DisassociateAddress", &[("PublicIp", IP)])]);
    assert_eq!(stage.ec2.owner(IP), None);
    stage.run(["status"]).says(&format!("elastic-ip remapper: I do not have {IP}\nstopped\n"), 3);
    stage.run(["stop"]).says(&format!("elastic-ip remapper: I do not have {IP}\n"), 0);
}

#[test]
fn a_handover_leaves_the_address_until_the_peer_takes_it() {
    let stage = cloud();
    stage.configure("RELEASE_ON_STOP=no");
    assert_eq!(stage.run(["start"]).code(), 0);
    assert_eq!(stage.run(["stop"]).code(), 0);
    stage.run(["status"]).says(&format!("elastic-ip remapper: I have {IP}\nstopped\n"), 3);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    stage.ec2.give(IP, PEER);
    stage.run(["status"]).says(&format!("elastic-ip remapper: I do not have {IP}\nstopped\n"), 3);
    assert_eq!(stage.ec2.changes(), ["AssociateAddress"]);
}

#[test]
fn without_reassociation_a_held_address_is_left_where_it_is() {
    let stage = cloud();
    stage.configure("ALLOW_REASSOCIATION=no");
    stage.run(["start"]).says(&format!("elastic-ip remapper: Could not map IP {IP} to {ME}\n"), 1);
    assert_eq!(stage.ec2.changes(), [""; 0]);
    stage.ec2.set_owner(IP, None);
    stage.run(["start"]).says(&format!("elastic-ip remapper: IP {IP} associated with {ME}\n"), 0);
}

#[test]
fn an_address_that_the_cloud_passes_over_is_unknown() {
    let stage = cloud();
    stage.configure("START_TIMEOUT=1\nSTATUS_TIMEOUT=1");
    stage.run(["198.51.100.7", "status"]).says("unknown\n", 4);
    stage.run(["198.51.100.7", "start"]).says(&format!("elastic-ip remapper: Could not map IP 198.51.100.7 to {ME}\n"), 1);
    assert_eq!(stage.ec2.changes(), [""; 0]);
}
