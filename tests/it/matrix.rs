//! Every fault × start, stop, status: what is said, how it ends, what is changed, and when.
//!
//! The table in docs/reliability.md is made of it:
//! `WRITE_TABLE=1 cargo test --test it the_document_has_this_table`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be set up is a failed test")]

mod rows;
mod scene;
mod table;

use std::env;
use std::process::Command;
use std::time::Duration;

use rows::{AGAIN, End, FAIL, Row, SUCCEED, Side, Trouble, passing_answers, rows};
use scene::{befall, name_server, put_tls_before, set_up};

use crate::stage::dns;
use crate::stage::stdout::{NO_KEYS, NOT_DISOWNED, NOT_MAPPED, NOT_MAPPED_HERE, UNKNOWN};
use crate::stage::tls::{Flaw, Tls};
use crate::stage::{Call, Ended, IP, ME, PEER, Stage, each_at_once, share};

/// The deadline of every action, in seconds, where it is to be reached.
const SHORT: f64 = 0.4;
/// … where it is to be reached after an answer has come.
const SHORT_AFTER_AN_ANSWER: f64 = 0.5;
/// … and where the action is to be done: as long as a busy machine needs.
const AMPLE: f64 = 30.0;

const CALLS: [(&str, &str); 4] = [("status", ME), ("status", PEER), ("start", PEER), ("stop", ME)];

#[test]
fn the_systems_authorities_are_trusted_unless_others_are_named() {
    let stage = Stage::with_the_address();
    let tls = put_tls_before(&stage, Flaw::None, "localhost");
    stage.write("etc/ssl/certs/ca-certificates.crt", &tls.authority);
    assert_eq!(stage.run(["status"]).code(), 0);
    let others = Tls::before(&stage.ec2.url(), Flaw::None);
    stage.write("others.pem", &others.authority);
    stage.configure("AWS_CA_BUNDLE=/others.pem\nSTATUS_TIMEOUT=0.5");
    let ended = stage.run(["status"]);
    assert_eq!(ended.code(), 4);
    ended.tells(&["certificate"]);
}

/// Runs the call that meets this trouble.
fn run(row: &Row, action: &str, owner: &str, limit: f64) -> (Stage, Ended) {
    let (stage, mut props) = set_up(row.side, owner, limit);
    befall(&row.trouble, &stage, &mut props);
    let call = match row.trouble {
        Trouble::Lookup(_) => Call::looking_up(stage.root(), [action]),
        _ => stage.call([action]),
    };
    let ended = call.env("SSL_CERT_FILE", "/authority.pem").run();
    (stage, ended)
}

/// Makes the calls that meet this trouble, or a share of them that `turn` chooses.
fn check((turn, row): &(usize, Row)) {
    for ((action, owner), End(stdout, code, changes)) in CALLS.into_iter().zip(row.ends).skip(turn % share()).step_by(share()) {
        let fails = matches!(stdout, UNKNOWN | NOT_MAPPED | NOT_MAPPED_HERE | NOT_DISOWNED);
        // That the address is elsewhere is nothing that the metadata service could tell.
        if fails && row.side != Side::Ec2 && action == "status" && owner == PEER {
            continue;
        }
        let limit = if changes == AGAIN || stdout == NO_KEYS {
            SHORT_AFTER_AN_ANSWER
        } else if fails {
            SHORT
        } else {
            AMPLE
        };
        let case = format!("{:?}: {}: {action} with {owner}", row.side, row.name);
        // A machine that is too busy is not late three times.
        let in_time = |ended: &Ended| ended.elapsed <= Duration::from_secs_f64(limit + 1.0);
        let late = (0..3).all(|_| {
            let (stage, ended) = run(row, action, owner, limit);
            assert_eq!((ended.stdout.as_str(), ended.code()), (stdout, code), "{case}: {ended:?}");
            let sent = stage.ec2.changes().len();
            assert!(sent == changes || (changes == AGAIN && sent > 0), "{case}: {:?}", stage.ec2.actions());
            assert_eq!(stage.has_failed_stop(), action == "stop" && code != 0, "{case}");
            assert!(!fails || ended.stderr.contains(IP), "{case}: {ended:?}");
            !in_time(&ended)
        });
        assert!(!late, "{case}: it ends late");
    }
}

