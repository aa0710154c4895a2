//! A deadline, and tries within it.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_retry2::strategy::{ExponentialBackoff, jitter_with_bounds};

/// The moment at which an action must have ended.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline that lies `limit` ahead.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// The time that is left, zero when it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// How soon a failed attempt may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A fault that may have passed already: 50 ms, doubling up to 4 s.
    Brisk,
    /// The peer asked for fewer calls: 1 s, doubling up to 4 s.
    Throttled,
}

impl Pace {
    fn base(self) -> Duration {
        Duration::from_millis(match self {
            Self::Brisk => 50,
            Self::Throttled => 1000,
        })
    }

    /// The longest waits, one after the other.
    fn ceilings(self) -> impl Iterator<Item = Duration> {
        let half = u64::try_from(self.base().as_millis() / 2).unwrap_or(u64::MAX);
        ExponentialBackoff::from_millis(2).factor(half).max_delay(Duration::from_secs(4))
    }
}

/// An error that knows whether to try again.
pub trait Transient: fmt::Display {
    /// How soon to try again, or `None` where trying again cannot help.
    fn pace(&self) -> Option<Pace>;
}

/// Makes attempts until one succeeds, one fails for good, or no time is left; then returns the last attempt's result. Each failed attempt that will be followed by another is logged as one line that starts with `what`.
///
/// Between attempts it waits with full jitter, so that many nodes that failed together do not come back together
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>). The attempt keeps its own time limit.
pub async fn until<T, E: Transient>(deadline: Deadline, what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
    let mut brisk = Pace::Brisk.ceilings();
    let mut throttled = Pace::Throttled.ceilings();
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(pace) = error.pace() else { return Err(error) };
        let left = deadline.left();
        if left < pace.base() {
            return Err(error);
        }
        let ceiling = match pace {
            Pace::Brisk => brisk.next(),
            Pace::Throttled => throttled.next(),
        };
        // A wait that is cut short leaves the attempt after it as much time as it takes itself.
        let delay = jitter_with_bounds(0.0, 1.0)(ceiling.unwrap_or_default()).min(left / 2);
        log::warn!("{what}: {error}; trying again in {} ms", delay.as_millis());
        sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fault(Option<Pace>);

    impl fmt::Display for Fault {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("fault")
        }
    }

    impl Transient for Fault {
        fn pace(&self) -> Option<Pace> {
            self.0
        }
    }

    async fn attempts_within(limit: Duration, pace: Option<Pace>) -> (u32, Duration) {
        let start = Instant::now();
        let mut count = 0;
        let result: Result<(), _> = until(Deadline::after(limit), "call", async || {
            count += 1;
            Err(Fault(pace))
        })
        .await;
        assert!(result.is_err());
        (count, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_error_is_not_tried_again() {
        assert_eq!(attempts_within(Duration::from_secs(60), None).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_passing_fault_is_tried_until_the_deadline_and_not_beyond() {
        for _ in 0..50 {
            let (count, elapsed) = attempts_within(Duration::from_secs(60), Some(Pace::Brisk)).await;
            assert!(count > 15, "{count}");
            assert!(elapsed <= Duration::from_secs(60), "{elapsed:?}");
        }
    }

    #[test]
    fn waits_double_up_to_four_seconds() {
        for (pace, expected) in [
            (Pace::Brisk, [50, 100, 200, 400, 800, 1600, 3200, 4000, 4000]),
            (Pace::Throttled, [1000, 2000, 4000, 4000, 4000, 4000, 4000, 4000, 4000]),
        ] {
            let ceilings: Vec<u128> = pace.ceilings().take(expected.len()).map(|ceiling| ceiling.as_millis()).collect();
            assert_eq!(ceilings, expected, "{pace:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_moment_that_is_long_enough_is_used() {
        for (limit, again) in [(50, true), (49, false)] {
            let (count, _) = attempts_within(Duration::from_millis(limit), Some(Pace::Brisk)).await;
            assert_eq!(count > 1, again, "{limit} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_is_answered_with_fewer_calls() {
        let mean = async |pace| {
            let mut sum = 0;
            for _ in 0..50 {
                sum += attempts_within(Duration::from_secs(4), Some(pace)).await.0;
            }
            sum
        };
        assert!(mean(Pace::Throttled).await * 3 < mean(Pace::Brisk).await * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn success_ends_the_tries() {
        let mut left = 3;
        let result = until(Deadline::after(Duration::from_secs(60)), "call", async || {
            left -= 1;
            if left == 0 { Ok(7) } else { Err(Fault(Some(Pace::Brisk))) }
        })
        .await;
        assert_eq!(result.unwrap(), 7);
    }
}
