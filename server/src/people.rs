//! People and their tools at the door of the operator plane: sessions, API tokens, and who a request is from.
//!
//! A session's secret is 256 random bits in a cookie, kept as its hash; what a role may do is decided in
//! `server/core`'s `policy`. Sign-in links and tokens are made in `app`. Read next: `http/operator` for where requests
//! are let in.

use cordon_proto::ids::{Text, TokenId};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Actor, Entry};
use cordon_server_core::change::{Commit, Key};
use cordon_server_core::policy::{Role, Session};

use crate::app::{ApiToken, App, CommitError};
use crate::chance;
use crate::store::StoreError;

/// Who sends a request of the operator plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As the journal names them.
    pub actor: Actor,
    /// As people name them.
    pub name: Text,
    /// What they may do.
    pub role: Role,
    /// The proof that a form must bring back; tools with a token need none.
    pub csrf: Option<String>,
}

/// Who acts, and when.
#[derive(Clone, Copy, Debug)]
pub struct Doer<'a> {
    /// As the journal names them.
    pub actor: &'a Actor,
    /// The time of the act.
    pub now: Timestamp,
}

impl Caller {
    /// This caller at a time.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Doer<'_> {
        Doer { actor: &self.actor, now }
    }
}

impl App {
    /// Uses up a sign-in link and opens its session; the secret is the session's cookie. `None` if the link is none,
    /// was used, or has lapsed.
    pub async fn open_session(&self, link: &str) -> Result<Option<String>, CommitError> {
        let now = self.clock.now();
        if !self.sign_in.redeem(link, now) {
            return Ok(None);
        }
        let (person, cookie) = (Text::lossy("admin"), chance::secret());
        let session = Session::new(person.clone(), Role::Administrator, chance::secret(), now);
        let draft = Commit::draft(now, Actor::Person(person.clone()))
            .put(Key::Session(TokenId::of(&cookie)), session.to_body())
            .audit(entry("sign-in", &person));
        self.commit(draft).await?;
        Ok(Some(cookie))
    }

    /// Who has this session.
    pub async fn caller_by_session(&self, cookie: &str) -> Result<Option<Caller>, StoreError> {
        let Some(row) = self.store.get(Key::Session(TokenId::of(cookie))).await? else { return Ok(None) };
        let session = Session::from_body(&row.body).filter(|session| session.holds(self.clock.now()));
        Ok(session.map(|session| Caller {
            actor: Actor::Person(session.person.clone()),
            name: session.person,
            role: session.role,
            csrf: Some(session.csrf),
        }))
    }

    /// Which tool has this token.
    pub async fn caller_by_token(&self, secret: &str) -> Result<Option<Caller>, StoreError> {
        let id = TokenId::of(secret);
        let Some(row) = self.store.get(Key::ApiToken(id)).await? else { return Ok(None) };
        let Some(token) = ApiToken::from_body(&row.body) else { return Ok(None) };
        let now = self.clock.now();
        let role = if token.opens("*", now) {
            Role::Administrator
        } else if token.opens("stop", now) {
            Role::Clinical
        } else if token.opens("read", now) {
            Role::Reader
        } else {
            return Ok(None);
        };
        Ok(Some(Caller { actor: Actor::Token(id), name: token.name, role, csrf: None }))
    }

    /// Ends a session.
    pub async fn sign_out(&self, cookie: &str, caller: &Caller) -> Result<(), CommitError> {
        let draft = Commit::draft(self.clock.now(), caller.actor.clone())
            .delete(Key::Session(TokenId::of(cookie)))
            .audit(entry("sign-out", &caller.name));
        self.commit(draft).await?;
        Ok(())
    }
}

fn entry(action: &str, person: &Text) -> Entry {
    let action = action.parse().expect("a valid name");
    Entry::new(action, Text::lossy(&format!("person:{person}")))
}
