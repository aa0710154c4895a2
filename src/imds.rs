//! The instance metadata service, version 2 (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>).

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::config::Metadata;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::http::{self, Answer};
use crate::ids::Mac;
use crate::message::Message;

/// The service is on the machine's own host: it answers at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(1);

/// How long the token lives, in seconds: longer than any call of this program needs.
const TOKEN_LIFE: &str = "600";

/// Why a fact is not known.
pub(crate) type Error = Failure<Kind>;

/// What kind of reason that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The service has no such fact.
    Absent,
    /// The service does not accept a token that it has just given, which it may within a minute.
    NotYet,
    /// The configuration says not to ask the service.
    Disabled,
    /// The service refuses to tell, or tells nonsense.
    Refused,
    /// The service did not answer, or not well.
    Unavailable {
        /// The deadline left it less than its full time, in which there was no answer.
        is_cut_short: bool,
    },
}

/// The metadata service of this instance.
pub struct Imds {
    base: Url,
    http: Client,
    deadline: Deadline,
    attempt_limit: Duration,
    is_disabled: bool,
    token: Mutex<Token>,
}

/// What the service wants to see with each question.
#[derive(Clone)]
enum Token {
    Unknown,
    Known(Zeroizing<String>),
    /// The service knows no tokens.
    None,
}

impl Imds {
    /// The configured service; nothing is sent yet. No question takes longer than `deadline`.
    pub fn new(service: &Metadata, deadline: Deadline) -> anyhow::Result<Self> {
        let attempt_limit = service.timeout.unwrap_or(ATTEMPT_LIMIT);
        // The service speaks plain HTTP, so the client is built without root certificates.
        let http = http::client(service.timeout.unwrap_or(CONNECT_LIMIT)).tls_certs_only([]).build()?;
        let base = service.url.clone();
        Ok(Self { base, http, deadline, attempt_limit, is_disabled: service.is_disabled, token: Mutex::new(Token::Unknown) })
    }

    /// This instance's id.
    pub(crate) async fn instance_id(&self) -> Result<String, Error> {
        self.fact("meta-data/instance-id").await
    }

    /// The region this instance is in.
    pub(crate) async fn region(&self) -> Result<String, Error> {
        self.fact("meta-data/placement/region").await
    }

    /// The hardware address of the primary interface.
    pub(crate) async fn primary_mac(&self) -> Result<String, Error> {
        self.fact("meta-data/mac").await
    }

    /// The hardware addresses of all interfaces, one a line, each with a slash.
    pub(crate) async fn macs(&self) -> Result<String, Error> {
        self.fact("meta-data/network/interfaces/macs/").await
    }

    /// The id of an interface.
    pub(crate) async fn interface_id(&self, mac: &Mac) -> Result<String, Error> {
        self.fact(&format!("meta-data/network/interfaces/macs/{mac}/interface-id")).await
    }

    /// The private IPv4 addresses of an interface, one a line, the primary one first.
    pub(crate) async fn private_addresses(&self, mac: &Mac) -> Result<String, Error> {
        self.fact(&format!("meta-data/network/interfaces/macs/{mac}/local-ipv4s")).await
    }

    /// The public IPv4 addresses of an interface, one a line.
    pub(crate) async fn public_addresses(&self, mac: &Mac) -> Result<String, Error> {
        self.fact(&format!("meta-data/network/interfaces/macs/{mac}/ipv4-associations/")).await
    }

    /// The private addresses of an interface that a public one is mapped to, one a line.
    pub(crate) async fn mapped_to(&self, mac: &Mac, public: Ipv4Addr) -> Result<String, Error> {
        self.fact(&format!("meta-data/network/interfaces/macs/{mac}/ipv4-associations/{public}")).await
    }

