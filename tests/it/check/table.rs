//! The table of `check`, as it is read.

use crate::stage::Ended;

/// The lines of the table, each as verdict, subject and what stands behind it.
pub fn lines(ended: &Ended) -> Vec<(String, String, String)> {
    let table = ended.stdout.lines().filter(|line| line.len() > "not ready".len());
    let split = table.map(|line| {
        let (verdict, rest) = line.split_at(4);
        let (subject, what) = rest.trim_start().split_once("  ").unwrap();
        (verdict.trim().to_owned(), subject.to_owned(), what.trim_start().to_owned())
    });
    split.collect()
}

/// Demands that the table has this line, and what stands behind the subject holds each of these.
pub fn has(ended: &Ended, verdict: &str, subject: &str, parts: &[&str]) {
    let lines = lines(ended);
    let found = lines.iter().find(|(_, other, _)| other == subject);
    let Some((shown, _, what)) = found else { panic!("no {subject}: {}", ended.stdout) };
    assert_eq!(shown, verdict, "{subject}: {}", ended.stdout);
    for part in parts {
        assert!(what.contains(part), "{part:?} is not in {what:?}");
    }
    if verdict != "ok" {
        assert!(what.contains("; "), "{subject} has no remedy: {what}");
    }
}

/// What verdict the others have than those named.
pub fn others_are_ok(ended: &Ended, but: &[&str]) {
    for (verdict, subject, what) in lines(ended).iter().filter(|(_, subject, _)| !but.iter().any(|name| subject.starts_with(name))) {
        assert_eq!(verdict, "ok", "{subject}: {what}");
    }
}
