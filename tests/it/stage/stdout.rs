//! What calls write on stdout, about [`IP`](super::IP) and [`ME`](super::ME).

pub const ASSOCIATED: &str = "elastic-ip remapper: IP 203.0.113.25 associated with i-0aaaaaaaaaaaaaaaa\n";
pub const NOT_MAPPED: &str = "elastic-ip remapper: Could not map IP 203.0.113.25 to i-0aaaaaaaaaaaaaaaa\n";
pub const NOT_MAPPED_HERE: &str = "elastic-ip remapper: Could not map IP 203.0.113.25 to this instance\n";
pub const DISOWNED: &str = "elastic-ip remapper: IP 203.0.113.25 disowned\n";
pub const NOT_DISOWNED: &str = "elastic-ip remapper: Could not disown 203.0.113.25\n";
pub const NO_KEYS: &str = "elastic-ip remapper: cannot find ~/.awssecret or /root/.awssecret\n";
pub const HAVE: &str = "elastic-ip remapper: I have 203.0.113.25\n";
pub const HAVE_NOT: &str = "elastic-ip remapper: I do not have 203.0.113.25\n";
pub const RUNNING: &str = "elastic-ip remapper: I have 203.0.113.25\nrunning\n";
pub const HANDED_OVER: &str = "elastic-ip remapper: I have 203.0.113.25\nstopped\n";
pub const STOPPED: &str = "elastic-ip remapper: I do not have 203.0.113.25\nstopped\n";
pub const UNKNOWN: &str = "unknown\n";
