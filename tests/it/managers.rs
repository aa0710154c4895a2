//! Whether a cluster manager moves the address, as `check` reads the manager's own files.
#![allow(clippy::unwrap_used, reason = "a table that cannot be read is a failed test")]

use std::fs::File;
use std::os::unix::fs::symlink;

use nix::fcntl::{Flock, FlockArg};

use crate::stage::{Call, Stage, each_at_once};

const HARESOURCES: &str = "etc/ha.d/haresources";
const KEEPALIVED: &str = "etc/keepalived/keepalived.conf";
const FOLLOW: &str = "vrrp_instance a {\n  notify /usr/libexec/elastic-ip/follow-keepalived\n}\n";

/// Makes a file of keepalived's one that is not read.
type Spoil = fn(&Stage);

/// What `check` says of the managers.
fn manager(stage: &Stage) -> String {
    let ended = Call::heeding_modes(stage.root(), ["check"]).run();
    ended.stdout.lines().find(|line| line.get(6..13) == Some("manager")).unwrap().to_owned()
}

#[test]
fn haresources_are_read_as_heartbeat_reads_them() {
    let cases: &[(&str, &str)] = &[
        ("server1 elastic-ip\n", "ok"),
        ("server1 \\\n\telastic-ip::203.0.113.25\n", "ok"),
        ("# M\u{fc}ller \\\nserver1 elastic-ip", "ok"),
        ("server1 apache # elastic-ip later\n", "warn"),
        ("server1 apache#\\\nelastic-ip\n", "warn"),
        ("elastic-ip apache\n", "warn"),
        ("server1 elastic-ip\r\n", "warn"),
    ];
    each_at_once(cases, |(text, verdict)| {
        let stage = Stage::new();
        // As somebody wrote it whose editor knows Latin-1.
        stage.write(HARESOURCES, text.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>());
        let line = manager(&stage);
        assert!(line.starts_with(verdict), "{text:?}: {line}");
        assert!(line.contains(if *verdict == "ok" { "names elastic-ip" } else { "does not name elastic-ip" }), "{text:?}: {line}");
    });
}

#[test]
fn keepalived_s_includes_are_read_as_keepalived_reads_them() {
    let cases: &[(&str, &str, &str)] = &[
        ("include /etc/keepalived/conf.d/*.conf\n", "etc/keepalived/conf.d/a.conf", "ok"),
        ("include conf.d/*.conf ! all\n", "etc/keepalived/conf.d/a.conf", "ok"),
        ("includer {other,conf.d}/?.conf\n", "etc/keepalived/conf.d/a.conf", "ok"),
        ("include conf.d/[^b].conf\n", "etc/keepalived/conf.d/a.conf", "ok"),
        ("include ../a.conf\n", "etc/a.conf", "ok"),
        ("include a\\*.conf\n", "etc/keepalived/a*.conf", "ok"),
        ("include keepalived.conf\ninclude ./*.conf\n", "etc/keepalived/a.conf", "ok"),
        ("include conf.d/*\n", "etc/keepalived/conf.d/.a.conf", "warn"),
        ("include conf.d/a\\*.conf\n", "etc/keepalived/conf.d/ab.conf", "warn"),
        ("include .*.conf\n", "etc/keepalived/.a.conf", "ok"),
        ("include [a.conf\n", "etc/keepalived/[a.conf", "ok"),
        ("include **/a.conf\n", "etc/keepalived/conf.d/d/a.conf", "warn"),
        ("# include conf.d/*.conf\n", "etc/keepalived/conf.d/a.conf", "warn"),
        ("include keepalived.conf\n", "etc/keepalived/conf.d/a.conf", "warn"),
        ("vrrp_instance elastic-ip {\n}\n", "etc/keepalived/conf.d/a.conf", "warn"),
    ];
    each_at_once(cases, |(text, included, verdict)| {
        let stage = Stage::new();
        stage.write(KEEPALIVED, text);
        stage.write(included, FOLLOW);
        let line = manager(&stage);
        assert!(line.starts_with(verdict), "{text:?}: {line}");
        assert!(line.contains(if *verdict == "ok" { "names elastic-ip" } else { "does not name elastic-ip" }), "{text:?}: {line}");
    });
}

#[test]
fn what_an_included_file_includes_is_below_its_own_folder() {
    let stage = Stage::new();
    stage.write(KEEPALIVED, "include conf.d/*.conf\n");
    stage.write("etc/keepalived/conf.d/a.conf", "include b/*.conf\n");
    assert!(manager(&stage).contains("does not name elastic-ip"));
    stage.write("etc/keepalived/b/c.conf", FOLLOW);
    assert!(manager(&stage).contains("does not name elastic-ip"));
    stage.write("etc/keepalived/conf.d/b/c.conf", FOLLOW);
    assert!(manager(&stage).starts_with("ok"));
}

