//! Files of the form that Python's `configparser` reads, which is the form of `~/.aws` to botocore
//! (<https://docs.python.org/3/library/configparser.html#supported-ini-file-structure>).
//!
//! The crate of that name reads each line with a key, and no more. Given a whole file, it would merge sections and keys that are
//! there twice (Python refuses them), forget the order of sections (the later of two names for a profile counts), take the blanks
//! of a heading away (`[ default ]` is not `[default]`), take a line without a `=` for a key, and a value's further line that
//! begins with `[` for a heading. None of that can be set.

use std::collections::{HashMap, HashSet};

use crate::message::Message;
use configparser::ini::{Ini, IniDefault};

/// A section's values by their keys, which are in small letters. A value may have several lines.
pub(super) type Values = HashMap<String, String>;

/// Sections by the headings that they have, in their order.
pub(super) type Sections = Vec<(String, Values)>;

/// What every section has that does not say otherwise.
const DEFAULTS: &str = "DEFAULT";

/// Reads all sections, in their order. The error tells the line, and what is wrong with it; it shows nothing of the text, which may
/// be a key.
pub(super) fn parse(text: &str) -> Result<Sections, Message> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut sections = Sections::new();
    let mut names = HashSet::new();
    let mut key: Option<String> = None;
    let mut indent = 0;
    for (number, line) in (1..).zip(text.split('\n')) {
        let at = |what: &str, remedy: &'static str| Message::new(format!("line {number}: {what}"), remedy);
        if line.chars().any(|c| (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(at("a control character", "write the line anew"));
        }
        let content = line.trim();
        if content.starts_with(['#', ';']) {
            continue;
        }
        let value = sections.last_mut().zip(key.as_ref()).and_then(|((_, values), key)| values.get_mut(key));
        let depth = line.chars().take_while(|c| c.is_whitespace()).count();
        if let Some(value) = value
            && (content.is_empty() || depth > indent)
        {
            // Where nothing stands beside the key, botocore wants pairs in the lines below.
            if (value.is_empty() || value.starts_with('\n')) && !content.is_empty() && !content.contains('=') {
                return Err(at("a line below a key without a value is not of the form name = value", "write the value beside its key"));
            }
            value.push('\n');
            value.push_str(content);
            continue;
        }
        if content.is_empty() {
            continue;
        }
        indent = depth;
        if let Some(name) = heading(content) {
            if names.insert(name) {
                sections.push((name.to_owned(), Values::new()));
            } else if name != DEFAULTS {
                return Err(at("a section of this name is there already", "put both into one"));
            } else if let Some(index) = sections.iter().position(|(other, _)| other == name) {
                // A later part of it goes on where the earlier one ended.
                let defaults = sections.remove(index);
                sections.push(defaults);
            }
            key = None;
            continue;
        }
        if content.starts_with('[') {
            return Err(at("a section's closing bracket is missing", "write it as [name]"));
        }
        let Some((_, values)) = sections.last_mut() else { return Err(at("it stands before the first [section]", "move it into one")) };
        let (name, value) = pair(content).ok_or_else(|| at("not of the form name = value", "write it so"))?;
        if values.insert(name.clone(), value).is_some() {
            return Err(at("this section has a value of this name already", "remove one"));
        }
        key = Some(name);
    }
    Ok(finish(sections))
}

/// What stands between the first and the last bracket, as it stands there. What follows is dropped.
fn heading(content: &str) -> Option<&str> {
    let inner = content.strip_prefix('[')?;
    Some(&inner[..inner.rfind(']')?]).filter(|name| !name.is_empty())
}

/// A key and the first line of its value.
fn pair(content: &str) -> Option<(String, String)> {
    let mut syntax = IniDefault::default();
    // Within a line these are part of the value: a secret key may hold any of them.
    syntax.enable_inline_comments = false;
    syntax.comment_symbols = Vec::new();
    syntax.delimiters = vec!['=', ':'];
    syntax.case_sensitive = false;
    let sections = Ini::new_from_defaults(syntax).read(content.to_owned()).ok()?;
    let (name, value) = sections.into_values().next()?.into_iter().next()?;
    Some((name, value?))
}

/// Gives each section what it does not say itself.
fn finish(mut sections: Sections) -> Sections {
    let defaults = sections.iter().position(|(name, _)| name == DEFAULTS).map(|index| sections.remove(index).1).unwrap_or_default();
    for (_, values) in &mut sections {
        for (name, value) in &defaults {
            values.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for value in values.values_mut() {
            value.truncate(value.trim_end().len());
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<String> {
        let sections = parse(text).unwrap();
        sections.into_iter().find(|(name, _)| name == "a")?.1.remove("key")
    }

    #[test]
    fn values_are_read_as_python_reads_them() {
        for (text, read) in [
            ("[a]\nKey = x # y ; z\n", "x # y ; z"),
            ("[a]\nkey: x = y\n", "x = y"),
            ("[a]\nkey=: x\n", ": x"),
            ("[a]\nkey =\n", ""),
            ("[a] # b\nkey = x\n", "x"),
            ("[a]\n  key = x\n  other = y\n", "x"),
            ("[a]\nkey = x\n\n  y\n# z\n  [b]\n", "x\n\ny\n[b]"),
            ("[a]\nkey =\n  s = t\n", "\ns = t"),
            ("[DEFAULT]\nkey = x\n[a]\n", "x"),
            ("[DEFAULT]\nkey = x\n[a]\nkey = y\n[DEFAULT]\nother = z\n", "y"),
            ("[a]\rkey = x\r", "x"),
        ] {
            assert_eq!(value(text).as_deref(), Some(read), "{text:?}");
        }
        for text in ["[ a ]\nkey = x", "[b]\nkey = x", "[a]]\nkey = x", "[DEFAULT]\nkey = x"] {
            assert_eq!(value(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_python_refuses_is_refused_with_its_line_and_without_a_word_of_it() {
        for text in [
            "\nsecret",
            "[b]\nsecret",
            "[b]\n= secret",
            "[b]\n[secret",
            "[b]\n[b]",
            "[b]\nsecret=1\nSECRET=2",
            "[DEFAULT]\n[DEFAULT]\nsecret=1\nsecret=2",
            "[b]\n\u{1}",
            "[b]\nsecret =\n  secret",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with("line ") && !error.starts_with("line 1:") && !error.contains("secret"), "{text:?}: {error}");
        }
    }
}
