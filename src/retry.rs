//! Tries within a deadline.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_retry2::strategy::{ExponentialBackoff, jitter_with_bounds};

use crate::deadline::Deadline;

/// How soon a failed attempt may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// A fault that may have passed already: 50 ms, doubling up to 4 s.
    Brisk,
    /// The peer asked for fewer calls: up to 1 s, and then the longer, the longer the call has been at it.
    Throttled,
    /// The peer refuses what it may allow within a minute: half a second, doubling up to 4 s.
    Refused,
}

impl Pace {
    /// The longest first wait, and the least time before the deadline in which to try again.
    fn base(self) -> Duration {
        Duration::from_millis(match self {
            Self::Brisk => 50,
            Self::Throttled => 1000,
            Self::Refused => 500,
        })
    }
}

/// The longest wait between two attempts, but for those that are throttled.
const LONGEST: Duration = Duration::from_secs(4);

/// The longest waits between brisk attempts, one after the other.
fn ceilings() -> impl Iterator<Item = Duration> {
    ExponentialBackoff::from_millis(2).factor(25).max_delay(LONGEST)
}

/// The waits between refused attempts, one after the other.
fn calm() -> impl Iterator<Item = Duration> {
    ExponentialBackoff::from_millis(2).factor(250).max_delay(LONGEST)
}

/// How long to wait, on the average, for a peer that still asks for fewer calls so long after the action began: 1 s at first, 4 s
/// after 10 s, 15 s after a minute, a minute after 400 s, 3½ minutes after 2000 s.
///
/// Nobody says how many nodes wait, nor how many calls the peer takes. A share of the time passed fits any number of nodes; a power
/// below one keeps the last from oversleeping a long overload. `bench/zone.rs` chose the figures, and those of [`Retry::soon`].
fn throttled_wait(passed: Duration) -> Duration {
    Duration::from_secs_f64((0.7 * passed.as_secs_f64().powf(0.75)).max(1.0))
}

/// An error that knows whether to try again.
pub(crate) trait Transient: fmt::Display {
    /// How soon to try again, or `None` where trying again cannot help.
    fn pace(&self) -> Option<Pace>;

    /// Whether the deadline left the attempt less than its full time: it shows less than one that had it.
    fn is_cut_short(&self) -> bool {
        false
    }

    /// The reason, without what differs in each attempt.
    fn reason(&self) -> String {
        self.to_string()
    }
}

/// The tries of one call. All that it waits for draws on the same deadline, and on the same limits of patience.
pub struct Retry {
    deadline: Deadline,
    refusal_limit: Duration,
    /// The first and the last of a row of refusals.
    refused: Cell<Option<(Instant, Instant)>>,
    rows: RefCell<Vec<Row>>,
}

/// Failures in a row that are the same.
struct Row {
    what: String,
    reason: String,
    since: Instant,
    count: u32,
    /// How many of them, and how long after the first, the log tells next.
    next: Duration,
}

/// How long after the first of a row the log counts the others; then after twice that time.
const FIRST_REPORT: Duration = Duration::from_secs(10);

impl Retry {
    /// Tries until the deadline; what is refused for now is not tried again.
    #[must_use]
    pub fn until(deadline: Deadline) -> Self {
        Self { deadline, refusal_limit: Duration::ZERO, refused: Cell::default(), rows: RefCell::default() }
    }

    /// Tries again for so long what EC2 or the metadata service refuses for now.
    #[must_use]
    pub fn outlasting_refusals_for(self, limit: Duration) -> Self {
        Self { refusal_limit: limit, ..self }
    }

    /// The deadline.
    #[must_use]
    pub(crate) fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    /// Makes attempts until one succeeds, one fails for good, or no time is left; then returns the last one's result, or of the
    /// failures the last that had its full time. Failures are logged as lines that start with `what`: the first of a row of equal
    /// ones, and later how many and how long.
    ///
    /// The first wait, and each brisk one, is of any length up to its longest, so that many nodes that failed together do not come back
    /// together (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>). What is spread so stays spread: the later
    /// waits of those that are throttled vary by a quarter only, so that none oversleeps. The attempt keeps its own time limit.
    pub(crate) async fn run<T, E: Transient>(&self, what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
        let (mut brisk, mut calm) = (ceilings(), calm());
        let mut throttled = false;
        let mut full = None;
        let result = loop {
            let error = match attempt().await {
                Ok(value) => break Ok(value),
                Err(error) => error,
            };
            let Some(pace) = error.pace() else { break Err(error) };
            let left = self.left(pace);
            let is_last = left < pace.base();
            if is_last {
                break Err(if error.is_cut_short() { full.unwrap_or(error) } else { error });
            }
            let any = jitter_with_bounds(0.0, 1.0);
            let around = jitter_with_bounds(0.75, 1.25);
            let delay = match pace {
                Pace::Brisk => any(brisk.next().unwrap_or_default()),
                Pace::Refused => around(calm.next().unwrap_or_default()),
                Pace::Throttled if !throttled => any(pace.base()),
                Pace::Throttled => around(throttled_wait(self.deadline.elapsed())),
            };
            throttled |= pace == Pace::Throttled;
            // A wait that is cut short leaves the attempt after it as much time as it takes itself.
            let delay = delay.min(left / 2);
            self.report(what, &error, delay);
            if full.is_none() || !error.is_cut_short() {
                full = Some(error);
            }
            sleep(delay).await;
            if pace != Pace::Brisk {
                // It was asked to wait so long.
                self.deadline.heard();
            }
        };
        Self::take(&mut self.rows.borrow_mut(), what);
        result
    }

