//! Registration: what a client is told of it, what it has to bring, and the wait while its sign-in is checked.

use std::sync::Arc;

use tmtp_contract::{Command, Credentials};
use tmtp_domain::{Identity, InviteCode, Site};
use tmtp_wire::{AuthBy, Oidc, Response};

use super::frames::push_frame;
use super::home::Expect;
use super::{Opening, Phase, Reason, Session, Turn, quit};

/// `auth` of `tmtprev`: a sign-in is for the registration only.
const FOR_REGISTRATION: u8 = 1;

/// A registration whose sign-in is being checked.
#[derive(Debug)]
pub(super) struct SigningIn {
    label: String,
    alias: Option<String>,
    code: Option<[u8; 32]>,
    /// Until the link has taken it.
    token: Option<String>,
}

/// Registrations.
impl Session {
    /// Whatever revision the client speaks, it is answered in the only one there is.
    pub(super) fn greet(&mut self, t: &Turn<'_>) {
        let providers = self.site.sign_in_providers(t.limits.public_url.as_deref());
        let auth_by: Vec<AuthBy<'_>> = tmtp_domain::sign_ins(&providers)
            .into_iter()
            .map(|entry| AuthBy {
                label: entry.label.into(),
                login: entry.login.map(Into::into),
                token: entry.token.map(Into::into),
            })
            .collect();
        let has_any = !auth_by.is_empty();
        let greeting = Response::TmtpRev {
            name: self.site.name.as_str().into(),
            auth: has_any.then_some(FOR_REGISTRATION),
            auth_by: has_any.then_some(auth_by),
        };
        push_frame(&mut self.replies, &greeting);
        self.phase = Phase::Greeted;
    }

    pub(super) fn register(
        &mut self,
        t: &mut Turn<'_>,
        label: String,
        alias: String,
        oidc: Option<Oidc>,
        invite: Option<String>,
    ) {
        let alias = (alias != "_").then_some(alias);
        let code = match invite.as_deref().map(InviteCode::parse) {
            None => None,
            Some(Ok(code)) => Some(code.hash(self.site.id)),
            Some(Err(_)) => return self.quit(t, Reason::Login, quit::INVITE),
        };
        let signs_in = !self.site.sign_in_providers(t.limits.public_url.as_deref()).is_empty();
        match oidc.filter(|_| signs_in) {
            Some(oidc) => {
                let token = Some(oidc.id_token);
                self.phase = Phase::SigningIn(Box::new(SigningIn { label, alias, code, token }));
            }
            // The home would say so, too.
            None if self.site.requires_sign_in() && code.is_none() => {
                self.quit(t, Reason::Login, quit::SIGN_IN);
            }
            None => self.publish_registration(t, label, alias, None, code),
        }
    }

    /// A sign-in token to be checked, with the site that it is for. Each once.
    pub fn take_sign_in(&mut self) -> Option<(Arc<Site>, String)> {
        let Phase::SigningIn(signing_in) = &mut self.phase else { return None };
        signing_in.token.take().map(|token| (Arc::clone(&self.site), token))
    }

    /// What came of the check: who signed in, or nobody.
    pub fn signed_in(&mut self, t: &mut Turn<'_>, identity: Option<Identity>) {
        if !self.is_serving() {
            return;
        }
        match std::mem::replace(&mut self.phase, Phase::Greeted) {
            Phase::SigningIn(asked) if identity.is_some() => {
                let SigningIn { label, alias, code, .. } = *asked;
                self.publish_registration(t, label, alias, identity, code);
            }
            Phase::SigningIn(_) => self.quit(t, Reason::Login, quit::SIGN_IN),
            other => self.phase = other,
        }
        t.wake = true;
    }

    fn publish_registration(
        &mut self,
        t: &mut Turn<'_>,
        label: String,
        alias: Option<String>,
        identity: Option<Identity>,
        code: Option<[u8; 32]>,
    ) {
        let (uid, secret) = (t.host.uid(), t.host.secret());
        let has_any = identity.is_some() || code.is_some();
        let credentials = has_any.then(|| Box::new(Credentials { identity, code, from: self.from }));
        let command = Command::Register { uid, secret: secret.hash(), label, alias, credentials };
        self.home.publish(t, command, Expect::Opening, 0, None);
        self.phase = Phase::Opening(Box::new(Opening::Register { uid, secret }));
    }
}
