//! The time since the machine was booted, which one call can hand on to another.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment since the boot, to the millisecond. It goes on while the machine is suspended, and no clock setting changes it
/// (<https://man7.org/linux/man-pages/man2/clock_gettime.2.html>, `CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// The moment so many milliseconds after the boot.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The milliseconds from the boot to this moment.
    #[must_use]
    pub(crate) fn as_millis(self) -> i64 {
        self.0
    }

    /// How long this moment is after `earlier`; zero if it is not.
    #[must_use]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }
}

/// Tells the present moment. The tests' clocks keep their own time.
pub(crate) type Clock<'a> = &'a dyn Fn() -> Moment;

/// The present moment of this machine.
#[must_use]
pub(crate) fn now() -> Moment {
    // Linux has had this clock since 2.6.39.
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    Moment(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}
