//! What EC2 answers, and what it might.

use std::time::Duration;

use wiremock::ResponseTemplate;

use super::ec2::allocation;
use super::{IP, ME};

/// An answer other than what EC2 would give.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Headers, by name.
    pub headers: Vec<(&'static str, String)>,
    pub mime: &'static str,
    /// How long it takes.
    pub delay: Duration,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), headers: Vec::new(), mime: "text/xml;charset=UTF-8", delay: Duration::ZERO }
    }

    /// An error, as EC2 gives it.
    pub fn error(status: u16, code: &str) -> Self {
        Self::error_with(status, code, "Words about it.")
    }

    /// An error with these words of EC2's.
    pub fn error_with(status: u16, code: &str, words: &str) -> Self {
        Self::new(
            status,
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{words}</Message>\
                 </Error></Errors><RequestID>0ab1</RequestID></Response>"
            ),
        )
    }

    /// A describe's answer with these items.
    pub fn addresses(items: &str) -> Self {
        Self::new(200, document("DescribeAddresses", &format!("<addressesSet>{items}</addressesSet>")))
    }

    /// With EC2's clock.
    pub fn dated(self, date: &str) -> Self {
        self.with("Date", date)
    }

    /// With a place to be redirected to.
    pub fn located(self, url: &str) -> Self {
        self.with("Location", url)
    }

    /// Only after this long.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// With a header.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn template(&self) -> ResponseTemplate {
        let template = ResponseTemplate::new(self.status).set_body_raw(self.body.clone(), self.mime).set_delay(self.delay);
        self.headers.iter().fold(template, |template, (name, value)| {
            template.insert_header(*name, wiremock::http::HeaderValue::from_bytes(value.as_bytes()).unwrap())
        })
    }
}

pub fn document(action: &str, content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>0ab1</requestId>{content}</{action}Response>"
    )
}

/// An item of a describe's answer.
pub fn item(fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    format!("<item>{fields}</item>")
}

/// The item of [`IP`](super::IP) as [`ME`](super::ME) has it, but for these fields.
pub fn mine(fields: &[(&str, &str)]) -> String {
    let allocation = allocation(IP);
    let right =
        [("publicIp", IP), ("allocationId", allocation.as_str()), ("instanceId", ME), ("associationId", "eipassoc-00000000000000001")];
    let fields: Vec<_> =
        right.map(|(name, value)| (name, fields.iter().find(|(other, _)| *other == name).map_or(value, |(_, value)| *value))).to_vec();
    item(&fields)
}
