//! The instance metadata service, version 2 (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>).

use std::fmt;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::http::{self, Answer};
use crate::ids::Mac;
use crate::retry::{self, Deadline, Pace, Transient};

/// The service is on the machine's own host: it answers at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(1);

/// How long the token lives, in seconds: longer than any call of this program needs.
const TOKEN_LIFE: &str = "600";

/// Why a fact is not known.
#[derive(Debug)]
pub enum Error {
    /// The service has no such fact.
    Absent(String),
    /// The service refuses to tell, or tells nonsense.
    Refused(String),
    /// The service did not answer, or not well.
    Unavailable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(text) | Self::Refused(text) | Self::Unavailable(text) => f.write_str(text),
        }
    }
}

impl Transient for Error {
    fn pace(&self) -> Option<Pace> {
        matches!(self, Self::Unavailable(_)).then_some(Pace::Brisk)
    }
}

/// The metadata service of this instance.
pub struct Imds {
    base: Url,
    http: Client,
    deadline: Deadline,
    /// When a question that failed is asked no more.
    patience: Deadline,
    /// `None` inside where the service knows no tokens.
    token: OnceCell<Option<Zeroizing<String>>>,
}

impl Imds {
    /// The service at `base`; nothing is sent yet. Every question is tried until `deadline`.
    pub fn new(base: Url, deadline: Deadline) -> anyhow::Result<Self> {
        // The service speaks plain HTTP, so the client is built without root certificates.
        let http = http::client(CONNECT_LIMIT).tls_certs_only([]).build()?;
        Ok(Self { base, http, deadline, patience: deadline, token: OnceCell::new() })
    }

    /// The same service, with each question asked once.
    #[must_use]
    pub fn once(self) -> Self {
        Self { patience: Deadline::after(Duration::ZERO), ..self }
    }

    /// This instance's id.
    pub async fn instance_id(&self) -> Result<String, Error> {
        self.fact("meta-data/instance-id").await
    }

    /// The region this instance is in.
    pub async fn region(&self) -> Result<String, Error> {
        self.fact("meta-data/placement/region").await
    }

    /// The hardware address of the primary interface.
    pub async fn primary_mac(&self) -> Result<String, Error> {
        self.fact("meta-data/mac").await
    }

    /// The hardware addresses of all interfaces, one a line, each with a slash.
    pub async fn macs(&self) -> Result<String, Error> {
        self.fact("meta-data/network/interfaces/macs/").await
    }

    /// The id of an interface.
    pub async fn interface_id(&self, mac: &Mac) -> Result<String, Error> {
        self.fact(&format!("meta-data/network/interfaces/macs/{mac}/interface-id")).await
    }

    /// The private IPv4 addresses of an interface, one a line, the primary one first.
    pub async fn private_addresses(&self, mac: &Mac) -> Result<String, Error> {
        self.fact(&format!("meta-data/network/interfaces/macs/{mac}/local-ipv4s")).await
    }

    /// The name of this instance's role.
    pub async fn role(&self) -> Result<String, Error> {
        let names = self.fact("meta-data/iam/security-credentials/").await?;
        Ok(names.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// The credentials of a role, as JSON.
    pub async fn role_credentials(&self, role: &str) -> Result<Zeroizing<String>, Error> {
        self.fact(&format!("meta-data/iam/security-credentials/{role}")).await.map(Zeroizing::new)
    }

    async fn fact(&self, path: &str) -> Result<String, Error> {
        retry::until(self.patience, "metadata service", async || {
            let token = self.token.get_or_try_init(|| self.fetch_token()).await?;
            let mut request = self.http.get(self.url(path));
            if let Some(token) = token {
                request = request.header("X-aws-ec2-metadata-token", token.as_str());
            }
            let answer = self.exchange(request, path).await?;
            match answer.status {
                StatusCode::OK => text(answer, path),
                StatusCode::NOT_FOUND => Err(Error::Absent(format!("the metadata service knows no {path}"))),
                status => Err(self.refusal(status, path)),
            }
        })
        .await
    }

    async fn fetch_token(&self) -> Result<Option<Zeroizing<String>>, Error> {
        let path = "api/token";
        let request = self.http.put(self.url(path)).header("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_LIFE);
        let answer = self.exchange(request, path).await?;
        match answer.status {
            StatusCode::OK => text(answer, path).map(Zeroizing::new).map(Some),
            // Only a service that does not know tokens is asked without one (old Eucalyptus and OpenStack). After a refusal
            // that would hand the questions to whoever can forge one.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
            status => Err(self.refusal(status, path)),
        }
    }

    async fn exchange(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Answer, Error> {
        let limit = ATTEMPT_LIMIT.min(self.deadline.left());
        http::exchange(request, limit)
            .await
            .map_err(|error| Error::Unavailable(format!("cannot read {path} from the metadata service at {}: {error}", self.base)))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/latest/{path}", self.base.as_str().trim_end_matches('/'))
    }

    fn refusal(&self, status: StatusCode, path: &str) -> Error {
        let text = format!("the metadata service at {} answers {} to {path}", self.base, status.as_u16());
        match status {
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Error::Unavailable(text),
            StatusCode::FORBIDDEN => Error::Refused(format!("{text}; is it switched off for this instance?")),
            _ => Error::Refused(text),
        }
    }
}

fn text(answer: Answer, path: &str) -> Result<String, Error> {
    let body = Zeroizing::new(answer.body);
    let text = str::from_utf8(&body).unwrap_or_default().trim().to_owned();
    // It is not shown: it may be a token.
    if text.is_empty() || (path == "api/token" && !text.bytes().all(|b| b.is_ascii_graphic())) {
        return Err(Error::Unavailable(format!("the metadata service's answer to {path} cannot be read: it is empty or no plain text")));
    }
    Ok(text)
}
