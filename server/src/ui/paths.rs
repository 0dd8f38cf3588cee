//! Every address that a page links to or posts to: the contract with the router.
//!
//! GET pages: `/`, `/devices`, `/devices/enrol`, `/devices/import`, `/devices/{id}`, `/devices/{id}/software`,
//! `/devices/{id}/identity`, `/devices/{id}/{quarantine|release|retire|report-lost|find|clear-doubt}`,
//! `/devices/quarantine?device=…`, `/approvals`, `/approvals/{approve|deny}?key=…`, `/tokens`, `/tokens/new`,
//! `/tokens/{id}/revoke`, `/findings`, `/findings/{id}`,
//! `/findings/{id}/{acknowledge|mute|allow|close|reopen}`, `/findings/groups/{id}` and its acts of the same names,
//! `/visits`, `/visits/new`, `/visits/{id}/end`, `/vulnerabilities`,
//! `/vulnerabilities/{id}`, `/devices/{id}/vulnerabilities`, `/devices/{id}/drift`, `/feeds`, `/feeds/new`,
//! `/feeds/{name}`, `/risk`, `/rollouts`, `/rollouts/{id}`,
//! `/rollouts/{id}/{pause|stop|resume|back|finish|abort}`, `/rollouts/{id}/devices/{device}/accept`, `/releases`, `/releases/{repository}/{release}`,
//! `/orders`, `/orders/{id}`, `/evidence`, `/holds/new`, `/holds/{id}/lift`,
//! `/expiries`, `/exceptions`, `/exceptions/new`, `/exceptions/{id}`, `/exceptions/{id}/{approve|withdraw}`, `/calendar`, `/audit`, `/sign-in`, `/sign-in/{secret}`.
//! Every act is posted to the address of its GET page (bodies: [`super::act`]), `/sign-in/{secret}`, `/sign-out` and
//! `/theme` likewise. Files: `/assets/…`. Stream: [`EVENTS`]. Read next: [`super::devices::DeviceQuery`].

/// The overview.
pub const OVERVIEW: &str = "/";
/// The list of devices.
pub const DEVICES: &str = "/devices";
/// How to enrol a device.
pub const ENROL: &str = "/devices/enrol";
/// A list of assets to be imported.
pub const IMPORT_DEVICES: &str = "/devices/import";
/// Keys that ask for an identity and wait for a person.
pub const APPROVALS: &str = "/approvals";
/// The list of enrolment tokens.
pub const TOKENS: &str = "/tokens";
/// A new enrolment token.
pub const NEW_TOKEN: &str = "/tokens/new";
/// The list of findings.
pub const FINDINGS: &str = "/findings";
/// Searching among connections.
pub const CONTACTS: &str = "/contacts";
/// Announced service visits.
pub const VISITS: &str = "/visits";
/// A service visit to be announced.
pub const NEW_VISIT: &str = "/visits/new";
/// The list of vulnerabilities.
pub const VULNERABILITIES: &str = "/vulnerabilities";
/// That list as a file (`format=csv|json`, and its filters): the API's own.
pub const VULNERABILITIES_EXPORT: &str = "/api/v1/vulnerabilities";
/// What the server knows of the world: its feeds.
pub const FEEDS: &str = "/feeds";
/// A feed to be brought.
pub const NEW_FEED: &str = "/feeds/new";
/// The risk of the fleet by where it stands, and what to do about it.
pub const RISK: &str = "/risk";
/// The list of rollouts.
pub const ROLLOUTS: &str = "/rollouts";
/// The list of releases.
pub const RELEASES: &str = "/releases";
/// The list of orders.
pub const ORDERS: &str = "/orders";
/// Evidence packs, and how fast releases reached their devices.
pub const EVIDENCE: &str = "/evidence";
/// A new hold.
pub const NEW_HOLD: &str = "/holds/new";
/// What ends soon.
pub const EXPIRIES: &str = "/expiries";
/// Accepted risks.
pub const EXCEPTIONS: &str = "/exceptions";
/// Asking to accept a risk.
pub const NEW_EXCEPTION: &str = "/exceptions/new";
/// Windows and holds by ward and day.
pub const CALENDAR: &str = "/calendar";
/// The audit log.
pub const AUDIT: &str = "/audit";
/// What to do when nobody is signed in.
pub const SIGN_IN: &str = "/sign-in";
/// Ends the session.
pub const SIGN_OUT: &str = "/sign-out";
/// Sets the theme (`to=light|dark|system`, `back=ADDRESS`).
pub const THEME: &str = "/theme";
/// The live stream (server-sent events, see [`super::live`]).
pub const EVENTS: &str = "/api/v1/events";

/// An accepted risk's own page.
#[must_use]
pub fn exception(id: &str) -> String {
    format!("{EXCEPTIONS}/{}", encode(id))
}

/// An act on an accepted risk: `approve` or `withdraw`.
#[must_use]
pub fn exception_act(id: &str, act: &str) -> String {
    format!("{}/{act}", exception(id))
}

/// A device's own page.
#[must_use]
pub fn device(id: &str) -> String {
    format!("{DEVICES}/{}", encode(id))
}

/// What runs on a device.
#[must_use]
pub fn software(id: &str) -> String {
    format!("{}/software", device(id))
}

/// The vulnerabilities of a device.
#[must_use]
pub fn exposures(id: &str) -> String {
    format!("{}/vulnerabilities", device(id))
}

/// How the software of a device differs from what its release shipped.
#[must_use]
pub fn drift(id: &str) -> String {
    format!("{}/drift", device(id))
}

/// The software of a device as a CycloneDX file, as it was found.
#[must_use]
pub fn device_sbom(id: &str) -> String {
    format!("/api/v1/devices/{}/sbom", encode(id))
}

