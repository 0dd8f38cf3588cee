//! Where devices will stand and what they are for: the flags that tokens and approvals have in common.
//!
//! Names and flags are a contract with people's scripts: add, never rename. What a word may be is the server's to say.
//! Read next: [`crate::tokens`], [`crate::approvals`].

use clap::Args;
use serde_json::{Value, json};

/// The flags.
#[derive(Clone, Debug, Default, Args)]
pub struct Placing {
    /// Where they will stand.
    #[arg(long)]
    pub site: Option<String>,
    /// Where they will stand, closer.
    #[arg(long)]
    pub ward: Option<String>,
    /// What they are for, such as infusion-pump or kiosk.
    #[arg(long)]
    pub kind: Option<String>,
    /// Who reaches them over the network: isolated, segmented, flat or internet.
    #[arg(long)]
    pub zone: Option<String>,
    /// Who can stand before them: locked-room, clinical-area or public.
    #[arg(long)]
    pub place: Option<String>,
}

impl Placing {
    /// What was given, by the names that the API has for it.
    pub fn given(&self) -> impl Iterator<Item = (String, Value)> {
        let all = [
            ("site", &self.site),
            ("ward", &self.ward),
            ("kind", &self.kind),
            ("zone", &self.zone),
            ("place", &self.place),
        ];
        all.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?))))
    }
}
