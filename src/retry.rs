//! A deadline, and tries within it.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_retry2::strategy::{ExponentialBackoff, jitter_with_bounds};

/// The moment at which an action must have ended, and when it began.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    begun: Instant,
    end: Instant,
    /// How long to go on while the peer says nothing.
    unheard: Duration,
}

impl Deadline {
    /// The deadline that lies `limit` ahead.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let begun = Instant::now();
        Self { begun, end: begun + limit, unheard: limit }
    }

    /// The same deadline, for tries that end earlier where the peer says nothing for so long, not even that it has too many calls.
    #[must_use]
    pub fn or_unheard_for(self, limit: Duration) -> Self {
        Self { unheard: limit, ..self }
    }

    /// The time that is left, zero when it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

/// How soon a failed attempt may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A fault that may have passed already: 50 ms, doubling up to 4 s.
    Brisk,
    /// The peer asked for fewer calls: up to 1 s, and then the longer, the longer the action has been at it.
    Throttled,
}

impl Pace {
    /// The longest first wait, and the least time before the deadline in which to try again.
    fn base(self) -> Duration {
        Duration::from_millis(match self {
            Self::Brisk => 50,
            Self::Throttled => 1000,
        })
    }
}

/// The longest waits between brisk attempts, one after the other.
fn ceilings() -> impl Iterator<Item = Duration> {
    ExponentialBackoff::from_millis(2).factor(25).max_delay(Duration::from_secs(4))
}

/// How long to wait, on the average, for a peer that still asks for fewer calls so long after the action began: 1 s at first, 4 s
/// after 10 s, 15 s after a minute, a minute after 400 s, 3½ minutes after 2000 s.
///
/// Nobody tells how many nodes wait for the same peer, nor how many calls it takes. Waits that are a fixed share of the time passed
/// fit any number of nodes; as the power of less than one makes the share fall, the last node does not oversleep the end of a long
/// siege by much, while a short one is not flooded. The factor, the power, the bounds of the jitter and the pauses of [`press`] were chosen by
/// `bench/zone.rs`.
fn patience(passed: Duration) -> Duration {
    Duration::from_secs_f64((0.7 * passed.as_secs_f64().powf(0.75)).max(1.0))
}

/// An error that knows whether to try again.
pub trait Transient: fmt::Display {
    /// How soon to try again, or `None` where trying again cannot help.
    fn pace(&self) -> Option<Pace>;
}

/// Makes attempts until one succeeds, one fails for good, or no time is left; then returns the last attempt's result. Each failed attempt that will be followed by another is logged as one line that starts with `what`.
///
/// The first wait, and each brisk one, is of any length up to its longest, so that many nodes that failed together do not come back
/// together (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>). What is spread so stays spread: the later
/// waits of those that are throttled vary by a quarter only, lest some oversleep. The attempt keeps its own time limit.
pub async fn until<T, E: Transient>(deadline: Deadline, what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
    let mut brisk = ceilings();
    let mut throttled = false;
    // What came before these attempts was an answer, or nothing at all.
    let mut heard = Instant::now();
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(pace) = error.pace() else { return Err(error) };
        let left = match pace {
            Pace::Brisk => deadline.left().min(deadline.unheard.saturating_sub(heard.elapsed())),
            Pace::Throttled => {
                heard = Instant::now();
                deadline.left()
            }
        };
        if left < pace.base() {
            return Err(error);
        }
        let full = jitter_with_bounds(0.0, 1.0);
        let delay = match pace {
            Pace::Brisk => full(brisk.next().unwrap_or_default()),
            Pace::Throttled if !throttled => full(pace.base()),
            Pace::Throttled => jitter_with_bounds(0.75, 1.25)(patience(deadline.begun.elapsed())),
        };
        throttled |= pace == Pace::Throttled;
        // A wait that is cut short leaves the attempt after it as much time as it takes itself.
        let delay = delay.min(left / 2);
        log::warn!("{what}: {error}; trying again in {} ms", delay.as_millis());
        sleep(delay).await;
    }
}

