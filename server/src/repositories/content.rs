//! The owner's contents as they are listed: read from the newest document of the `content` role.
//!
//! Nothing is decided here; a document of which one content cannot be read is refused when it is published. Read next:
//! `cordon_server_core::rollout` for who is offered one.

use cordon_proto::canonical::Value;
use cordon_proto::ids::TargetPath;
use cordon_proto::time::Timestamp;
use cordon_proto::update::Role;
use cordon_proto::update::content::{Assignment, read_document};
use cordon_proto::update::release::Listed;
use cordon_server_core::publish::{Director, Refused};

use super::{PublishError, Repositories, rules};

/// The role that lists contents.
pub(super) const CONTENT: &str = "content";

impl Repositories {
    /// The owner's contents, those among them that may be taken no more included.
    pub async fn contents(&self, now: Timestamp) -> Result<Vec<Assignment>, PublishError> {
        contents_of(&self.director().await?.0, now)
    }
}

/// The contents that a director lists.
pub(super) fn contents_of(director: &Director, now: Timestamp) -> Result<Vec<Assignment>, PublishError> {
    let Some(document) = director.delegated(CONTENT, &rules(now))? else { return Ok(Vec::new()) };
    let null = Value::Null;
    let mut listed = Vec::new();
    let paths: Vec<_> = document.targets.keys().map(|path| path.parse::<TargetPath>()).collect();
    for (path, (text, file)) in paths.iter().zip(&document.targets) {
        let path = path.as_ref().map_err(|_| Refused::Name(text.chars().take(80).collect()))?;
        let role = || Role::Delegated(CONTENT.to_owned());
        let sha256 = file.sha256().map_err(|fault| Refused::Trust(fault.of(role())))?;
        let custom = file.custom.as_ref().unwrap_or(&null);
        listed.push(Listed { path, length: file.length, sha256, custom });
    }
    Ok(read_document(listed, document.expires)?)
}
