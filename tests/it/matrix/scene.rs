//! A stage on which a fault is played.

use std::net::Ipv4Addr;
use std::time::Duration;

use chrono::TimeDelta;

use super::rows::{Side, Trouble};
use crate::stage::dns::Lookup;
use crate::stage::tls::{self, Flaw, Tls};
use crate::stage::{AWSSECRET, Answer, IP, KEY_ID, ME, Metadata, NOBODY, SECRET, Stage, Wire};

/// What has to live as long as the call.
#[derive(Default)]
pub struct Props {
    metadata: Option<Metadata>,
    wire: Option<Wire>,
    tls: Option<Tls>,
}

/// A stage where what is on this side is well, and asked.
pub fn set_up(side: Side, owner: &str, limit: f64) -> (Stage, Props) {
    let stage = Stage::new();
    stage.ec2.give(IP, owner);
    stage.configure(&format!("START_TIMEOUT={limit}\nSTOP_TIMEOUT={limit}\nSTATUS_TIMEOUT={limit}"));
    if side == Side::Ec2 {
        return (stage, Props::default());
    }
    let metadata = Metadata::version_2();
    metadata.tell("instance-id", ME);
    metadata.tell("iam/security-credentials/", "web\n");
    let keys = format!(r#"{{"Code":"Success","AccessKeyId":"{KEY_ID}","SecretAccessKey":"{SECRET}","Token":"roleToken=="}}"#);
    metadata.tell("iam/security-credentials/web", &keys);
    stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
    if side == Side::Id {
        stage.unset("MY_ID");
    } else {
        stage.remove(AWSSECRET);
    }
    (stage, Props { metadata: Some(metadata), ..Props::default() })
}

pub fn befall(trouble: &Trouble, stage: &Stage, props: &mut Props) {
    let metadata = props.metadata.as_ref();
    let endpoint = if metadata.is_some() { "AWS_EC2_METADATA_SERVICE_ENDPOINT" } else { "AWS_ENDPOINT_URL_EC2" };
    match (trouble, metadata) {
        (Trouble::Answer(answer), None) => stage.ec2.answer("", answer.clone()),
        (Trouble::Answer(answer), Some(metadata)) => metadata.answer_all(answer.template()),
        (Trouble::Fact(fact, answer), Some(metadata)) => metadata.answer_instead(fact, answer.template()),
        (Trouble::DoneButAnswered(answer), None) => {
            for change in ["AssociateAddress", "DisassociateAddress"] {
                stage.ec2.do_but_answer(change, answer.clone());
            }
        }
        (Trouble::Wire(fault), _) => {
            let fault = *fault;
            let wire = Wire::to(&metadata.map_or_else(|| stage.ec2.url(), Metadata::url), move |_| fault);
            stage.configure(&format!("{endpoint}={}", wire.url()));
            props.wire = Some(wire);
        }
        (Trouble::NobodyListens, _) => stage.configure(&format!("{endpoint}={NOBODY}")),
        (Trouble::Tls(flaw), None) => props.tls = Some(put_tls_before(stage, *flaw, "localhost")),
        (Trouble::Lookup(lookup), None) => {
            props.tls = Some(put_tls_before(stage, Flaw::None, tls::NAME));
            stage.write("resolv.conf", format!("nameserver {}\n", name_server(*lookup)));
            stage.write("nsswitch.conf", "hosts: dns\n");
        }
        (Trouble::Lag, None) => {
            stage.ec2.lag(Duration::from_secs(1));
            for change in ["AssociateAddress", "DisassociateAddress"] {
                stage.ec2.do_but_answer_once(change, Answer::error(500, "InternalError"));
            }
        }
        (Trouble::Clock(minutes), None) => stage.ec2.set_clock(TimeDelta::minutes(*minutes)),
        (trouble, _) => panic!("{trouble:?} is not for this side"),
    }
}

pub fn put_tls_before(stage: &Stage, flaw: Flaw, host: &str) -> Tls {
    let tls = Tls::before(&stage.ec2.url(), flaw);
    stage.write("authority.pem", &tls.authority);
    stage.configure(&format!("AWS_ENDPOINT_URL_EC2={}", tls.url(host)));
    tls
}

/// Each name server has an address of its own, and all have the port that resolvers ask.
pub fn name_server(lookup: Lookup) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 53, lookup as u8)
}
