//! rusoto's requests, carried by reqwest.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use reqwest::Client;
use rusoto_core::credential::AwsCredentials;
use rusoto_core::request::{DispatchSignedRequest, DispatchSignedRequestFuture, HttpDispatchError, HttpResponse};
use rusoto_core::signature::SignedRequest;

use super::{Error, Kind, response};
use crate::http::{self, Answer};
use crate::message::Message;
use crate::signing;

/// Carries one call. rusoto passes on only a text when a call fails, and no request's id when it does not, so both are kept here
/// for the caller.
#[derive(Clone)]
pub(super) struct Transport {
    http: Client,
    proxy: Option<String>,
    action: &'static str,
    limit: Duration,
    /// EC2's clock, where it is not this machine's, and the keys to sign for it.
    skew: Option<(TimeDelta, AwsCredentials)>,
    ended: Arc<Mutex<Option<Result<String, Error>>>>,
}

impl Transport {
    /// Carries the call of this name within `limit`, signed for EC2's clock where that is known to differ. `proxy` is what an error
    /// calls the proxy on the way.
    pub(super) fn new(
        http: Client,
        proxy: Option<String>,
        action: &'static str,
        limit: Duration,
        skew: Option<(TimeDelta, AwsCredentials)>,
    ) -> Self {
        Self { http, proxy, action, limit, skew, ended: Arc::default() }
    }

    /// The request's id, or why the call failed on the way or by EC2's word.
    pub(super) fn ended(&self) -> Option<Result<String, Error>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn carry(&self, mut request: SignedRequest) -> Result<(Answer, String), Error> {
        if let Some((skew, keys)) = &self.skew {
            signing::sign_again(&mut request, keys, Utc::now() + *skew);
        }
        let answer = http::exchange(signing::prepare(&self.http, request), self.proxy.as_deref(), self.limit).await.map_err(|error| {
            let kind = if error.kind.is_sent { Kind::Ambiguous } else { Kind::Unsent };
            let message = Message { what: format!("{} got {}", self.action, error.message.what), ..error.message };
            Error { is_cut_short: error.kind.is_timeout, ..Error::new(kind, message) }
        })?;
        let id = response::check(self.action, &answer)?;
        Ok((answer, id))
    }
}

impl DispatchSignedRequest for Transport {
    fn dispatch(&self, request: SignedRequest, _timeout: Option<Duration>) -> DispatchSignedRequestFuture {
        let transport = self.clone();
        Box::pin(async move {
            let (result, ended) = match transport.carry(request).await {
                Ok((answer, id)) => {
                    // Only successes come this far, and the default status is 200.
                    (Ok(HttpResponse { status: Default::default(), body: answer.body.into(), headers: Default::default() }), Ok(id))
                }
                Err(error) => (Err(HttpDispatchError::new(error.to_string())), Err(error)),
            };
            *transport.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
            result
        })
    }
}
