//! What a token says, once its signature is known to be good: is it for us, now, and of somebody who may come?

use serde_json::Value;
use tmtp_domain::{ClaimRules, Identity, InviteId, Provider, ProviderKind};

use crate::Error;
use crate::token::Token;

/// Seconds that clocks may differ by.
const LEEWAY: i64 = 60;
/// Seconds that a token may be good for. Its digest is kept for that long, so that it is not used again.
const LIFE_MAX: i64 = 366 * 24 * 3_600;
/// Characters of the longest subject, as the specification has it.
const SUBJECT_MAX: usize = 255;

/// The provider that a token claims to be of.
pub(crate) fn provider_of<'p>(token: &Token<'_>, providers: &'p [Provider]) -> Result<&'p Provider, Error> {
    let issuer = token.text("iss").ok_or(Error::Claim("iss"))?;
    let mut candidates = providers.iter().filter(|provider| provider.issuer == issuer).peekable();
    candidates.peek().ok_or(Error::Issuer)?;
    // Several providers of a site may be one issuer with different client ids.
    candidates.find(|provider| audience(token, provider).is_ok()).ok_or(Error::Audience)
}

/// Checks the claims of a token whose signature is good. `now` is in seconds since 1970.
pub(crate) fn check(token: &Token<'_>, provider: &Provider, now: i64) -> Result<Identity, Error> {
    let audience = audience(token, provider)?;
    let expires_at = check_times(token, now)?;
    let subject = token.text("sub").filter(|sub| !sub.is_empty() && sub.chars().count() <= SUBJECT_MAX);
    let subject = subject.ok_or(Error::Claim("sub"))?;
    if provider.nonce.is_some() && token.text("nonce") != provider.nonce.as_deref() {
        return Err(Error::Nonce);
    }
    check_rules(token, &provider.claims)?;
    let (alias, invite) = match provider.kind {
        ProviderKind::Foreign => (alias(token, &provider.claims)?, None),
        ProviderKind::Invitation => (token.text("alias").map(str::to_owned), Some(invite(token)?)),
    };
    Ok(Identity {
        provider: provider.id.clone(),
        issuer: provider.issuer.clone(),
        subject: subject.to_owned(),
        audience,
        expires_at,
        token_digest: token.digest(),
        alias,
        invite,
    })
}

/// Which of the provider's audiences the token is for. With several, `azp` says whose it is.
fn audience(token: &Token<'_>, provider: &Provider) -> Result<String, Error> {
    let ours = |name: &str| provider.audiences.iter().find(|ours| *ours == name).cloned();
    match token.claims.get("aud") {
        Some(Value::String(name)) => ours(name).ok_or(Error::Audience),
        Some(Value::Array(names)) => {
            let mut texts = names.iter().filter_map(Value::as_str);
            let found = texts.find_map(ours).ok_or(Error::Audience)?;
            if names.len() > 1 {
                return token.text("azp").and_then(ours).ok_or(Error::Audience);
            }
            Ok(found)
        }
        _ => Err(Error::Claim("aud")),
    }
}

fn check_times(token: &Token<'_>, now: i64) -> Result<i64, Error> {
    let expires_at = time(token, "exp")?.ok_or(Error::Claim("exp"))?;
    if expires_at.saturating_add(LEEWAY) <= now {
        return Err(Error::Expired);
    }
    if expires_at > now.saturating_add(LIFE_MAX) {
        return Err(Error::LivesTooLong);
    }
    for name in ["nbf", "iat"] {
        if time(token, name)?.is_some_and(|begin| begin > now.saturating_add(LEEWAY)) {
            return Err(Error::Future);
        }
    }
    Ok(expires_at)
}

/// A point in time (seconds since 1970), which may have a fraction.
fn time(token: &Token<'_>, name: &'static str) -> Result<Option<i64>, Error> {
    let Some(value) = token.claims.get(name) else { return Ok(None) };
    if let Some(seconds) = value.as_i64() {
        return Ok(Some(seconds));
    }
    let seconds = value.as_f64().ok_or(Error::Claim(name))?;
    // Up to the year 9999; so the conversion is exact.
    if !(0.0..2.6e11).contains(&seconds) {
        return Err(Error::Claim(name));
    }
    format!("{seconds:.0}").parse().map(Some).map_err(|_| Error::Claim(name))
}

fn check_rules(token: &Token<'_>, rules: &ClaimRules) -> Result<(), Error> {
    if rules.required.iter().any(|(name, text)| token.text(name) != Some(text)) {
        return Err(Error::Required);
    }
    let allowed = |domain: &str| rules.domains.iter().any(|allowed| domain.eq_ignore_ascii_case(allowed));
    if rules.domains.is_empty()
        || token.text("hd").is_some_and(allowed)
        || verified_domain(token).is_some_and(allowed)
    {
        return Ok(());
    }
    Err(Error::Domain)
}

/// The domain of the e-mail address, if the provider says that it is the user's. Some write the truth as a text.
fn verified_domain<'a>(token: &'a Token<'_>) -> Option<&'a str> {
    let verified = match token.claims.get("email_verified")? {
        Value::Bool(verified) => *verified,
        Value::String(text) => text == "true",
        _ => false,
    };
    let (_, domain) = token.text("email")?.rsplit_once('@')?;
    verified.then_some(domain)
}

fn alias(token: &Token<'_>, rules: &ClaimRules) -> Result<Option<String>, Error> {
    let Some(name) = &rules.alias else { return Ok(None) };
    let alias = token.text(name).filter(|alias| !alias.is_empty()).ok_or(Error::Alias)?;
    Ok(Some(alias.to_owned()))
}

fn invite(token: &Token<'_>) -> Result<InviteId, Error> {
    let text = token.text("invite").ok_or(Error::Claim("invite"))?;
    text.parse().map(InviteId).map_err(|_| Error::Claim("invite"))
}
