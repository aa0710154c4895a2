//! The places of keys, and what the metadata service tells.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use elastic_ip::config::Config;
use elastic_ip::credentials::{self, Error, Kind, Places};
use elastic_ip::deadline::Deadline;
use elastic_ip::instance::{self, Identity};
use rusoto_core::credential::AwsCredentials;
use serde_json::Value;

use super::configuration::{file, sources};
use super::server::{Server, with_server};
use super::xml::Element;
use super::{assert_is_fit_for_a_log, assert_is_one_line, assert_keeps_secrets};

/// Looks for keys with these `AWS_PARAMS`, below `root` and at a metadata service that tells this.
fn find(params: &str, root: &Path, told: &[(&str, &[u8])]) -> Result<AwsCredentials, Error> {
    let environment = |name: &str| match name {
        "AWS_PARAMS" => Some(params.to_owned()),
        "HOME" => Some("/home/me".to_owned()),
        _ => None,
    };
    let config = Config::load(&sources(root), &environment).unwrap();
    let places = Places::new(root, &environment);
    with_server(|server| {
        server.ask_metadata(told, async |metadata| {
            let deadline = Deadline::after(Duration::from_secs(60));
            credentials::find(&config, &places, &environment, &metadata, &deadline).await.map(|found| found.keys)
        })
    })
}

