//! How a configuration that is wrong is refused.

use std::time::Duration;

use crate::stage::Stage;
use crate::stage::stdout::UNKNOWN;

/// Demands that every action ends soon, says nothing but that it cannot tell, and complains in one line that holds these.
pub fn is_refused(stage: &Stage, told: &[&str]) {
    for (action, stdout, code) in [("start", "", 6), ("stop", "", 6), ("status", UNKNOWN, 4), ("try-restart", "", 6)] {
        let ended = stage.run([action]);
        ended.says(stdout, code);
        ended.complains_once_of(told);
        assert!(ended.elapsed < Duration::from_secs(2), "{ended:?}");
    }
    assert_eq!(stage.ec2.actions(), [""; 0]);
}
