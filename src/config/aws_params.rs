//! `AWS_PARAMS`: the options that the article's script handed to Tim Kay's `aws`.

use std::path::PathBuf;

use crate::message::Message;
use clap::Parser;
use clap::error::{ContextKind, ErrorKind};

/// The options that are understood.
#[derive(Debug, Default, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
pub(super) struct AwsParams {
    /// The region, with the old aliases resolved.
    #[arg(long)]
    pub region: Option<String>,
    /// The role whose credentials the metadata service gives.
    #[arg(long)]
    pub role: Option<String>,
    /// The profile in `~/.aws`.
    #[arg(long)]
    pub profile: Option<String>,
    /// The file with id and secret.
    #[arg(long)]
    pub secrets_file: Option<PathBuf>,
}

impl AwsParams {
    /// Reads the options. The error says which one is wrong and what there is.
    pub(super) fn parse(text: &str) -> Result<Self, Message> {
        let words = shell_words::split(text).map_err(|_| "a closing quote is missing in AWS_PARAMS".to_owned())?;
        let mut params = Self::try_parse_from(words).map_err(|error| {
            let word = error.get(ContextKind::InvalidArg).map_or_else(String::new, |word| format!("{:?} ", word.to_string()));
            let what = match error.kind() {
                ErrorKind::UnknownArgument => "is not an option of AWS_PARAMS",
                ErrorKind::InvalidValue | ErrorKind::NoEquals => "needs a value",
                ErrorKind::ArgumentConflict => "is given twice",
                _ => "cannot be understood",
            };
            Message::new(format!("{word}{what}"), "use --region=, --role=, --profile= or --secrets-file=")
        })?;
        params.region = params.region.map(|region| match region.as_str() {
            // The aliases of https://github.com/timkay/aws
            "eu" => "eu-west-1".to_owned(),
            "us" => "us-east-1".to_owned(),
            "uswest" => "us-west-1".to_owned(),
            "ap" => "ap-southeast-1".to_owned(),
            _ => region,
        });
        let places = [params.role.is_some(), params.profile.is_some(), params.secrets_file.is_some()];
        if places.into_iter().filter(|named| *named).count() > 1 {
            return Err(Message::new("more than one place for keys is named", "keep one of --role=, --profile= and --secrets-file="));
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_article_s_region_is_read() {
        assert_eq!(AwsParams::parse("--region=eu-west-1").unwrap().region.unwrap(), "eu-west-1");
        assert_eq!(AwsParams::parse("--region eu").unwrap().region.unwrap(), "eu-west-1");
    }

    #[test]
    fn what_is_not_an_option_is_named() {
        for (text, word) in [("--simple", "--simple"), ("--region=eu -v", "-v"), ("eu-west-1", "eu-west-1"), ("--region", "--region")] {
            let error = AwsParams::parse(text).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains('\n'), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_open_quote_is_refused() {
        assert!(AwsParams::parse("--region='eu").unwrap_err().what.contains("closing quote"));
    }
}
