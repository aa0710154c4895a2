//! One call of the program, and what came of it.

use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

use super::SECRET;

/// No call takes this long; one that does is ended and fails its test.
const WATCHDOG: Duration = Duration::from_secs(90);

/// Takes the environment away, but for where a call leaves its counters when coverage is measured.
pub fn bare(command: &mut Command) -> &mut Command {
    const COUNTERS: &str = "LLVM_PROFILE_FILE";
    command.env_clear().envs(env::var_os(COUNTERS).map(|file| (COUNTERS, file)))
}

/// A call that is being put together. Its environment is empty but for what is set here.
pub struct Call {
    command: Command,
    shown: String,
}

impl Call {
    pub fn new<'a>(root: &Path, words: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_elastic-ip")), root, words)
    }

    /// A call as Pacemaker makes it: by the agent's path, with these of OCF's variables.
    pub fn of_agent(root: &Path, operation: &str, variables: &[(&str, &str)]) -> Self {
        let mut call = Self::of(agent(root), root, [operation]);
        call.command.envs(variables.iter().copied());
        call
    }

    /// As [`Call::heeding_modes`], by Pacemaker.
    pub fn of_agent_heeding_modes(root: &Path, operation: &str) -> Self {
        Self::of(heeding_modes(agent(root)), root, [operation])
    }

    /// A call by the agent's path without a word.
    pub fn bare_agent(root: &Path) -> Self {
        let mut command = agent(root);
        bare(&mut command);
        Self { command, shown: String::new() }
    }

    fn of<'a>(mut command: Command, root: &Path, words: impl IntoIterator<Item = &'a str>) -> Self {
        let words: Vec<&str> = words.into_iter().collect();
        bare(&mut command).arg("--root").arg(root).args(&words);
        Self { command, shown: words.join(" ") }
    }

    /// A call whose parent has set SIGTERM and SIGINT to ignored, as Heartbeat does at its shutdown.
    pub fn with_signals_ignored<'a>(root: &Path, words: impl IntoIterator<Item = &'a str>) -> Self {
        Self::by("trap '' TERM INT; exec \"$@\"", root, words)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// A call by somebody who may read only what its mode allows, as root otherwise does not need to heed.
    pub fn heeding_modes<'a>(root: &Path, words: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(heeding_modes(Command::new(env!("CARGO_BIN_EXE_elastic-ip"))), root, words)
    }

    /// A call that a shell makes with this line, in which `"$@"` is the program with its words.
    pub fn by<'a>(line: &str, root: &Path, words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", line, "sh", env!("CARGO_BIN_EXE_elastic-ip")]);
        Self::of(shell, root, words)
    }

    /// A call that looks names up as the files `resolv.conf` and `nsswitch.conf` below `root` say. Only a caller that may mount can
    /// make it.
    pub fn looking_up<'a>(root: &Path, words: impl IntoIterator<Item = &'a str>) -> Self {
        let mount =
            "mount --bind \"$0/resolv.conf\" /etc/resolv.conf && mount --bind \"$0/nsswitch.conf\" /etc/nsswitch.conf && exec \"$@\"";
        let mut unshare = Command::new("/usr/bin/unshare");
        unshare.args(["--mount", "/bin/sh", "-c", mount]).arg(root).arg(env!("CARGO_BIN_EXE_elastic-ip"));
        Self::of(unshare, root, words)
    }

    /// A call on a machine whose syslog daemon listens at the file `log` below `root`.
    pub fn logging<'a>(root: &Path, words: impl IntoIterator<Item = &'a str>) -> Self {
        // The folder may be in /dev/shm, which stays where it is.
        let mount = "mkdir -p \"$0/dev/shm\" && ln -s \"$0/log\" \"$0/dev\" && mount --rbind /dev/shm \"$0/dev/shm\" && \
                     mount --rbind \"$0/dev\" /dev && exec \"$@\"";
        let mut unshare = Command::new("/usr/bin/unshare");
        unshare.args(["--map-root-user", "--mount", "/bin/sh", "-c", mount]).arg(root).arg(env!("CARGO_BIN_EXE_elastic-ip"));
        Self::of(unshare, root, words)
    }

    pub fn spawn(mut self) -> Running {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let begun = Instant::now();
        let stdout = reader(child.stdout.take().unwrap());
        let stderr = reader(child.stderr.take().unwrap());
        Running { child, begun, stdout, stderr, shown: self.shown }
    }

    pub fn run(self) -> Ended {
        self.spawn().end()
    }
}

/// The same command by somebody who may read only what its mode allows.
fn heeding_modes(command: Command) -> Command {
    if !geteuid().is_root() {
        return command;
    }
    let mut setpriv = Command::new("/usr/bin/setpriv");
    setpriv.args(["--bounding-set", "-dac_override,-dac_read_search"]).arg(command.get_program());
    setpriv
}

/// The agent as the package installs it.
fn agent(root: &Path) -> Command {
    let path = root.join("usr/lib/ocf/resource.d/elastic-ip/elastic-ip");
    if !path.exists() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(env!("CARGO_BIN_EXE_elastic-ip"), &path).unwrap();
    }
    Command::new(path)
}

