//! What the process that holds the keys cannot be made to do, whoever runs it.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::stage::{Fault, KEY_ID, ME, Metadata, SECRET, Stage, Wire, folder, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_elastic-ip");
/// Debian's user nobody.
const NOBODY: u32 = 65534;

/// A program run by the caller, or by nobody where the caller is root.
fn by_a_user(program: &str) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut setpriv = Command::new("/usr/bin/setpriv");
    setpriv.arg(format!("--reuid={NOBODY}")).arg(format!("--regid={NOBODY}")).arg("--clear-groups").arg(program);
    setpriv
}

/// A start that has its keys and waits for EC2's answer.
struct Waiting {
    stage: Stage,
    _wire: Wire,
    child: Child,
}

impl Waiting {
    /// Runs a shell's words with `"$@"` as the program and its arguments.
    fn in_shell(script: &str) -> Self {
        Self::of(|_| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-euc", script, "sh", PROGRAM]);
            shell
        })
    }

    /// Run by somebody who is not root.
    fn by_a_user() -> Self {
        // The user has to reach the program, and who copies it may find it busy.
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = folder.path().join("elastic-ip");
        Self::of(|stage| {
            fs::hard_link(PROGRAM, &program).or_else(|_| fs::copy(PROGRAM, &program).map(drop)).unwrap();
            stage.set_mode("", 0o755);
            by_a_user(program.to_str().unwrap())
        })
    }

    fn of(program: impl Fn(&Stage) -> Command) -> Self {
        let stage = Stage::new();
        let wire = stage.cut_in(|_| Fault::Silence);
        let child = program(&stage)
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .current_dir(stage.root())
            .arg("--root")
            .arg(stage.root())
            .arg("start")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the call", || wire.requests() == 1);
        Self { stage, _wire: wire, child }
    }

    fn of_kernel(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_process_with_keys_has_no_core_file_and_can_gain_no_privilege() {
    let waiting = Waiting::in_shell("exec \"$@\"");
    let limits = fs::read_to_string(waiting.of_kernel("limits")).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
    let status = fs::read_to_string(waiting.of_kernel("status")).unwrap();
    assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
}

// P10. Fails when the calls of `process::harden` in src/main.rs are removed.
#[test]
fn a_process_with_keys_that_crashes_dumps_no_core() {
    let mut waiting = Waiting::in_shell("ulimit -c unlimited || ulimit -c \"$(ulimit -H -c)\"; exec \"$@\"");
    kill(Pid::from_raw(waiting.child.id().try_into().unwrap()), Signal::SIGABRT).unwrap();
    let status = waiting.child.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(Signal::SIGABRT as i32), false));
    let left: Vec<_> = fs::read_dir(waiting.stage.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("core")), "{left:?}");
}

#[test]
fn the_callers_other_processes_cannot_look_into_a_process_with_keys() {
    let waiting = Waiting::by_a_user();
    let user = if geteuid().is_root() { NOBODY } else { geteuid().as_raw() };
    let status = fs::read_to_string(waiting.of_kernel("status")).unwrap();
    assert!(status.contains(&format!("\nUid:\t{user}\t{user}\t{user}\t{user}\n")), "{status}");
    let environ = waiting.of_kernel("environ");
    let read = by_a_user("/bin/cat").arg(&environ).output().unwrap();
    assert!(!read.status.success() && read.stdout.is_empty(), "{read:?}");
    // proc(5): what may not be dumped belongs to root.
    assert_eq!(fs::metadata(&environ).unwrap().uid(), 0);
}

/// The calls by which a process comes to run another program, or another process.
const SPAWNING: &str = "trace=execve,execveat,?fork,?vfork,clone,clone3";

/// The calls of these that a command makes, beginning with its own execve.
fn spawned(command: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let folder = folder();
    let trace = folder.path().join("trace");
    let mut strace = Command::new("/usr/bin/strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-e", SPAWNING, "-o"]).arg(&trace).args(command);
    let done = strace.env_clear().envs(environment.iter().copied()).output().unwrap();
    assert!(done.status.code().is_some() && trace.exists(), "{done:?}");
    fs::read_to_string(trace).unwrap().lines().filter(|line| line.contains('(')).map(str::to_owned).collect()
}

#[test]
fn no_call_executes_a_program_or_forks() {
    let metadata = Metadata::version_2();
    metadata.tell("instance-id", ME);
    let stage = Stage::new();
    stage.unset("MY_ID");
    stage.configure(&format!(
        "MY_ID=$(curl -s http://169.254.169.254/latest/meta-data/instance-id)\nAWS_EC2_METADATA_SERVICE_ENDPOINT={}",
        metadata.url()
    ));
    let environment = [("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh"), ("HA_LOGFACILITY", "$(/bin/true)"), ("ENV", "/bin/true")];
    for action in ["start", "status", "stop", "restart"] {
        let spawned = spawned(&[PROGRAM, "--verbose", "--root", stage.root().to_str().unwrap(), action], &environment);
        assert_eq!(spawned.len(), 1, "{action}: {spawned:?}");
        assert!(spawned[0].contains(&format!("execve(\"{PROGRAM}\"")), "{spawned:?}");
    }
    assert_eq!(stage.ec2.changes(), ["AssociateAddress", "DisassociateAddress", "AssociateAddress"]);
}

#[test]
fn a_program_that_is_executed_would_be_seen() {
    let spawned = spawned(&["/bin/sh", "-c", "/bin/true; exit"], &[]);
    assert!(spawned.len() >= 3, "{spawned:?}");
    assert!(spawned.iter().any(|line| line.contains("/bin/true\"")), "{spawned:?}");
}
