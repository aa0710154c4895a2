//! A machine of its own for each test: a folder that stands for `/`, an EC2 and a metadata service.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a stage that cannot be set up is a failed test")]

mod answer;
mod call;
pub mod dns;
mod ec2;
mod metadata;
mod moments;
pub mod stdout;
pub mod tls;
mod wire;

use std::env;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

pub use answer::{Answer, item, mine};
pub use call::{Call, Ended, Running, bare};
pub use ec2::{ETH0, ETH1, Ec2, Request, allocation, privates};
pub use metadata::{Metadata, TOKEN};
pub use wire::{Fault, Wire};

/// The address that most tests are about.
pub const IP: &str = "203.0.113.25";
/// The instance that the program runs on.
pub const ME: &str = "i-0aaaaaaaaaaaaaaaa";
/// Another instance.
pub const PEER: &str = "i-0bbbbbbbbbbbbbbbb";

/// Nobody listens on the discard port, so whoever asks is refused at once. A port that was free a moment ago may by now be
/// another test's.
pub const NOBODY: &str = "http://127.0.0.1:9";

pub const KEY_ID: &str = "AKIDCANARY";
/// Must be in no output of any call; each call is checked for it.
pub const SECRET: &str = "sEcReTcAnArY/0123456789+abcdefghijklmnop";

/// The configuration file, below the root.
pub const CONFIG: &str = "etc/default/elastic-ip";
/// The secret file, below the root.
pub const AWSSECRET: &str = "root/.awssecret";
/// What calls remember of [`IP`], below the root.
pub const STATE: &str = "run/elastic-ip/203.0.113.25.json";

/// As long as EC2's describes may lag behind its changes.
pub const LAG: Duration = Duration::from_secs(60);

/// A folder in memory, where there is one: on a disk, making its files takes longer than the calls that read them.
pub fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A section of `~/.aws/credentials` with keys.
pub fn profile(name: &str, id: &str) -> String {
    format!("[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {SECRET}\n")
}

/// A machine with a working configuration that names [`ME`], [`IP`], keys and region.
pub struct Stage {
    root: TempDir,
    pub ec2: Ec2,
}

impl Stage {
    pub fn new() -> Self {
        let ec2 = Ec2::start();
        let stage = Self { root: folder(), ec2 };
        stage.write(
            CONFIG,
            format!(
                "ELASTIC_IP={IP}\nAWS_PARAMS=\"--region=eu-west-1\"\nMY_ID={ME}\nAWS_ENDPOINT_URL_EC2={}\n\
                 AWS_EC2_METADATA_SERVICE_ENDPOINT={NOBODY}\n",
                stage.ec2.url(),
            ),
        );
        stage.write_secret(AWSSECRET, format!("{KEY_ID}\n{SECRET}\n"));
        stage
    }

    /// A stage where the instance that the program runs on has the address.
    pub fn with_the_address() -> Self {
        let stage = Self::new();
        stage.ec2.give(IP, ME);
        stage
    }

    /// A stage where the instance has the address and there are no keys, with a metadata service that has none either.
    pub fn without_keys() -> (Self, Metadata) {
        let metadata = Metadata::version_2();
        let stage = Self::with_the_address();
        stage.remove(AWSSECRET);
        stage.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
        (stage, metadata)
    }

    /// The access key id that the last call was signed with.
    pub fn signer(&self) -> String {
        self.ec2.requests().pop().unwrap().signer()
    }

    /// A stage where another instance has the address.
    pub fn with_the_address_at_the_peer() -> Self {
        let stage = Self::new();
        stage.ec2.give(IP, PEER);
        stage
    }