/// Sends all that comes, with the moment of its end.
fn reader(mut pipe: impl Read + Send + 'static) -> Receiver<(Vec<u8>, Instant)> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let before = unserved("thread-self");
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let end = Instant::now().checked_sub(unserved("thread-self").saturating_sub(before)).unwrap();
        let _ = sender.send((bytes, end));
    });
    receiver
}

/// A call that runs.
pub struct Running {
    child: Child,
    begun: Instant,
    stdout: Receiver<(Vec<u8>, Instant)>,
    stderr: Receiver<(Vec<u8>, Instant)>,
    shown: String,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Whether it was stopped (SIGSTOP), and has stopped.
    pub fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit(") ").next().unwrap().starts_with('T')
    }

    /// Waits for the end, and checks what holds for every call.
    pub fn end(self) -> Ended {
        let ended = self.reap();
        ended.check();
        ended
    }

    /// Waits for the end.
    pub fn reap(mut self) -> Ended {
        let (Ok((stdout, one)), Ok((stderr, other))) = (self.stdout.recv_timeout(WATCHDOG), self.stderr.recv_timeout(WATCHDOG)) else {
            let _ = self.child.kill();
            let _ = self.child.wait();
            panic!("{}: no end within {WATCHDOG:?}", self.shown);
        };
        // Until it is waited for, the kernel keeps its accounts.
        let elapsed = one.max(other).saturating_duration_since(self.begun).saturating_sub(unserved(&self.child.id().to_string()));
        let status = self.child.wait().unwrap();
        Ended { elapsed, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(stderr).unwrap(), status, shown: self.shown }
    }
}

/// How long a process was ready to run and no processor was free for it
/// (<https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat>).
fn unserved(process: &str) -> Duration {
    let accounts = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap();
    Duration::from_nanos(accounts.split(' ').nth(1).unwrap().parse().unwrap())
}

/// A call that has ended.
#[derive(Debug)]
pub struct Ended {
    pub stdout: String,
    pub stderr: String,
    /// The time it took, but for that in which a busy machine had no processor for it.
    pub elapsed: Duration,
    status: ExitStatus,
    shown: String,
}

impl Ended {
    /// The exit code; a signal is given as its negative number.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| -self.status.signal().unwrap())
    }

    /// The JSON document on stdout.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Demands this stdout, byte for byte, and this exit code.
    pub fn says(&self, stdout: &str, code: i32) {
        assert_eq!((self.stdout.as_str(), self.code()), (stdout, code), "{self:?}");
    }

    /// Demands that stderr is exactly one line, and that it holds each of these.
    pub fn complains_once_of(&self, parts: &[&str]) {
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        self.tells(parts);
    }

    /// Demands that stderr holds each of these.
    pub fn tells(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not told: {self:?}");
        }
    }

    /// What holds for every call: the exit is the program's own, stdout has only the article's words, stderr only lines of
    /// the program's form, and no output a secret.
    fn check(&self) {
        assert!(self.status.code().is_some(), "ended by a signal: {self:?}");
        for line in self.stderr.lines() {
            assert!(line.starts_with("elastic-ip: ") || line.starts_with("ocf-exit-reason:"), "{line:?} is not the program's: {self:?}");
            assert!(!line.chars().any(char::is_control), "{line:?} has a control character");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        assert!(self.stderr.is_empty() || self.stderr.ends_with('\n'), "{self:?}");
        let asked = ["--help", "--version", "meta-data", "usage", "check", "policy", "--json"].iter().any(|word| self.shown.contains(word));
        for line in self.stdout.lines().filter(|_| !asked) {
            assert!(is_the_articles(line), "{line:?} is on stdout: {self:?}");
        }
        for output in [&self.stdout, &self.stderr] {
            assert!(!output.contains(SECRET), "the secret is told: {self:?}");
        }
    }
}

/// Whether a line of stdout is one that the article's script could have written, or the word for Heartbeat.
fn is_the_articles(line: &str) -> bool {
    if matches!(line, "running" | "stopped" | "unknown") {
        return true;
    }
    let names_with = |word: &str, prefix: &str| {
        word.strip_prefix(prefix).is_some_and(|rest| (1..=64).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let is_address = |word: &str| word.parse::<std::net::Ipv4Addr>().is_ok() || names_with(word, "eipalloc-");
    let is_instance = |word: &str| names_with(word, "i-");
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["elastic-ip", "remapper:", rest @ ..] => match rest {
            ["IP", ip, "associated", "with", me] => is_address(ip) && is_instance(me),
            ["Could", "not", "map", "IP", ip, "to", me] => is_address(ip) && is_instance(me),
            ["Could", "not", "map", "IP", ip, "to", "this", "instance"] => is_address(ip),
            ["IP", ip, "disowned"] | ["I", "do", "not", "have", ip] | ["Could", "not", "disown", ip] | ["I", "have", ip] => is_address(ip),
            _ => line == "elastic-ip remapper: cannot find ~/.awssecret or /root/.awssecret",
        },
        _ => false,
    }
}
