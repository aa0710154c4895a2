//! The `NAME=value` lines that a shell would source; parsed, never executed.

use std::path::Path;

use crate::message::Message;
use configparser::ini::{Ini, IniDefault};

/// One line's assignment.
#[derive(PartialEq, Eq)]
pub(super) struct Assignment {
    /// The name.
    pub name: String,
    /// The value, without its quotes.
    pub value: Value,
    /// The line it stands on, from 1.
    pub line: usize,
}

/// What is assigned.
#[derive(PartialEq, Eq)]
pub(super) enum Value {
    /// A text.
    Text(String),
    /// A command, such as the article's `$(curl …/meta-data/instance-id)`. It is not run: the program finds out by itself what it
    /// would print.
    FindOut,
}

/// Reads all assignments; `names` are those that anybody reads. The error is one line that names `path`, the line and the remedy.
pub(super) fn parse(path: &Path, text: &str, names: &[&str]) -> Result<Vec<Assignment>, Message> {
    let mut assignments = Vec::new();
    for (line, content) in (1..).zip(text.split('\n')) {
        match assignment(content, path, names) {
            Ok(Some((name, value))) => assignments.push(Assignment { name, value, line }),
            Ok(None) => {}
            Err(what) => return Err(what.at(format!("{} line {line}", path.display()))),
        }
    }
    Ok(assignments)
}

/// What a shell takes for space within a line. Other blank characters, such as a no-break space, belong to a word.
const BLANKS: [char; 2] = [' ', '\t'];

fn assignment(content: &str, path: &Path, names: &[&str]) -> Result<Option<(String, Value)>, Message> {
    if content.ends_with('\r') {
        return Err(Message::new(
            "ends in CR LF, and a shell takes the CR as part of the value",
            format!("run: sed -i 's/\\r$//' {}", path.display()),
        ));
    }
    if content.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Message::new("holds a control character", "write the line anew"));
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
        if name == "MY_ID" && is_command(&raw) {
            return Ok(Some((name, Value::FindOut)));
        }
        let remedy = match name.as_str() {
            "MY_ID" | "AWS_REGION" | "AWS_DEFAULT_REGION" => "remove the line: the program finds it out by itself".to_owned(),
            name if names.contains(&name) => "write the value itself, in single quotes".to_owned(),
            name => format!("remove the line: this program does not read {name}"),
        };
        return Err(Message::new(format!("this file is read, not executed, and {odd:?} is shell code"), remedy));
    }
    // The name stays in front, so that a # right after the = is not taken for the start of a comment.
    let words = shell_words::split(content).map_err(|_| "a closing quote is missing on this line".to_owned())?;
    match words.as_slice() {
        [word] => Ok(Some((name, Value::Text(word[word.find('=').map_or(0, |at| at + 1)..].to_owned())))),
        _ => Err(Message::new(format!("{name} has more than one word"), "put the value in quotes")),
    }
}

fn split(content: &str) -> Result<(String, String), Message> {
    let mut syntax = IniDefault::default();
    syntax.comment_symbols = vec!['#'];
    syntax.enable_inline_comments = false;
    syntax.delimiters = vec!['='];
    syntax.case_sensitive = true;
    let section = syntax.default_section.clone();
    let unlike = || Message::from("not of the form NAME=value");
    let map = Ini::new_from_defaults(syntax).read(content.to_owned()).map_err(|_| unlike())?;
    let pair = map.get(&section).and_then(|pairs| pairs.iter().next());
    let Some((name, Some(raw))) = pair else { return Err(unlike()) };
    // configparser takes more characters for space than a shell does.
    let Some(rest) = content.strip_prefix(name.as_str()).filter(|_| is_name(name)) else { return Err(unlike()) };
    let (before, after) = rest.split_once('=').unwrap_or_default();
    let comes_later = after.starts_with(BLANKS) && !raw.starts_with('#');
    if !before.is_empty() || comes_later {
        return Err(Message::new("a shell wants no space around the =", format!("write {name}=value")));
    }
    Ok((name.clone(), raw.clone()))
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a value is what a command prints, and the command ends on the same line.
fn is_command(raw: &str) -> bool {
    let value = raw.split(" #").next().unwrap_or_default().trim_end_matches(BLANKS);
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let is_between = |open, close| value.len() > 2 && value.starts_with(open) && value.ends_with(close);
    is_between("$(", ")") || is_between("`", "`")
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

    fn read(text: &str) -> Result<Vec<(String, String)>, Message> {
        let assignments = parse(Path::new("/etc/default/elastic-ip"), text, &["ELASTIC_IP", "MY_ID", "AWS_REGION"])?;
        Ok(assignments.into_iter().map(|a| (a.name, if let Value::Text(text) = a.value { text } else { "<command>".to_owned() })).collect())
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
    fn a_command_for_my_id_means_to_find_it_out() {
        for line in [
            "MY_ID=$(ec2metadata --instance-id)",
            "MY_ID=`ec2metadata --instance-id` # who am I?",
            "MY_ID=\"$(cat /var/lib/cloud/data/instance-id)\"",
            "MY_ID=$(curl -s -H \"X-aws-ec2-metadata-token: $TOKEN\" http://169.254.169.254/latest/meta-data/instance-id)",
            "MY_ID=$(ec2-metadata -i | cut -d' ' -f2)",
            "MY_ID=$(curl -s http://169.254.169.254/latest/meta-data/instance-id)",
            "MY_ID=\"$(curl -s http://169.254.169.254/latest/meta-data/instance-id)\"",
            "export MY_ID=`wget -q -O - http://169.254.169.254/latest/meta-data/instance-id`",
        ] {
            assert_eq!(read(line).unwrap(), [("MY_ID".to_owned(), "<command>".to_owned())], "{line}");
        }
    }

    #[test]
    fn what_only_a_shell_could_do_is_refused_with_its_line() {
        for line in [
            "ELASTIC_IP=$(hostname -i)",
            "ELASTIC_IP=`hostname -i`",
            "ELASTIC_IP=${OTHER}",
            "ELASTIC_IP=\"$OTHER\"",
            "MY_ID=$ID",
            "MY_ID=$(hostname); reboot",
            "MY_ID=$(curl -s \\",
            "MY_ID=$(",
            "MY_ID=\"`",
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
            let error = read(&format!("# first\n\n{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with("/etc/default/elastic-ip line 3: "), "{line:?}: {error}");
            assert!(!error.chars().any(char::is_control), "{line:?}: {error}");
        }
    }

    #[test]
    fn the_remedy_for_shell_code_is_that_of_its_name() {
        for (line, remedy) in [
            ("ELASTIC_IP=$(cat /etc/address)", "write the value itself, in single quotes"),
            ("MY_ID=$ID", "remove the line: the program finds it out by itself"),
            ("AWS_REGION=$(ec2metadata --region)", "remove the line: the program finds it out by itself"),
            ("TOKEN=$(curl -X PUT http://169.254.169.254/latest/api/token)", "remove the line: this program does not read TOKEN"),
            ("TOKEN=`curl -X PUT http://169.254.169.254/latest/api/token`", "remove the line: this program does not read TOKEN"),
        ] {
            assert_eq!(read(line).unwrap_err().remedy.as_deref(), Some(remedy), "{line}");
        }
    }

    #[test]
    fn comments_blank_lines_and_bare_exports_say_nothing() {
        assert_eq!(read("# a\n\n   \n\t# b=c\nexport ELASTIC_IP AWS_PARAMS\n").unwrap(), []);
    }
}
