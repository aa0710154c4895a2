//! EC2's describes are late: each shows what was so some time ago, or two replicas answer in turn of which one is. What EC2 has
//! acknowledged to a node, and what the node has seen, holds all the same.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::time::Duration;

use crate::stage::stdout::{ASSOCIATED, DISOWNED, HAVE_NOT, NOT_MAPPED, RUNNING, STOPPED, UNKNOWN};
use crate::stage::{Answer, Call, Ended, IP, ME, PEER, Stage, allocation, each_at_once, mine};

const SOON: Duration = Duration::from_millis(500);
/// Longer than any call of these tests goes on.
const LONG: Duration = Duration::from_secs(600);

/// How EC2's describes are late.
#[derive(Clone, Copy, Debug)]
enum Late {
    By(Duration),
    /// One of two replicas is.
    InTurn(Duration),
}

/// Those after which a describe shows the present before a call's deadline.
const CATCHING_UP: [Late; 4] = [Late::By(Duration::ZERO), Late::By(SOON), Late::InTurn(SOON), Late::InTurn(LONG)];

const EACH: [Late; 5] = [Late::By(Duration::ZERO), Late::By(SOON), Late::By(LONG), Late::InTurn(SOON), Late::InTurn(LONG)];

impl Late {
    fn of(self, stage: Stage) -> Stage {
        match self {
            Self::By(lag) => stage.ec2.lag(lag),
            Self::InTurn(lag) => stage.ec2.replicas(lag),
        }
        stage
    }
}

/// One of two nodes, which share nothing but EC2.
struct Node<'a> {
    stage: &'a Stage,
    instance: &'a str,
}

/// Two nodes, each without a configured instance id of its own.
fn nodes(stage: &Stage) -> (Node<'_>, Node<'_>) {
    stage.unset("MY_ID");
    (Node { stage, instance: ME }, Node { stage, instance: PEER })
}

impl Node<'_> {
    fn as_this_node(&self, call: Call) -> Ended {
        call.env("MY_ID", self.instance).env("STATE_DIR", &format!("/run/{}", self.instance)).run()
    }

    fn run(&self, action: &str) -> Ended {
        self.as_this_node(self.stage.call([action]))
    }

    fn operate(&self, operation: &str) -> Ended {
        self.as_this_node(Call::of_agent(self.stage.root(), operation, &[("OCF_RESKEY_CRM_meta_timeout", "20000")]))
    }
}

/// The actions of the requests since the last `seen` ones.
fn since(stage: &Stage, seen: usize) -> Vec<String> {
    stage.ec2.actions().split_off(seen)
}

#[test]
fn an_ocf_start_is_done_when_a_monitor_finds_it_so() {
    each_at_once(&CATCHING_UP, |late| {
        let stage = late.of(Stage::with_the_address_at_the_peer());
        let started = stage.operate("start", &[]);
        assert_eq!(started.code(), 0, "{late:?}: {started:?}");
        for _ in 0..4 {
            let monitored = stage.operate("monitor", &[]);
            assert_eq!(monitored.code(), 0, "{late:?}: {monitored:?}");
        }
        assert_eq!(stage.ec2.changes(), ["AssociateAddress"], "{late:?}");
    });
}

#[test]
fn an_ocf_start_that_ec2_acknowledged_is_done_though_no_describe_shows_it_yet() {
    let stage = Late::By(LONG).of(Stage::with_the_address_at_the_peer());
    let started = stage.operate("start", &[("OCF_RESKEY_CRM_meta_timeout", "5000")]);
    assert_eq!(started.code(), 0, "{started:?}");
    assert!(started.elapsed < Duration::from_secs(5), "{started:?}");
    // It cannot tell; it never says "not running".
    let monitored = stage.operate("monitor", &[("OCF_RESKEY_CRM_meta_timeout", "4000")]);
    assert_eq!(monitored.code(), 1, "{monitored:?}");
    assert_eq!(stage.ec2.changes(), ["AssociateAddress"]);
}

#[test]
fn a_status_after_a_start_waits_for_ec2_to_catch_up() {
    each_at_once(&CATCHING_UP, |late| {
        let stage = late.of(Stage::with_the_address_at_the_peer());
        stage.run(["start"]).says(ASSOCIATED, 0);
        for _ in 0..3 {
            stage.run(["status"]).says(RUNNING, 0);
        }
    });
}

#[test]
fn a_status_after_a_start_is_unknown_where_ec2_does_not_catch_up_in_time() {
    for owner in [None, Some(PEER)] {
        let stage = Stage::new();
        stage.ec2.set_owner(IP, owner);
        stage.ec2.lag(LONG);
        stage.configure("STATUS_TIMEOUT=1");
        stage.run(["start"]).says(ASSOCIATED, 0);
        let status = stage.run(["status"]);
        status.says(UNKNOWN, 4);
        assert!(status.elapsed < Duration::from_secs(2), "{status:?}");
    }
}