/// A vulnerability's own page.
#[must_use]
pub fn vulnerability(id: &str) -> String {
    format!("{VULNERABILITIES}/{}", encode(id))
}

/// A feed's own page.
#[must_use]
pub fn feed(name: &str) -> String {
    format!("{FEEDS}/{}", encode(name))
}

/// The identity of a device: its certificates, its tokens, its history.
#[must_use]
pub fn identity(id: &str) -> String {
    format!("{}/identity", device(id))
}

/// The last receipt that a device signed.
#[must_use]
pub fn farewell(id: &str) -> String {
    format!("/api/v1/devices/{}/farewell", encode(id))
}

/// The answer to keys that wait: `approve` or `deny`.
#[must_use]
pub fn answer(verb: &str) -> String {
    format!("{APPROVALS}/{verb}")
}

/// Taking a token back.
#[must_use]
pub fn revoke_token(id: &str) -> String {
    format!("{TOKENS}/{}/revoke", encode(id))
}

/// An act on one device: `quarantine`, `release`, `retire`, `report-lost`, `find` or `clear-doubt`.
#[must_use]
pub fn device_act(id: &str, act: &str) -> String {
    format!("{}/{act}", device(id))
}

/// Quarantine of several devices.
pub const QUARANTINE: &str = "/devices/quarantine";

/// A finding's own page.
#[must_use]
pub fn finding(id: &str) -> String {
    format!("{FINDINGS}/{}", encode(id))
}

/// A finding of many devices.
#[must_use]
pub fn finding_group(id: &str) -> String {
    format!("{FINDINGS}/groups/{}", encode(id))
}

/// An act on a finding of many devices.
#[must_use]
pub fn finding_group_act(id: &str, act: &str) -> String {
    format!("{}/{act}", finding_group(id))
}

/// Ending a service visit.
#[must_use]
pub fn end_visit(id: &str) -> String {
    format!("{VISITS}/{}/end", encode(id))
}

/// An act on a finding: `acknowledge`, `mute`, `allow`, `close` or `reopen`.
#[must_use]
pub fn finding_act(id: &str, act: &str) -> String {
    format!("{}/{act}", finding(id))
}

/// The findings of one state and, if given, one severity, detector or device.
#[must_use]
pub fn findings(pairs: &[(&str, &str)]) -> String {
    with_query(FINDINGS, pairs)
}

/// The search among connections, with this peer filled in.
#[must_use]
pub fn contacts(peer: &str) -> String {
    with_query(CONTACTS, &[("peer", peer)])
}

/// A rollout's own page.
#[must_use]
pub fn rollout(id: &str) -> String {
    format!("{ROLLOUTS}/{}", encode(id))
}

/// A rollout's page with the devices that have one reason.
#[must_use]
pub fn rollout_reason(id: &str, code: &str) -> String {
    format!("{}#named", with_query(&rollout(id), &[("reason", code)]))
}

/// An act on a rollout: `stop`, `resume` or `back`.
#[must_use]
pub fn rollout_act(id: &str, act: &str) -> String {
    format!("{}/{act}", rollout(id))
}

/// Returning a device of a rollout to use.
#[must_use]
pub fn accept(rollout_id: &str, device_id: &str) -> String {
    format!("{}/devices/{}/accept", rollout(rollout_id), encode(device_id))
}

/// A release's own page.
#[must_use]
pub fn release(repository: &str, release: &str) -> String {
    format!("{RELEASES}/{}/{}", encode(repository), encode(release))
}

/// An order's own page.
#[must_use]
pub fn order(id: &str) -> String {
    format!("{ORDERS}/{}", encode(id))
}

/// A file that a release names, to be saved.
#[must_use]
pub fn target(sha256: &str) -> String {
    format!("/api/v1/targets/{}", encode(sha256))
}

/// Lifting a hold.
#[must_use]
pub fn lift_hold(id: &str) -> String {
    format!("/holds/{}/lift", encode(id))
}

/// Signing in with a one-time link.
#[must_use]
pub fn sign_in(secret: &str) -> String {
    format!("{SIGN_IN}/{}", encode(secret))
}

/// An address with a query.
#[must_use]
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut address = String::from(path);
    for (place, (name, value)) in pairs.iter().enumerate() {
        address.push(if place == 0 { '?' } else { '&' });
        address.push_str(&encode(name));
        address.push('=');
        address.push_str(&encode(value));
    }
    address
}

/// Percent-encodes all but the unreserved characters (RFC 3986 section 2.3).
#[must_use]
pub fn encode(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    safe
}

/// Whether an address may be gone back to: one of ours, not another host's.
#[must_use]
pub fn is_local(address: &str) -> bool {
    address.starts_with('/')
        && !address.starts_with("//")
        && !address.contains('\\')
        && !address.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identities_cannot_leave_their_place_in_an_address() {
        // Goal: a name with slashes, dots or quotes is one segment. Method: a hostile identity.
        assert_eq!(device("../a?b#c\"<"), "/devices/..%2Fa%3Fb%23c%22%3C");
        assert_eq!(findings(&[("state", "open"), ("device", "a&b")]), "/findings?state=open&device=a%26b");
    }

    #[test]
    fn only_our_own_addresses_are_gone_back_to() {
        // Goal: no open redirect. Method: the usual tricks.
        assert!(is_local("/devices?band=critical"));
        for bad in ["//evil.example", "https://evil.example", "/\\evil", "devices", "", "/a\nb"] {
            assert!(!is_local(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn encoded_text_is_one_safe_segment(text in any::<String>()) {
            let safe = encode(&text);
            prop_assert!(safe.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        }
    }
}
