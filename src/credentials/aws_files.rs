//! `~/.aws/credentials` and `~/.aws/config`
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>).

use std::path::Path;

use configparser::ini::{Ini, IniDefault};
use rusoto_core::credential::AwsCredentials;

use super::{Error, keys};
use crate::file;
use crate::ids::RegionName;

/// Reads a profile's keys from the files in one `.aws` folder.
pub fn read(folder: &Path, profile: &str) -> Result<AwsCredentials, Error> {
    match pair(&folder.join("credentials"), profile) {
        Err(Error::Nowhere) => pair(&folder.join("config"), &section(profile)),
        found => found,
    }
}

/// The region that a profile names. A file that cannot be read names none: the keys' own reading says why.
pub fn region(folder: &Path, profile: &str) -> Option<Result<RegionName, String>> {
    let path = folder.join("config");
    let section = section(profile);
    let ini = parse(&path, &file::read(&path).ok()?.text).ok()?;
    let region = ini.get(&section, "region").filter(|region| !region.is_empty())?;
    Some(region.parse().map_err(|what| format!("{} [{section}]: {what}", path.display())))
}

/// In the file `config`, all sections but `default` have a word in front.
fn section(profile: &str) -> String {
    if profile == "default" { profile.to_owned() } else { format!("profile {profile}") }
}

fn pair(path: &Path, section: &str) -> Result<AwsCredentials, Error> {
    let file = file::read(path)?;
    let ini = parse(path, &file.text)?;
    let value = |name: &str| ini.get(section, name).filter(|text| !text.is_empty());
    let place = format!("{} [{section}]", path.display());
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(id), Some(secret)) => {
            // Only now: a file of settings without keys may be open to everybody.
            file.check_secrecy()?;
            keys(&place, &id, &secret, value("aws_session_token").as_deref())
        }
        (None, None) => Err(Error::Nowhere),
        (Some(_), None) => Err(Error::Unfit(format!("{place}: aws_secret_access_key is missing; add it"))),
        (None, Some(_)) => Err(Error::Unfit(format!("{place}: aws_access_key_id is missing; add it"))),
    }
}

fn parse(path: &Path, text: &str) -> Result<Ini, Error> {
    let mut syntax = IniDefault::default();
    syntax.comment_symbols = vec!['#', ';'];
    // A secret key may hold any of these.
    syntax.enable_inline_comments = false;
    syntax.delimiters = vec!['='];
    syntax.case_sensitive = true;
    syntax.default_section = String::new();
    let mut ini = Ini::new_from_defaults(syntax);
    ini.read(text.to_owned())
        .map_err(|_| Error::Unfit(format!("{}: a section's closing bracket is missing; write it as [name]", path.display())))?;
    Ok(ini)
}
