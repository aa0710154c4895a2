//! `~/.awssecret`, in the forms that are found in the field.

use std::path::Path;

use rusoto_core::credential::AwsCredentials;

use super::{Error, keys, unfit};
use crate::file;

/// Reads the keys from one file.
pub(super) fn read(path: &Path) -> Result<AwsCredentials, Error> {
    let file = file::read(path)?;
    file.check_secrecy()?;
    let place = path.display().to_string();
    let named: Vec<Named> = file.text.lines().zip(1..).filter_map(named).collect();
    if !named.is_empty() {
        return by_names(&place, &file.text, &named);
    }
    let words: Vec<&str> = file.text.split_whitespace().collect();
    if words.contains(&"machine") {
        return of_machine(&place, &file.text);
    }
    match words.as_slice() {
        [pair] => match pair.split_once(':') {
            Some((id, secret)) => keys(&place, id, secret, None),
            None => Err(unfit(
                format!("{place} line 1: one word only"),
                "put the access key id on the first line and the secret key on the second",
            )),
        },
        [id, secret] => keys(&place, id, secret, None),
        [id, secret, token] => keys(&place, id, secret, Some(token)),
        [] => Err(unfit(format!("{place} is empty"), "put the access key id on the first line and the secret key on the second")),
        _ => Err(unfit(
            format!("{place} line {}: more words than access key id, secret key and session token", line_of_word(&file.text, 4)),
            "remove the rest",
        )),
    }
}

/// What a line may give a value to, with the names that AWS's files have for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Id,
    Secret,
    Token,
}

/// A line that begins with one of the names, its number and the value.
struct Named<'a> {
    part: Part,
    line: usize,
    value: &'a str,
}

fn named((line, number): (&str, usize)) -> Option<Named<'_>> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(line.len());
    let part = match line[..end].to_ascii_lowercase().as_str() {
        "aws_access_key_id" | "awsaccesskeyid" => Part::Id,
        "aws_secret_access_key" | "awssecretkey" => Part::Secret,
        "aws_session_token" | "aws_security_token" => Part::Token,
        _ => return None,
    };
    let rest = line[end..].trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim();
    Some(Named { part, line: number, value: unquoted(value) })
}

fn unquoted(text: &str) -> &str {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// `aws_access_key_id = …`, as `~/.aws/credentials` and a shell have it.
fn by_names(place: &str, text: &str, named: &[Named]) -> Result<AwsCredentials, Error> {
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        let is_known = line.is_empty() || line.starts_with(['#', ';', '[']) || named.iter().any(|named| named.line == number);
        if !is_known {
            return Err(unfit(
                format!("{place} line {number}: neither aws_access_key_id, aws_secret_access_key nor aws_session_token"),
                "remove it",
            ));
        }
    }
    let one = |part: Part, name: &str| {
        let mut values = named.iter().filter(|named| named.part == part);
        match (values.next(), values.next()) {
            (_, Some(second)) => {
                Err(unfit(format!("{place} line {}: a second {name}", second.line), "keep one, and put profiles into ~/.aws/credentials"))
            }
            (first, None) => Ok(first.map(|named| named.value).filter(|value| !value.is_empty())),
        }
    };
    let missing = |name: &str| unfit(format!("{place}: {name} is missing"), "add it");
    let id = one(Part::Id, "aws_access_key_id")?.ok_or_else(|| missing("aws_access_key_id"))?;
    let secret = one(Part::Secret, "aws_secret_access_key")?.ok_or_else(|| missing("aws_secret_access_key"))?;
    keys(place, id, secret, one(Part::Token, "session token")?)
}

/// The machine whose login is an access key id, to the `aws` of the article.
const MACHINE: &str = "AWS";

