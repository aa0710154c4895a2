//! What must hold for every input of each parser. tests/it/parsers.rs and the targets in fuzz/ hand them bytes.
//!
//! Each parser is reached through the public function that the program itself calls, over a real file or a real connection.
#![allow(dead_code, unused_imports, reason = "each fuzz target uses one of them")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a property that does not hold is a panic")]

mod answers;
mod configuration;
mod keys;
mod server;
mod words;
mod xml;

pub use answers::{associate_answer, describe_answer, disassociate_answer, error_answer};
pub use configuration::{aws_params, defaults_file, text_of};
pub use keys::{aws_files, metadata_text, role_json, secret_file, sts_answer};
pub use words::{address_word, command_line, escapes};

/// The address that is asked for.
pub const IP: &str = "203.0.113.25";
/// The instance that asks.
pub const ME: &str = "i-0aaaaaaaaaaaaaaaa";

/// A text for people is one line, in which nothing steers a terminal, and not without end.
pub fn assert_is_one_line(text: &(impl ToString + ?Sized)) {
    let text = text.to_string();
    assert!(!text.is_empty(), "a complaint without words");
    assert!(!text.chars().any(char::is_control), "{text:?} holds a control character");
}

/// What an API's or the metadata service's words become is one line of printable ASCII that a log can take.
pub fn assert_is_fit_for_a_log(text: &(impl ToString + ?Sized)) {
    let text = text.to_string();
    assert_is_one_line(&text);
    assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text:?} holds more than printable ASCII");
    assert!(text.len() < 3_500, "{} bytes in one line", text.len());
}

/// Keys have 20 or 40 characters; no word of the input that is as long is shown, save the names of fields.
pub fn assert_keeps_secrets(text: &(impl ToString + ?Sized), input: &[u8], path: &str) {
    let text = text.to_string().replace(path, "");
    let input = String::from_utf8_lossy(input);
    let words = input.split(|c: char| c.is_whitespace() || ":=".contains(c));
    for word in words.filter(|word| word.len() >= 20 && !word.starts_with("aws_")) {
        assert!(!text.contains(word), "{text:?} shows {word:?}");
    }
}
