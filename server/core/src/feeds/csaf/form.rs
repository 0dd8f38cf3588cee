//! The parts of CSAF that are read.
//!
//! Lists end at their limits while they are read; what is not named here is passed over. Read next: [`super::read`].

use alloc::string::String;

use cordon_proto::limits;
use serde::Deserialize;

use super::{RemedyKind, Status};
use crate::matching::json::AtMost;

pub(super) type List<T> = AtMost<T, { limits::CSAF_LIST }>;

#[derive(Deserialize)]
pub(super) struct Document {
    pub(super) document: Head,
    #[serde(default)]
    pub(super) product_tree: Tree,
    #[serde(default)]
    pub(super) vulnerabilities: List<Vulnerability>,
}

#[derive(Deserialize)]
pub(super) struct Head {
    #[serde(default)]
    pub(super) category: String,
    #[serde(default)]
    pub(super) csaf_version: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) publisher: Publisher,
    pub(super) tracking: Tracking,
}

#[derive(Default, Deserialize)]
pub(super) struct Publisher {
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct Tracking {
    pub(super) id: String,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) initial_release_date: String,
    #[serde(default)]
    pub(super) current_release_date: String,
}

#[derive(Default, Deserialize)]
pub(super) struct Tree {
    #[serde(default)]
    pub(super) branches: List<Branch>,
    #[serde(default)]
    pub(super) full_product_names: List<Named>,
    #[serde(default)]
    pub(super) relationships: List<Relationship>,
    #[serde(default)]
    pub(super) product_groups: List<Group>,
}

#[derive(Deserialize)]
pub(super) struct Branch {
    pub(super) category: Category,
    pub(super) name: String,
    #[serde(default)]
    pub(super) product: Option<Named>,
    #[serde(default)]
    pub(super) branches: List<Branch>,
}

/// What a branch says; one that is not known here may narrow the product, so the document is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Category {
    Architecture,
    HostName,
    Language,
    Legacy,
    PatchLevel,
    ProductFamily,
    ProductName,
    ProductVersion,
    ProductVersionRange,
    ServicePack,
    Specification,
    Vendor,
}

#[derive(Clone, Deserialize)]
pub(super) struct Named {
    pub(super) product_id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) product_identification_helper: Identification,
}

#[derive(Clone, Default, Deserialize)]
pub(super) struct Identification {
    #[serde(default)]
    pub(super) purl: Option<String>,
    #[serde(default)]
    pub(super) model_numbers: List<String>,
}

#[derive(Deserialize)]
pub(super) struct Relationship {
    pub(super) category: super::tree::Relation,
    pub(super) full_product_name: Named,
    pub(super) product_reference: String,
    pub(super) relates_to_product_reference: String,
}

#[derive(Deserialize)]
pub(super) struct Group {
    pub(super) group_id: String,
    #[serde(default)]
    pub(super) product_ids: List<String>,
}

#[derive(Deserialize)]
pub(super) struct Vulnerability {
    #[serde(default)]
    pub(super) cve: Option<String>,
    #[serde(default)]
    pub(super) ids: AtMost<OtherName, { limits::ALIASES }>,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) product_status: Statuses,
    #[serde(default)]
    pub(super) remediations: List<Remediation>,
    #[serde(default)]
    pub(super) scores: List<Scores>,
    #[serde(default)]
    pub(super) flags: List<Flag>,
    #[serde(default)]
    pub(super) threats: List<Threat>,
}

#[derive(Deserialize)]
pub(super) struct OtherName {
    pub(super) text: String,
}

/// A group of products that is not known here may be one that is affected, so the document is refused.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Statuses {
    first_affected: List<String>,
    first_fixed: List<String>,
    fixed: List<String>,
    known_affected: List<String>,
    known_not_affected: List<String>,
    last_affected: List<String>,
    recommended: List<String>,
    under_investigation: List<String>,
}

impl Statuses {
    /// Each status with its products.
    pub(super) fn groups(self) -> [(Status, List<String>); 8] {
        [
            (Status::FirstAffected, self.first_affected),
            (Status::FirstFixed, self.first_fixed),
            (Status::Fixed, self.fixed),
            (Status::KnownAffected, self.known_affected),
            (Status::KnownNotAffected, self.known_not_affected),
            (Status::LastAffected, self.last_affected),
            (Status::Recommended, self.recommended),
            (Status::UnderInvestigation, self.under_investigation),
        ]
    }
}

/// Which products something is for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Members {
    pub(super) product_ids: List<String>,
    pub(super) group_ids: List<String>,
}

#[derive(Deserialize)]
pub(super) struct Remediation {
    pub(super) category: RemedyKind,
    #[serde(default)]
    pub(super) details: String,
    #[serde(default)]
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) date: Option<String>,
    #[serde(flatten)]
    pub(super) members: Members,
}

#[derive(Deserialize)]
pub(super) struct Scores {
    #[serde(default)]
    pub(super) cvss_v2: Option<Cvss>,
    #[serde(default)]
    pub(super) cvss_v3: Option<Cvss>,
    #[serde(default)]
    pub(super) cvss_v4: Option<Cvss>,
    #[serde(default)]
    pub(super) products: List<String>,
}

#[derive(Deserialize)]
pub(super) struct Cvss {
    #[serde(default, rename = "vectorString")]
    vector: String,
    #[serde(default, rename = "baseScore")]
    base: f64,
}

impl Cvss {
    /// The vector and its score in tenths; `None` for a score that there is not.
    pub(super) fn whole(self) -> Option<(String, u8)> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 0 and 100"
        )]
        let tenths = (0.0..=10.0).contains(&self.base).then(|| libm::round(self.base * 10.0) as u8);
        tenths.map(|tenths| (self.vector, tenths))
    }
}

#[derive(Deserialize)]
pub(super) struct Flag {
    pub(super) label: String,
    #[serde(flatten)]
    pub(super) members: Members,
}

#[derive(Deserialize)]
pub(super) struct Threat {
    pub(super) category: String,
    #[serde(default)]
    pub(super) details: String,
    #[serde(flatten)]
    pub(super) members: Members,
}
