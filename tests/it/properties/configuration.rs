//! `/etc/default/elastic-ip` and `AWS_PARAMS`.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use elastic_ip::config::{Config, Error, Sources};
use tempfile::TempDir;

use super::assert_is_one_line;

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// A file of this thread's own with this content, in memory where there is a place for it.
pub fn file(name: &str, content: &[u8]) -> PathBuf {
    FOLDER.with_borrow_mut(|folder| {
        let new = || tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = folder.get_or_insert_with(new).path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    })
}

/// A call's that names the address.
pub fn sources(root: &Path) -> Sources {
    Sources { root: root.to_owned(), targets: vec![super::IP.parse().unwrap()], ..Sources::default() }
}

fn load(content: &[u8], named: bool) -> Result<Config, Error> {
    let mut sources = Sources { file: Some(file("elastic-ip", content)), ..sources(Path::new("/nonexistent")) };
    sources.targets.truncate(named.into());
    Config::load(&sources, &|_| None)
}

/// The text that a file gives a name of free text, or why there is none.
pub fn text_of(content: &str) -> Result<String, String> {
    match load(content.as_bytes(), true) {
        Ok(config) => Ok(config.no_proxy.unwrap_or_default()),
        Err(error) => Err(error.to_string()),
    }
}

/// The configuration file. `true` if it is taken.
pub fn defaults_file(content: &[u8]) -> bool {
    let (with, without) = (load(content, true), load(content, false));
    match &with {
        Ok(config) => assert_eq!(config.targets, [super::IP.parse().unwrap()]),
        Err(error) => assert_names_the_file(error),
    }
    match &without {
        Ok(config) => {
            assert!(!config.targets.is_empty());
            assert!(with.is_ok(), "ELASTIC_IP makes a file good that is not: {}", String::from_utf8_lossy(content));
        }
        Err(error) => assert_names_the_file(error),
    }
    without.is_ok()
}

fn assert_names_the_file(error: &Error) {
    let line = &error.message;
    assert_is_one_line(line);
    let path = file("other", b"");
    assert!(line.what.starts_with(path.with_file_name("elastic-ip").to_str().unwrap()), "{line:?}");
}

/// `AWS_PARAMS`, as the environment sets it. `true` if it is taken.
pub fn aws_params(text: &str) -> bool {
    let environment = |name: &str| (name == "AWS_PARAMS").then(|| text.to_owned());
    match Config::load(&sources(Path::new("/nonexistent")), &environment) {
        Ok(config) => {
            let told = [config.role, config.profile.origin.map(|_| config.profile.name), config.region.map(|region| region.to_string())];
            let file = config.secrets_file.map(|path| path.to_string_lossy().into_owned());
            for word in told.into_iter().flatten().chain(file) {
                // Each value is one word of the text, without its quotes, or an alias.
                assert!(word.chars().all(|c| text.contains(c) || "eu-west-1us-east-1ap-southeast-1/nonexistent".contains(c)), "{word:?}");
            }
            true
        }
        Err(Error { message: line, .. }) => {
            assert_is_one_line(&line);
            assert!(line.what.starts_with("environment variable AWS_PARAMS: "), "{line:?}");
            false
        }
    }
}
