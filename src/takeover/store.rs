//! Where states are kept: one small file for each address.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Map, Value, json};

use super::state::{Latest, Shown, State};
use crate::clock::Moment;
use crate::file;
use crate::ids::{AssociationId, Target};
use crate::message::Message;

/// Where the states are kept.
pub trait Store {
    /// What is known of an address. The error is one line that says why it cannot be read.
    fn read(&self, target: &Target) -> Result<State, Message>;

    /// Changes what is known of an address, as it is now. The error is one line that says why it cannot be kept.
    fn change(&self, target: &Target, change: &mut dyn FnMut(&mut State)) -> Result<(), Message>;
}

/// A folder with a file for each address.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// What names the boot since which the moments are counted.
    boot: String,
    /// The longest wait for another call that is just writing.
    lock_limit: Duration,
}

/// A file of another layout is none of this program's.
const VERSION: u64 = 1;

/// Where the kernel tells a random id of this boot (<https://docs.kernel.org/admin-guide/sysctl/kernel.html#random>).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Writing takes a call less than a millisecond, so that one which takes longer was stopped.
const LOCK_LIMIT: Duration = Duration::from_millis(200);

impl Folder {
    /// The folder of this path, which need not exist yet.
    #[must_use]
    pub(crate) fn new(path: PathBuf) -> Self {
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        Self { path, boot, lock_limit: LOCK_LIMIT }
    }

    fn file(&self, target: &Target) -> PathBuf {
        self.path.join(format!("{}.json", target.name))
    }

    /// Replaces the file, so that another call sees the old one or the new one, and never a part.
    fn write(&self, target: &Target, state: &State) -> io::Result<()> {
        let path = self.file(target);
        let draft = self.path.join(format!(".{}.{}", target.name, process::id()));
        fs::write(&draft, format!("{:#}\n", encode(state, &self.boot)))?;
        fs::rename(&draft, &path).inspect_err(|_| drop(fs::remove_file(&draft)))
    }
}

impl Store for Folder {
    fn read(&self, target: &Target) -> Result<State, Message> {
        let path = self.file(target);
        match file::read(&path) {
            Ok(file) => decode(&file.text, &self.boot).map_err(|what| {
                let shown = path.display();
                Message::new(format!("{shown} {what}, so what earlier calls knew is lost"), "it is written anew")
            }),
            Err(error) if error.kind == file::Kind::Missing => Ok(State::default()),
            Err(error) => Err(error.message),
        }
    }

    fn change(&self, target: &Target, change: &mut dyn FnMut(&mut State)) -> Result<(), Message> {
        let before = self.read(target);
        let mut after = before.clone().unwrap_or_default();
        change(&mut after);
        if before.as_ref() == Ok(&after) {
            return Ok(());
        }
        let failed = |error: io::Error| Message::from(format!("cannot write {}: {error}", self.file(target).display()));
        DirBuilder::new().recursive(true).mode(0o755).create(&self.path).map_err(failed)?;
        let _lock = lock(&self.path, self.lock_limit).map_err(failed)?;
        // Another call may have written meanwhile.
        let mut state = self.read(target).unwrap_or_default();
        change(&mut state);
        self.write(target, &state).map_err(failed)
    }
}

/// Keeps other calls from writing for as long as it is held. A call that was stopped (SIGSTOP) while it held the lock must not hold
/// up the others, so that after a while these go on without.
fn lock(folder: &Path, limit: Duration) -> io::Result<Option<Flock<File>>> {
    let mut file = File::open(folder)?;
    let begun = Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) if begun.elapsed() > limit => return Ok(None),
            Err((unlocked, Errno::EWOULDBLOCK)) => file = unlocked,
            Err((_, errno)) => return Err(errno.into()),
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn encode(state: &State, boot: &str) -> Value {
    let id = |id: &AssociationId| id.to_string();
    let latest = state.latest.as_ref().map(|Latest { shown, since, acknowledged }| {
        json!({
            "association": shown.association.as_ref().map(id),
            "mine": shown.mine,
            "since": since.as_millis(),
            "acknowledged": acknowledged,
        })
    });
    json!({
        "version": VERSION,
        "boot": boot,
        "allocation": state.allocation.as_ref().map(ToString::to_string),
        "latest": latest,
        "ended": state.ended.iter().map(id).collect::<Vec<_>>(),
        "handed_over": state.handed_over.map(Moment::as_millis),
        "stop_failed": state.stop_failed.map(Moment::as_millis),
    })
}

/// Reads what [`encode`] has written; what an earlier boot has left is nothing. The error says what is wrong with it.
fn decode(text: &str, boot: &str) -> Result<State, &'static str> {
    let Ok(Value::Object(document)) = serde_json::from_str(text) else { return Err("is not whole") };
    if document.get("version").and_then(Value::as_u64) != Some(VERSION) {
        return Err("is another version's");
    }
    if document.get("boot").and_then(Value::as_str) != Some(boot) {
        return Ok(State::default());
    }
    state(&document).map_err(|Damaged| "is damaged")
}

