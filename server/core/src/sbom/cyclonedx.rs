//! The reader of CycloneDX in JSON (ECMA-424), 1.2 to 1.6.
//!
//! Components are counted while they are read, nested ones too, so that a hostile file takes no more memory than an honest
//! one of the greatest size. Hashes, properties, services and vulnerabilities are passed over; vulnerabilities are read as
//! VEX, elsewhere. Read next: [`super::write`], which writes it.

use alloc::borrow::Cow;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use cordon_proto::limits;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::edges::Written;
use super::{Component, Format, Kind, Refused, Sbom, kept, refused};
use crate::feeds::date;
use crate::matching::json::AtMost;

/// Versions that are read.
const VERSIONS: [&str; 5] = ["1.2", "1.3", "1.4", "1.5", "1.6"];
/// Licences of a component.
const LICENCES: usize = 1_024;

/// What is read of a document, and how much of it.
#[derive(Default)]
struct Taken {
    version: String,
    serial: Option<String>,
    made: Option<String>,
    subject: Option<Component>,
    components: Vec<Component>,
    written: Vec<Written>,
    /// Types of components that there are not.
    other_kinds: usize,
    /// A limit was met.
    too_many: bool,
}

/// Reads a document whose depth is known to be within the limit.
pub(super) fn read(bytes: &[u8]) -> Result<Sbom, Refused> {
    let mut taken = Taken::default();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let outcome = Whole(&mut taken).deserialize(&mut reader).and_then(|()| reader.end());
    if taken.too_many {
        return Err(Refused::TooMany);
    }
    outcome.map_err(|error| refused(&error))?;
    if !VERSIONS.contains(&taken.version.as_str()) {
        let version: String = taken.version.chars().take(16).collect();
        return Err(Refused::OtherVersion(alloc::format!("CycloneDX {version}")));
    }
    let subject = taken.subject.as_ref().map(|subject| subject.reference.clone());
    let mut sbom = Sbom {
        format: Format::CycloneDx,
        version: taken.version,
        serial: taken.serial,
        made: taken.made.as_deref().and_then(date::read),
        subject: taken.subject,
        components: taken.components,
        ..Sbom::default()
    };
    sbom.tell("other-type", taken.other_kinds);
    sbom.resolve(subject.as_deref().filter(|name| !name.is_empty()), taken.written);
    Ok(sbom)
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Top {
    SpecVersion,
    SerialNumber,
    Metadata,
    Components,
    Dependencies,
    #[serde(other)]
    Other,
}

/// The document.
struct Whole<'a>(&'a mut Taken);

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CycloneDX document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key()? {
            match key {
                Top::SpecVersion => self.0.version = map.next_value()?,
                Top::SerialNumber => self.0.serial = short(map.next_value()?),
                Top::Metadata => map.next_value_seed(Metadata(&mut *self.0))?,
                Top::Components => map.next_value_seed(List(&mut *self.0, One))?,
                Top::Dependencies => map.next_value_seed(List(&mut *self.0, Depends))?,
                Top::Other => pass(&mut map)?,
            }
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum About {
    Timestamp,
    Component,
    #[serde(other)]
    Other,
}

/// What the document says of itself.
struct Metadata<'a>(&'a mut Taken);

impl<'de> DeserializeSeed<'de> for Metadata<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Metadata<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key()? {
            match key {
                About::Timestamp => self.0.made = short(map.next_value()?),
                About::Component => {
                    let before = self.0.components.len();
                    map.next_value_seed(Each(&mut *self.0, One))?;
                    // Its own parts were taken before it and stay; it alone is the subject.
                    if self.0.components.len() > before {
                        self.0.subject = self.0.components.pop();
                    }
                }
                About::Other => pass(&mut map)?,
            }
        }
        Ok(())
    }
}

/// Something that a list consists of.
trait Element: Copy {
    const NAME: &'static str;

    fn take<'de, A: MapAccess<'de>>(self, taken: &mut Taken, map: A) -> Result<(), A::Error>;
}

/// A list whose elements are taken one by one; `null` is an empty one.
struct List<'a, E>(&'a mut Taken, E);

