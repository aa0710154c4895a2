//! A stranger's text, made fit for one line of a log.

/// Escapes control characters, so that a text stays one line and cannot steer a terminal.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut shown = String::new();
    for c in text.trim_end().chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// How much of a text is shown, in characters after escaping.
const LONGEST: usize = 1000;

/// How much of a word: EC2 encodes what it knows of a refusal into one of over a thousand characters
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html>).
const LONGEST_WORD: usize = 300;

/// Escapes everything but printable ASCII, and shortens what is long, so that no peer can forge a line or steer a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let words: Vec<String> = text.trim().split(' ').map(|word| shorten(&escape(word), LONGEST_WORD)).collect();
    shorten(&words.join(" "), LONGEST)
}

fn escape(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if c.is_ascii_graphic() || c == ' ' { shown.push(c) } else { shown.extend(c.escape_default()) }
    }
    shown
}

/// Leaves the middle out of an ASCII text that is longer: what it is about stands at the beginning, and often the reason at the end.
fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let half = (limit - "...".len()) / 2;
    format!("{}...{}", &text[..half], &text[text.len() - half..])
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("  a \u{1b}[31m\nrunning\u{202e} "), "a \\u{1b}[31m\\nrunning\\u{202e}");
    }

    proptest! {
        #[test]
        fn of_a_long_text_the_beginning_and_the_end_are_shown(
            first in "[a-z]{1,100}", last in "[a-z]{1,100}", text in "([ -~]{0,40}|[a-z\u{1b}é]{0,400}|[A-Za-z0-9]{1000,3000}){0,9}",
        ) {
            let shown = printable(&format!("{first} {text} {last}"));
            prop_assert!(shown.starts_with(&first) && shown.ends_with(&last), "{shown}");
            prop_assert!(shown.len() <= LONGEST && shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{shown}");
        }
    }
}
