//! The `NAME=value` lines that a shell would source; parsed, never executed.

use std::path::Path;

use configparser::ini::{Ini, IniDefault};

/// One line's assignment.
#[derive(PartialEq, Eq)]
pub struct Assignment {
    /// The name.
    pub name: String,
    /// The value, without its quotes.
    pub value: Value,
    /// The line it stands on, from 1.
    pub line: usize,
}

/// What is assigned.
#[derive(PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// The article's `$(curl …/meta-data/instance-id)`, which means: ask the metadata service.
    AskMetadata,
}

/// Reads all assignments. The error is one line that names `path`, the line and the remedy.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Assignment>, String> {
    let mut assignments = Vec::new();
    for (line, content) in (1..).zip(text.split('\n')) {
        match assignment(content, path) {
            Ok(Some((name, value))) => assignments.push(Assignment { name, value, line }),
            Ok(None) => {}
            Err(what) => return Err(format!("{} line {line}: {what}", path.display())),
        }
    }
    Ok(assignments)
}

/// What a shell takes for space within a line. Other blank characters, such as a no-break space, belong to a word.
const BLANKS: [char; 2] = [' ', '\t'];

fn assignment(content: &str, path: &Path) -> Result<Option<(String, Value)>, String> {
    if content.ends_with('\r') {
        return Err(format!("ends in CR LF, and a shell takes the CR as part of the value; run: sed -i 's/\\r$//' {}", path.display()));
    }
    if content.chars().any(|c| c.is_control() && c != '\t') {
        return Err("holds a control character; write the line anew".to_owned());
    }
    let content = content.trim_matches(BLANKS);
    if content.is_empty() || content.starts_with('#') {
        return Ok(None);
    }
    let exported = content.strip_prefix("export").filter(|rest| rest.starts_with(BLANKS));
    let content = exported.unwrap_or(content).trim_matches(BLANKS);
    if exported.is_some() && content.split(BLANKS).all(|word| word.is_empty() || is_name(word)) {
        return Ok(None);
    }
    let (name, raw) = split(content)?;
    if let Some(odd) = shell_code(&raw) {
        if name == "MY_ID" && raw.contains("169.254.169.254") && raw.contains("meta-data/instance-id") {
            return Ok(Some((name, Value::AskMetadata)));
        }
        return Err(format!("this file is read, not executed, and {odd:?} is shell code; write the value itself, in single quotes"));
    }
    // The name stays in front, so that a # right after the = is not taken for the start of a comment.
    let words = shell_words::split(content).map_err(|_| "a closing quote is missing on this line".to_owned())?;
    match words.as_slice() {
        [word] => Ok(Some((name, Value::Text(word[word.find('=').map_or(0, |at| at + 1)..].to_owned())))),
        _ => Err(format!("{name} has more than one word; put the value in quotes")),
    }
}

