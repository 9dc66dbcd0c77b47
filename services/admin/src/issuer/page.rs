//! The pages: plain HTML without scripts, for any browser, screen reader and width. All text is escaped by the
//! template language. The policy of a page allows its own style and nothing else from anywhere.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use qrcode::QrCode;
use qrcode::render::svg;

use super::refusal::Refusal;

/// The style of all pages, within each, so that a page is one request.
const STYLE: &str = include_str!("style.css");

/// By which the policy knows the style.
static STYLE_HASH: LazyLock<String> = LazyLock::new(|| {
    let hash = digest::digest(&digest::SHA256, STYLE.as_bytes());
    format!("'sha256-{}'", BASE64.encode(hash.as_ref()))
});

/// Whom an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// People.
    Page,
    /// Clients.
    Json,
}

/// What an invitation says.
pub(super) struct Invitation<'a> {
    /// What the site is called.
    pub site: &'a str,
    /// What to type into the client.
    pub address: Option<&'a str>,
    /// What the sign-in is called in the client.
    pub label: &'a str,
    /// The code, in groups.
    pub code: &'a str,
    /// This page.
    pub link: &'a str,
    /// The alias that the person will have.
    pub alias: Option<&'a str>,
    /// Whether somebody has to approve.
    pub requires_approval: bool,
    /// When it ends, in words.
    pub expires: Option<String>,
}

/// What the page of a sign-in says.
pub(super) struct SignInPage<'a> {
    /// What the site is called.
    pub site: &'a str,
    /// What the client asked for, to be sent along.
    pub fields: &'a [(&'static str, String)],
    /// The code, as far as it is known.
    pub code: &'a str,
    /// What was wrong with the code.
    pub refusal: Option<Refusal>,
    /// The origin of the client, where the form leads in the end.
    pub origin: &'a str,
}

/// The page behind the link of an invite.
pub(super) fn invitation(invitation: &Invitation<'_>) -> Response {
    let title = format!("Join {}", invitation.site);
    let body = html! {
        p.kicker { "You are invited" }
        h1 { "Join " (invitation.site) }
        @if let Some(alias) = invitation.alias {
            p { "You will be known there as " strong { (alias) } "." }
        }
        ol.steps {
            li {
                @if let Some(address) = invitation.address {
                    p { "Open your messaging client, add a site, and type this address:" }
                    p.copy { (address) }
                } @else {
                    p { "Open your messaging client and add the site, with the address that you were given." }
                }
            }
            li { p { "Choose the sign-in " strong { (invitation.label) } ". Your browser opens." } }
            li {
                p { "If you are asked for the code of your invitation, type:" }
                p.copy { (invitation.code) }
                p.hint { "In this browser it is filled in for you." }
            }
            li {
                p {
                    "Press " strong { "Continue" } " and go back to your client."
                    @if invitation.requires_approval { " You are in as soon as somebody at the site has approved." }
                    @else { " You are in." }
                }
            }
        }
        @if let Some(qr) = qr(invitation.link) {
            section.other {
                div.qr { (PreEscaped(qr)) }
                div {
                    h2 { "On another device?" }
                    p { "Scan this picture there to open this page." }
                }
            }
        }
        p.hint {
            "Opening this page does not use your invitation up; joining does."
            @if let Some(expires) = &invitation.expires { " It is good until " (expires) "." }
        }
    };
    respond(StatusCode::OK, &title, &body, "")
}

/// The page on which people give their code.
pub(super) fn sign_in(page: &SignInPage<'_>) -> Response {
    let title = format!("Join {}", page.site);
    let status = page.refusal.map_or(StatusCode::OK, Refusal::status);
    let body = html! {
        p.kicker { "Sign-in with an invitation" }
        h1 { "Join " (page.site) }
        @if let Some(refusal) = page.refusal {
            @let words = refusal.words();
            div.problem role="alert" id="problem" {
                h2 { (words.heading) }
                p { (words.text) }
            }
        }
        form method="post" action="authorize" {
            @for (name, value) in page.fields {
                input type="hidden" name=(name) value=(value);
            }
            label for="code" { "Code of your invitation" }
            input.code #code type="text" name="invite_code" value=(page.code) required maxlength="40"
                autocomplete="off" autocapitalize="characters" autocorrect="off" spellcheck="false"
                aria-describedby=(if page.refusal.is_some() { "problem help" } else { "help" })
                aria-invalid=[page.refusal.map(|_| "true")]
                autofocus[page.code.is_empty() || page.refusal.is_some()];
            p.hint #help {
                "Twelve letters and digits, such as " span.whole { "7K4M-Q2XD-9TRA" } ". Small letters will do."
            }
            button type="submit" { "Continue" }
        }
        p.hint { "You did not ask for this in your client? Then close this page: nothing has happened." }
    };
    respond(status, &title, &body, page.origin)
}

/// A page that only says why not.
pub(super) fn refusal(refusal: Refusal) -> Response {
    let words = refusal.words();
    let body = html! {
        h1 { (words.heading) }
        p { (words.text) }
    };
    respond(refusal.status(), words.heading, &body, "")
}

fn respond(status: StatusCode, title: &str, body: &Markup, form_target: &str) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex, nofollow";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    // A browser applies `form-action` to where the form is redirected, too: to the client.
    let policy = format!(
        "default-src 'none'; style-src {}; form-action 'self' {form_target}; base-uri 'none'; frame-ancestors 'none'",
        *STYLE_HASH
    );
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let headers: [(HeaderName, HeaderValue); 7] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    (status, headers, page.into_string()).into_response()
}

/// The picture of a link, as SVG for within a page; dark on light in any colour scheme, or many readers fail.
pub(crate) fn qr(link: &str) -> Option<String> {
    let picture = QrCode::new(link.as_bytes()).ok()?;
    let svg = picture
        .render::<svg::Color<'_>>()
        .min_dimensions(200, 200)
        .dark_color(svg::Color("#000"))
        .light_color(svg::Color("#fff"))
        .build();
    // Without the XML declaration, which only a document of its own may have, and with a name for who cannot see it.
    let start = svg.find("<svg")?;
    Some(svg[start..].replacen("<svg", r#"<svg role="img" aria-label="Link to this page as a QR code""#, 1))
}
