//! `keepalived.conf` with the files that it includes, as `lib/parser.c` of keepalived 2.2 and 2.3 reads them.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::iter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::{RESOURCE, lenient};
use crate::file::{self, unfit};

/// What keepalived runs for this program.
const SCRIPTS: [&str; 2] = [RESOURCE, "follow-keepalived"];

/// How many files are read, and how many patterns a line may stand for.
const MANY: usize = 256;

/// Whether one of the files runs this program. What cannot be read is reported only if no other does.
pub(super) fn names_it(root: &Path, main: &Path) -> Result<bool, file::Error> {
    let mut files = Files { root, waiting: vec![main.to_owned()], unread: None };
    let mut known = HashSet::new();
    while let Some(file) = files.waiting.pop() {
        // A file may include itself, and be reached by many ways.
        let folder = file.parent().unwrap_or(root);
        if !known.insert(folder.canonicalize().unwrap_or(folder.to_owned()).join(file.file_name().unwrap_or_default())) {
            continue;
        }
        if known.len() > MANY {
            files.note(too_many(main));
            break;
        }
        match files.look_into(&file) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) if error.kind == file::Kind::Missing && file != main => {}
            Err(error) => files.note(error),
        }
    }
    files.unread.map_or(Ok(false), Err)
}

/// The files that are to be read.
struct Files<'a> {
    root: &'a Path,
    waiting: Vec<PathBuf>,
    /// Why there may be more.
    unread: Option<file::Error>,
}

impl Files<'_> {
    fn note(&mut self, error: file::Error) {
        self.unread.get_or_insert(error);
    }

    /// Whether a file runs this program. What it includes is to be read as well.
    fn look_into(&mut self, file: &Path) -> Result<bool, file::Error> {
        check_kind(file)?;
        let text = lenient(file)?;
        for line in text.split('\n') {
            let line = uncommented(line.trim_end_matches('\r'));
            for statement in statements(&line) {
                match included(statement) {
                    Some(pattern) => self.include(file, pattern),
                    None if runs_it(statement) => return Ok(true),
                    None => {}
                }
            }
        }
        Ok(false)
    }

    /// Adds what a pattern in a file stands for.
    fn include(&mut self, file: &Path, pattern: &str) {
        let Some(patterns) = alternatives(pattern) else { return self.note(too_many(file)) };
        for pattern in patterns {
            let mut found = vec![if pattern.starts_with('/') { self.root } else { file.parent().unwrap_or(self.root) }.to_owned()];
            for name in pattern.split('/').filter(|name| !name.is_empty()) {
                found = found.iter().flat_map(|folder| self.matching(folder, name)).collect();
                if found.len() > MANY {
                    return self.note(too_many(file));
                }
            }
            // Who includes all that is in a folder does not mean the folders in it.
            self.waiting.extend(found.into_iter().filter(|path| !is_wild(&pattern) || !path.is_dir()));
        }
    }

    /// What a folder has of names that match, as the C library's `glob` matches one, save classes such as `[:alpha:]`.
    fn matching(&mut self, folder: &Path, name: &str) -> Vec<PathBuf> {
        let Some(pattern) = Some(name).filter(|name| is_wild(name)).and_then(|name| Pattern::new(&in_the_crate_s_words(name)).ok()) else {
            let path = folder.join(without_backslashes(name));
            return if path.exists() { vec![path] } else { Vec::new() };
        };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries.filter_map(Result::ok),
            Err(error) => {
                if error.kind() == ErrorKind::PermissionDenied {
                    self.note(unfit(format!("cannot look into {}: permission denied", folder.display()), "run as root"));
                }
                return Vec::new();
            }
        };
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        let matching = entries.filter(|entry| pattern.matches_with(&entry.file_name().to_string_lossy(), options));
        matching.map(|entry| entry.path()).collect()
    }
}

fn is_wild(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// keepalived passes over what is not a regular file, or may be executed.
fn check_kind(file: &Path) -> Result<(), file::Error> {
    let shown = file.display();
    match fs::metadata(file) {
        Ok(about) if !about.is_file() => {
            Err(unfit(format!("keepalived passes over {shown}, which is not a regular file"), "include the files that are meant"))
        }
        Ok(about) if about.permissions().mode() & 0o111 != 0 => {
            Err(unfit(format!("keepalived passes over {shown}, which is executable"), format!("run: chmod a-x {shown}")))
        }
        // What stands against reading it is reported by whoever reads it.
        _ => Ok(()),
    }
}

fn too_many(file: &Path) -> file::Error {
    unfit(format!("{} includes more than {MANY} files", file.display()), "look whether one of them names elastic-ip")
}

/// A line without its comment. `#` and `!` begin one, but not in double quotes nor after a backslash.
fn uncommented(line: &str) -> String {
    let mut text = String::new();
    let mut is_quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' | '!' if !is_quoted => break,
            '\\' => match chars.next() {
                Some(escaped @ ('#' | '!')) if !is_quoted => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
                // It stays, without what stands before it.
                None => return format!("{}\\", text.trim_matches([' ', '\t'])),
            },
            _ => {
                is_quoted ^= c == '"';
                text.push(c);
            }
        }
    }
    text.trim_matches([' ', '\t']).to_owned()
}

/// The statements of a line, which braces part. `@` with the node that one is for, which is not looked at, is taken away.
fn statements(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    iter::from_fn(move || {
        let mut text = rest?.trim_start_matches([' ', '\t']);
        while text.starts_with('@') {
            text = text.split_once([' ', '\t']).map_or("", |(_, after)| after.trim_start_matches([' ', '\t']));
        }
        let mut is_quoted = false;
        let is_brace = |c| {
            is_quoted ^= c == '"';
            !is_quoted && matches!(c, '{' | '}')
        };
        // Braces in what is included are the pattern's.
        let brace = if included(text).is_some() { None } else { text.find(is_brace) };
        rest = brace.map(|at| &text[at + 1..]);
        Some(brace.map_or(text, |at| &text[..at]))
    })
}

