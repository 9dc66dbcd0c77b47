//! Why somebody cannot join, in words that they can act on. Nothing internal, and nothing about other sites.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tmtp_domain::{InviteCodeError, InviteState};

use super::page::{self, Kind};

/// When it may be tried again what does not work at the moment.
const AWAY: Duration = Duration::from_mins(1);

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No such page, no such site.
    Nothing,
    /// Not in this way.
    Method,
    /// The site is not served at present.
    Closed,
    /// What was typed is no code at all.
    Malformed(InviteCodeError),
    /// There is no such code at this site.
    UnknownCode,
    /// The invite's time is over.
    Expired,
    /// Everybody has joined who may.
    Used,
    /// Somebody took the invite back.
    Revoked,
    /// Codes were tried too often.
    TooManyTries {
        /// After this it can be tried again.
        wait: Duration,
    },
    /// The client asked in a way that it must not.
    Client(&'static str),
    /// The client could not prove that it is the one that began, or came too late, or twice.
    Grant,
    /// Postgres is away, or the like.
    Unavailable,
}

/// What a page says about it.
pub(super) struct Words {
    pub heading: &'static str,
    pub text: String,
}

impl From<tmtp_store::Error> for Refusal {
    fn from(error: tmtp_store::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the issuer could not use the database");
        Self::Unavailable
    }
}

impl Refusal {
    /// Why an invite in this state cannot be used; `None`: it can.
    pub(super) fn of_state(state: InviteState) -> Option<Self> {
        match state {
            InviteState::Pending | InviteState::Active => None,
            InviteState::Used => Some(Self::Used),
            InviteState::Expired => Some(Self::Expired),
            InviteState::Revoked => Some(Self::Revoked),
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Nothing | Self::UnknownCode => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed(_) | Self::Client(_) | Self::Grant => StatusCode::BAD_REQUEST,
            Self::Expired | Self::Used | Self::Revoked => StatusCode::GONE,
            Self::TooManyTries { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Closed | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn words(self) -> Words {
        let again = "Ask the person who invited you for a new invitation.";
        let (heading, text) = match self {
            Self::Nothing => (
                "There is nothing here",
                "Check the link: it may have been cut off. Open it from the invitation that you were sent, or ask \
                 for a new one."
                    .into(),
            ),
            Self::Method => ("This page cannot be used like that", "Open the link of your invitation again.".into()),
            Self::Closed => (
                "This site is closed at the moment",
                "Nobody can join it now. Ask the person who invited you when it will be open again.".into(),
            ),
            Self::Malformed(_) => (
                "That is not a complete code",
                "A code has twelve letters and digits in three groups, such as 7K4M-Q2XD-9TRA. Compare it with your \
                 invitation."
                    .into(),
            ),
            Self::UnknownCode => (
                "We do not know this code",
                format!("Compare it with your invitation, letter by letter. If it is right, it may have been replaced. {again}"),
            ),
            Self::Expired => ("This invitation has expired", format!("Its time is over. {again}")),
            Self::Used => (
                "This invitation has been used",
                format!("If it was you, you are a member already: open your client. If not: {again}"),
            ),
            Self::Revoked => ("This invitation was withdrawn", again.into()),
            Self::TooManyTries { wait } => (
                "Too many tries",
                format!("To protect the invitations of others, codes cannot be tried without end. {}", try_again(wait)),
            ),
            Self::Client(problem) => (
                "Your client asked in a way we do not understand",
                format!("Begin again in your client. If this page comes back, the client has a fault: {problem}."),
            ),
            Self::Grant => ("This sign-in is over", "Begin again in your client.".into()),
            Self::Unavailable => {
                ("This does not work at the moment", "It is not your fault. Try again in a few minutes.".into())
            }
        };
        Words { heading, text }
    }

    /// As a page for people, or as JSON for clients (RFC 6749, section 5.2).
    pub(super) fn into_response(self, kind: Kind) -> Response {
        let mut response = match kind {
            Kind::Page => page::refusal(self),
            Kind::Json => {
                let error = match self {
                    Self::Grant | Self::Expired | Self::Used | Self::Revoked | Self::UnknownCode => {
                        "invalid_grant"
                    }
                    Self::Unavailable | Self::Closed => "temporarily_unavailable",
                    _ => "invalid_request",
                };
                let words = self.words();
                let description = format!("{}. {}", words.heading, words.text);
                // The specification knows one status for what the client can do nothing about.
                let status =
                    if error == "temporarily_unavailable" { self.status() } else { StatusCode::BAD_REQUEST };
                (status, Json(json!({ "error": error, "error_description": description }))).into_response()
            }
        };
        let wait = match self {
            Self::TooManyTries { wait } => Some(wait),
            Self::Closed | Self::Unavailable => Some(AWAY),
            _ => None,
        };
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        response
    }
}

/// When, for people who do not know our clock.
fn try_again(wait: Duration) -> String {
    let minutes = wait.as_secs() / 60 + 1;
    let at = jiff::Timestamp::now() + wait + Duration::from_mins(1);
    let (number, unit) =
        if minutes == 1 { ("a".to_owned(), "minute") } else { (minutes.to_string(), "minutes") };
    format!("Try again in {number} {unit} (at {} UTC).", at.strftime("%H:%M"))
}