/// A field is missing, or not of its form.
struct Damaged;

fn state(document: &Map<String, Value>) -> Result<State, Damaged> {
    let ended = document.get("ended").and_then(Value::as_array).ok_or(Damaged)?;
    Ok(State {
        allocation: optional(document, "allocation", id)?,
        latest: optional(document, "latest", |value| latest(value).ok())?,
        ended: ended.iter().map(id).collect::<Option<_>>().ok_or(Damaged)?,
        handed_over: optional(document, "handed_over", moment)?,
        stop_failed: optional(document, "stop_failed", moment)?,
    })
}

fn latest(value: &Value) -> Result<Latest, Damaged> {
    let document = value.as_object().ok_or(Damaged)?;
    let truth = |name: &str| document.get(name).and_then(Value::as_bool).ok_or(Damaged);
    Ok(Latest {
        shown: Shown { association: optional(document, "association", id)?, mine: truth("mine")? },
        since: document.get("since").and_then(moment).ok_or(Damaged)?,
        acknowledged: truth("acknowledged")?,
    })
}

fn id<T: FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

fn moment(value: &Value) -> Option<Moment> {
    value.as_i64().map(Moment::from_millis)
}

/// A field that may be null. The error is for one that is neither null nor right.
fn optional<T>(document: &Map<String, Value>, name: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, Damaged> {
    match document.get(name).ok_or(Damaged)? {
        Value::Null => Ok(None),
        value => read(value).map(Some).ok_or(Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    /// A state of which every part is known.
    fn full() -> State {
        let mut state = State::default();
        state.associated(Some("eipassoc-1".parse().unwrap()), Some("eipassoc-3".parse().unwrap()), at(1000), at(1000));
        state.is_allocated(Some(&"eipalloc-1".parse().unwrap()));
        state.handed_over(at(-5));
        state.stop_failed(at(7));
        state
    }

    #[test]
    fn a_file_holds_all_that_is_known_until_the_next_boot() {
        for state in [State::default(), full()] {
            let text = encode(&state, "boot").to_string();
            assert_eq!(decode(&text, "boot"), Ok(state));
            assert_eq!(decode(&text, "another boot"), Ok(State::default()));
        }
    }

    #[test]
    fn a_file_that_is_torn_or_damaged_or_another_versions_is_told() {
        let text = encode(&full(), "boot").to_string();
        for length in 0..text.len() {
            assert_eq!(decode(&text[..length], "boot"), Err("is not whole"), "{length}");
        }
        assert_eq!(decode(&text.replace("\"version\":1", "\"version\":2"), "boot"), Err("is another version's"));
        for (right, wrong) in
            [("eipassoc-1", "eipassoc-"), ("1000000", "\"1000000\""), ("true", "null"), ("eipalloc-1", " "), ("-5000", "[]")]
        {
            assert!(text.contains(right), "{right}");
            assert_eq!(decode(&text.replace(right, wrong), "boot"), Err("is damaged"), "{right}");
        }
        for name in ["latest", "ended", "allocation", "handed_over", "stop_failed", "mine", "since"] {
            assert_eq!(decode(&text.replace(&format!("\"{name}\""), "\"x\""), "boot"), Err("is damaged"), "{name}");
        }
    }

    #[test]
    fn calls_that_write_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // On a machine that is busy enough a thread waits for its turn longer than a call would wait for it.
        let store = Folder { lock_limit: Duration::from_secs(60), ..Folder::new(folder.path().join("state")) };
        let target: Target = "203.0.113.25".parse().unwrap();
        thread::scope(|scope| {
            for number in 0..8 {
                let (store, target) = (&store, &target);
                scope.spawn(move || {
                    let ended: AssociationId = format!("eipassoc-{number}").parse().unwrap();
                    store.change(target, &mut |state| state.lost(ended.clone())).unwrap();
                });
            }
        });
        assert_eq!(store.read(&target).unwrap().ended.len(), 8);
        assert_eq!(fs::read_dir(folder.path().join("state")).unwrap().count(), 1, "a draft is left");
    }

    #[test]
    fn a_call_that_is_stopped_while_it_writes_holds_the_others_up_for_a_moment_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::new(folder.path().to_owned());
        let _held = lock(folder.path(), LOCK_LIMIT).unwrap().unwrap();
        let target: Target = "203.0.113.25".parse().unwrap();
        store.change(&target, &mut |state| state.stop_failed(at(1))).unwrap();
        assert!(store.read(&target).unwrap().has_failed_stop());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let target: Target = "203.0.113.25".parse().unwrap();
        let error = Folder::new(file).change(&target, &mut |state| state.stop_failed(at(1))).unwrap_err();
        assert!(error.what.starts_with("cannot write ") && error.what.contains("203.0.113.25.json"), "{error}");
    }
}
