//! What the process that holds the keys gives up: core dumps, readers of its memory, and any rise in privileges.

use nix::sys::prctl::{set_dumpable, set_no_new_privs};
use nix::sys::resource::{Resource, setrlimit};

/// Switches off core dumps and `ptrace` by the caller's other processes (prctl(2), `PR_SET_DUMPABLE`), and bars set-uid programs
/// from raising anything that would ever be executed (`PR_SET_NO_NEW_PRIVS`). The address matters more: what the kernel does
/// not grant is warned about.
pub fn harden() {
    for (what, done) in [
        ("core files", setrlimit(Resource::RLIMIT_CORE, 0, 0)),
        ("a look into its memory", set_dumpable(false)),
        ("new privileges", set_no_new_privs()),
    ] {
        if let Err(error) = done {
            log::warn!("this process cannot give up {what}: {error}; see that nobody but root can use this machine");
        }
    }
}