/// Waits a moment, 25 to 50 ms, before a throttled call that has to be made within `left` is made again, and logs why as [`until`]
/// does. `false` if no time is left for that.
///
/// For a call that what was learned by another call allows only for so long: where calls are scarce, it is better to spend some on
/// this one than to have to learn it again.
pub async fn press(left: Duration, what: &str, error: impl fmt::Display) -> bool {
    let delay = jitter_with_bounds(0.5, 1.0)(Duration::from_millis(50));
    if left <= delay {
        return false;
    }
    log::warn!("{what}: {error}; trying again in {} ms", delay.as_millis());
    sleep(delay).await;
    true
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

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_sooner_than_one_that_says_it_is_busy() {
        let deadline = || Deadline::after(Duration::from_secs(3600)).or_unheard_for(Duration::from_secs(120));
        for (busy, least, most) in [(0, 110, 120), (300, 300, 660), (3600, 2400, 3600)] {
            let start = Instant::now();
            let result: Result<(), _> = until(deadline(), "call", async || {
                let is_busy = start.elapsed() < Duration::from_secs(busy);
                Err(Fault(Some(if is_busy { Pace::Throttled } else { Pace::Brisk })))
            })
            .await;
            assert!(result.is_err());
            let elapsed = start.elapsed().as_secs();
            assert!((least..=most).contains(&elapsed), "{elapsed} s, busy for {busy} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_a_long_siege_is_tried_again_as_well() {
        let deadline = Deadline::after(Duration::from_secs(3600)).or_unheard_for(Duration::from_secs(120));
        sleep(Duration::from_secs(1800)).await;
        let mut count = 0;
        let result: Result<(), _> = until(deadline, "call", async || {
            count += 1;
            if count == 1 { Err(Fault(Some(Pace::Brisk))) } else { Ok(()) }
        })
        .await;
        assert!(result.is_ok());
    }

    #[test]
    fn brisk_waits_double_up_to_four_seconds() {
        let ceilings: Vec<u128> = ceilings().take(9).map(|ceiling| ceiling.as_millis()).collect();
        assert_eq!(ceilings, [50, 100, 200, 400, 800, 1600, 3200, 4000, 4000]);
    }

    /// When the attempts are made that a peer throttles for as long as `limit`, in seconds from the first.
    async fn throttled_for(limit: u64) -> Vec<f64> {
        let start = Instant::now();
        let mut attempts = Vec::new();
        let result: Result<(), _> = until(Deadline::after(Duration::from_secs(limit)), "call", async || {
            attempts.push(start.elapsed().as_secs_f64());
            Err(Fault(Some(Pace::Throttled)))
        })
        .await;
        assert!(result.is_err());
        attempts
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_throttled_once_is_back_within_half_a_second_on_the_average() {
        let mut sum = 0.0;
        for _ in 0..1000 {
            let attempts = throttled_for(10).await;
            assert!(attempts[1] <= 1.01, "{attempts:?}");
            sum += attempts[1];
        }
        assert!((0.4..0.6).contains(&(sum / 1000.0)), "{sum}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_throttled_for_long_comes_back_ever_later_but_never_oversleeps_by_half() {
        for _ in 0..50 {
            let attempts = throttled_for(3600).await;
            let waits = attempts.windows(2).map(|pair| (pair[0], pair[1] - pair[0])).filter(|(at, _)| (30.0..1500.0).contains(at));
            for (at, wait) in waits {
                assert!(wait > at / 12.5 && wait < at / 2.6, "{wait} after {at}");
            }
            let late = |from: f64| attempts.iter().filter(|at| (from..2.0 * from).contains(*at)).count();
            assert!((1..=5).contains(&late(30.0)) && (3..=10).contains(&late(750.0)), "{attempts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_nodes_that_failed_together_stay_spread() {
        let mut after_a_minute = Vec::new();
        for _ in 0..200 {
            after_a_minute.extend(throttled_for(600).await.into_iter().find(|at| *at >= 60.0));
        }
        // Each wait takes 9 s at least by then.
        for from in [60.0, 63.0, 66.0] {
            let count = after_a_minute.iter().filter(|at| (from..from + 3.0).contains(*at)).count();
            assert!((17..=90).contains(&count), "{count} of 200 from {from}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_pressed_for_only_while_there_is_time() {
        let end = Instant::now() + Duration::from_secs(1);
        let mut count = 0;
        while press(end.saturating_duration_since(Instant::now()), "call", "fault").await {
            count += 1;
            assert!(Instant::now() <= end);
        }
        assert!((19..=40).contains(&count), "{count}");
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
