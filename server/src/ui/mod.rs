//! The console's pages: from plain values to HTML, and nothing else.
//!
//! Who serves the console fills the structs of this module ([`Frame`] for what stands round every page, one struct a
//! page) and calls a `render` function; no page asks a store, a clock or the network, and none needs a script to be
//! read. Text that a device or a file supplied travels as [`Said`], which shows control characters as marks and is cut
//! at 120 characters; everything is escaped by the templates. Markup made in Rust is [`Markup`] and never holds such
//! text unescaped. There is no `style` attribute and no inline script anywhere: lengths are SVG attributes.
//!
//! Read next: [`paths`] for every address a page links to (the router serves exactly those), [`frame`] for the
//! chrome, then the page you need: [`overview`], [`devices`], [`device`], [`findings`], [`vulnerabilities`], [`rollouts`], [`audit`],
//! [`act`] for what changes something, [`entry`] for sign-in, [`error`]. Templates, style sheet and script lie in
//! `server/ui`, served by [`assets`].

pub mod acceptance;
pub mod act;
pub mod approvals;
pub mod asset_import;
pub mod assets;
pub mod audit;
pub mod badge;
pub mod calendar;
pub mod chart;
pub mod contacts;
pub mod device;
pub mod device_query;
pub mod devices;
pub mod drift;
pub mod entry;
pub mod error;
pub mod evidence;
pub mod exceptions;
pub mod expiries;
pub mod exposures;
pub mod feeds;
pub mod finding_group;
pub mod findings;
pub mod fleet_risk;
pub mod frame;
pub mod identity;
pub mod live;
pub mod marks;
pub mod orders;
pub mod overview;
pub mod paths;
pub mod releases;
pub mod rollouts;
pub mod said;
pub mod score_bar;
pub mod software;
pub mod state;
pub mod tokens;
pub mod visits;
pub mod vulnerabilities;
pub mod vulnerability;
pub mod wave_bar;
pub mod words;

pub use frame::{Frame, Theme};
pub use marks::Markup;
pub use said::Said;
pub use state::DeviceState;
pub use words::Clock;

/// A page from its template. The templates format only into memory, so this cannot fail.
fn page(template: &impl askama::Template) -> String {
    template.render().expect("formatting into a String does not fail")
}
