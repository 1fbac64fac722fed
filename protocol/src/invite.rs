//! Invites: one printable word by which an owner's program finds the gateways, recognises them, and may join once.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::dial::Address;
use crate::identity::PublicKey;
use crate::limits::GATEWAYS_MAX;
use crate::message::decode_exactly;

const WORD: &str = "drystone-invite-";
const FORMAT: &str = "1-";
/// Bytes of the BLAKE3 hash at the end, against typing errors.
const CHECK: usize = 4;
/// Characters of the longest invite: twelve addresses of full length.
const INVITE_MAX: usize = 8 << 10;

/// The secret of an invite: whoever shows it first may join.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(pub [u8; 16]);

impl Token {
    /// A new one that nobody can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(types::entropy::random_bytes())
    }

    /// What a gateway stores and looks tokens up by, so that its database does not hold the secret and a look-up leaks no time.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        blake3::derive_key("drystone 2026 invite token v1", &self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// Everything a new node must know.
///
/// Written as `drystone-invite-1-` and URL-safe base64 of the postcard form, followed by four bytes of its hash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invite {
    /// Where to dial; 1 to [`GATEWAYS_MAX`].
    pub gateways: Vec<Address>,
    /// The root to pin.
    pub root: PublicKey,
    /// The secret.
    pub token: Token,
}

/// Why a text is not an invite.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InviteError {
    /// It does not begin as one.
    #[error("this is not an invite; an invite is one word that begins with drystone-invite-")]
    NotAnInvite,
    /// It has a format of later programs.
    #[error("this invite was made by a newer gateway; update this program")]
    Newer,
    /// It was cut or mistyped.
    #[error("the invite is damaged; copy it again, whole and as one word")]
    Damaged,
    /// It names no gateway, or too many.
    #[error("the invite names no gateway, or more than 12")]
    Gateways,
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = postcard::to_stdvec(self).map_err(|_| fmt::Error)?;
        bytes.extend_from_slice(&check(&bytes));
        write!(f, "{WORD}{FORMAT}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text = text.trim();
        let format = text.strip_prefix(WORD).ok_or(InviteError::NotAnInvite)?;
        let Some(encoded) = format.strip_prefix(FORMAT) else {
            let newer =
                format.split('-').next().is_some_and(|number| number.parse::<u32>().is_ok());
            return Err(if newer { InviteError::Newer } else { InviteError::Damaged });
        };
        if encoded.len() > INVITE_MAX {
            return Err(InviteError::Damaged);
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InviteError::Damaged)?;
        let (body, sum) = bytes.split_last_chunk::<CHECK>().ok_or(InviteError::Damaged)?;
        if *sum != check(body) {
            return Err(InviteError::Damaged);
        }
        let invite: Self = decode_exactly(body).ok_or(InviteError::Damaged)?;
        if (1..=GATEWAYS_MAX).contains(&invite.gateways.len()) {
            Ok(invite)
        } else {
            Err(InviteError::Gateways)
        }
    }
}

fn check(body: &[u8]) -> [u8; CHECK] {
    let mut sum = [0; CHECK];
    sum.copy_from_slice(&blake3::hash(body).as_bytes()[..CHECK]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn invite() -> Invite {
        let gateways = vec!["gw.example:9100".parse().unwrap(), "[::1]:9100".parse().unwrap()];
        Invite { gateways, root: PublicKey([7; 32]), token: Token([9; 16]) }
    }

    #[test]
    fn an_invite_is_one_word_with_the_same_bytes_for_ever() {
        let word = invite().to_string();
        assert_eq!(word, include_str!("../tests/golden/v1/invite.txt").trim());
        assert_eq!(word.parse(), Ok(invite()));
        assert_eq!(format!(" {word}\n").parse(), Ok(invite()));
        assert!(!format!("{:?}", invite()).contains("9, 9"));
    }

    #[test]
    fn a_bad_invite_is_refused_in_words() {
        let word = invite().to_string();
        let parse = |text: &str| text.parse::<Invite>();
        assert_eq!(parse("hello"), Err(InviteError::NotAnInvite));
        assert_eq!(parse(""), Err(InviteError::NotAnInvite));
        assert_eq!(parse("drystone-invite-2-abc"), Err(InviteError::Newer));
        assert_eq!(parse("drystone-invite-"), Err(InviteError::Damaged));
        assert_eq!(parse("drystone-invite-1-"), Err(InviteError::Damaged));
        assert_eq!(parse(&word[..word.len() - 1]), Err(InviteError::Damaged));
        let none = Invite { gateways: Vec::new(), ..invite() };
        assert_eq!(parse(&none.to_string()), Err(InviteError::Gateways));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(tail in prop::collection::vec(any::<char>(), 0..80)) {
            let tail: String = tail.into_iter().collect();
            let _ = tail.parse::<Invite>();
            let _ = format!("{WORD}{FORMAT}{tail}").parse::<Invite>();
        }
    }
}