fn split(content: &str) -> Result<(String, String), String> {
    let mut syntax = IniDefault::default();
    syntax.comment_symbols = vec!['#'];
    syntax.enable_inline_comments = false;
    syntax.delimiters = vec!['='];
    syntax.case_sensitive = true;
    let section = syntax.default_section.clone();
    let unlike = || "not of the form NAME=value".to_owned();
    let map = Ini::new_from_defaults(syntax).read(content.to_owned()).map_err(|_| unlike())?;
    let pair = map.get(&section).and_then(|pairs| pairs.iter().next());
    let Some((name, Some(raw))) = pair else { return Err(unlike()) };
    // configparser takes more characters for space than a shell does.
    let Some(rest) = content.strip_prefix(name.as_str()).filter(|_| is_name(name)) else { return Err(unlike()) };
    let (before, after) = rest.split_once('=').unwrap_or_default();
    let comes_later = after.starts_with(BLANKS) && !raw.starts_with('#');
    if !before.is_empty() || comes_later {
        return Err(format!("a shell wants no space around the =; write {name}=value"));
    }
    Ok((name.clone(), raw.clone()))
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The first character that would make a shell do more than remove quotes.
fn shell_code(raw: &str) -> Option<char> {
    let mut quote = None;
    let mut previous = '=';
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => match chars.next() {
                Some(_) => {}
                // The value would go on in the next line.
                None => return Some(c),
            },
            // Here a shell puts the home folder.
            (None, '~') if matches!(previous, '=' | ':') => return Some(c),
            (None | Some('"'), '$' | '`') | (None, ';' | '&' | '|' | '<' | '>' | '(' | ')') => return Some(c),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '#') if previous == ' ' || previous == '\t' => return None,
            _ => {}
        }
        previous = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let assignments = parse(Path::new("/etc/default/elastic-ip"), text)?;
        Ok(assignments
            .into_iter()
            .map(|a| (a.name, if let Value::Text(text) = a.value { text } else { "<metadata>".to_owned() }))
            .collect())
    }

    #[test]
    fn values_read_as_a_shell_would_read_them() {
        for (line, value) in [
            ("ELASTIC_IP=203.0.113.25", "203.0.113.25"),
            ("export ELASTIC_IP=203.0.113.25", "203.0.113.25"),
            ("  ELASTIC_IP=203.0.113.25  ", "203.0.113.25"),
            ("ELASTIC_IP=\"203.0.113.25 203.0.113.26\" # both", "203.0.113.25 203.0.113.26"),
            ("AWS_PARAMS=\"--region=eu-west-1\"", "--region=eu-west-1"),
            ("AWS_PARAMS='--profile=a b'", "--profile=a b"),
            ("AWS_PARAMS=--profile=a\\ b", "--profile=a b"),
            ("HTTPS_PROXY='http://u:p$a;b@proxy'", "http://u:p$a;b@proxy"),
            ("HTTPS_PROXY=\"http://u:p\\$a@proxy\"", "http://u:p$a@proxy"),
            ("A=#b", "#b"),
            ("A=b#c", "b#c"),
            ("A=b # $(c); d", "b"),
            ("A=", ""),
            ("A= # none", ""),
            ("A=''", ""),
            ("A=b~:c", "b~:c"),
            ("A='~'", "~"),
            ("A=b\u{a0}", "b\u{a0}"),
        ] {
            assert_eq!(read(line).map(|mut all| all.remove(0).1).as_deref(), Ok(value), "{line}");
        }
    }

    #[test]
    fn the_article_s_command_for_my_id_means_the_metadata_service() {
        for line in [
            "MY_ID=$(curl -s http://169.254.169.254/latest/meta-data/instance-id)",
            "MY_ID=\"$(curl -s http://169.254.169.254/latest/meta-data/instance-id)\"",
            "export MY_ID=`wget -q -O - http://169.254.169.254/latest/meta-data/instance-id`",
        ] {
            assert_eq!(read(line).unwrap(), [("MY_ID".to_owned(), "<metadata>".to_owned())], "{line}");
        }
    }

    #[test]
    fn what_only_a_shell_could_do_is_refused_with_its_line() {
        for line in [
            "ELASTIC_IP=$(hostname -i)",
            "ELASTIC_IP=`hostname -i`",
            "ELASTIC_IP=${OTHER}",
            "ELASTIC_IP=\"$OTHER\"",
            "MY_ID=$(hostname)",
            "ELASTIC_IP=203.0.113.25; reboot",
            "ELASTIC_IP=a&&b",
            "ELASTIC_IP=(1 2)",
            "ELASTIC_IP=203.0.113.25 203.0.113.26",
            "ELASTIC_IP='203.0.113.25",
            "ELASTIC_IP = 203.0.113.25",
            "ELASTIC_IP= 203.0.113.25",
            "ELASTIC_IP",
            "[section]",
            "=x",
            "1A=x",
            "if true; then",
            "ELASTIC_IP=203.0.113.25\r",
            "ELASTIC_IP=\u{1b}[31m",
            "ELASTIC_IP=203.0.113.25\\",
            "STATE_DIR=~/x",
            "NO_PROXY=a:~",
            "\u{a0}ELASTIC_IP=203.0.113.25",
            "\u{3000}\u{a0}é=x",
            "export ELASTIC_IP\u{3000}AWS_PARAMS",
        ] {
            let error = read(&format!("# first\n\n{line}\n")).unwrap_err();
            assert!(error.starts_with("/etc/default/elastic-ip line 3: "), "{line:?}: {error}");
            assert!(!error.chars().any(char::is_control), "{line:?}: {error}");
        }
    }

    #[test]
    fn comments_blank_lines_and_bare_exports_say_nothing() {
        assert_eq!(read("# a\n\n   \n\t# b=c\nexport ELASTIC_IP AWS_PARAMS\n").unwrap(), []);
    }
}