#[test]
fn a_status_after_a_release_is_stopped_whatever_a_describe_shows() {
    each_at_once(&EACH, |late| {
        let stage = late.of(Stage::with_the_address());
        stage.run(["stop"]).says(DISOWNED, 0);
        for _ in 0..3 {
            stage.run(["status"]).says(STOPPED, 3);
        }
        assert_eq!(stage.operate("monitor", &[]).code(), 7, "{late:?}");
    });
}

#[test]
fn a_stop_after_a_start_ends_the_association_that_ec2_acknowledged_by_one_request() {
    each_at_once(&EACH, |late| {
        let stage = late.of(Stage::with_the_address_at_the_peer());
        stage.run(["start"]).says(ASSOCIATED, 0);
        let (seen, association) = (stage.ec2.requests().len(), stage.ec2.association(IP).unwrap());
        stage.run(["stop"]).says(DISOWNED, 0);
        let requests = stage.ec2.requests().split_off(seen);
        let sent: Vec<_> = requests.iter().map(|request| (request.action.as_str(), request.parameters.get("AssociationId"))).collect();
        assert_eq!(sent, [("DisassociateAddress", Some(&association))], "{late:?}");
        assert_eq!(stage.ec2.owner(IP), None, "{late:?}");
        stage.run(["status"]).says(STOPPED, 3);
    });
}

#[test]
fn a_stop_that_remembers_no_association_ends_what_a_describe_shows_as_its_own() {
    let stage = Stage::with_the_address();
    stage.run(["stop"]).says(DISOWNED, 0);
    assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "DisassociateAddress"]);
}

#[test]
fn a_stop_after_a_peer_has_taken_over_leaves_the_address_with_the_peer() {
    each_at_once(&EACH, |late| {
        let stage = late.of(Stage::new());
        stage.run(["start"]).says(ASSOCIATED, 0);
        let association = stage.ec2.association(IP).unwrap();
        stage.ec2.give(IP, PEER);
        stage.run(["stop"]).says(HAVE_NOT, 0);
        let named: Vec<_> = stage.ec2.requests().into_iter().filter(|request| request.action == "DisassociateAddress").collect();
        assert!(named.iter().all(|request| request.parameters["AssociationId"] == association), "{late:?}: {named:?}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER), "{late:?}");
        stage.run(["status"]).says(STOPPED, 3);
    });
}

#[test]
fn a_node_that_starts_again_takes_the_address_from_the_peer_that_no_describe_shows() {
    for hand_over in ["yes", "no"] {
        each_at_once(&EACH, |late| {
            let stage = late.of(Stage::with_the_address());
            stage.configure(&format!("RELEASE_ON_STOP={hand_over}"));
            let (node, peer) = nodes(&stage);
            for (node, action) in [(&node, "stop"), (&peer, "start"), (&peer, "stop"), (&node, "start")] {
                let ended = node.run(action);
                assert_eq!(ended.code(), 0, "{late:?}, RELEASE_ON_STOP={hand_over}: {ended:?}");
            }
            assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME), "{late:?}, RELEASE_ON_STOP={hand_over}");
        });
    }
}

#[test]
fn a_status_that_has_seen_the_peers_association_is_not_running_by_an_older_describe() {
    for seen_here_before in [true, false] {
        let stage = Stage::with_the_address();
        stage.configure("STATUS_TIMEOUT=1");
        if seen_here_before {
            stage.run(["status"]).says(RUNNING, 0);
        }
        stage.ec2.lag(LONG);
        stage.ec2.give(IP, PEER);
        let present = mine(&[("instanceId", PEER), ("associationId", &stage.ec2.association(IP).unwrap())]);
        stage.ec2.answer_once("DescribeAddresses", Answer::addresses(&present));
        stage.run(["status"]).says(STOPPED, 3);
        for _ in 0..2 {
            let status = stage.run(["status"]);
            let told = (status.stdout.as_str(), status.code());
            assert!([(UNKNOWN, 4), (STOPPED, 3)].contains(&told), "{status:?}");
        }
        stage.ec2.see_the_present();
        stage.run(["status"]).says(STOPPED, 3);
    }
}

