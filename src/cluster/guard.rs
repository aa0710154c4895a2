//! The guard beside Heartbeat, `follow-heartbeat`: whether `ha.cf` has it run, and whether it does.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::lenient;
use crate::config::below;
use crate::file;

/// What Heartbeat runs.
const SCRIPT: &str = "follow-heartbeat";

/// What it holds locked as long as it runs.
const LOCK: &str = "/run/elastic-ip/guard/lock";

/// The guard on a node with Heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    /// Heartbeat's configuration.
    pub file: PathBuf,
    /// Whether that has it run.
    pub is_configured: bool,
    /// Whether it runs.
    pub is_alive: bool,
}

/// Looks at both. The error is one line.
pub(super) fn find(root: &Path) -> Result<Guard, file::Error> {
    let file = below(root, Path::new("/etc/ha.d/ha.cf"));
    let is_configured = is_respawned(&lenient(&file)?);
    Ok(Guard { file, is_configured, is_alive: is_locked(&below(root, Path::new(LOCK))) })
}

/// `respawn USER COMMAND`, which may be followed by its arguments
/// (<http://linux-ha.org/wiki/Ha.cf#respawn>).
fn is_respawned(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let command = words.next().filter(|word| *word == "respawn").and_then(|_| words.nth(1));
        command.is_some_and(|command| Path::new(command).file_name().is_some_and(|name| name == SCRIPT))
    })
}

fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_is_found_where_heartbeat_would_run_it() {
        for text in
            ["respawn root /usr/libexec/elastic-ip/follow-heartbeat", "node a b\n\trespawn\troot\t/opt/follow-heartbeat -x # the guard\n"]
        {
            assert!(is_respawned(text), "{text:?}");
        }
        for text in [
            "",
            "#respawn root /usr/libexec/elastic-ip/follow-heartbeat",
            "respawn root /usr/libexec/elastic-ip/follow-keepalived",
            "respawn follow-heartbeat",
            "respawn root # follow-heartbeat",
            "node follow-heartbeat a follow-heartbeat",
        ] {
            assert!(!is_respawned(text), "{text:?}");
        }
    }
}
