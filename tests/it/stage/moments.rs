//! Faults that pass, and facts that change, some time after they were first met.
//!
//! The time counts from the first question that meets them: a call on a busy machine may come late, and must meet them nevertheless.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use wiremock::{Match, Request};

/// Matches until this long after its first match. Must be the last of a mock's matchers.
pub struct During {
    time: Duration,
    begun: OnceLock<Instant>,
}

impl During {
    pub fn the_first(time: Duration) -> Self {
        Self { time, begun: OnceLock::new() }
    }
}

impl Match for During {
    fn matches(&self, _: &Request) -> bool {
        self.begun.get_or_init(Instant::now).elapsed() < self.time
    }
}

/// Matches from this long after the first question on. Must be the last of a mock's matchers.
pub struct After(During);

impl After {
    pub fn the_first(time: Duration) -> Self {
        Self(During::the_first(time))
    }
}

impl Match for After {
    fn matches(&self, request: &Request) -> bool {
        !self.0.matches(request)
    }
}
