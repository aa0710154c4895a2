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

/// How much of a text is shown, in characters after escaping; the last may be an escape.
const LONGEST: usize = 300;

/// Escapes everything but printable ASCII, and cuts what is long, so that no peer can forge a line or steer a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.trim().chars() {
        if shown.len() >= LONGEST {
            shown.push_str("...");
            break;
        }
        if c.is_ascii_graphic() || c == ' ' { shown.push(c) } else { shown.extend(c.escape_default()) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_length_are_tamed() {
        assert_eq!(printable("  a \u{1b}[31m\nrunning\u{202e} "), "a \\u{1b}[31m\\nrunning\\u{202e}");
        assert_eq!(printable(&"x".repeat(1000)).len(), LONGEST + 3);
        assert_eq!(printable(&"x".repeat(LONGEST)).len(), LONGEST);
        assert_eq!(printable(&"\u{1b}".repeat(1000)).len(), LONGEST + 3);
    }
}
