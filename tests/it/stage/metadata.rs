//! An instance metadata service.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use wiremock::matchers::{any, header, header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::SECRET;
use super::moments::{After, During};

pub const TOKEN: &str = "tOkEn==";
const TOKEN_HEADER: &str = "X-aws-ec2-metadata-token";

/// The metadata service of one stage.
pub struct Metadata {
    runtime: Runtime,
    server: MockServer,
}

impl Metadata {
    /// A service that answers only to those who bring the token that it hands out for a PUT, as version 2 does.
    pub fn version_2() -> Self {
        let service = Self::bare();
        let token = Mock::given(method("PUT")).and(path("/latest/api/token")).and(header_exists("X-aws-ec2-metadata-token-ttl-seconds"));
        service.mount(token.respond_with(ResponseTemplate::new(200).set_body_string(TOKEN)).with_priority(5));
        let known = Mock::given(method("GET")).and(header(TOKEN_HEADER, TOKEN));
        service.mount(known.respond_with(ResponseTemplate::new(404)).with_priority(8));
        service.mount(Mock::given(any()).respond_with(ResponseTemplate::new(401)).with_priority(9));
        service
    }

    /// A service that answers everybody, and refuses the PUT for a token so.
    pub fn version_1(refusal: u16) -> Self {
        let service = Self::bare();
        service.mount(Mock::given(method("PUT")).respond_with(ResponseTemplate::new(refusal)).with_priority(5));
        service
    }

    fn bare() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(MockServer::builder().start());
        Self { runtime, server }
    }

    fn mount(&self, mock: Mock) {
        self.runtime.block_on(self.server.register(mock));
    }

    pub fn url(&self) -> String {
        self.server.uri()
    }

    /// Tells a fact, such as `instance-id`, to those who bring the token.
    pub fn tell(&self, fact: &str, text: &str) {
        self.answer(fact, ResponseTemplate::new(200).set_body_string(text));
    }

    /// Tells of a role of the instance, and its keys.
    pub fn give_role(&self, role: &str, id: &str) {
        self.tell("iam/security-credentials/", &format!("{role}\n"));
        self.tell_keys(role, id);
    }

    /// Tells a role's keys.
    pub fn tell_keys(&self, role: &str, id: &str) {
        let json = format!(r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"{SECRET}","Token":"roleToken=="}}"#);
        self.tell(&format!("iam/security-credentials/{role}"), &json);
    }

    pub fn answer(&self, fact: &str, template: ResponseTemplate) {
        let asked = Mock::given(method("GET")).and(path(format!("/latest/meta-data/{fact}"))).and(header(TOKEN_HEADER, TOKEN));
        self.mount(asked.respond_with(template).with_priority(4));
    }

    /// Answers questions for a fact so, in place of what was told before.
    pub fn answer_instead(&self, fact: &str, template: ResponseTemplate) {
        let asked = Mock::given(method("GET")).and(path(format!("/latest/meta-data/{fact}"))).and(header(TOKEN_HEADER, TOKEN));
        self.mount(asked.respond_with(template).with_priority(1));
    }

    /// Answers questions for a fact so for this long, from the first one on, in place of what was told before.
    pub fn answer_for(&self, fact: &str, time: Duration, template: ResponseTemplate) {
        let asked = Mock::given(method("GET")).and(path(format!("/latest/meta-data/{fact}"))).and(header(TOKEN_HEADER, TOKEN));
        self.mount(asked.and(During::the_first(time)).respond_with(template).with_priority(1));
    }

    /// Tells a fact so, in place of what was told before, from this long after the first question for it on.
    pub fn tell_after(&self, fact: &str, time: Duration, text: &str) {
        let asked = Mock::given(method("GET")).and(path(format!("/latest/meta-data/{fact}"))).and(header(TOKEN_HEADER, TOKEN));
        let template = ResponseTemplate::new(200).set_body_string(text);
        self.mount(asked.and(After::the_first(time)).respond_with(template).with_priority(1));
    }

    /// Answers every question that comes with the token so for this long, from the first one on.
    pub fn answer_all_for(&self, time: Duration, template: ResponseTemplate) {
        let asked = Mock::given(method("GET")).and(header(TOKEN_HEADER, TOKEN));
        self.mount(asked.and(During::the_first(time)).respond_with(template).with_priority(1));
    }

    /// Answers every question so.
    pub fn answer_all(&self, template: ResponseTemplate) {
        self.mount(Mock::given(any()).respond_with(template).with_priority(1));
    }

    /// Tells a fact to everybody.
    pub fn tell_everybody(&self, fact: &str, text: &str) {
        let asked = Mock::given(method("GET")).and(path(format!("/latest/meta-data/{fact}")));
        self.mount(asked.respond_with(ResponseTemplate::new(200).set_body_string(text)).with_priority(4));
    }

    /// The next answer to the PUT for a token.
    pub fn answer_token_once(&self, template: ResponseTemplate) {
        self.mount(Mock::given(method("PUT")).respond_with(template).up_to_n_times(1).with_priority(1));
    }

    /// What was asked, each as `METHOD path`, in order.
    pub fn asked(&self) -> Vec<String> {
        let received = self.runtime.block_on(self.server.received_requests()).unwrap();
        received.iter().map(|request| format!("{} {}", request.method, request.url.path())).collect()
    }
}
