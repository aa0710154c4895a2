//! How long a call may take, and for how long it tries again what failed.

use std::time::Duration;

use super::Request;
use crate::config::Config;
use crate::deadline::Deadline;
use crate::ids::Target;
use crate::retry::Retry;
use crate::takeover::operation::Act;
use crate::takeover::store::Store;

/// The deadline of a stop after a failed stop. Heartbeat makes eleven tries before it asks for the status.
const STOP_AGAIN: Duration = Duration::from_secs(2);

/// How long a start tries again what EC2 or the metadata service refuses for now: under Heartbeat and keepalived nobody else does.
const REFUSAL_LIMIT: Duration = Duration::from_secs(60);

/// The same for a caller with a limit of its own, which starts it elsewhere.
const REFUSAL_LIMIT_OF_CALLER: Duration = Duration::from_secs(10);

/// How long the call may take at the most, and how it tries until then. A caller's own limit is all that counts.
pub(super) fn patience(request: &Request, config: &Config, store: &impl Store) -> (Duration, Retry) {
    let limit = request.limit.unwrap_or_else(|| limit(request.act, config, store));
    let deadline = Deadline::after(limit);
    let retry = match (request.act, request.limit) {
        (Act::Start, None) => {
            Retry::until(deadline.without_response_for(config.timeouts.no_response_limit)).outlasting_refusals_for(REFUSAL_LIMIT)
        }
        (Act::Start, Some(_)) => Retry::until(deadline).outlasting_refusals_for(REFUSAL_LIMIT_OF_CALLER),
        (Act::Stop | Act::Status, _) => Retry::until(deadline),
    };
    (limit, retry)
}

