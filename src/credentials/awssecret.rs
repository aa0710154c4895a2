//! `~/.awssecret`, in the forms that are found in the field.

use std::path::Path;

use rusoto_core::credential::AwsCredentials;

use super::{Error, keys};
use crate::file;

/// Reads the keys from one file.
pub fn read(path: &Path) -> Result<AwsCredentials, Error> {
    let file = file::read(path)?;
    file.check_secrecy()?;
    let place = path.display().to_string();
    let words: Vec<&str> = file.text.split_whitespace().collect();
    match words.as_slice() {
        ["machine", _, "login", id, "password", secret] => keys(&place, id, secret, None),
        [pair] => match pair.split_once(':') {
            Some((id, secret)) => keys(&place, id, secret, None),
            None => Err(Error::Unfit(format!(
                "{place} line 1: one word only; put the access key id on the first line and the secret key on the second"
            ))),
        },
        [id, secret] => keys(&place, id, secret, None),
        [id, secret, token] => keys(&place, id, secret, Some(token)),
        [] => Err(Error::Unfit(format!("{place} is empty; put the access key id on the first line and the secret key on the second"))),
        _ => Err(Error::Unfit(format!(
            "{place} line {}: more words than access key id, secret key and session token; remove the rest",
            line_of_word(&file.text, 4)
        ))),
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
        ] {
            let found = read_text(text).unwrap();
            assert_eq!((found.aws_access_key_id(), found.aws_secret_access_key()), ("AKID", "sEcReT/+="), "{text:?}");
            assert_eq!(*found.token(), None, "{text:?}");
        }
        assert_eq!(read_text("AKID\nsEcReT\ntoKEN\n").unwrap().token().as_deref(), Some("toKEN"));
    }

    #[test]
    fn a_file_that_cannot_be_keys_is_refused_without_showing_it() {
        for text in
            ["", "\n \n", "AKID\n", "a b\nc d\n", "sEc/ReT\nAKID\n", "AKID\nsEc\u{e9}ReT\n", "AKID\0\nsEcReT\n", "\u{feff}AKID\nsEcReT\n"]
        {
            match read_text(text) {
                Err(Error::Unfit(line)) => assert!(!line.contains("ReT") && !line.contains('\n'), "{line}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }
}
