//! The configuration file beside a real shell: whatever this program takes, dash reads the same.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::properties::text_of;
use crate::stage::folder;

/// A line that sets `NO_PROXY`, which takes any text, to what a shell reads in many ways.
fn assignment() -> impl Strategy<Value = String> {
    const PLAIN: &[&str] = &[
        "a", "B", "1", "=", "/", ":", ",", ".", "-", "+", "%", "@", "!", "^", "*", "?", "[", "]", "{", "}", "~", "~/", "é", "\u{a0}",
        "\u{3000}", "\u{141}", "\u{2028}", "😀",
    ];
    const ODD: &[&str] = &["\\", "'", "\"", "#", " ", "\t", " #", "$", "`", ";", "&", "|", "<", ">", "(", ")", "\\\n", "\n"];
    let plain = || select(PLAIN).prop_map(str::to_owned);
    let single = vec(prop_oneof![4 => select(PLAIN), 1 => select(&["\\", "\"", "#", " ", "$a", "`", ";", "\t"][..])], 0..4)
        .prop_map(|parts| format!("'{}'", parts.concat()));
    let double =
        vec(prop_oneof![4 => select(PLAIN), 1 => select(&["\\\\", "\\\"", "\\$", "\\`", "\\a", "\\'", "'", "#", " ", ";", "$"][..])], 0..4)
            .prop_map(|parts| format!("\"{}\"", parts.concat()));
    let escaped = select(&["\\ ", "\\\\", "\\'", "\\\"", "\\#", "\\$", "\\;", "\\a", "\\~", "\\é", "\\\t"][..]).prop_map(str::to_owned);
    let piece = prop_oneof![6 => plain(), 3 => single, 3 => double, 3 => escaped, 2 => select(ODD).prop_map(str::to_owned)];
    let before = select(
        &[
            "",
            "",
            "export ",
            " ",
            "\t",
            "export\t ",
            "\u{a0}",
            "export \u{3000}",
            "OTHER='x'\n",
            "# c\n",
            "export A B\n",
            "NO_PROXY=before\n",
        ][..],
    );
    let after = select(&["", "", "\n", " ", " # c", "\t#'\n", "\u{a0}", "\u{2003}\n", "\nexport NO_PROXY\n", "\nOTHER=y\n", "#"][..]);
    (before, vec(piece, 0..6), after).prop_map(|(before, pieces, after)| format!("{before}NO_PROXY={}{after}", pieces.concat()))
}

/// What dash makes of `NO_PROXY` after it has sourced each file, or `None` where it stops before the file's end.
fn sourced_by_dash(contents: &[String]) -> Vec<Option<String>> {
    const SCRIPT: &str = "for number in $(seq $1); do (. ./$number 2>/dev/null; printf '%s' \"$NO_PROXY\" >$number.out); done";
    let folder = folder();
    for (number, content) in (1..).zip(contents) {
        fs::write(folder.path().join(format!("{number}")), content).unwrap();
    }
    // Without a PATH nothing can be run, whatever a file says; seq is therefore counted out here.
    let numbers: String = (1..=contents.len()).map(|number| format!("{number} ")).collect();
    let script = SCRIPT.replace("$(seq $1)", &numbers);
    let mut dash = Command::new("/bin/dash");
    dash.env_clear().env("PATH", "/nonexistent").env("HOME", "/home/me").current_dir(&folder).args(["-c", &script]).stdin(Stdio::null());
    assert!(dash.status().unwrap().success());
    (1..=contents.len()).map(|number| fs::read_to_string(folder.path().join(format!("{number}.out"))).ok()).collect()
}

/// Whatever this program takes, a shell reads the same. It may refuse what a shell would take.
fn assert_read_as_by_dash(contents: Vec<String>) -> usize {
    let (taken, values): (Vec<String>, Vec<String>) =
        contents.into_iter().filter_map(|content| Some((content.clone(), text_of(&content).ok()?))).unzip();
    let mut differences: Vec<String> = Vec::new();
    for ((content, ours), theirs) in taken.iter().zip(values).zip(sourced_by_dash(&taken)) {
        // The program takes the spaces around a value away, whoever put them there.
        if theirs.as_deref().map(str::trim) != Some(ours.as_str()) {
            differences.push(format!("{content:?} is {ours:?} here and {theirs:?} to dash"));
        }
    }
    differences.sort_by_key(String::len);
    assert!(differences.is_empty(), "{} of {}: {:#?}", differences.len(), taken.len(), &differences[..differences.len().min(10)]);
    taken.len()
}

#[test]
fn what_is_taken_of_a_configuration_file_a_shell_reads_the_same() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let lines = (0..1500).map(|_| assignment().new_tree(&mut runner).unwrap().current()).collect();
    let taken = assert_read_as_by_dash(lines);
    assert!(taken > 150, "only {taken} lines were taken");
}

#[test]
fn what_is_taken_of_the_fuzzed_configuration_files_a_shell_reads_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/defaults_file");
    let contents = fs::read_dir(folder).unwrap().filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    // The one command that is understood is not read as a shell would, and must not be run.
    let without_command = contents.filter(|content| !content.contains("meta-data/instance-id")).collect();
    assert!(assert_read_as_by_dash(without_command) > 0);
}
