//! Enrolment tokens: made one by one or as a whole list, taken back, listed.
//!
//! Whoever asks for one token gets its secret once. Whoever brings a list of devices draws the secrets at their own
//! desk and sends only the hashes: then no secret passes through this server before the device itself uses it, and
//! the same list sent again makes nothing twice. Read next: `cordon_server_core::admit`.

use cordon_proto::ids::{DeviceId, Text, TokenId};
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::{Binding, Token, TokenOrder};
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::{Commit, Draft, Index, Kind};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{ActError, Decided, TokenMade};
use crate::app::{App, name};
use crate::chance;
use crate::store::{Cursor, Expected, Key, StoreError};

/// Tokens asked for at once.
const AT_ONCE: usize = 16;
/// Orders of a list that become one commit.
const BATCH: usize = 100;

/// What became of one order of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Its token was made.
    Made(Token),
    /// Its token was there and is still good.
    Kept(Token),
    /// Its token was there and has done its work.
    Used(Token),
    /// Its token was there, and ran out or was taken back: another secret is needed.
    Lapsed(Token),
    /// No token can be made like that.
    Refused(String),
}

impl App {
    /// Makes an enrolment token; for one serial it also announces the device.
    pub async fn make_token(&self, order: TokenOrder, actor: &Actor) -> Result<TokenMade, ActError> {
        let secret = chance::secret();
        let id = TokenId::of(&secret);
        let decide = || async {
            let now = self.clock.now();
            let token = Token::new(order.clone(), actor.to_string(), now)?;
            let draft = self.announce(Commit::draft(now, actor.clone()), id, &token).await?;
            Ok::<_, ActError>(Decided::commit(draft, token))
        };
        let token = self.decided(Key::Token(id), decide).await?;
        Ok(TokenMade { id, secret, token })
    }

    /// Makes the tokens of a list, whose secrets the caller holds: here come only their hashes, each once. What is
    /// there already is left as it is, so the same list may be sent again after any failure.
    pub async fn make_tokens(
        &self,
        asked: Vec<(TokenId, TokenOrder)>,
        actor: &Actor,
    ) -> Result<Vec<Listed>, ActError> {
        let mut listed = Vec::with_capacity(asked.len());
        for batch in asked.chunks(BATCH) {
            listed.extend(self.make_batch(batch, actor).await?);
        }
        Ok(listed)
    }

    async fn make_batch(
        &self,
        batch: &[(TokenId, TokenOrder)],
        actor: &Actor,
    ) -> Result<Vec<Listed>, ActError> {
        let first = batch.first().map_or(TokenId([0; 32]), |(id, _)| *id);
        let decide = || async {
            let now = self.clock.now();
            let mut draft = Commit::draft(now, actor.clone());
            let (mut listed, mut made) = (Vec::with_capacity(batch.len()), 0_usize);
            for (id, order) in batch {
                let outcome = match self.token(*id).await? {
                    Some(known) => standing(known, order, now),
                    None => match Token::new(order.clone(), actor.to_string(), now) {
                        Ok(token) => Listed::Made(token),
                        Err(error) => Listed::Refused(error.to_string()),
                    },
                };
                if let Listed::Made(token) = &outcome {
                    draft = self.announce(draft, *id, token).await?;
                    made += 1;
                }
                listed.push(outcome);
            }
            Ok::<_, ActError>(if made == 0 {
                Decided::already(listed)
            } else {
                Decided::commit(draft, listed)
            })
        };
        self.decided(Key::Token(first), decide).await
    }

