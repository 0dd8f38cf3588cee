//! People and their tools at the door: API tokens, one-time sign-in links, sessions.
//!
//! Secrets are 256 random bits as base64url, shown once, kept as hashes; what a role may do is decided in
//! `server/core`'s `policy`. A link is used up in the same transaction that opens its session, so two people with one
//! link get one session. Read next: `http/operator` for where requests are let in.

use std::sync::Arc;

use cordon_proto::ids::{Text, TokenId};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Actor, Entry};
use cordon_server_core::change::{Commit, Key, Malformed};
use cordon_server_core::policy::{ApiToken, Door, Role, Session};

use crate::chance;
use crate::store::{Expected, Store, StoreError};

/// The documents about people's access.
#[derive(Clone)]
pub struct People {
    store: Arc<dyn Store>,
}

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

/// Why nobody is let in, or no token made.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The store cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Cannot happen with documents this small, and is still no panic.
    #[error(transparent)]
    TooMuch(#[from] Malformed),
}

impl People {
    /// Over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Makes an API token and returns its secret, which is shown once.
    pub async fn create_api_token(
        &self,
        token: &ApiToken,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<String, PeopleError> {
        let secret = secret();
        let id = TokenId::of(&secret);
        let body = serde_json::to_vec(token).expect("strings and integers are always JSON");
        let entry = entry("api-token.create", &format!("token:{id}"));
        let key = Key::ApiToken(id);
        let draft = Commit::draft(now, actor.clone()).expect(key.clone(), Expected::Absent).put(key, body);
        self.store.commit(draft.audit(entry).finish()?).await?;
        Ok(secret)
    }

    /// Makes a link for one session and returns its secret.
    pub async fn create_link(
        &self,
        person: Text,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<String, PeopleError> {
        let secret = secret();
        let door = Door::link(person, Role::Administrator, now);
        let draft = Commit::draft(now, actor.clone())
            .put(Key::Session(TokenId::of(&secret)), door.to_body())
            .audit(entry("sign-in.link", "person:admin"));
        self.store.commit(draft.finish()?).await?;
        Ok(secret)
    }

    /// For whom a link is, without using it up; `None` if it is none, or was used, or has lapsed.
    pub async fn look_at_link(&self, link: &str, now: Timestamp) -> Result<Option<Text>, PeopleError> {
        let Some(row) = self.store.get(Key::Session(TokenId::of(link))).await? else { return Ok(None) };
        Ok(door(&row.body).and_then(|door| door.opened(String::new(), now)).map(|session| session.person))
    }

    /// Uses up a link and opens its session; the secret is the session's cookie. `None` as above.
    pub async fn redeem(&self, link: &str, now: Timestamp) -> Result<Option<String>, PeopleError> {
        let key = Key::Session(TokenId::of(link));
        let Some(row) = self.store.get(key.clone()).await? else { return Ok(None) };
        let Some(session) = door(&row.body).and_then(|door| door.opened(secret(), now)) else {
            return Ok(None);
        };
        let cookie = secret();
        let draft = Commit::draft(now, Actor::Person(session.person.clone()))
            .expect(key.clone(), Expected::At(row.revision))
            .delete(key)
            .put(Key::Session(TokenId::of(&cookie)), Door::Session(session.clone()).to_body())
            .audit(entry("sign-in", &format!("person:{}", session.person)));
        match self.store.commit(draft.finish()?).await {
            Ok(_) => Ok(Some(cookie)),
            Err(StoreError::Conflict(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Who has this session.
    pub async fn by_session(&self, cookie: &str, now: Timestamp) -> Result<Option<Caller>, PeopleError> {
        let Some(row) = self.store.get(Key::Session(TokenId::of(cookie))).await? else { return Ok(None) };
        Ok(door(&row.body).and_then(|door| door.session(now)).map(|session: Session| Caller {
            actor: Actor::Person(session.person.clone()),
            name: session.person,
            role: session.role,
            csrf: Some(session.csrf),
        }))
    }

    /// Which tool has this token.
    pub async fn by_token(&self, secret: &str, now: Timestamp) -> Result<Option<Caller>, PeopleError> {
        let id = TokenId::of(secret);
        let Some(row) = self.store.get(Key::ApiToken(id)).await? else { return Ok(None) };
        let token: Option<ApiToken> = serde_json::from_slice(&row.body).ok();
        let token = token.filter(|token| token.holds(now));
        Ok(token.map(|token| Caller {
            actor: Actor::Token(id),
            name: token.name,
            role: token.role,
            csrf: None,
        }))
    }

    /// Ends a session.
    pub async fn sign_out(&self, cookie: &str, caller: &Caller, now: Timestamp) -> Result<(), PeopleError> {
        let draft = Commit::draft(now, caller.actor.clone())
            .delete(Key::Session(TokenId::of(cookie)))
            .audit(entry("sign-out", &format!("person:{}", caller.name)));
        self.store.commit(draft.finish()?).await?;
        Ok(())
    }
}

fn secret() -> String {
    chance::secret()
}

fn door(body: &[u8]) -> Option<Door> {
    serde_json::from_slice(body).ok()
}

fn entry(action: &str, object: &str) -> Entry {
    Entry::new(action.parse().expect("a valid name"), Text::lossy(object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;
    use cordon_server_core::policy::{LINK_S, SESSION_S};

    const NOW: Timestamp = Timestamp(1_795_251_906);

    fn owner() -> Actor {
        Actor::Server("test".parse().expect("a name"))
    }

    #[tokio::test]
    async fn a_link_opens_one_session_and_a_used_or_late_one_opens_none() {
        // Goal: one-time means once. Method: redeem twice; redeem late; look without using.
        let people = People::new(Arc::new(Memory::new()));
        let link = people.create_link(Text::lossy("admin"), &owner(), NOW).await.expect("makes");
        assert!(people.look_at_link(&link, NOW).await.expect("looks").is_some());
        let cookie = people.redeem(&link, NOW).await.expect("asks").expect("opens");
        assert_eq!(people.redeem(&link, NOW).await.expect("asks"), None);
        let late = people.create_link(Text::lossy("admin"), &owner(), NOW).await.expect("makes");
        assert_eq!(people.redeem(&late, NOW.plus_seconds(LINK_S)).await.expect("asks"), None);
        let caller = people.by_session(&cookie, NOW).await.expect("asks").expect("somebody");
        assert_eq!(caller.actor.to_string(), "person:admin");
        assert!(people.by_session(&cookie, NOW.plus_seconds(SESSION_S)).await.expect("asks").is_none());
        assert!(people.by_token(&cookie, NOW).await.expect("asks").is_none(), "a cookie is no token");
        people.sign_out(&cookie, &caller, NOW).await.expect("signs out");
        assert!(people.by_session(&cookie, NOW).await.expect("asks").is_none());
    }

    #[tokio::test]
    async fn a_token_is_known_by_its_hash_and_until_its_end() {
        // Goal: the secret is nowhere. Method: make one, look at every stored byte, use it, let it lapse.
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let people = People::new(Arc::clone(&store));
        let token = ApiToken::new(Text::lossy("ctl"), Role::Reader, NOW, 1);
        let secret = people.create_api_token(&token, &owner(), NOW).await.expect("makes");
        let row = store.get(Key::ApiToken(TokenId::of(&secret))).await.expect("asks").expect("there");
        assert!(!String::from_utf8_lossy(&row.body).contains(&secret));
        let caller = people.by_token(&secret, NOW).await.expect("asks").expect("a tool");
        assert_eq!((caller.role, caller.csrf), (Role::Reader, None));
        assert!(people.by_token(&secret, NOW.plus_seconds(86_400)).await.expect("asks").is_none());
        assert!(people.by_token("guess", NOW).await.expect("asks").is_none());
    }
}
