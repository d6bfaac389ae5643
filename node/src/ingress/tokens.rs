//! Messages that were stored, or may be, while the client cannot know it (RFC 1047).
//!
//! When the answer to a message was lost, a sound client sends it again. Here it is remembered for
//! a while, so that the second time is answered without a second copy. A message whose answer
//! arrived is not remembered: sent again on purpose, it is two messages.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::clock::Instant;
use crate::id::MessageId;
use crate::message::headers::Headers;
use crate::smtp::server::{HEADROOM_BYTES, Incoming};

/// How long a message is remembered.
const LIFETIME: Duration = Duration::from_secs(600);
/// Messages remembered; the oldest goes first.
const MAX_TOKENS: usize = 10_000;

/// What makes two submissions the same: client, envelope, `Message-ID`, size and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// None without `Message-ID`: then nothing tells a repetition from a second message.
    pub(super) fn of(client: IpAddr, incoming: &Incoming) -> Option<Self> {
        let text = &incoming.body[HEADROOM_BYTES..];
        let message_id = Headers::parse(text).get("message-id").filter(|id| !id.is_empty())?;
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        add(client.to_string().as_bytes());
        add(message_id.as_bytes());
        add(incoming.mail.path.to_string().as_bytes());
        for recipient in &incoming.recipients {
            add(recipient.address.to_string().as_bytes());
        }
        add(&text.len().to_be_bytes());
        add(&crc32fast::hash(text).to_be_bytes());
        Some(Self(hash.finalize().into()))
    }
}

/// What is known about a submission whose answer did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its commit is still awaited.
    Pending,
    /// Stored on a majority.
    Stored,
    /// It may have been stored; repeating it under its id settles that.
    Unknown,
}

/// A remembered submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) id: MessageId,
    pub(super) fate: Fate,
}

/// The submissions that are remembered.
#[derive(Default)]
pub(super) struct Tokens {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    tokens: HashMap<Fingerprint, (Instant, Token)>,
    /// By age; those taken or replaced since are passed over.
    ages: VecDeque<(Instant, Fingerprint)>,
}

impl Tokens {
    /// Remembers a submission.
    pub(super) fn leave(&self, now: Instant, fingerprint: Fingerprint, token: Token) {
        let mut inner = self.inner.lock();
        inner.forget_old(now);
        inner.tokens.insert(fingerprint, (now, token));
        inner.ages.push_back((now, fingerprint));
    }

    /// The submission with this fingerprint, if it is remembered. It is forgotten by this, unless
    /// it is pending.
    pub(super) fn take(&self, now: Instant, fingerprint: &Fingerprint) -> Option<Token> {
        let mut inner = self.inner.lock();
        inner.forget_old(now);
        let (_, token) = *inner.tokens.get(fingerprint)?;
        if token.fate != Fate::Pending {
            inner.tokens.remove(fingerprint);
        }
        Some(token)
    }

    /// The fate of a pending submission became known; `None` says that it was not stored.
    pub(super) fn settle(&self, fingerprint: &Fingerprint, id: MessageId, fate: Option<Fate>) {
        let mut inner = self.inner.lock();
        let Some((_, token)) = inner.tokens.get_mut(fingerprint) else { return };
        if token.id != id {
            return;
        }
        match fate {
            Some(fate) => token.fate = fate,
            None => {
                inner.tokens.remove(fingerprint);
            }
        }
    }
}

impl Inner {
    /// Drops what is too old, and the oldest while there is no room for one more.
    fn forget_old(&mut self, now: Instant) {
        while let Some((left_at, fingerprint)) = self.ages.front().copied() {
            let expired = now.saturating_duration_since(left_at) >= LIFETIME;
            if !expired && self.ages.len() < MAX_TOKENS {
                return;
            }
            self.ages.pop_front();
            let same = self.tokens.get(&fingerprint).is_some_and(|(at, _)| *at == left_at);
            if same {
                self.tokens.remove(&fingerprint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic;

    fn print(n: u32) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        Fingerprint(bytes)
    }

    const STORED: Token = Token { id: MessageId(7), fate: Fate::Stored };
    const PENDING: Token = Token { id: MessageId(8), fate: Fate::Pending };

    #[test]
    fn a_token_is_good_once_and_for_ten_minutes() {
        let (tokens, start) = (Tokens::default(), monotonic());
        tokens.leave(start, print(1), STORED);
        assert_eq!(tokens.take(start, &print(2)), None);
        assert_eq!(tokens.take(start, &print(1)), Some(STORED));
        assert_eq!(tokens.take(start, &print(1)), None);

        tokens.leave(start, print(1), STORED);
        assert_eq!(tokens.take(start + LIFETIME, &print(1)), None);
    }

    #[test]
    fn a_pending_submission_stays_until_it_is_settled() {
        let (tokens, now) = (Tokens::default(), monotonic());
        tokens.leave(now, print(1), PENDING);
        assert_eq!(tokens.take(now, &print(1)), Some(PENDING));
        tokens.settle(&print(1), MessageId(9), None);
        assert_eq!(tokens.take(now, &print(1)), Some(PENDING), "another message settles nothing");
        tokens.settle(&print(1), PENDING.id, Some(Fate::Stored));
        assert_eq!(tokens.take(now, &print(1)).map(|t| t.fate), Some(Fate::Stored));

        tokens.leave(now, print(2), PENDING);
        tokens.settle(&print(2), PENDING.id, None);
        assert_eq!(tokens.take(now, &print(2)), None);
    }

    #[test]
    fn the_oldest_make_room() {
        let (tokens, now) = (Tokens::default(), monotonic());
        for n in 0..=u32::try_from(MAX_TOKENS).unwrap() {
            tokens.leave(now, print(n), STORED);
        }
        assert_eq!(tokens.take(now, &print(0)), None);
        assert_eq!(tokens.take(now, &print(1)), None, "there is room for one more at any time");
        assert_eq!(tokens.take(now, &print(2)), Some(STORED));
    }
}