fn check_side(side: Side) {
    let rows = rows().into_iter().filter(|row| row.side == side && !matches!(row.trouble, Trouble::Lookup(_)));
    each_at_once(&rows.enumerate().collect::<Vec<_>>(), check);
}

// P6. Fails when `deadline.left()` in `Ec2::attempt` in src/ec2.rs and the arm with `GRACE` of `perform` in src/run.rs are removed.
#[test]
fn each_action_meets_each_fault_of_ec2() {
    check_side(Side::Ec2);
}

#[test]
fn each_action_meets_each_fault_of_the_metadata_service_that_tells_the_id() {
    check_side(Side::Id);
}

#[test]
fn each_action_meets_each_fault_of_the_metadata_service_that_tells_the_keys() {
    check_side(Side::Keys);
}

#[test]
fn a_fault_that_passes_is_told_and_got_over() {
    let cases: Vec<_> = passing_answers().into_iter().zip(CALLS.into_iter().zip(SUCCEED).cycle()).collect();
    each_at_once(&cases, |((name, answer), ((action, owner), End(stdout, code, _)))| {
        let (stage, _) = set_up(Side::Ec2, owner, AMPLE);
        stage.ec2.answer_once("DescribeAddresses", answer.clone());
        let ended = stage.run([*action]);
        assert_eq!((ended.stdout.as_str(), ended.code()), (*stdout, *code), "{name}: {ended:?}");
        ended.tells(&["trying again"]);
        assert!(!stage.has_failed_stop(), "{name}");
    });
}

/// Set where this process runs in a network of its own.
const INSIDE: &str = "INSIDE";

// P6. Fails when `shutdown_background` in `run` in src/run.rs is removed.
#[test]
fn each_action_meets_each_fault_of_the_name_service() {
    if env::var_os(INSIDE).is_some() {
        return meet_each_fault_of_the_name_service();
    }
    // Only where this process is root of a network of its own may it serve port 53, and bind files over /etc.
    let inside = Command::new("/usr/bin/unshare")
        .args(["--map-root-user", "--mount", "--net", "/bin/sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "matrix::each_action_meets_each_fault_of_the_name_service"])
        .env(INSIDE, "")
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&inside.stdout), String::from_utf8_lossy(&inside.stderr));
    assert!(inside.status.success() && told.contains("1 passed"), "{told}");
}

fn meet_each_fault_of_the_name_service() {
    let rows: Vec<_> = rows().into_iter().filter(|row| matches!(row.trouble, Trouble::Lookup(_))).enumerate().collect();
    for (_, row) in &rows {
        if let Trouble::Lookup(lookup) = row.trouble {
            dns::serve(name_server(lookup), lookup);
        }
    }
    each_at_once(&rows, check);
}

#[test]
fn what_is_wrong_with_tls_is_told_with_the_host_and_the_remedy() {
    let cases = [
        (Flaw::Expired, ["its certificate has expired", "this machine's clock"]),
        (Flaw::Early, ["its certificate is not valid yet", "this machine's clock"]),
        (Flaw::OtherName, ["its certificate is for another name", "look whether its URL is right"]),
        (Flaw::UnknownAuthority, ["its certificate is signed by an unknown CA", "AWS_CA_BUNDLE"]),
        (Flaw::Plain, ["not TLS", "http://"]),
    ];
    each_at_once(&cases, |&(flaw, told)| {
        let row = Row { side: Side::Ec2, name: String::new(), trouble: Trouble::Tls(flaw), ends: FAIL };
        let (_, ended) = run(&row, "status", ME, 2.0);
        ended.tells(&["no connection to localhost: "]);
        ended.tells(&told);
    });
}
