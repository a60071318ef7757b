//! Public keys and what is made of them: keys, requests, certificates, signed and enveloped
//! messages, and the languages of the authorities that hand certificates out.
//!
//! Everything read here was written by others: sizes, depths and counts are limited before a parser
//! sees a byte, and what is wrong has a name. Nothing here talks to anybody.

mod asn1;
pub mod attestation;
pub mod ber;
pub mod certificate;
pub mod cms;
pub mod draft;
pub mod enveloped_data;
pub mod key_maker;
pub mod keys;
pub mod mdm_signature;
pub mod name;
pub mod pkcs12;
pub mod pool_file;
pub mod prime_pool;
pub mod profile_signature;
pub mod request;
pub mod scep;
pub mod signature;
pub mod signed_data;
mod structure;

/// A name's common name, the last one if it has several.
fn common_name(name: &x509_cert::name::Name) -> Option<String> {
    const COMMON_NAME: der::asn1::ObjectIdentifier =
        der::asn1::ObjectIdentifier::new_unwrap("2.5.4.3");
    let found = name.iter().filter(|part| part.oid == COMMON_NAME).last()?;
    Some(String::from_utf8_lossy(found.value.value()).into_owned())
}
