//! Invites: their codes, and in which state they are. Random octets and the time are passed in.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

use crate::{InviteId, SiteId};

/// Crockford's base 32: digits and letters without I, L, O and U, which are misread or misheard.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code: 60 random bits, which nobody guesses at the rate at which codes may be tried.
const LENGTH: usize = 12;
/// Characters of a group of the spoken form.
const GROUP: usize = 4;

/// The code of an invite, which is a password.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode([u8; LENGTH]);

/// Why a text is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteCodeError {
    /// Too few or too many characters.
    #[error("a code has twelve letters and digits, such as 7K4M-Q2XD-9TRA")]
    Length,
    /// A character that no code has.
    #[error("a code has digits and the letters A to Z without U only, such as 7K4M-Q2XD-9TRA")]
    Character,
}

impl InviteCode {
    /// The code of 60 random bits; the highest four are not used.
    pub fn from_random(bits: u64) -> Self {
        Self(std::array::from_fn(|place| ALPHABET[(bits >> (5 * place) & 31) as usize]))
    }

    /// Parses what somebody typed or heard: any case, with blanks, hyphens and the like between, O for 0, I and L for 1.
    pub fn parse(text: &str) -> Result<Self, InviteCodeError> {
        let mut code = [0; LENGTH];
        let mut length = 0;
        let between = |c: &char| c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '.' | '_');
        for c in text.chars().filter(|c| !between(c)) {
            let symbol = match c.to_ascii_uppercase() {
                'O' => b'0',
                'I' | 'L' => b'1',
                other => u8::try_from(other).map_err(|_| InviteCodeError::Character)?,
            };
            if !ALPHABET.contains(&symbol) {
                return Err(InviteCodeError::Character);
            }
            *code.get_mut(length).ok_or(InviteCodeError::Length)? = symbol;
            length += 1;
        }
        if length == LENGTH { Ok(Self(code)) } else { Err(InviteCodeError::Length) }
    }

    /// In groups, to read out and to type: `7K4M-Q2XD-9TRA`.
    pub fn reveal(&self) -> String {
        let groups: Vec<String> = self
            .0
            .chunks(GROUP)
            .map(|group| group.iter().map(|&symbol| char::from(symbol)).collect())
            .collect();
        groups.join("-")
    }

    /// What the server keeps. The site is part of it, so that codes of many sites cannot be searched at once.
    pub fn hash(&self, site: SiteId) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(site.0.as_bytes());
        context.update(&self.0);
        let mut octets = [0; 32];
        octets.copy_from_slice(context.finish().as_ref());
        octets
    }
}

impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteCode(…)")
    }
}

/// What decides whether an invite can be used. Times are ms since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InviteUse {
    /// Which one.
    pub id: InviteId,
    /// How many may join with it.
    pub uses_allowed: i32,
    /// How many have joined and wait for approval.
    pub uses_pending: i32,
    /// How many have joined.
    pub uses_completed: i32,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

/// In which state an invite is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteState {
    /// Nobody has used it yet.
    Pending,
    /// Somebody has, and others may.
    Active,
    /// Everybody has who may.
    Used,
    /// Its time is over.
    Expired,
    /// Somebody took it back.
    Revoked,
}

impl InviteState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Active, Self::Used, Self::Expired, Self::Revoked];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Whether somebody may still join.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Pending | Self::Active)
    }
}

impl FromStr for InviteState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| format!("unknown state of an invite {text:?}"))
    }
}

impl InviteUse {
    /// The state at `now`. Those who wait for approval have used it up like those who have joined.
    pub fn state(&self, now: i64) -> InviteState {
        let used = self.uses_pending.saturating_add(self.uses_completed);
        if self.revoked_at.is_some() {
            InviteState::Revoked
        } else if used >= self.uses_allowed {
            InviteState::Used
        } else if self.expires_at.is_some_and(|end| end <= now) {
            InviteState::Expired
        } else if used > 0 {
            InviteState::Active
        } else {
            InviteState::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, InviteCodeError> {
        InviteCode::parse(text).map(|code| code.reveal())
    }

    /// Goal: what people type is understood, and what no code can be is not; method: spellings of one code.
    #[test]
    fn spellings() {
        let code = Ok("7K4M-Q2XD-90T1".to_owned());
        for text in ["7K4M-Q2XD-90T1", "7k4mq2xd9otl", " 7K4M Q2XD\u{2013}9oti\n", "7K.4M_Q2-XD 9OTL"] {
            assert_eq!(parse(text), code, "{text:?}");
        }
        assert_eq!(parse("7K4M-Q2XD-90T"), Err(InviteCodeError::Length));
        assert_eq!(parse("7K4M-Q2XD-90T12"), Err(InviteCodeError::Length));
        assert_eq!(parse("7K4M-Q2XD-90TU"), Err(InviteCodeError::Character));
        assert_eq!(parse("7K4M-Q2XD-90T\u{0661}"), Err(InviteCodeError::Character));
        assert!(!format!("{:?}", InviteCode::from_random(1)).contains('1'));
    }

    /// Goal: one code at two sites is two hashes; method: hash it.
    #[test]
    fn hashes() {
        let code = InviteCode::from_random(7);
        let [a, b] = [1, 2].map(|n| code.hash(SiteId(uuid::Uuid::from_u128(n))));
        assert_ne!(a, b);
        assert_eq!(a, InviteCode::from_random(7 | 1 << 63).hash(SiteId(uuid::Uuid::from_u128(1))));
    }

    /// Goal: each state, and which goes before which; method: change one thing after the other.
    #[test]
    fn states() {
        let id = InviteId(uuid::Uuid::nil());
        let fresh = InviteUse {
            id,
            uses_allowed: 2,
            uses_pending: 0,
            uses_completed: 0,
            expires_at: Some(10),
            revoked_at: None,
        };
        let active = InviteUse { uses_pending: 1, ..fresh };
        let used = InviteUse { uses_completed: 1, ..active };
        assert_eq!(fresh.state(9), InviteState::Pending);
        assert_eq!((active.state(9), active.state(10)), (InviteState::Active, InviteState::Expired));
        assert_eq!((used.state(9), used.state(10)), (InviteState::Used, InviteState::Used));
        assert_eq!(InviteUse { revoked_at: Some(1), ..used }.state(9), InviteState::Revoked);
        assert_eq!(InviteState::ALL.map(InviteState::is_usable), [true, true, false, false, false]);
    }

    proptest! {
        /// Goal: every code survives being read out, and no text is too odd; method: random bits and random texts.
        #[test]
        fn codes_survive(bits: u64, text: String) {
            let code = InviteCode::from_random(bits);
            prop_assert_eq!(InviteCode::parse(&code.reveal().to_lowercase()), Ok(code));
            let _ = InviteCode::parse(&text);
        }
    }
}
