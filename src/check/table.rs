//! A check as a table: one line for each fact, and one for all.

use super::{Check, Fact, Verdict};

/// How to show a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As a word.
    Plain,
    /// As a coloured word.
    Coloured,
}

/// The whole table.
pub(super) fn of(check: &Check, style: Style) -> String {
    let width = check.facts.iter().map(|fact| subject(fact).chars().count()).max().unwrap_or_default();
    let mut shown = String::new();
    for fact in &check.facts {
        let remedy = fact.remedy.as_ref().map_or_else(String::new, |remedy| format!("; {remedy}"));
        shown.push_str(&format!("{}  {:width$}  {}{remedy}\n", verdict(fact.verdict, style), subject(fact), fact.what));
    }
    shown.push_str(if check.is_ready() { "ready\n" } else { "not ready\n" });
    shown
}

fn subject(fact: &Fact) -> String {
    match &fact.about {
        Some(target) => format!("{} {target}", fact.name),
        None => fact.name.to_owned(),
    }
}

fn verdict(verdict: Verdict, style: Style) -> String {
    let padded = format!("{:4}", verdict.word());
    if style == Style::Plain {
        return padded;
    }
    let colour = match verdict {
        Verdict::Ok => 32,
        Verdict::Warn => 33,
        Verdict::Fail => 31,
    };
    format!("\u{1b}[{colour}m{padded}\u{1b}[0m")
}
