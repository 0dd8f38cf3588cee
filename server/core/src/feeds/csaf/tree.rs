//! The products of a CSAF document. The tree of branches is laid flat, relationships are resolved, groups opened.
//!
//! A product is its maker, its model and its versions, whatever depth they stand at; what narrows it otherwise (a language,
//! an architecture) is kept as words. Of a product on another one the carrier is the device and the other its part. Read
//! next: [`super::read`].

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::limits;
use serde::Deserialize;

use super::form::{Branch, Category, Named, Relationship, Tree};
use crate::feeds::span::Versions;
use crate::matching::json::Refused;
use crate::matching::purl::Purl;

/// One product of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its name in the document.
    pub id: String,
    /// Its whole name, for people.
    pub name: String,
    /// Its maker.
    pub maker: String,
    /// Its model, or the name of its software.
    pub model: String,
    /// The family that the model belongs to.
    pub family: String,
    /// Which versions.
    pub versions: Versions,
    /// The versions as they were written.
    pub versions_text: String,
    /// What else narrows it: a language, an architecture, a specification.
    pub narrowed: Vec<String>,
    /// Its package URL, where one is given.
    pub purl: Option<Purl>,
    /// Its model numbers, where they are given.
    pub model_numbers: Vec<String>,
    /// If it is one product on another: the part, by its place, and how it belongs there.
    pub part: Option<(Relation, usize)>,
}

/// How one product belongs to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Always in it.
    DefaultComponentOf,
    /// Perhaps in it.
    OptionalComponentOf,
    /// Outside, but needed.
    ExternalComponentOf,
    /// Put onto it.
    InstalledOn,
    /// Put beside it.
    InstalledWith,
}

/// Words that narrow one product and are kept.
const NARROWED: usize = 8;

/// A tree laid flat.
pub(super) struct Flat {
    pub(super) products: Vec<Product>,
    pub(super) names: ByName,
    pub(super) unresolved: usize,
}

/// Places of products by their names.
#[derive(Default)]
pub(super) struct ByName {
    pub(super) products: BTreeMap<String, usize>,
    pub(super) groups: BTreeMap<String, Vec<usize>>,
}

/// What the branches above say.
#[derive(Clone, Default)]
struct Above {
    maker: String,
    family: String,
    model: String,
    versions: Option<(String, bool)>,
    level: String,
    narrowed: Vec<String>,
}

/// Lays a tree flat.
///
/// # Errors
/// More products than are read, or two of one name.
pub(super) fn flatten(tree: Tree) -> Result<Flat, Refused> {
    let mut flat = Flat { products: Vec::new(), names: ByName::default(), unresolved: 0 };
    for branch in tree.branches.0 {
        flat.branch(branch, Above::default())?;
    }
    for named in tree.full_product_names.0 {
        let model = name(&named.name)?;
        flat.push(named, Above { model, ..Above::default() })?;
    }
    flat.relate(tree.relationships.0)?;
    for group in tree.product_groups.0 {
        let places =
            group.product_ids.0.iter().filter_map(|id| flat.names.products.get(id)).copied().collect();
        flat.names.groups.insert(group.group_id, places);
    }
    Ok(flat)
}

/// A name that every product below repeats: one without an end is refused.
fn name(text: &str) -> Result<String, Refused> {
    let text = text.trim();
    if text.len() > limits::CSAF_NAME {
        return Err(Refused::OtherForm(alloc::format!("a name of more than {} bytes", limits::CSAF_NAME)));
    }
    Ok(text.to_string())
}

impl Product {
    /// What a product on this one takes over from it.
    fn bare(&self) -> Self {
        let Self { maker, model, family, versions, versions_text, narrowed, .. } = self;
        Self {
            id: String::new(),
            name: String::new(),
            maker: maker.clone(),
            model: model.clone(),
            family: family.clone(),
            versions: versions.clone(),
            versions_text: versions_text.clone(),
            narrowed: narrowed.clone(),
            purl: None,
            model_numbers: Vec::new(),
            part: None,
        }
    }
}

impl Flat {
    /// One branch and all below it; how deep they nest was bounded before the document was parsed.
    fn branch(&mut self, branch: Branch, mut above: Above) -> Result<(), Refused> {
        let name = name(&branch.name)?;
        match branch.category {
            Category::Vendor => above.maker = name,
            Category::ProductFamily => above.family = name,
            Category::ProductName => above.model = name,
            Category::ProductVersion => above.versions = Some((name, false)),
            Category::ProductVersionRange => above.versions = Some((name, true)),
            Category::ServicePack | Category::PatchLevel => above.level = name,
            Category::Architecture
            | Category::HostName
            | Category::Language
            | Category::Legacy
            | Category::Specification => {
                if above.narrowed.len() < NARROWED {
                    above.narrowed.push(name);
                }
            }
        }
        for below in branch.branches.0 {
            self.branch(below, above.clone())?;
        }
        match branch.product {
            Some(named) => self.push(named, above),
            None => Ok(()),
        }
    }

    fn push(&mut self, named: Named, above: Above) -> Result<(), Refused> {
        let (text, is_range) = above.versions.unwrap_or_default();
        let versions = match (text.is_empty(), above.level.is_empty()) {
            (true, true) => Versions::Unsaid,
            (false, true) if is_range => Versions::range(&text),
            (false, true) => Versions::one(&text),
            // Which of the two texts a device tells nobody knows: only its very name is the same.
            (_, false) => Versions::NotUnderstood,
        };
        let texts = [text.as_str(), above.level.as_str()];
        let versions_text = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
        let helper = named.product_identification_helper;
        let model = if above.model.is_empty() { above.family.clone() } else { above.model };
        let product = Product {
            purl: helper.purl.as_deref().and_then(|purl| Purl::canonical(purl).ok()),
            model_numbers: helper.model_numbers.0,
            id: named.product_id,
            name: named.name,
            maker: above.maker,
            model,
            family: above.family,
            versions,
            versions_text,
            narrowed: above.narrowed,
            part: None,
        };
        self.add(product)
    }

    fn add(&mut self, product: Product) -> Result<(), Refused> {
        if self.products.len() == limits::VEX_STATEMENTS {
            return Err(Refused::OtherForm(alloc::format!("more than {} products", limits::VEX_STATEMENTS)));
        }
        if self.names.products.insert(product.id.clone(), self.products.len()).is_some() {
            return Err(Refused::OtherForm("two products of one name".into()));
        }
        self.products.push(product);
        Ok(())
    }

    /// Relationships, which may stand on each other in any order; a circle resolves never and is counted.
    fn relate(&mut self, mut left: Vec<Relationship>) -> Result<(), Refused> {
        for _ in 0..8 {
            let mut later = Vec::new();
            let before = left.len();
            for relationship in left {
                let place = |id: &str| self.names.products.get(id).copied();
                let part = place(&relationship.product_reference);
                let carrier = place(&relationship.relates_to_product_reference);
                let Some((part, carrier)) = part.zip(carrier) else {
                    later.push(relationship);
                    continue;
                };
                let Some(carrier) = self.products.get(carrier).map(Product::bare) else { continue };
                let Named { product_id, name, product_identification_helper } =
                    relationship.full_product_name;
                let purl = product_identification_helper.purl.as_deref();
                let purl = purl.and_then(|purl| Purl::canonical(purl).ok());
                let part = Some((relationship.category, part));
                self.add(Product { id: product_id, name, purl, part, ..carrier })?;
            }
            left = later;
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        self.unresolved += left.len();
        Ok(())
    }
}
