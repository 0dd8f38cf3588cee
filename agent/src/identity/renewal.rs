//! The next certificate: asked for with the present one over mutual TLS (EST `simplereenroll`), with a new key.
//!
//! The same request is sent until it is answered, so an answer that was lost on the way is not lost. It needs no token and
//! works in the server's grace with a certificate that has ended. Nothing here decides when; see
//! `cordon_agent_core::renew`. Read next: [`super::slots`] for what is on disk at which moment.

use cordon_proto::ids::Sha256;

use super::enrolment::{Applicant, Purpose, obtain};
use super::slots::Home;
use super::{Identity, IdentityError};
use crate::link::LinkError;

/// Asks once for the certificate that follows `present`; it is on disk, beside the present one, when this returns.
pub async fn renew(
    home: &Home,
    present: &Identity,
    applicant: &Applicant,
) -> Result<Identity, IdentityError> {
    let attempt = home.begin(&applicant.hardware, Some(Sha256::of(&present.leaf)))?;
    let renewed = match obtain(applicant, &attempt, Purpose::Renew(present)).await {
        Ok((leaf, _)) => home.renewed(&attempt, present, leaf),
        Err(error) => Err(error),
    };
    if let Err(error) = &renewed
        && (error.is_about_the_key() || error.is_about_the_request() || is_late(error))
    {
        // The same request would be refused again; under the present certificate another key costs nothing.
        home.give_up()?;
    }
    renewed
}

/// Another request is in its place.
fn is_late(error: &IdentityError) -> bool {
    matches!(error, IdentityError::Server { source: LinkError::Rejected { status: 409, .. }, .. })
}
