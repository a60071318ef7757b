//! What a push certificate says: its topics, and which of Apple's two services it is for.

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Reader as _, SliceReader, Tag};

use super::authority::topic_of;
use crate::apns::provider::Certificate;

/// Apple's marks of a certificate for the sandbox and for production.
const DEVELOPMENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.6.3.1");
const PRODUCTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.6.3.2");

/// Apple's extension with the topics of a certificate that is for several: a sequence of strings,
/// each followed by a sequence of what kinds of pushes it is for.
const TOPICS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.6.3.6");

/// Reads a certificate that TLS has taken. What cannot be read is not there.
pub(super) fn read(der: &[u8]) -> Certificate {
    let mut certificate = Certificate {
        topics: topic_of(der).into_iter().collect(),
        ..Certificate::default()
    };
    let Ok(parsed) = x509_cert::Certificate::from_der(der) else {
        return certificate;
    };
    for extension in parsed.tbs_certificate().extensions().into_iter().flatten() {
        match extension.extn_id {
            DEVELOPMENT => certificate.development = true,
            PRODUCTION => certificate.production = true,
            TOPICS => {
                for topic in topics(extension.extn_value.as_bytes()) {
                    if !certificate.topics.contains(&topic) {
                        certificate.topics.push(topic);
                    }
                }
            }
            _ => {}
        }
    }
    certificate
}

/// The strings of the extension, as far as it can be read.
fn topics(extension: &[u8]) -> Vec<String> {
    let mut topics = Vec::new();
    let read = SliceReader::new(extension).and_then(|mut reader| {
        reader.sequence(|sequence: &mut SliceReader<'_>| {
            while !sequence.is_finished() {
                let part = der::asn1::AnyRef::decode(sequence)?;
                let is_text = matches!(der::Tagged::tag(&part), Tag::Utf8String | Tag::Ia5String);
                if is_text && let Ok(topic) = std::str::from_utf8(part.value()) {
                    topics.push(topic.to_owned());
                }
            }
            Ok::<(), der::Error>(())
        })
    });
    if let Err(error) = read {
        tracing::debug!(%error, "the topics of a push certificate cannot be read to the end");
    }
    topics
}
