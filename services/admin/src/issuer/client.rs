//! What a client asks for when it sends somebody to the issuer. Whoever asks in a wrong way is never redirected to:
//! the person is told instead, on the page, because a client shows nothing useful.

use tmtp_domain::SiteId;
use url::Url;

use super::params::Params;
use super::refusal::Refusal;

/// Where ordinary clients wait for the answer.
const REDIRECT_DEFAULT: &str = "http://localhost:8123/u";
/// Octets of what the client wants to have back.
const ECHO_MAX: usize = 2_048;

/// A sign-in that a client has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignIn {
    /// Where the browser is sent in the end.
    pub redirect_uri: String,
    /// Given back with it.
    pub state: Option<String>,
    /// Repeated in the token.
    pub nonce: Option<String>,
    /// PKCE, S256.
    pub challenge: String,
}

impl SignIn {
    /// Reads and checks a request for `site`. `web_clients` are the registered addresses of clients on the web.
    pub(super) fn read(params: &Params, site: SiteId, web_clients: &[String]) -> Result<Self, Refusal> {
        if params.get("client_id") != Some(site.to_string().as_str()) {
            return Err(Refusal::Client("its client_id is not the one of this site"));
        }
        let redirect_uri = params.get("redirect_uri").unwrap_or(REDIRECT_DEFAULT);
        if !may_redirect(redirect_uri, web_clients) {
            return Err(Refusal::Client("its redirect_uri is not the address of a known client"));
        }
        if params.get("response_type").is_some_and(|kind| kind != "code") {
            return Err(Refusal::Client("its response_type is not code"));
        }
        if params.get("code_challenge_method") != Some("S256") {
            return Err(Refusal::Client("its code_challenge_method is not S256"));
        }
        let challenge = params.get("code_challenge").filter(|text| is_challenge(text));
        let challenge = challenge.ok_or(Refusal::Client("it lacks a code_challenge"))?;
        let echo = |name| params.get(name).map(str::to_owned);
        let (state, nonce) = (echo("state"), echo("nonce"));
        let odd = |text: &String| text.len() > ECHO_MAX || text.chars().any(char::is_control);
        if [&state, &nonce].into_iter().flatten().any(odd) {
            return Err(Refusal::Client("its state or nonce is too long or not a plain text"));
        }
        Ok(Self { redirect_uri: redirect_uri.to_owned(), state, nonce, challenge: challenge.to_owned() })
    }

    /// The parameters again, for the form. In the order in which they are written.
    pub(super) fn fields(&self, site: SiteId) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("client_id", site.to_string()),
            ("redirect_uri", self.redirect_uri.clone()),
            ("response_type", "code".to_owned()),
            ("code_challenge", self.challenge.clone()),
            ("code_challenge_method", "S256".to_owned()),
        ];
        fields.extend(self.state.clone().map(|state| ("state", state)));
        fields.extend(self.nonce.clone().map(|nonce| ("nonce", nonce)));
        fields
    }

    /// Where the browser goes with a code.
    pub(super) fn answer(&self, code: &str) -> Result<String, Refusal> {
        let mut url = Url::parse(&self.redirect_uri)
            .map_err(|_| Refusal::Client("its redirect_uri is not the address of a known client"))?;
        url.query_pairs_mut().append_pair("code", code);
        if let Some(state) = &self.state {
            url.query_pairs_mut().append_pair("state", state);
        }
        Ok(url.into())
    }

    /// The origin of the client, for the policy of the page: browsers follow a form to allowed places only.
    pub(super) fn origin(&self) -> String {
        Url::parse(&self.redirect_uri).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }
}

/// An address on the person's own machine, as ordinary clients have it, or a registered one.
fn may_redirect(address: &str, web_clients: &[String]) -> bool {
    if web_clients.iter().any(|known| known == address) {
        return true;
    }
    // Only what reads the same before and after parsing: no user, no dots, no encoded letters.
    Url::parse(address).is_ok_and(|url| is_own_machine(&url) && url.path() == "/u" && url.as_str() == address)
        && !address.contains(['?', '#', '@'])
}

/// `http://localhost:PORT`.
pub(super) fn is_own_machine(url: &Url) -> bool {
    url.host_str() == Some("localhost") && url.scheme() == "http" && url.port().is_some()
}

/// 32 octets in base64url.
fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: nobody is redirected but to clients; method: addresses that are one, and those that only look like it.
    #[test]
    fn redirects() {
        let web = ["https://chat.example/u".to_owned()];
        for good in ["http://localhost:8123/u", "http://localhost:1/u", "https://chat.example/u"] {
            assert!(may_redirect(good, &web), "{good}");
        }
        for bad in [
            "https://localhost:8123/u",
            "http://localhost/u",
            "http://localhost:8123/",
            "http://localhost:8123/u/",
            "http://localhost:8123/u?x=1",
            "http://localhost:8123/u#x",
            "http://localhost:8123@evil.example/u",
            "http://evil.example:8123/u",
            "http://localhost.evil.example:1/u",
            "http://127.0.0.1:8123/u",
            "http://127.0.0.2:1/u",
            "http://localhost:8123/a/../u",
            "http://LOCALHOST:8123/u",
            "http://2130706433:1/u",
            "http://[::1]:1/u",
            "https://chat.example/u?x=1",
            "https://chat.example/",
            "javascript:alert(1)",
            "",
            "//localhost:1/u",
        ] {
            assert!(!may_redirect(bad, &web), "{bad}");
        }
    }
}