impl<'de, E: Element> DeserializeSeed<'de> for List<'_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, E: Element> Visitor<'de> for List<'_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}", E::NAME)
    }

    fn visit_unit<F: Error>(self) -> Result<(), F> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Each(&mut *self.0, self.1))?.is_some() {}
        Ok(())
    }
}

/// One element.
struct Each<'a, E>(&'a mut Taken, E);

impl<'de, E: Element> DeserializeSeed<'de> for Each<'_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, E: Element> Visitor<'de> for Each<'_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(E::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.1.take(self.0, map)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "kebab-case")]
enum Part {
    Type,
    BomRef,
    Name,
    Group,
    Version,
    Purl,
    Cpe,
    Licenses,
    Components,
    #[serde(other)]
    Other,
}

/// A licence, or an expression of several.
#[derive(serde::Deserialize)]
struct Licence {
    #[serde(default)]
    license: Option<Named>,
    #[serde(default)]
    expression: Option<String>,
}

#[derive(serde::Deserialize)]
struct Named {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

impl Licence {
    fn text(self) -> Option<String> {
        let named = self.license.and_then(|license| license.id.or(license.name));
        kept(&self.expression.or(named)?)
    }
}

/// A component; those inside it are taken beside it.
#[derive(Clone, Copy)]
struct One;

impl Element for One {
    const NAME: &'static str = "components";

    fn take<'de, A: MapAccess<'de>>(self, taken: &mut Taken, mut map: A) -> Result<(), A::Error> {
        let mut component = Component::default();
        let mut purl: Option<String> = None;
        while let Some(key) = map.next_key()? {
            match key {
                Part::Type => {
                    let word: Cow<'de, str> = map.next_value()?;
                    let known: Result<Kind, _> = serde_json::from_value(word.into_owned().into());
                    taken.other_kinds += usize::from(known.is_err());
                    component.kind = known.unwrap_or_default();
                }
                Part::BomRef => component.reference = short(map.next_value()?).unwrap_or_default(),
                Part::Name => component.name = short(map.next_value()?).unwrap_or_default(),
                Part::Group => component.group = short(map.next_value()?),
                Part::Version => component.version = short(map.next_value()?),
                Part::Purl => purl = map.next_value()?,
                Part::Cpe => component.cpe = short(map.next_value()?),
                Part::Licenses => {
                    let licences: AtMost<Licence, LICENCES> = map.next_value()?;
                    component.licences = licences.0.into_iter().filter_map(Licence::text).collect();
                }
                Part::Components => map.next_value_seed(List(&mut *taken, One))?,
                Part::Other => pass(&mut map)?,
            }
        }
        if taken.components.len() >= limits::SBOM_COMPONENTS {
            taken.too_many = true;
            return Err(A::Error::custom("too many components"));
        }
        let component = match purl.as_deref().filter(|purl| !purl.trim().is_empty()) {
            Some(purl) => component.with_purl(purl),
            None => component,
        };
        taken.components.push(component);
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Edge {
    Ref,
    DependsOn,
    #[serde(other)]
    Other,
}

/// Who needs whom.
#[derive(Clone, Copy)]
struct Depends;

impl Element for Depends {
    const NAME: &'static str = "dependencies";

    fn take<'de, A: MapAccess<'de>>(self, taken: &mut Taken, mut map: A) -> Result<(), A::Error> {
        let (mut who, mut needs): (String, Vec<String>) = (String::new(), Vec::new());
        while let Some(key) = map.next_key()? {
            match key {
                Edge::Ref => who = short(map.next_value()?).unwrap_or_default(),
                Edge::DependsOn => {
                    let names: AtMost<Name<'de>, { limits::SBOM_COMPONENTS }> = map.next_value()?;
                    needs = names.0.iter().filter_map(|name| kept(&name.0)).collect();
                }
                Edge::Other => pass(&mut map)?,
            }
        }
        if taken.written.len() + needs.len() > limits::SBOM_NEEDS {
            taken.too_many = true;
            return Err(A::Error::custom("too many dependencies"));
        }
        let who: Rc<str> = who.into();
        taken.written.extend(needs.into_iter().map(|what| (Rc::clone(&who), what)));
        Ok(())
    }
}

/// A text that is borrowed where it can be.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn short(text: Option<Cow<'_, str>>) -> Option<String> {
    kept(&text?)
}

fn pass<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}
