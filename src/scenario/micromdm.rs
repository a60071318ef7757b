//! What MicroMDM cannot do, and a scenario for it must not ask for.

use super::cohort::Names;
use super::found::Found;
use super::resolve::Resolving;
use super::{Enrollment, IdentityMode, Method, Recipient, Stage};
use crate::device::traits::Platform;

/// Notes what is wrong with a scenario whose target is MicroMDM.
pub(super) fn check(
    found: &Found,
    enrollment: &Enrollment,
    names: &Names<'_>,
    stages: &[Stage],
    resolving: &mut Resolving,
) {
    authority(found, enrollment, resolving);
    proof(found, enrollment, resolving);
    users(found, names, stages, resolving);
}

/// It looks devices up among the certificates that its own authority signed.
fn authority(found: &Found, enrollment: &Enrollment, resolving: &mut Resolving) {
    let is_foreign = enrollment.method == Method::Issued && enrollment.ca.is_none();
    let target = found.table("target").and_then(|it| it.table("micromdm"));
    if let (true, Some(target)) = (is_foreign, target) {
        resolving.problems.add(
            &target.place,
            "MicroMDM lets in devices whose identities its own SCEP authority signed, but here \
             mdmstorm issues them",
            "add [enrollment.profile] with url = \"/mdm/enroll\"",
        );
    }
}

/// It reads no certificate from TLS, nor from a proxy's header.
fn proof(found: &Found, enrollment: &Enrollment, resolving: &mut Resolving) {
    if !enrollment.is_identity_given || enrollment.identity == IdentityMode::Signature {
        return;
    }
    let section = found.table("enrollment");
    let named = [("identity", "proof"), ("issued", "identity")]
        .into_iter()
        .find_map(|(table, key)| {
            let table = section?.table(table)?;
            table.is_given(key).then(|| table.place_of(key))
        });
    if let Some(place) = named {
        resolving.problems.add(
            place,
            "MicroMDM knows devices by the Mdm-Signature header alone",
            "\"signature\", or leave this out",
        );
    }
}

/// It calls a user by the UserID, and all users of Shared iPads have the same.
fn users(found: &Found, names: &Names<'_>, stages: &[Stage], resolving: &mut Resolving) {
    let tables = found.tables("stages");
    for (stage, table) in stages.iter().zip(tables) {
        for (command, table) in stage.commands.iter().zip(table.tables("commands")) {
            let shared = names
                .meant(command.to)
                .iter()
                .find(|cohort| cohort.traits.users > 0 && cohort.traits.platform != Platform::Mac);
            if let (Recipient::User, Some(cohort)) = (command.recipient, shared) {
                resolving.problems.add(
                    table.place_of("channel"),
                    format!(
                        "the users of \"{}\" share an iPad, and MicroMDM cannot tell such users apart",
                        cohort.name
                    ),
                    "a cohort of Macs, or channel = \"device\"",
                );
            }
        }
    }
}
