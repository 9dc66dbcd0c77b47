//! What surrounds every request: its id, where it comes from, its time limit, its errors' form, its count.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::id::RequestId;
use super::{Api, Problem};
use crate::forwarded::forwarded_for;
use crate::metrics::STATUS_CLASSES;

/// What is known of a request before anybody has looked into it.
#[derive(Debug, Clone)]
pub(crate) struct RequestInfo {
    /// Ours, not the client's: the audit log relies on it.
    pub(crate) id: RequestId,
    pub(crate) from: IpAddr,
}

/// The outermost layer.
pub(crate) async fn surround(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = RequestId::random();
    let from = address(&request, api.config.listen.proxies);
    request.extensions_mut().insert(RequestInfo { id, from });
    let span = tracing::info_span!("request", %id, method = %request.method(), path = request.uri().path());
    let answer = timeout(api.config.limits.request_timeout, next.run(request).instrument(span)).await;
    let mut answer = answer.unwrap_or_else(|_| Problem::timeout().into_response());
    if let Some(problem) = answer.extensions_mut().remove::<Problem>() {
        let headers = std::mem::take(answer.headers_mut());
        answer = problem.answer(id);
        // What other layers have said about it.
        for (name, value) in headers {
            if let Some(name) = name
                && !answer.headers().contains_key(&name)
                && name != axum::http::header::CONTENT_LENGTH
            {
                answer.headers_mut().insert(name, value);
            }
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        answer.headers_mut().insert("x-request-id", value);
    }
    count(&api, &answer);
    answer
}

/// The peer's, or what the outermost of our proxies says.
fn address(request: &Request, proxies: u8) -> IpAddr {
    let forwarded = forwarded_for(request.headers(), proxies);
    let extensions = request.extensions();
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let pretended = || extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    forwarded.or(peer).or_else(pretended).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

fn count(api: &Api, answer: &Response) {
    let [success, refusal, failure] = [STATUS_CLASSES[0], STATUS_CLASSES[1], STATUS_CLASSES[2]];
    let class = match answer.status().as_u16() {
        500.. => failure,
        400.. => refusal,
        _ => success,
    };
    api.metrics.requests_total.with_label_values(&[class]).inc();
}