#[test]
fn a_file_that_keepalived_or_the_caller_cannot_read_is_told_unless_another_names_it() {
    let cases: &[(Spoil, &[&str])] = &[
        (|stage| stage.set_mode("etc/keepalived/conf.d/a.conf", 0o000), &["a.conf: permission denied", "; run as root"]),
        (|stage| stage.set_mode("etc/keepalived/conf.d/a.conf", 0o755), &["a.conf, which is executable", "; run: chmod a-x "]),
        (|stage| stage.set_mode("etc/keepalived/conf.d", 0o000), &["etc/keepalived/conf.d", "; run as root"]),
        (|stage| stage.write("etc/keepalived/last.d/e", ""), &["last.d, which is not a regular file", "; include the files"]),
    ];
    each_at_once(cases, |(spoil, parts)| {
        let stage = Stage::new();
        stage.write(KEEPALIVED, "include conf.d/*.conf\ninclude /etc/keepalived/last.{d,conf}\n");
        stage.write("etc/keepalived/conf.d/a.conf", "");
        stage.write("etc/keepalived/conf.d/d.conf/e", "");
        assert!(manager(&stage).contains("does not name elastic-ip"));
        spoil(&stage);
        let line = manager(&stage);
        for part in *parts {
            assert!(line.starts_with("warn") && line.contains(part), "{part}: {line}");
        }
        stage.write("etc/keepalived/last.conf", FOLLOW);
        assert!(manager(&stage).starts_with("ok"), "{line}");
        stage.set_mode("etc/keepalived/conf.d", 0o755);
    });
}

#[test]
fn includes_without_end_have_one() {
    let stage = Stage::new();
    stage.write(KEEPALIVED, "include ./*.conf\ninclude conf.d/again/*.conf\n");
    stage.write("etc/keepalived/conf.d/a.conf", "");
    symlink("..", stage.path("etc/keepalived/conf.d/again")).unwrap();
    assert!(manager(&stage).contains("does not name elastic-ip"));
    for number in 0..300 {
        stage.write(&format!("etc/keepalived/{number}.conf"), "");
    }
    let line = manager(&stage);
    assert!(line.starts_with("warn") && line.contains("includes more than 256 files; "), "{line}");
    stage.write(KEEPALIVED, "include {a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}.conf\n");
    assert!(manager(&stage).contains("includes more than 256 files; "));
}

/// What `check` says of the guard, if anything.
fn guard(stage: &Stage) -> Option<String> {
    let ended = stage.run(["check"]);
    ended.stdout.lines().find(|line| line.get(6..11) == Some("guard")).map(|line| line.replace(&stage.root().display().to_string(), ""))
}

#[test]
fn a_guard_beside_heartbeat_is_told_when_it_is_not_configured_or_does_not_run() {
    const RESPAWN: &str = "node server1 server2\nrespawn root /usr/libexec/elastic-ip/follow-heartbeat\n";
    let missing = "warn  guard                          /etc/ha.d/ha.cf does not name follow-heartbeat, and Heartbeat does not look again at \
                   what it has started; add \"respawn root /usr/libexec/elastic-ip/follow-heartbeat\" to it on both nodes, and restart heartbeat";
    let cases: &[(&str, bool, &str)] = &[
        ("node server1 server2\n", false, missing),
        ("#respawn root /usr/libexec/elastic-ip/follow-heartbeat\n", false, missing),
        (
            RESPAWN,
            false,
            "warn  guard                          /etc/ha.d/ha.cf names follow-heartbeat, and it does not run; start heartbeat; where it \
             runs already, restart it",
        ),
        (RESPAWN, true, "ok    guard                          follow-heartbeat runs"),
        (
            "node server1 server2\n",
            true,
            "warn  guard                          follow-heartbeat runs, and /etc/ha.d/ha.cf does not name it; add it again, or restart \
             heartbeat",
        ),
    ];
    each_at_once(cases, |(configuration, is_alive, expected)| {
        let stage = Stage::new();
        stage.write(HARESOURCES, "server1 elastic-ip\n");
        stage.write("etc/ha.d/ha.cf", configuration);
        // As one that has been killed leaves it.
        stage.write("run/elastic-ip/guard/lock", "");
        let file = File::open(stage.path("run/elastic-ip/guard/lock")).unwrap();
        let _lock = is_alive.then(|| Flock::lock(file, FlockArg::LockExclusive).unwrap());
        assert_eq!(guard(&stage).as_deref(), Some(*expected));
    });
}

#[test]
fn no_guard_is_asked_for_where_heartbeat_does_not_move_the_address() {
    let stage = Stage::new();
    stage.write("etc/ha.d/ha.cf", "node server1 server2\n");
    stage.write(HARESOURCES, "server1 apache\n");
    assert_eq!(guard(&stage), None);
}
