//! A program with rusoto's own HTTP client, for the check that must find it.

use rusoto_core::credential::StaticProvider;
use rusoto_core::signature::SignedRequest;
use rusoto_core::{Client, HttpClient, Region};

fn main() -> anyhow::Result<()> {
    let client = Client::new_with(
        StaticProvider::new_minimal("AKIDEXAMPLE".into(), "not-a-real-secret".into()),
        HttpClient::new()?,
    );
    let request = SignedRequest::new("GET", "ec2", &Region::UsEast1, "/");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(client.sign_and_dispatch(request))
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(())
}
