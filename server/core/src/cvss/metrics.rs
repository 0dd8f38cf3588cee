//! The metrics of CVSS 3.x and 4.0 with their values.
//!
//! In the order of the specifications' own tables, and nothing else (FIRST, CVSS v3.1 table 15, CVSS v4.0 table 23). Read
//! next: [`super::Vector::parse`].

/// The most metrics that a version has.
pub(super) const METRICS: usize = 32;
/// What stands for a metric that was not named.
pub(super) const UNSAID: u8 = 0;

/// A metric.
pub(super) struct Metric {
    pub(super) name: &'static str,
    /// Each begins with a letter of its own.
    values: &'static [&'static str],
    /// May be left out.
    pub(super) optional: bool,
    /// Speaks of one environment.
    pub(super) environment: bool,
}

enum Group {
    Mandatory,
    Optional,
    Environment,
}

impl Metric {
    const fn new(name: &'static str, values: &'static [&'static str], group: Group) -> Self {
        let (optional, environment) = match group {
            Group::Mandatory => (false, false),
            Group::Optional => (true, false),
            Group::Environment => (true, true),
        };
        Self { name, values, optional, environment }
    }

    /// The first letter of a value that it has.
    pub(super) fn letter(&self, value: &str) -> Option<u8> {
        let value = self.values.iter().find(|known| **known == value)?;
        value.bytes().next()
    }

    /// Any of its values.
    #[cfg(any(test, feature = "world"))]
    pub(super) fn nth(&self, number: usize) -> &'static str {
        self.values.get(number % self.values.len()).expect("a remainder")
    }

    /// The value that begins with a letter.
    pub(super) fn value(&self, letter: u8) -> &'static str {
        self.values.iter().find(|value| value.as_bytes().first() == Some(&letter)).copied().unwrap_or("X")
    }
}

/// CVSS 3.0 and 3.1.
pub(super) const V3: [Metric; 22] = [
    Metric::new("AV", &["N", "A", "L", "P"], Group::Mandatory),
    Metric::new("AC", &["L", "H"], Group::Mandatory),
    Metric::new("PR", &["N", "L", "H"], Group::Mandatory),
    Metric::new("UI", &["N", "R"], Group::Mandatory),
    Metric::new("S", &["U", "C"], Group::Mandatory),
    Metric::new("C", &["H", "L", "N"], Group::Mandatory),
    Metric::new("I", &["H", "L", "N"], Group::Mandatory),
    Metric::new("A", &["H", "L", "N"], Group::Mandatory),
    Metric::new("E", &["X", "H", "F", "P", "U"], Group::Optional),
    Metric::new("RL", &["X", "U", "W", "T", "O"], Group::Optional),
    Metric::new("RC", &["X", "C", "R", "U"], Group::Optional),
    Metric::new("CR", &["X", "H", "M", "L"], Group::Environment),
    Metric::new("IR", &["X", "H", "M", "L"], Group::Environment),
    Metric::new("AR", &["X", "H", "M", "L"], Group::Environment),
    Metric::new("MAV", &["X", "N", "A", "L", "P"], Group::Environment),
    Metric::new("MAC", &["X", "L", "H"], Group::Environment),
    Metric::new("MPR", &["X", "N", "L", "H"], Group::Environment),
    Metric::new("MUI", &["X", "N", "R"], Group::Environment),
    Metric::new("MS", &["X", "U", "C"], Group::Environment),
    Metric::new("MC", &["X", "H", "L", "N"], Group::Environment),
    Metric::new("MI", &["X", "H", "L", "N"], Group::Environment),
    Metric::new("MA", &["X", "H", "L", "N"], Group::Environment),
];

/// CVSS 4.0.
pub(super) const V4: [Metric; METRICS] = [
    Metric::new("AV", &["N", "A", "L", "P"], Group::Mandatory),
    Metric::new("AC", &["L", "H"], Group::Mandatory),
    Metric::new("AT", &["N", "P"], Group::Mandatory),
    Metric::new("PR", &["N", "L", "H"], Group::Mandatory),
    Metric::new("UI", &["N", "P", "A"], Group::Mandatory),
    Metric::new("VC", &["H", "L", "N"], Group::Mandatory),
    Metric::new("VI", &["H", "L", "N"], Group::Mandatory),
    Metric::new("VA", &["H", "L", "N"], Group::Mandatory),
    Metric::new("SC", &["H", "L", "N"], Group::Mandatory),
    Metric::new("SI", &["H", "L", "N"], Group::Mandatory),
    Metric::new("SA", &["H", "L", "N"], Group::Mandatory),
    Metric::new("E", &["X", "A", "P", "U"], Group::Optional),
    Metric::new("CR", &["X", "H", "M", "L"], Group::Environment),
    Metric::new("IR", &["X", "H", "M", "L"], Group::Environment),
    Metric::new("AR", &["X", "H", "M", "L"], Group::Environment),
    Metric::new("MAV", &["X", "N", "A", "L", "P"], Group::Environment),
    Metric::new("MAC", &["X", "L", "H"], Group::Environment),
    Metric::new("MAT", &["X", "N", "P"], Group::Environment),
    Metric::new("MPR", &["X", "N", "L", "H"], Group::Environment),
    Metric::new("MUI", &["X", "N", "P", "A"], Group::Environment),
    Metric::new("MVC", &["X", "H", "L", "N"], Group::Environment),
    Metric::new("MVI", &["X", "H", "L", "N"], Group::Environment),
    Metric::new("MVA", &["X", "H", "L", "N"], Group::Environment),
    Metric::new("MSC", &["X", "H", "L", "N"], Group::Environment),
    Metric::new("MSI", &["X", "S", "H", "L", "N"], Group::Environment),
    Metric::new("MSA", &["X", "S", "H", "L", "N"], Group::Environment),
    Metric::new("S", &["X", "N", "P"], Group::Optional),
    Metric::new("AU", &["X", "N", "Y"], Group::Optional),
    Metric::new("R", &["X", "A", "U", "I"], Group::Optional),
    Metric::new("V", &["X", "D", "C"], Group::Optional),
    Metric::new("RE", &["X", "L", "M", "H"], Group::Optional),
    Metric::new("U", &["X", "Clear", "Green", "Amber", "Red"], Group::Optional),
];