    /// A commit that also makes this token, and the device it announces.
    async fn announce(&self, draft: Draft, id: TokenId, token: &Token) -> Result<Draft, StoreError> {
        let summary = format!("for {} {}, until {}", token.order.model, whom(token), token.expires);
        let entry = Entry {
            after: Some(Summary::of(&summary)),
            ..Entry::new(name("token.create"), Text::lossy(&format!("token:{id}")))
        };
        let draft =
            draft.expect(Key::Token(id), Expected::Absent).put(Key::Token(id), token.to_body()).audit(entry);
        let fresh = DeviceId::from_random(chance::random());
        let Some(device) = token.expected(fresh) else { return Ok(draft) };
        let hardware = &device.hardware;
        let key = Key::DeviceBySerial { model: hardware.model.clone(), serial: hardware.serial.clone() };
        if self.store.get(key.clone()).await?.is_some() {
            return Ok(draft);
        }
        Ok(draft
            .expect(key.clone(), Expected::Absent)
            .put(key, fresh.as_bytes().to_vec())
            .put(Key::Device(fresh), device.to_body()))
    }

    /// Takes a token back. Doing it again changes nothing.
    pub async fn revoke_token(&self, id: TokenId, reason: Text, actor: &Actor) -> Result<Token, ActError> {
        let key = Key::Token(id);
        let decide = || async {
            let now = self.clock.now();
            let row = self.store.get(key.clone()).await?.ok_or(ActError::Unknown("token"))?;
            let token = Token::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?;
            if token.revoked.is_some() {
                return Ok(Decided::already(token));
            }
            let revoked = Token { revoked: Some(now), ..token };
            let entry = Entry {
                reason: Some(reason.clone()),
                ..Entry::new(name("token.revoke"), Text::lossy(&format!("token:{id}")))
            };
            let draft = Commit::draft(now, actor.clone())
                .expect(key.clone(), Expected::of(Some(&row)))
                .put(key.clone(), revoked.to_body())
                .audit(entry);
            Ok::<_, ActError>(Decided::commit(draft, revoked))
        };
        self.decided(key.clone(), decide).await
    }

    /// One token, without its secret.
    pub async fn token(&self, id: TokenId) -> Result<Option<Token>, StoreError> {
        let key = Key::Token(id);
        let Some(row) = self.store.get(key.clone()).await? else { return Ok(None) };
        Token::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string())).map(Some)
    }

    /// These tokens, without their secrets; one that is gone meanwhile is left out.
    pub async fn tokens(&self, ids: Vec<TokenId>) -> Result<Vec<(TokenId, Token)>, StoreError> {
        let asked =
            ids.into_iter().map(|id| async move { Ok(self.token(id).await?.map(|token| (id, token))) });
        let read: Vec<_> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Those tokens that are wanted, among as many pages of them as are allowed to be read; in no order that means anything.
    pub async fn tokens_among(
        &self,
        pages: usize,
        wanted: impl Fn(&TokenId, &Token) -> bool,
    ) -> Result<Vec<(TokenId, Token)>, StoreError> {
        let (mut tokens, mut from) = (Vec::new(), Cursor::First);
        for _ in 0..pages {
            let page =
                self.store.scan(Index::All(Kind::Token), from, cordon_proto::limits::PAGE_ROWS).await?;
            for (key, row) in page.rows {
                let Key::Token(id) = key else { continue };
                let token =
                    Token::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?;
                if wanted(&id, &token) {
                    tokens.push((id, token));
                }
            }
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(tokens)
    }
}

/// How a token that is there already stands to an order that names its hash.
fn standing(known: Token, order: &TokenOrder, now: Timestamp) -> Listed {
    if known.order.model != order.model || known.order.binding != order.binding {
        return Listed::Refused(ActError::TokenExists.to_string());
    }
    if known.used >= known.order.binding.devices() {
        return Listed::Used(known);
    }
    if known.revoked.is_some() || now >= known.expires {
        return Listed::Lapsed(known);
    }
    Listed::Kept(known)
}

/// Whom a token lets in, for the journal.
fn whom(token: &Token) -> String {
    match &token.order.binding {
        Binding::Serial { serial, replaces: false } => serial.to_string(),
        Binding::Serial { serial, replaces: true } => {
            format!("{serial}, whose next key replaces the present one")
        }
        Binding::Count { count } => format!("{count} devices"),
        Binding::Board { serial, instead_of } => format!("{serial}, a new board of {instead_of}"),
    }
}
