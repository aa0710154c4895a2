//! The rows as docs/reliability.md shows them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;

use super::rows::{AGAIN, End, Ends, Side, rows};
use crate::stage::ME;

const BEGIN: &str = "<!-- the table of tests/it/matrix.rs -->\n";
const END: &str = "<!-- its end -->\n";

fn document() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md")
}

/// A row for each way in which calls end, with all the faults that they meet so.
fn table() -> String {
    let mut faults: BTreeMap<(Side, Ends), Vec<String>> = BTreeMap::new();
    for row in rows() {
        faults.entry((row.side, row.ends)).or_default().push(row.name);
    }
    let mut text = "| at fault | status | start | stop | faults |\n|---|---|---|---|---|\n".to_owned();
    for ((side, [here, elsewhere, start, stop]), names) in faults {
        let side = match side {
            Side::Ec2 => "EC2, or the way there",
            Side::Id => "the metadata service, asked for the id",
            Side::Keys => "the metadata service, asked for keys",
        };
        let status = if here == elsewhere { cell(here) } else { format!("{} or {}", cell(here), cell(elsewhere)) };
        text += &format!("| {side} | {status} | {} | {} | {} |\n", cell(start), cell(stop), names.join("; "));
    }
    text
}

fn cell(End(stdout, code, changes): End) -> String {
    let word = stdout.lines().last().unwrap_or_default().trim_start_matches("elastic-ip remapper: ");
    let word = word.replace(&format!(" to {ME}"), "").replace(&format!(" with {ME}"), "").replace(" 203.0.113.25", "");
    let changes = match changes {
        0 => String::new(),
        1 => ", 1 change".to_owned(),
        AGAIN => ", the change again and again".to_owned(),
        more => format!(", {more} changes"),
    };
    format!("`{word}` {code}{changes}")
}

fn split(text: &str) -> (&str, &str, &str) {
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    (before, table, after)
}

#[test]
fn the_document_has_this_table() {
    let text = fs::read_to_string(document()).unwrap();
    let (before, shown, after) = split(&text);
    if env::var_os("WRITE_TABLE").is_some() {
        return fs::write(document(), format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
    }
    assert_eq!(shown, table(), "run: WRITE_TABLE=1 cargo test --test it the_document_has_this_table");
}
