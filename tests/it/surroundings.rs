//! Odd surroundings: descriptors, limits, environment and signals as a careless parent leaves them.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::os::unix::net::UnixDatagram;

use crate::stage::stdout::{ASSOCIATED, NOT_DISOWNED, RUNNING, UNKNOWN};
use crate::stage::{Answer, Call, IP, ME, Stage, each_at_once, wait_for};

#[test]
fn a_word_that_cannot_be_written_is_told_on_stderr_and_the_work_is_done() {
    let stage = Stage::with_the_address_at_the_peer();
    let ended = Call::by("exec \"$@\" >/dev/full", stage.root(), ["start"]).run();
    // The address is here, which a failure would deny.
    ended.says("", 0);
    ended.tells(&["cannot write to stdout", "it would have said: elastic-ip remapper: IP 203.0.113.25 associated"]);
    assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME));
}

#[test]
fn without_stdin_stdout_and_stderr_no_line_goes_into_a_connection() {
    for (closed, stdout) in [(">&-", ""), ("2>&-", ASSOCIATED), ("<&- >&- 2>&-", "")] {
        let stage = Stage::with_the_address_at_the_peer();
        // A fault, so that there is something to tell.
        stage.ec2.answer_once("", Answer::error(500, "InternalError"));
        let ended = Call::by(&format!("exec \"$@\" {closed}"), stage.root(), ["start"]).run();
        ended.says(stdout, 0);
        assert_eq!(stage.ec2.actions(), ["DescribeAddresses", "DescribeAddresses", "AssociateAddress"], "{closed}");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME), "{closed}");
    }
}

#[test]
fn a_read_only_folder_of_the_state_is_told_and_fails_no_call() {
    let stage = Stage::with_the_address();
    stage.write("run/elastic-ip/keep", "");
    stage.ec2.answer("DisassociateAddress", Answer::error(403, "UnauthorizedOperation"));
    let mount = format!("mount -t tmpfs -o ro none '{}' && exec \"$@\"", stage.path("run/elastic-ip").display());
    let line = format!("exec /usr/bin/unshare --map-root-user --mount /bin/sh -c '{}' sh \"$@\"", mount.replace('\'', "'\\''"));
    let call = |action| Call::by(&line, stage.root(), [action]);
    call("status").run().says(RUNNING, 0);
    let ended = call("start").run();
    ended.says(ASSOCIATED, 0);
    ended.tells(&["Read-only file system", "later calls do not know what this one did and saw"]);
    let ended = call("stop").run();
    ended.says(NOT_DISOWNED, 1);
    ended.tells(&["the failed stop cannot be remembered", "Read-only file system", "status may still call it running"]);
}

/// A limit that leaves too little ends the call with one plain end: never with `running`, never with a panic.
fn ends_plainly_below(limit: &str, sizes: &[u64], enough: u64) {
    each_at_once(sizes, |&size| {
        let stage = Stage::with_the_address();
        let line = format!("exec /usr/bin/prlimit --{limit}={size} \"$@\"");
        let ended = Call::by(&line, stage.root(), ["status"]).spawn().reap();
        assert!(!ended.stderr.contains("panicked"), "{limit} {size}: {ended:?}");
        if size >= enough {
            ended.says(RUNNING, 0);
        } else if ended.code() != 0 {
            assert!(!ended.stdout.contains("running"), "{limit} {size}: {ended:?}");
        } else {
            assert_eq!(ended.stdout, RUNNING, "{limit} {size}: {ended:?}");
        }
    });
}

#[test]
fn a_small_limit_of_memory_ends_a_call_plainly() {
    let megabytes: Vec<u64> = (1..64).map(|number| number * 1024 * 1024).collect();
    ends_plainly_below("as", &megabytes, 48 * 1024 * 1024);
}

#[test]
fn a_small_limit_of_open_files_ends_a_call_plainly() {
    ends_plainly_below("nofile", &(3..24).collect::<Vec<_>>(), 16);
}

#[test]
fn language_time_zone_and_an_empty_environment_change_nothing() {
    for variables in [
        vec![],
        vec![("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8")],
        vec![("LANG", "\u{1b}[31m"), ("LC_ALL", "nonsense"), ("LC_NUMERIC", "de_DE")],
        vec![("TZ", "Antarctica/Troll")],
        vec![("TZ", ":/etc/passwd"), ("TZDIR", "/proc")],
        vec![("HOME", ""), ("PATH", ""), ("USER", ""), ("TERM", "nonsense")],
        vec![("HA_LOGFACILITY", "nonsense"), ("HA_CURHOST", "running OK"), ("OCF_ROOT", "/usr/lib/ocf")],
        vec![("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full"), ("SSLKEYLOGFILE", "/proc/self/fd/1")],
    ] {
        let stage = Stage::with_the_address();
        let call = variables.iter().fold(stage.call(["status"]), |call, (name, value)| call.env(name, value));
        let ended = call.run();
        assert_eq!((ended.stdout.as_str(), ended.code(), ended.stderr.as_str()), (RUNNING, 0, ""), "{variables:?}");
    }
}

// The priority's number is that of the facility times eight, and that of the severity (RFC 3164, 4.1.1).
#[test]
fn syslog_gets_what_stderr_gets_by_the_facility_that_heartbeat_names() {
    for (facility, error) in [(None, Some("<27>")), (Some("local0"), Some("<131>")), (Some("nonsense"), Some("<27>")), (Some("none"), None)]
    {
        let stage = Stage::with_the_address();
        let daemon = UnixDatagram::bind(stage.path("log")).unwrap();
        daemon.set_nonblocking(true).unwrap();
        stage.ec2.answer("DescribeAddresses", Answer::error(403, "UnauthorizedOperation"));
        let call = Call::logging(stage.root(), ["status"]);
        let ended = facility.into_iter().fold(call, |call, name| call.env("HA_LOGFACILITY", name)).run();
        ended.complains_once_of(&[IP, "UnauthorizedOperation"]);
        let mut line = [0; 4096];
        let said = daemon.recv(&mut line).ok().map(|length| String::from_utf8_lossy(&line[..length]).into_owned());
        let Some(said) = said else {
            assert_eq!(error, None, "{facility:?}");
            continue;
        };
        assert!(error.is_some_and(|error| said.starts_with(error)), "{facility:?}: {said}");
        assert!(said.ends_with(ended.stderr.trim_start_matches("elastic-ip: ").trim_end()), "{said:?}: {ended:?}");
    }
}

#[test]
fn a_reader_that_has_gone_ends_no_call_however_sigpipe_is_set() {
    for signal in ["--default-signal=PIPE", "--ignore-signal=PIPE"] {
        let stage = Stage::with_the_address_at_the_peer();
        let line = format!("{{ /usr/bin/env {signal} \"$@\"; echo $? >'{}'; }} 2>&1 | exec true", stage.path("code").display());
        Call::by(&line, stage.root(), ["start"]).spawn().reap();
        let code = || std::fs::read_to_string(stage.path("code")).unwrap_or_default();
        wait_for("the end", || code() == "0\n");
        assert_eq!(stage.ec2.owner(IP).as_deref(), Some(ME), "{signal}");
    }
}

#[test]
fn a_status_that_cannot_write_its_word_says_nothing_else_instead() {
    let stage = Stage::with_the_address();
    stage.ec2.answer("", Answer::error(403, "UnauthorizedOperation"));
    stage.run(["status"]).says(UNKNOWN, 4);
    let ended = Call::by("exec \"$@\" >/dev/full", stage.root(), ["status"]).run();
    ended.says("", 4);
}
