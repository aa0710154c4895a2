//! Ids are opaque: a prefix, and up to 64 letters and digits of either case. Eucalyptus 3 writes `i-3F2A0B1C`, and AWS has lengthened
//! its ids once already (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html>).

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use crate::stage::{self, Answer, IP, ME, Stage, allocation, each_at_once, item, share};

const ACKNOWLEDGED: &str = "<AssociateAddressResponse><requestId>r</requestId><return>true</return>\
                            <associationId>eipassoc-ZZ00zz</associationId></AssociateAddressResponse>";
const ENDED: &str = "<DisassociateAddressResponse><requestId>r</requestId><return>true</return></DisassociateAddressResponse>";

/// What stands behind the prefix of an id.
fn opaque() -> Vec<String> {
    let parts = ["3F2A0B1C", "Z", "0", "gGzZ09", "0123456789abcdef0123456789abcdef"];
    parts.into_iter().map(str::to_owned).chain(["x".repeat(64)]).step_by(share()).collect()
}

/// What no id may have behind its prefix.
fn unfit() -> Vec<String> {
    let parts =
        ["", "3F2A 0B1C", "3F2A\t0B1C", "3F2A\u{1b}0B1C", "3F2A\"0B1C", "3F2A'0B1C", "3F2A-0B1C", "3F2A_0B1C", "3F2A\u{e9}", "running OK"];
    parts.into_iter().map(str::to_owned).chain(["x".repeat(65)]).step_by(share()).collect()
}

#[test]
fn an_instance_is_known_by_any_id_that_its_cloud_gives_it() {
    each_at_once(&opaque(), |id| {
        let me = format!("i-{id}");
        for eucalyptus in [false, true] {
            let stage = Stage::with_the_address_at_the_peer();
            if eucalyptus {
                stage.ec2.be_eucalyptus();
            }
            stage.configure(&format!("MY_ID={me}"));
            stage.run(["status"]).says(&format!("elastic-ip remapper: I do not have {IP}\nstopped\n"), 3);
            stage.run(["start"]).says(&format!("elastic-ip remapper: IP {IP} associated with {me}\n"), 0);
            assert_eq!(stage.ec2.owner(IP), Some(me.clone()));
            stage.run(["status"]).says(&format!("elastic-ip remapper: I have {IP}\nrunning\n"), 0);
            stage.run(["stop"]).says(&format!("elastic-ip remapper: IP {IP} disowned\n"), 0);
            assert_eq!(stage.ec2.owner(IP), None);
        }
    });
}

#[test]
fn the_firmware_and_the_metadata_service_may_tell_any_id() {
    for id in opaque() {
        let me = format!("i-{id}");
        let stage = Stage::new();
        stage.unset("MY_ID");
        stage.write("sys/devices/virtual/dmi/id/board_asset_tag", format!("{me}\n"));
        stage.ec2.give(IP, &me);
        stage.run(["status"]).says(&format!("elastic-ip remapper: I have {IP}\nrunning\n"), 0);
        stage.remove("sys/devices/virtual/dmi/id/board_asset_tag");
        let metadata = stage::Metadata::version_2();
        metadata.tell("instance-id", &me);
        stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
        stage.run(["status"]).says(&format!("elastic-ip remapper: I have {IP}\nrunning\n"), 0);
    }
}

#[test]
fn an_instance_id_that_is_unfit_for_a_log_or_a_header_is_refused() {
    each_at_once(&unfit(), |id| {
        let stage = Stage::new();
        let quoted = if id.contains('\'') { format!("MY_ID=\"i-{id}\"") } else { format!("MY_ID='i-{id}'") };
        stage.unset("MY_ID");
        stage.configure(&quoted);
        for (action, code) in [("status", 4), ("start", 6), ("stop", 6)] {
            assert_eq!(stage.run([action]).code(), code, "{id:?}");
        }
        assert_eq!(stage.ec2.actions(), [""; 0], "{id:?}");
    });
}

/// A describe's answer with these ids.
fn described(allocation: &str, association: &str, owner: (&str, &str)) -> Answer {
    Answer::addresses(&item(&[("publicIp", IP), ("allocationId", allocation), ("associationId", association), owner]))
}

#[test]
fn what_ec2_calls_an_association_is_named_as_ec2_does() {
    each_at_once(&opaque(), |id| {
        let (allocated, associated) = (format!("eipalloc-{id}"), format!("eipassoc-{id}"));
        let stage = Stage::new();
        stage.ec2.answer("DescribeAddresses", described(&allocated, &associated, ("instanceId", ME)));
        stage.ec2.answer("DisassociateAddress", Answer::new(200, ENDED));
        stage.run(["status"]).says(&format!("elastic-ip remapper: I have {IP}\nrunning\n"), 0);
        stage.run(["stop"]).says(&format!("elastic-ip remapper: IP {IP} disowned\n"), 0);
        assert_eq!(stage.ec2.requests().pop().unwrap().parameters["AssociationId"], associated);

        for owner in [("instanceId", format!("i-{id}")), ("networkInterfaceId", format!("eni-{id}"))] {
            let stage = Stage::new();
            stage.ec2.answer("DescribeAddresses", described(&allocated, &associated, (owner.0, &owner.1)));
            stage.ec2.answer("AssociateAddress", Answer::new(200, ACKNOWLEDGED));
            stage.run(["status"]).says(&format!("elastic-ip remapper: I do not have {IP}\nstopped\n"), 3);
            stage.run(["start"]).says(&format!("elastic-ip remapper: IP {IP} associated with {ME}\n"), 0);
            assert_eq!(stage.ec2.requests().pop().unwrap().parameters["AllocationId"], allocated);
        }
    });
}

#[test]
fn an_address_may_be_configured_by_any_allocation_id() {
    each_at_once(&opaque(), |id| {
        let allocated = format!("eipalloc-{id}");
        let stage = Stage::new();
        stage.configure(&format!("ELASTIC_IP={allocated}"));
        stage.ec2.answer("DescribeAddresses", described(&allocated, "eipassoc-0Zz", ("instanceId", ME)));
        stage.ec2.answer("AssociateAddress", Answer::new(200, ACKNOWLEDGED));
        stage.run(["status"]).says(&format!("elastic-ip remapper: I have {allocated}\nrunning\n"), 0);
        stage.run(["start"]).says(&format!("elastic-ip remapper: IP {allocated} associated with {ME}\n"), 0);
        assert_eq!(stage.ec2.requests().pop().unwrap().parameters["AllocationId"], allocated);
    });
}

#[test]
fn an_answer_with_an_unfit_id_is_not_believed() {
    let mut cases = Vec::new();
    for id in unfit().into_iter().filter(|id| !id.is_empty()) {
        let id = id.replace('\u{1b}', "&#27;").replace('"', "&quot;");
        let bad = |prefix: &str| format!("{prefix}{id}");
        cases.push(described(&bad("eipalloc-"), "eipassoc-0Zz", ("instanceId", ME)));
        cases.push(described(&allocation(IP), &bad("eipassoc-"), ("instanceId", ME)));
        cases.push(described(&allocation(IP), "eipassoc-0Zz", ("instanceId", &bad("i-"))));
        cases.push(described(&allocation(IP), "eipassoc-0Zz", ("networkInterfaceId", &bad("eni-"))));
    }
    each_at_once(&cases, |answer| {
        let stage = Stage::new();
        stage.configure("STATUS_TIMEOUT=0.3");
        stage.ec2.answer("DescribeAddresses", answer.clone());
        stage.run(["status"]).says("unknown\n", 4);
    });
}
