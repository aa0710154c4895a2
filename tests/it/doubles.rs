//! What the pure EC2 of the tests does, without which nothing that is tested against it means anything.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::account::{Account, Bucket, Limit, Refusal, Sight, View};

const IP: &str = "203.0.113.25";
const OTHER: &str = "203.0.113.26";

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn account() -> Account {
    Account::new([IP, OTHER])
}

/// Who has the address in the eyes of the next describe.
fn described(account: &mut Account, now: u64) -> Option<&str> {
    let sight = account.look(at(now));
    account.seen(IP, sight).map(|held| held.owner.as_str())
}

#[test]
fn a_change_acts_on_the_present_whatever_a_describe_shows() {
    let mut account = account();
    account.set_view(View::Late(at(1000)));
    let mine = account.associate(at(0), IP, "me", None, true).unwrap();
    assert_eq!(account.associate(at(10), IP, "peer", None, false), Err(Refusal::AlreadyAssociated));
    let theirs = account.associate(at(10), IP, "peer", None, true).unwrap();
    assert_eq!(described(&mut account, 20), None);
    assert_eq!(account.disassociate(at(20), &mine), Err(Refusal::NoSuchAssociation));
    assert_eq!(account.held(IP).unwrap().owner, "peer");
    account.disassociate(at(30), &theirs).unwrap();
    assert_eq!(account.held(IP), None);
    assert_eq!(account.disassociate(at(40), &theirs), Err(Refusal::NoSuchAssociation));
    assert_eq!(account.associate(at(50), "203.0.113.99", "me", None, true), Err(Refusal::NoSuchAddress));
}

#[test]
fn an_association_id_is_never_used_again() {
    let mut account = account();
    let mut ids = Vec::new();
    for owner in ["me", "me", "peer", "me"] {
        ids.push(account.associate(at(0), IP, owner, None, true).unwrap());
        ids.push(account.associate(at(0), OTHER, owner, None, true).unwrap());
    }
    account.disassociate(at(0), &ids[6]).unwrap();
    ids.push(account.associate(at(0), IP, "me", None, true).unwrap());
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn an_associate_to_the_same_place_is_a_new_association_or_the_same_one_as_told() {
    let eth1 = || Some(("eni-1".to_owned(), "10.0.1.4".to_owned()));
    let mut account = account();
    let first = account.associate(at(0), IP, "me", None, true).unwrap();
    let second = account.associate(at(0), IP, "me", None, false).unwrap();
    assert_ne!(first, second);
    account.keep_associations();
    assert_eq!(account.associate(at(0), IP, "me", None, false).unwrap(), second);
    assert_eq!(account.associate(at(0), IP, "me", eth1(), false), Err(Refusal::AlreadyAssociated));
    assert_ne!(account.associate(at(0), IP, "me", eth1(), true).unwrap(), second);
}

#[test]
fn a_late_describe_shows_what_was_so_that_long_ago_and_never_what_was_before_it_became_late() {
    let mut account = account();
    account.associate(at(0), IP, "old", None, true).unwrap();
    account.associate(at(0), IP, "peer", None, true).unwrap();
    account.set_view(View::Late(at(500)));
    account.associate(at(100), IP, "me", None, true).unwrap();
    account.release(at(300), IP).unwrap();
    for (now, seen) in [(100, Some("peer")), (599, Some("peer")), (600, Some("me")), (799, Some("me")), (800, None), (9000, None)] {
        assert_eq!(described(&mut account, now), seen, "after {now} ms");
    }
    account.associate(at(9000), IP, "peer", None, true).unwrap();
    assert_eq!(described(&mut account, 9100), None);
    account.set_view(View::Present);
    assert_eq!(described(&mut account, 9100), Some("peer"));
}

#[test]
fn two_replicas_answer_in_turn_and_each_describe_is_of_one() {
    let mut account = account();
    account.set_view(View::Replicas(at(500)));
    for ip in [IP, OTHER] {
        account.associate(at(1000), ip, "me", None, true).unwrap();
    }
    for expected in [None, Some("me"), None, Some("me")] {
        let sight = account.look(at(1200));
        for ip in [IP, OTHER] {
            assert_eq!(account.seen(ip, sight).map(|held| held.owner.as_str()), expected);
        }
    }
    assert_eq!(account.look(at(1500)), Sight::Then(at(1000)));
    assert_eq!(account.seen(IP, Sight::Then(at(1000))), account.held(IP));
}

#[test]
fn any_of_the_last_versions_can_be_had() {
    let mut account = account();
    for owner in ["one", "two", "three"] {
        account.associate(at(0), IP, owner, None, true).unwrap();
    }
    let seen: Vec<_> = (0..6).map(|changes| account.changes_ago(IP, changes).map(|held| held.owner.as_str())).collect();
    assert_eq!(seen, [Some("three"), Some("two"), Some("one"), None, None, None]);
    assert_eq!(account.history(IP).len(), 4);
}

#[test]
fn a_bucket_grants_what_it_holds_and_what_comes_in() {
    let limit = Limit { size: 3.0, refill: 5.0 };
    let taken = |charged: bool, every: u64| {
        let mut bucket = Bucket::new(limit, charged, at(0));
        (0..=2000 / every).filter(|number| bucket.draw(at(number * every))).count()
    };
    for charged in [false, true] {
        assert_eq!(taken(charged, 2000), 2);
        assert_eq!(taken(charged, 200), 11, "no more than come in");
    }
    assert_eq!((taken(false, 10), taken(true, 10)), (13, 3), "where a refusal is charged, who asks all the time gets nothing");
}