#[test]
fn a_status_of_two_replicas_goes_on_from_the_peer_to_this_node_by_no_older_one() {
    let stage = Stage::with_the_address();
    stage.ec2.replicas(LONG);
    stage.ec2.give(IP, PEER);
    // Who has done and seen nothing cannot tell an old describe from a fresh one, until it has seen both.
    let words: Vec<_> = (0..6).map(|_| stage.run(["status"]).code()).collect();
    let seen = words.iter().position(|code| *code == 3).unwrap();
    assert!(words[seen..].iter().all(|code| *code == 3), "{words:?}");
}

#[test]
fn a_start_is_acknowledged_by_ec2_wherever_the_address_is() {
    for owner in [None, Some(ME), Some(PEER)] {
        let stage = Stage::new();
        stage.ec2.set_owner(IP, owner);
        stage.run(["start"]).says(ASSOCIATED, 0);
        assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "AssociateAddress"], "{owner:?}");
    }
}

#[test]
fn a_start_that_knows_the_allocation_id_asks_ec2_for_nothing_but_the_association() {
    let id = allocation(IP);
    let stage = Stage::with_the_address_at_the_peer();
    stage.configure(&format!("ELASTIC_IP={id}"));
    stage.run(["start"]).says(&ASSOCIATED.replace(IP, &id), 0);
    assert_eq!(stage.ec2.actions(), ["AssociateAddress"], "it is configured");
    for action in ["start", "stop"] {
        let stage = Stage::with_the_address_at_the_peer();
        assert_eq!(stage.run(["start"]).code(), 0);
        assert_eq!(stage.run([action]).code(), 0);
        stage.ec2.give(IP, PEER);
        let seen = stage.ec2.actions().len();
        stage.run(["start"]).says(ASSOCIATED, 0);
        assert_eq!(since(&stage, seen), ["AssociateAddress"], "it is remembered from a {action}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
    }
}

#[test]
fn a_start_that_remembers_an_allocation_id_which_is_gone_looks_for_the_new_one() {
    let stage = Stage::with_the_address_at_the_peer();
    stage.run(["start"]).says(ASSOCIATED, 0);
    let seen = stage.ec2.actions().len();
    stage.ec2.answer_once("AssociateAddress", Answer::error(400, "InvalidAllocationID.NotFound"));
    stage.run(["start"]).says(ASSOCIATED, 0);
    assert_eq!(since(&stage, seen), ["AssociateAddress", "DescribeAddresses", "AssociateAddress"]);
}

#[test]
fn a_start_that_may_not_take_the_address_from_somebody_leaves_it_to_ec2_who_has_it() {
    each_at_once(&EACH, |late| {
        // A describe shows nobody, and the peer has it.
        let stage = late.of(Stage::new());
        stage.configure("ALLOW_REASSOCIATION=no");
        stage.ec2.give(IP, PEER);
        stage.run(["start"]).says(NOT_MAPPED, 1);
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(PEER), "{late:?}");
        // A describe shows the peer, and nobody has it.
        let stage = late.of(Stage::with_the_address_at_the_peer());
        stage.configure("ALLOW_REASSOCIATION=no");
        stage.ec2.set_owner(IP, None);
        stage.run(["start"]).says(ASSOCIATED, 0);
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME), "{late:?}");
    });
}

#[test]
fn a_move_under_pacemaker_costs_one_association_whatever_ec2_shows() {
    each_at_once(&CATCHING_UP, |late| {
        let stage = late.of(Stage::new());
        let (node, peer) = nodes(&stage);
        assert_eq!((node.operate("start").code(), node.operate("monitor").code()), (0, 0), "{late:?}");
        for (from, to) in [(&node, &peer), (&peer, &node), (&node, &peer)] {
            for (node, operation, code) in
                [(from, "stop", 0), (from, "monitor", 7), (to, "start", 0), (to, "monitor", 0), (to, "monitor", 0)]
            {
                let ended = node.operate(operation);
                assert_eq!(ended.code(), code, "{late:?}, {operation} on {}: {ended:?}", node.instance);
            }
            assert_eq!(stage.ec2.owner(IP).as_deref(), Some(to.instance), "{late:?}");
        }
        let associates = stage.ec2.changes().into_iter().filter(|action| action == "AssociateAddress").count();
        assert_eq!(associates, 4, "{late:?}");
    });
}

#[test]
fn a_start_that_ec2_answers_with_the_association_there_was_has_the_address_all_the_same() {
    each_at_once(&CATCHING_UP, |late| {
        let stage = late.of(Stage::with_the_address());
        stage.ec2.keep_associations();
        for _ in 0..3 {
            stage.run(["start"]).says(ASSOCIATED, 0);
            stage.run(["status"]).says(RUNNING, 0);
        }
        stage.run(["stop"]).says(DISOWNED, 0);
        assert_eq!(stage.ec2.owner(IP), None, "{late:?}");
        stage.run(["status"]).says(STOPPED, 3);
    });
}
