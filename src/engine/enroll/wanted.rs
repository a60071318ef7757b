//! What a payload wants a certificate to say about its device.

use super::refusal::{Name, Stop};
use crate::engine::pki::name::{self, AlternativeName};
use crate::protocol::profile::{AltName, Names, Subject};

/// The subject as DER, with its variables expanded. A Mac that is given no common name is called
/// `name`.
pub(super) fn subject(subject: &Subject, name: &str, names: &Names) -> Result<Vec<u8>, Stop> {
    let mut subject = subject.map(|value| names.expand(value));
    if names.is_mac && !name.is_empty() {
        subject = subject.or_common_name(name);
    }
    let subject = written(&subject).to_der();
    subject.map_err(|error| Stop::never(Name::ImpossiblePayload, error.to_string()))
}

/// The names beside the subject.
pub(super) fn alternative_names(listed: &[AltName], names: &Names) -> Vec<AlternativeName> {
    let expanded = listed
        .iter()
        .map(|name| name.map(|value| names.expand(value)));
    let written = expanded.map(|name| match name {
        AltName::Email(name) => AlternativeName::Mail(name),
        AltName::Dns(name) => AlternativeName::Host(name),
        AltName::Uri(name) => AlternativeName::Address(name),
        AltName::PrincipalName(name) => AlternativeName::Principal(name),
    });
    written.collect()
}

/// A payload's subject in the form that is written to DER.
fn written(subject: &Subject) -> name::Name {
    let attribute = |(kind, value): &(String, String)| name::Attribute {
        kind: kind.clone(),
        value: value.clone(),
    };
    let part = |part: &Vec<(String, String)>| part.iter().map(attribute).collect();
    name::Name {
        parts: subject.0.iter().map(part).collect(),
    }
}