    /// The name of this instance's role.
    pub(crate) async fn role(&self) -> Result<String, Error> {
        let names = self.fact("meta-data/iam/security-credentials/").await?;
        Ok(names.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// The credentials of a role, as JSON.
    pub(crate) async fn role_credentials(&self, role: &str) -> Result<Zeroizing<String>, Error> {
        self.fact(&format!("meta-data/iam/security-credentials/{role}")).await.map(Zeroizing::new)
    }

    async fn fact(&self, path: &str) -> Result<String, Error> {
        if self.is_disabled {
            return Err(Error::new(
                Kind::Disabled,
                format!("the metadata service is not asked for {path}: AWS_EC2_METADATA_DISABLED is set"),
            ));
        }
        match self.ask(path).await {
            // The token's life may be over, so that a new one helps.
            Err(Error { kind: Kind::NotYet, .. }) => self.ask(path).await,
            result => result,
        }
    }

    async fn ask(&self, path: &str) -> Result<String, Error> {
        let token = self.token().await?;
        let mut request = self.http.get(self.url(path));
        if let Token::Known(token) = &token {
            request = request.header("X-aws-ec2-metadata-token", token.as_str());
        }
        let answer = self.exchange(request, path).await?;
        match answer.status {
            StatusCode::OK => text(answer, path),
            StatusCode::NOT_FOUND => Err(Error::new(Kind::Absent, format!("the metadata service knows no {path}"))),
            StatusCode::UNAUTHORIZED if matches!(token, Token::Known(_)) => {
                *self.token.lock().await = Token::Unknown;
                Err(Error::new(Kind::NotYet, self.answers(StatusCode::UNAUTHORIZED, path)))
            }
            status => Err(self.refusal(status, path)),
        }
    }

    /// The token, fetched once for all questions.
    async fn token(&self) -> Result<Token, Error> {
        let mut token = self.token.lock().await;
        if matches!(*token, Token::Unknown) {
            *token = self.fetch_token().await?;
        }
        Ok(token.clone())
    }

    async fn fetch_token(&self) -> Result<Token, Error> {
        let path = "api/token";
        let request = self.http.put(self.url(path)).header("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_LIFE);
        let answer = self.exchange(request, path).await?;
        match answer.status {
            StatusCode::OK => text(answer, path).map(Zeroizing::new).map(Token::Known),
            // Only a service that does not know tokens is asked without one (old Eucalyptus and OpenStack). After a refusal
            // that would hand the questions to whoever can forge one.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(Token::None),
            status => Err(self.refusal(status, path)),
        }
    }

    async fn exchange(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Answer, Error> {
        let limit = self.attempt_limit.min(self.deadline.left());
        http::exchange(request, None, limit).await.map_err(|error| {
            let is_cut_short = error.kind.is_timeout && limit < self.attempt_limit;
            let message = error.message.at(format!("cannot read {path} from the metadata service at {}", self.base));
            Error::new(Kind::Unavailable { is_cut_short }, message)
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/latest/{path}", self.base.as_str().trim_end_matches('/'))
    }

    fn answers(&self, status: StatusCode, path: &str) -> String {
        format!("the metadata service at {} answers {} to {path}", self.base, status.as_u16())
    }

    fn refusal(&self, status: StatusCode, path: &str) -> Error {
        let text = self.answers(status, path);
        match status {
            StatusCode::TOO_MANY_REQUESTS => unavailable(text),
            status if status.is_server_error() => unavailable(text),
            StatusCode::FORBIDDEN => Error::new(Kind::Refused, Message::new(text, "look whether it is switched off for this instance")),
            _ => Error::new(Kind::Refused, text),
        }
    }
}

fn unavailable(text: impl Into<Message>) -> Error {
    Error::new(Kind::Unavailable { is_cut_short: false }, text)
}

fn text(answer: Answer, path: &str) -> Result<String, Error> {
    let body = Zeroizing::new(answer.body);
    let text = str::from_utf8(&body).unwrap_or_default().trim().to_owned();
    // It is not shown: it may be a token.
    if text.is_empty() || (path == "api/token" && !text.bytes().all(|b| b.is_ascii_graphic())) {
        return Err(unavailable(format!("the metadata service's answer to {path} cannot be read: it is empty or no plain text")));
    }
    Ok(text)
}