/// The form of `~/.netrc`. As that `aws` does, the last entry of the machine counts, and other words are passed by.
fn of_machine(place: &str, text: &str) -> Result<AwsCredentials, Error> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    let (mut is_it, mut found) = (false, [None; 3]);
    while let Some(word) = words.next() {
        let part = match word {
            "machine" => {
                is_it = words.next().map(unquoted) == Some(MACHINE);
                found = if is_it { [None; 3] } else { found };
                continue;
            }
            "default" => {
                is_it = false;
                continue;
            }
            "login" => 0,
            "password" => 1,
            "session" => 2,
            _ => continue,
        };
        let value = words.next().map(unquoted);
        if is_it {
            found[part] = value;
        }
    }
    match found {
        [Some(id), Some(secret), token] => keys(place, id, secret, token),
        _ => Err(unfit(
            format!("{place} has the form of a netrc and no keys of machine {MACHINE}"),
            format!("add a line: machine {MACHINE} login ID password SECRET"),
        )),
    }
}

fn line_of_word(text: &str, number: usize) -> usize {
    let mut seen = 0;
    for (line, content) in (1..).zip(text.lines()) {
        seen += content.split_whitespace().count();
        if seen >= number {
            return line;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read_text(text: &str) -> Result<AwsCredentials, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".awssecret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        read(&path)
    }

    #[test]
    fn every_form_found_in_the_field_is_read() {
        for text in [
            "AKID\nsEcReT/+=\n",
            "AKID\r\nsEcReT/+=\r\n",
            "AKID:sEcReT/+=\n",
            "\n\nAKID\n\n\nsEcReT/+=",
            "machine AWS login AKID password sEcReT/+=\n",
            "# all of them\nmachine a.example login b password c\nmachine AWS\n  login AKID\n  password sEcReT/+=\nmachine d login e password f\n",
            "default login b password c machine AWS account x login AKID password \"sEcReT/+=\"\n",
            "aws_access_key_id = AKID\naws_secret_access_key = sEcReT/+=\n",
            "[default]\n# mine\nAWS_ACCESS_KEY_ID: AKID\n\n  aws_secret_access_key=sEcReT/+=\n",
            "export AWS_ACCESS_KEY_ID='AKID'\nexport AWS_SECRET_ACCESS_KEY=\"sEcReT/+=\"\n",
            "AWSAccessKeyId=AKID\nAWSSecretKey=sEcReT/+=\n",
        ] {
            let found = read_text(text).unwrap();
            assert_eq!((found.aws_access_key_id(), found.aws_secret_access_key()), ("AKID", "sEcReT/+="), "{text:?}");
            assert_eq!(*found.token(), None, "{text:?}");
        }
        for text in [
            "AKID\nsEcReT\ntoKEN\n",
            "aws_access_key_id=AKID\naws_secret_access_key=sEcReT\naws_session_token=toKEN\n",
            "machine AWS login AKID password sEcReT session toKEN\n",
        ] {
            assert_eq!(read_text(text).unwrap().token().as_deref(), Some("toKEN"), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_keys_is_refused_without_showing_it() {
        for text in [
            "",
            "\n \n",
            "AKID\n",
            "a b\nc d\n",
            "sEc/ReT\nAKID\n",
            "AKID\nsEc\u{e9}ReT\n",
            "AKID\0\nsEcReT\n",
            "\u{feff}AKID\nsEcReT\n",
            "machine a.example login AKID password sEcReT\n",
            "machine AWS login AKID\nmachine a.example password sEcReT\n",
            "machine AWS password sEcReT\n",
            "aws_access_key_id = AKID",
            "aws_access_key_id sEcReT",
            "aws_access_key_id = AKID\nsEcReT\n",
            "aws_access_key_id = AKID\naws_secret_access_key = \n",
            "[a]\naws_access_key_id = AKID\naws_secret_access_key = sEcReT\n[b]\naws_access_key_id = B\n",
        ] {
            match read_text(text) {
                Err(line) => assert!(!line.to_string().contains("ReT") && !line.to_string().contains('\n'), "{line}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }
}