/// What STS answers to an `AssumeRole`, with this status. `true` if keys are taken from it.
pub fn sts_answer(status: u16, body: &[u8]) -> bool {
    let url = with_server(Server::url);
    let environment = |name: &str| match name {
        "HOME" => Some("/home/me".to_owned()),
        "AWS_REGION" => Some("eu-west-1".to_owned()),
        "AWS_PROFILE" => Some("failover".to_owned()),
        "AWS_ENDPOINT_URL_STS" => Some(url.clone()),
        _ => None,
    };
    let settings = secret(
        "home/me/.aws/config",
        b"[profile failover]\nrole_arn = arn:aws:iam::123456789012:role/a\nsource_profile = base\n\
        [profile base]\naws_access_key_id = BASE\naws_secret_access_key = base\n",
    );
    let root = settings.ancestors().nth(4).unwrap();
    let config = Config::load(&sources(root), &environment).unwrap();
    let places = Places::new(root, &environment);
    let deadline = Deadline::after(Duration::from_secs(60));
    let found = with_server(|server| {
        server.ask_sts(status, body, async |metadata| {
            credentials::find(&config, &places, &environment, &metadata, &deadline).await.map(|found| found.keys)
        })
    });
    match found {
        Ok(keys) => {
            assert_eq!(status, 200);
            assert_fit_for_a_header(&keys);
            let answer = Element::document("AssumeRoleResponse", body).unwrap();
            let result = answer.child("AssumeRoleResult").unwrap().unwrap().child("Credentials").unwrap().unwrap();
            let field = |name: &str| result.field(name).unwrap().unwrap().trim();
            assert_eq!(field("AccessKeyId"), keys.aws_access_key_id());
            assert_eq!(field("SecretAccessKey"), keys.aws_secret_access_key());
            assert_eq!(Some(field("SessionToken")), keys.token().as_deref());
            true
        }
        Err(Error { kind: Kind::Unfit | Kind::NotYet | Kind::Unavailable, message: line }) => {
            assert_is_fit_for_a_log(&line);
            if status == 200 {
                assert_keeps_secrets(&line, body, root.to_str().unwrap());
            }
            false
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// Keys go into HTTP headers.
fn assert_fit_for_a_header(keys: &AwsCredentials) {
    for part in [keys.aws_access_key_id(), keys.aws_secret_access_key()].into_iter().chain(keys.token().as_deref()) {
        assert!(!part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic()), "{part:?}");
    }
}

fn secret(name: &str, content: &[u8]) -> std::path::PathBuf {
    let path = file(name, content);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// A file named with `--secrets-file`. `true` if keys are read from it.
pub fn secret_file(content: &[u8]) -> bool {
    let path = secret("awssecret", content);
    let shown = path.to_str().unwrap();
    match find(&format!("--secrets-file={shown}"), Path::new("/"), &[]) {
        Ok(keys) => {
            assert_fit_for_a_header(&keys);
            let text = std::str::from_utf8(content).unwrap();
            let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || ":='\"".contains(c)).collect();
            assert!(words.contains(&keys.aws_access_key_id()), "{:?} is no word of {text:?}", keys.aws_access_key_id());
            assert!(text.contains(keys.aws_secret_access_key()));
            true
        }
        Err(Error { kind: Kind::Unfit | Kind::NotAllowed, message: line }) => {
            assert_is_one_line(&line);
            assert!(line.what.starts_with(shown), "{line:?}");
            assert_keeps_secrets(&line, content, shown);
            false
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// `~/.aws/credentials` and `~/.aws/config`. `true` if keys are read from them.
pub fn aws_files(content: &[u8]) -> bool {
    let path = secret("home/me/.aws/credentials", content);
    secret("home/me/.aws/config", content);
    let root = path.ancestors().nth(4).unwrap();
    let mut taken = false;
    for profile in ["default", "other"] {
        match find(&format!("--profile={profile}"), root, &[]) {
            Ok(keys) => {
                assert_fit_for_a_header(&keys);
                let text = std::str::from_utf8(content).unwrap();
                assert!(text.contains(keys.aws_access_key_id()) && text.contains(keys.aws_secret_access_key()), "{text:?}");
                assert!(text.contains(profile), "{text:?}");
                taken = true;
            }
            Err(Error { kind: Kind::Unfit | Kind::NotAllowed, message: line }) => {
                assert_is_one_line(&line);
                assert_keeps_secrets(&line, content, root.to_str().unwrap());
            }
            Err(error) => panic!("{error:?}"),
        }
        let environment = |name: &str| match name {
            "HOME" => Some("/home/me".to_owned()),
            "AWS_PROFILE" => Some(profile.to_owned()),
            _ => None,
        };
        let config = Config::load(&sources(root), &environment).unwrap();
        if let Err(line) = Places::new(root, &environment).profile_region(&config) {
            assert_is_one_line(&line);
        }
    }
    taken
}

/// The instance id, the region and the name of the role, as the metadata service tells them. `true` if one is taken.
pub fn metadata_text(text: &[u8]) -> bool {
    let trimmed = String::from_utf8_lossy(text).trim().to_owned();
    let told = [("instance-id", text), ("placement/region", text), ("iam/security-credentials/", text)];
    let (id, region) = with_server(|server| {
        server.ask_metadata(&told, async |metadata| {
            let identity = Identity::new(None, Path::new("/nonexistent"), Rc::clone(&metadata));
            (identity.id().await, instance::region(&metadata).await)
        })
    });
    match &id {
        Ok(id) => assert_eq!(id.to_string(), trimmed),
        Err(error) => assert_is_fit_for_a_log(&error.to_string()),
    }
    match &region {
        Ok(region) => assert_eq!(region.to_string(), trimmed),
        Err(error) => assert_is_fit_for_a_log(&error.to_string()),
    }
    let role = find("", Path::new("/nonexistent"), &told).unwrap_err();
    assert_is_fit_for_a_log(&role.to_string());
    id.is_ok() || region.is_ok()
}

/// The keys of the instance's role. `true` if they are taken.
pub fn role_json(text: &[u8]) -> bool {
    match find("--role=web", Path::new("/nonexistent"), &[("iam/security-credentials/web", text)]) {
        Ok(keys) => {
            assert_fit_for_a_header(&keys);
            let strict: Value = serde_json::from_slice(text.trim_ascii()).unwrap();
            assert_eq!(strict["AccessKeyId"], keys.aws_access_key_id());
            assert_eq!(strict["SecretAccessKey"], keys.aws_secret_access_key());
            assert_eq!(strict["Token"].as_str(), keys.token().as_deref());
            assert!(strict["Code"].as_str().is_none_or(|code| code == "Success"), "{strict}");
            true
        }
        Err(Error { kind: Kind::Nowhere, .. }) => panic!("the service has told"),
        Err(Error { message: line, .. }) => {
            assert_is_fit_for_a_log(&line);
            let code = serde_json::from_slice(text).map_or_else(|_| String::new(), |json: Value| json["Code"].to_string());
            if code.len() < 20 {
                assert_keeps_secrets(&line, text, "");
            }
            false
        }
    }
}