    /// A metadata service, and the kernel's files, of an instance with the interfaces `eth0` and `eth1`.
    pub fn two_interfaces(&self) -> Metadata {
        let metadata = Metadata::version_2();
        let macs = ["0e:49:61:0f:c3:11", "0e:49:61:0f:c3:77"];
        metadata.tell("mac", macs[0]);
        // In the order of the digits, as the service lists them, which is not that of the devices.
        metadata.tell("network/interfaces/macs/", &format!("{}/\n{}/\n", macs[1], macs[0]));
        for ((mac, device), id) in macs.into_iter().zip(["eth0", "eth1"]).zip([ETH0, ETH1]) {
            self.write(&format!("sys/class/net/{device}/address"), format!("{mac}\n"));
            metadata.tell(&format!("network/interfaces/macs/{mac}/interface-id"), id);
            metadata.tell(&format!("network/interfaces/macs/{mac}/local-ipv4s"), &privates(id).join("\n"));
        }
        self.configure(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}", metadata.url()));
        metadata
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    /// Writes a file that everybody may read, and the folders it is in.
    pub fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes a file that only its owner may read.
    pub fn write_secret(&self, below: &str, content: impl AsRef<[u8]>) {
        self.write(below, content);
        self.set_mode(below, 0o600);
    }

    pub fn set_mode(&self, below: &str, mode: u32) {
        fs::set_permissions(self.path(below), Permissions::from_mode(mode)).unwrap();
    }

    pub fn remove(&self, below: &str) {
        fs::remove_file(self.path(below)).unwrap();
    }

    /// Adds lines to the configuration. As in a shell, the last assignment of a name counts.
    pub fn configure(&self, lines: &str) {
        let before = fs::read_to_string(self.path(CONFIG)).unwrap();
        self.write(CONFIG, format!("{before}{lines}\n"));
    }

    /// Takes a name's line out of the configuration.
    pub fn unset(&self, name: &str) {
        let before = fs::read_to_string(self.path(CONFIG)).unwrap();
        let assignment = format!("{name}=");
        let after: String = before.lines().filter(|line| !line.starts_with(&assignment)).map(|line| format!("{line}\n")).collect();
        assert_ne!(before, after, "{name} was not set");
        self.write(CONFIG, after);
    }

    /// Puts a wire with this fault between the program and EC2.
    pub fn cut_in(&self, fault: impl Fn(&str) -> Fault + Send + Sync + 'static) -> Wire {
        let wire = Wire::to(&self.ec2.url(), fault);
        self.configure(&format!("AWS_ENDPOINT_URL_EC2={}", wire.url()));
        wire
    }

    pub fn call<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Call {
        Call::new(self.root(), words)
    }

    /// A call by Pacemaker, with these of OCF's variables.
    pub fn operate(&self, operation: &str, variables: &[(&str, &str)]) -> Ended {
        Call::of_agent(self.root(), operation, variables).run()
    }

    pub fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Ended {
        self.call(words).run()
    }

    /// What calls remember of the address from one to the next; null where they remember nothing.
    pub fn state(&self) -> Value {
        match fs::read_to_string(self.path(STATE)) {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Value::Null,
            Err(error) => panic!("{STATE}: {error}"),
        }
    }

    /// Whether it is remembered that a stop has left the address here for a peer.
    pub fn is_handed_over(&self) -> bool {
        !self.state()["handed_over"].is_null()
    }

    /// Whether it is remembered that a stop has failed.
    pub fn has_failed_stop(&self) -> bool {
        !self.state()["stop_failed"].is_null()
    }

    /// Has calls remember this, and nothing else.
    pub fn remember(&self, name: &str, value: impl Into<Value>) {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let mut state = json!({"version": 1, "boot": boot.trim(), "ended": []});
        for name in ["allocation", "latest", "handed_over", "stop_failed"] {
            state[name] = Value::Null;
        }
        state[name] = value.into();
        self.write(STATE, state.to_string());
    }

    /// Makes all that is remembered so much older.
    pub fn later(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap();
        for entry in fs::read_dir(self.path(STATE).parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let mut state: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            for pointer in ["/latest/since", "/handed_over", "/stop_failed"] {
                let Some(moment) = state.pointer_mut(pointer) else { continue };
                if let Some(then) = moment.as_i64() {
                    *moment = (then - millis).into();
                }
            }
            fs::write(path, state.to_string()).unwrap();
        }
    }
}

/// One of how many cases is played, where their number is a matter of time: `make check` sets `QUICK`, `make test` plays all.
pub fn share() -> usize {
    if env::var_os("QUICK").is_some() { 4 } else { 1 }
}

/// As many cases at a time as two busy cores serve in good time: most of them wait.
const CASES: usize = 32;

static PLACES: (Mutex<usize>, Condvar) = (Mutex::new(CASES), Condvar::new());

/// Runs a test's cases at the same time: most of their time is waiting. A panic names its case.
pub fn each_at_once<T: Sync>(cases: &[T], run: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..cases.len().min(CASES) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _place = Place::take();
                    run(case);
                }
            });
        }
    });
}

/// One of the places that all tests share.
struct Place;

impl Place {
    fn take() -> Self {
        let (free, given_back) = &PLACES;
        *given_back.wait_while(free.lock().unwrap(), |free| *free == 0).unwrap() -= 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (free, given_back) = &PLACES;
        *free.lock().unwrap() += 1;
        given_back.notify_one();
    }
}

/// Waits until the condition holds.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(15), "waited 15 s for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