    /// Waits a moment, 25 to 50 ms, before a throttled call that has to be made within `left` is made again, and logs why as
    /// [`Retry::run`] does. `false` if no time is left for that.
    ///
    /// For a call that what was learned by another call allows only for so long: where calls are scarce, it is better to spend some on
    /// this one than to have to learn it again.
    pub(crate) async fn soon(&self, left: Duration, what: &str, error: &impl Transient) -> bool {
        let delay = jitter_with_bounds(0.5, 1.0)(Duration::from_millis(50));
        if left.min(self.deadline.left()) <= delay {
            return false;
        }
        self.deadline.heard();
        self.report(what, error, delay);
        sleep(delay).await;
        true
    }

    /// How long to go on after such a failure.
    fn left(&self, pace: Pace) -> Duration {
        if pace == Pace::Brisk {
            return self.deadline.left();
        }
        self.deadline.heard();
        let left = self.deadline.left_for_answers();
        if pace == Pace::Throttled {
            return left;
        }
        let now = Instant::now();
        let row = self.refused.get().filter(|(_, last)| now.duration_since(*last) < self.refusal_limit);
        let since = row.map_or(now, |(since, _)| since);
        self.refused.set(Some((since, now)));
        left.min(self.refusal_limit.saturating_sub(now.duration_since(since)))
    }

    fn report(&self, what: &str, error: &impl Transient, delay: Duration) {
        let mut rows = self.rows.borrow_mut();
        let reason = error.reason();
        if let Some(row) = rows.iter_mut().find(|row| row.what == what && row.reason == reason) {
            row.count += 1;
            if row.since.elapsed() >= row.next {
                row.next *= 2;
                log::warn!("{what}: {reason}; {row}, and trying again");
            }
            return;
        }
        Self::take(&mut rows, what);
        rows.push(Row { what: what.to_owned(), reason, since: Instant::now(), count: 0, next: FIRST_REPORT });
        log::warn!("{what}: {error}; trying again in {} ms", delay.as_millis());
    }

    /// Tells of the row that has ended.
    fn take(rows: &mut Vec<Row>, what: &str) {
        let Some(at) = rows.iter().position(|row| row.what == what) else { return };
        let row = rows.swap_remove(at);
        if row.count > 0 {
            log::warn!("{what}: {row}");
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.since.elapsed().as_secs_f64();
        match self.count {
            1 => write!(f, "the same once more within {seconds:.1} s"),
            count => write!(f, "the same {count} more times within {seconds:.1} s"),
        }
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
        let result: Result<(), _> = Retry::until(Deadline::after(limit))
            .run("call", async || {
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
        let retry = || Retry::until(Deadline::after(Duration::from_secs(3600)).without_response_for(Duration::from_secs(120)));
        for (busy, least, most) in [(0, 110, 120), (300, 300, 660), (3600, 2400, 3600)] {
            let start = Instant::now();
            let result: Result<(), _> = retry()
                .run("call", async || {
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
    async fn what_follows_a_long_throttling_is_tried_again_as_well() {
        let retry = Retry::until(Deadline::after(Duration::from_secs(3600)).without_response_for(Duration::from_secs(120)));
        sleep(Duration::from_secs(1800)).await;
        retry.deadline().heard();
        let mut count = 0;
        let result: Result<(), _> = retry
            .run("call", async || {
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
        let result: Result<(), _> = Retry::until(Deadline::after(Duration::from_secs(limit)))
            .run("call", async || {
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
    async fn a_call_is_made_again_soon_only_while_there_is_time() {
        let end = Instant::now() + Duration::from_secs(1);
        let mut count = 0;
        let retry = Retry::until(Deadline::after(Duration::from_secs(60)));
        while retry.soon(end.saturating_duration_since(Instant::now()), "call", &Fault(Some(Pace::Throttled))).await {
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
    async fn what_is_refused_for_now_is_tried_for_as_long_as_that_and_a_later_refusal_anew() {
        let retry = || Retry::until(Deadline::after(Duration::from_secs(3600))).outlasting_refusals_for(Duration::from_secs(60));
        let start = Instant::now();
        let result: Result<(), _> = retry().run("call", async || Err(Fault(Some(Pace::Refused)))).await;
        assert!(result.is_err());
        assert!((55..=60).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        let (start, mut busy) = (Instant::now(), 0);
        let result: Result<(), _> = retry()
            .run("call", async || {
                busy += 1;
                Err(Fault(Some(if busy == 1 || start.elapsed().as_secs() > 600 { Pace::Refused } else { Pace::Throttled })))
            })
            .await;
        assert!(result.is_err());
        assert!(start.elapsed().as_secs() > 650, "{:?}", start.elapsed());
        assert_eq!(attempts_within(Duration::from_secs(60), Some(Pace::Refused)).await.0, 1, "who does not wait for it ends at once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_the_deadline_cut_short_does_not_hide_the_reason() {
        struct Cut(&'static str, bool);
        impl fmt::Display for Cut {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Transient for Cut {
            fn pace(&self) -> Option<Pace> {
                Some(Pace::Brisk)
            }
            fn is_cut_short(&self) -> bool {
                self.1
            }
        }
        for (first, expected) in [(Cut("fault", false), "fault"), (Cut("first", true), "first")] {
            let mut first = Some(first);
            let retry = Retry::until(Deadline::after(Duration::from_secs(5)));
            let result: Result<(), _> = retry.run("call", async || Err(first.take().unwrap_or(Cut("cut short", true)))).await;
            assert_eq!(result.err().map(|error| error.0), Some(expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn success_ends_the_tries() {
        let mut left = 3;
        let result = Retry::until(Deadline::after(Duration::from_secs(60)))
            .run("call", async || {
                left -= 1;
                if left == 0 { Ok(7) } else { Err(Fault(Some(Pace::Brisk))) }
            })
            .await;
        assert_eq!(result.unwrap(), 7);
    }
}