fn limit(act: Act, config: &Config, store: &impl Store) -> Duration {
    let has_failed = |target: &Target| store.read(target).is_ok_and(|state| state.has_failed_stop());
    match act {
        Act::Start => config.timeouts.start,
        Act::Stop if config.targets.iter().any(has_failed) => STOP_AGAIN.min(config.timeouts.stop),
        Act::Stop => config.timeouts.stop,
        Act::Status => config.timeouts.status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    use tokio::time::sleep;

    use crate::clock;
    use crate::config::Sources;
    use crate::ec2::{Address, Error, Kind, Response, Tie};
    use crate::ids::{AssociationId, Destination, InterfaceId, Name};
    use crate::instance;
    use crate::takeover::operation::{Cloud, Operation, Pauses, World};
    use crate::takeover::store::Folder;

    /// An EC2, and perhaps a metadata service, that meets every question with this, after a time.
    struct Faulty {
        kind: Kind,
        after: Duration,
        knows_itself: bool,
    }

    impl Faulty {
        async fn error<T>(&self) -> Result<T, Error> {
            sleep(self.after).await;
            Err(Error::new(self.kind.clone(), ""))
        }
    }

    impl Cloud for Faulty {
        async fn destination(&self, _: &Target) -> Result<Destination, instance::Error> {
            if self.knows_itself {
                return Ok(Destination { instance: "i-0aaaaaaaaaaaaaaaa".parse().unwrap(), interface: None, private: None });
            }
            sleep(Duration::from_secs(1)).await;
            Err(instance::Error::new(instance::Kind::Unavailable { is_cut_short: false }, ""))
        }

        async fn primary(&self) -> Result<Option<InterfaceId>, instance::Error> {
            Ok(None)
        }

        async fn describe(&self, targets: &[Target]) -> Vec<Result<Address, Error>> {
            let error: Result<Address, Error> = self.error().await;
            vec![error; targets.len()]
        }

        async fn associate(&self, _: &Name, _: &Destination, _: bool) -> Result<Response<Option<AssociationId>>, Error> {
            self.error().await
        }

        async fn disassociate(&self, _: &Tie) -> Result<Response<()>, Error> {
            self.error().await
        }
    }

    fn request(act: Act, address: &str, allowed: Option<u64>) -> Request {
        let sources = Sources { root: "/nonexistent".into(), targets: vec![address.parse().unwrap()], ..Sources::default() };
        Request { limit: allowed.map(Duration::from_secs), ..Request::new(act, sources) }
    }

    /// An EC2 that acknowledges what it is asked for, and whose describes do not show it.
    struct Behind;

    impl Cloud for Behind {
        async fn destination(&self, _: &Target) -> Result<Destination, instance::Error> {
            Ok(Destination { instance: "i-0aaaaaaaaaaaaaaaa".parse().unwrap(), interface: None, private: None })
        }

        async fn primary(&self) -> Result<Option<InterfaceId>, instance::Error> {
            Ok(None)
        }

        async fn describe(&self, targets: &[Target]) -> Vec<Result<Address, Error>> {
            let address =
                Address { public: Ipv4Addr::new(203, 0, 113, 25), allocation: Some("eipalloc-1".parse().unwrap()), association: None };
            vec![Ok(address); targets.len()]
        }

        async fn associate(&self, _: &Name, _: &Destination, _: bool) -> Result<Response<Option<AssociationId>>, Error> {
            Ok(Response { value: Some("eipassoc-1".parse().unwrap()), request: String::new() })
        }

        async fn disassociate(&self, _: &Tie) -> Result<Response<()>, Error> {
            Ok(Response { value: (), request: String::new() })
        }
    }

    /// Whether a start is done that meets this, and how long it goes on, in seconds.
    async fn start(address: &str, allowed: Option<u64>, cloud: &impl Cloud) -> (bool, u64) {
        let request = request(Act::Start, address, allowed);
        let config = Config::load(&request.sources, &|_| None).unwrap();
        let store = Folder::new("/nonexistent".into());
        let (_, retry) = patience(&request, &config, &store);
        let begun = tokio::time::Instant::now();
        let world = World { cloud, store: &store, retry: &retry, clock: &clock::now, begun: clock::now(), pauses: Pauses::default() };
        let operation = Operation::new(Act::Start, &config.targets, request.rules(&config), world);
        let is_done = operation.run(&config.targets[0]).await.is_ok();
        (is_done, begun.elapsed().as_secs())
    }

    /// How long a start goes on that fails of this, in seconds.
    async fn start_lasts(address: &str, cloud: &Faulty) -> u64 {
        let (is_done, lasted) = start(address, None, cloud).await;
        assert!(!is_done);
        lasted
    }

    #[tokio::test(start_paused = true)]
    async fn an_ocf_start_waits_ten_seconds_for_ec2_to_catch_up() {
        let (is_done, lasted) = start("203.0.113.25", Some(57), &Behind).await;
        assert!(is_done && (5..=10).contains(&lasted), "{is_done}, {lasted} s");
        let (is_done, lasted) = start("203.0.113.25", None, &Behind).await;
        assert!(is_done && lasted == 0, "another start: {is_done}, {lasted} s");
    }

    #[tokio::test(start_paused = true)]
    async fn an_ocf_start_gives_a_refusal_ten_seconds_for_another_node_may_do_better() {
        let refusing = Faulty { kind: Kind::NotYet("UnauthorizedOperation".to_owned()), after: Duration::ZERO, knows_itself: true };
        let (is_done, lasted) = start("203.0.113.25", Some(47), &refusing).await;
        assert!(!is_done && (5..=10).contains(&lasted), "{is_done}, {lasted} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_has_one_deadline_for_all_that_it_asks() {
        let silent = |knows_itself| Faulty { kind: Kind::Unsent, after: Duration::from_secs(2), knows_itself };
        let throttled = Faulty { kind: Kind::Throttled, after: Duration::ZERO, knows_itself: true };
        // With an allocation id the change is the first request.
        for address in ["203.0.113.25", "eipalloc-0123456789abcdef0"] {
            for knows_itself in [true, false] {
                let lasted = start_lasts(address, &silent(knows_itself)).await;
                assert!((110..=122).contains(&lasted), "{address}, {knows_itself}: {lasted} s");
            }
            let lasted = start_lasts(address, &throttled).await;
            assert!((2400..=3600).contains(&lasted), "{address}: {lasted} s");
        }
    }

    /// How long a call goes on where EC2 meets it with nothing but this, in seconds.
    async fn lasts(act: Act, start_timeout: Option<&str>, allowed: Option<u64>, kind: Kind) -> u64 {
        let request = request(act, "203.0.113.25", allowed);
        let environment = |name: &str| start_timeout.filter(|_| name == "START_TIMEOUT").map(str::to_owned);
        let config = Config::load(&request.sources, &environment).unwrap();
        let begun = tokio::time::Instant::now();
        let (limit, retry) = patience(&request, &config, &Folder::new("/nonexistent".into()));
        let result: Result<(), _> = retry.run("call", async || Err(Error::new(kind.clone(), ""))).await;
        assert!(result.is_err() && begun.elapsed() <= limit, "{act}");
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_waits_for_a_silent_ec2_for_two_minutes_and_for_a_busy_one_for_an_hour() {
        assert!((110..=120).contains(&lasts(Act::Start, None, None, Kind::Unsent).await));
        assert!((2400..=3600).contains(&lasts(Act::Start, None, None, Kind::Throttled).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_outlasts_a_refusal_that_may_pass_for_a_minute_and_under_pacemaker_for_some_seconds() {
        let refused = || Kind::NotYet("AuthFailure".to_owned());
        assert!((50..=60).contains(&lasts(Act::Start, None, None, refused()).await));
        assert!((5..=10).contains(&lasts(Act::Start, None, Some(450), refused()).await));
        for action in [Act::Stop, Act::Status] {
            assert_eq!(lasts(action, None, None, refused()).await, 0, "{action}");
        }
        assert_eq!(lasts(Act::Start, None, None, Kind::Refused("InvalidParameterValue".to_owned())).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_keeps_the_limit_that_it_is_given_whatever_ec2_says() {
        for kind in [Kind::Unsent, Kind::Throttled] {
            assert!((190..=300).contains(&lasts(Act::Start, Some("300"), None, kind.clone()).await));
            assert!((300..=450).contains(&lasts(Act::Start, Some("1"), Some(450), kind.clone()).await));
            assert!((3..=5).contains(&lasts(Act::Status, Some("300"), None, kind).await));
        }
    }
}