/// The pattern of an `include`.
fn included(statement: &str) -> Option<&str> {
    let words = statement.strip_prefix("include")?;
    let words = words.strip_prefix(['r', 'm', 'w', 'b', 'a']).unwrap_or(words);
    Some(words.strip_prefix(|c: char| c.is_ascii_whitespace())?.trim_start_matches([' ', '\t']))
}

/// A script by its path, or by its name where keepalived would look for it. One that tells how this node is moves nothing.
fn runs_it(statement: &str) -> bool {
    let mut words = statement.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).filter(|word| !word.is_empty());
    let is_path = |word: &str| word.rsplit_once('/').is_some_and(|(_, name)| SCRIPTS.contains(&name));
    let (keyword, first) = (words.next().unwrap_or_default(), words.next());
    let is_name = keyword.contains("notify") && first.is_some_and(|word| SCRIPTS.contains(&word));
    keyword != "script" && (is_name || is_path(keyword) || first.is_some_and(is_path) || words.any(is_path))
}

/// What braces stand for: `{a,b}/*.conf` for `a/*.conf` and `b/*.conf`. None where that is too much.
fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let mut whole = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(text) = open.pop() {
        match first_braces(&text) {
            Some((before, choices, after)) => open.extend(choices.iter().rev().map(|choice| format!("{before}{choice}{after}"))),
            None => whole.push(text),
        }
        if open.len() + whole.len() > MANY {
            return None;
        }
    }
    Some(whole)
}

/// The first pair of braces, split at the commas between them.
fn first_braces(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    let start = text.find('{')?;
    let mut choices = Vec::new();
    let mut from = start + 1;
    let mut depth = 0;
    for (at, c) in text[start..].char_indices().map(|(at, c)| (start + at, c)) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 || (depth == 1 && c == ',') {
            choices.push(&text[from..at]);
            from = at + 1;
        }
        if depth == 0 {
            return Some((&text[..start], choices, &text[from..]));
        }
    }
    None
}

/// A pattern of the C library in the words of the crate: there a backslash is a character, and `**` stands for folders as well.
fn in_the_crate_s_words(pattern: &str) -> String {
    let mut text = String::new();
    for (c, is_escaped) in unescaped(pattern) {
        match c {
            _ if is_escaped => text.push_str(&Pattern::escape(&c.to_string())),
            '*' if text.ends_with('*') => {}
            _ => text.push(c),
        }
    }
    text.replace("[^", "[!")
}

fn without_backslashes(name: &str) -> String {
    unescaped(name).map(|(c, _)| c).collect()
}

/// The characters of a pattern, and of each whether a backslash stands before it.
fn unescaped(pattern: &str) -> impl Iterator<Item = (char, bool)> {
    let mut chars = pattern.chars();
    iter::from_fn(move || match chars.next()? {
        '\\' => Some((chars.next().unwrap_or('\\'), true)),
        c => Some((c, false)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_runs_it(line: &str) -> bool {
        statements(&uncommented(line)).any(runs_it)
    }

    #[test]
    fn a_script_is_found_where_it_is_run() {
        for line in [
            "notify_master \"/usr/sbin/elastic-ip start\"",
            "notify /usr/libexec/elastic-ip/follow-keepalived",
            "vrrp_instance a { notify_master \"elastic-ip start\" }",
            "@server1 notify_master \"elastic-ip start\"",
            "notify_master \"/bin/sh -c 'sleep 1 # a\\\"; /usr/sbin/elastic-ip start'\"",
            "$RUN=/usr/libexec/elastic-ip/follow-keepalived",
            "notify ${LIBEXEC}/follow-keepalived",
        ] {
            assert!(any_runs_it(line), "{line}");
        }
        for line in [
            "# /usr/sbin/elastic-ip",
            "state MASTER ! /usr/sbin/elastic-ip",
            "vrrp_instance elastic-ip {",
            "vrrp_script a { script \"/usr/sbin/elastic-ip status\" }",
            "notify /usr/local/bin/other",
        ] {
            assert!(!any_runs_it(line), "{line}");
        }
    }

    #[test]
    fn an_include_is_found_where_keepalived_finds_it() {
        for (line, pattern) in [
            ("include a.conf", Some("a.conf")),
            ("  includea\t conf.d/*.conf # all", Some("conf.d/*.conf")),
            ("vrrp_instance a { include {b,c}.conf", Some("{b,c}.conf")),
            ("} include a.conf", Some("a.conf")),
            ("@server1 include a.conf", Some("a.conf")),
            ("include \\#a", Some("#a")),
            ("include", None),
            ("include_check +match", None),
            ("includes a.conf", None),
            ("#include a.conf", None),
            ("! include a.conf", None),
            ("notify \"{ include a.conf\"", None),
        ] {
            assert_eq!(statements(&uncommented(line)).find_map(included), pattern, "{line}");
        }
    }

    #[test]
    fn braces_stand_for_what_they_stand_for_in_the_c_library() {
        assert_eq!(alternatives("{foo/{,cat,dog},bar}x").unwrap(), ["foo/x", "foo/catx", "foo/dogx", "barx"]);
        assert_eq!(alternatives("{a").unwrap(), ["{a"]);
        assert_eq!(alternatives(&"{a,b}".repeat(20)), None);
    }
}
