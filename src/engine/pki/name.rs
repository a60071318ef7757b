//! Names in certificates: of subjects, and alternative ones.

use super::asn1::{
    CONTEXT_0, IA5_STRING, OBJECT_IDENTIFIER, PRINTABLE_STRING, SEQUENCE, SET, UTF8_STRING, oid,
    set_of, tlv,
};

/// A subject as a payload writes it: relative names in order, each of one or more attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// `[["C", "US"]], [["O", "Example"], ["1.2.5.3", "x"]]`.
    pub parts: Vec<Vec<Attribute>>,
}

/// One attribute of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// A short name (`CN`) or an object identifier (`2.5.4.3`).
    pub kind: String,
    /// Its value.
    pub value: String,
}

/// A name that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the subject has the attribute {0}, expected one of C, L, ST, O, OU, CN, DC, UID, E, STREET, \
     SERIALNUMBER or an object identifier"
)]
pub struct NameError(pub String);

impl Name {
    /// The name that has only a common name.
    pub fn common(value: &str) -> Self {
        let attribute = Attribute {
            kind: "CN".to_owned(),
            value: value.to_owned(),
        };
        Self {
            parts: vec![vec![attribute]],
        }
    }

    /// The name as DER.
    pub fn to_der(&self) -> Result<Vec<u8>, NameError> {
        let mut parts = Vec::new();
        for part in &self.parts {
            let attributes: Vec<Vec<u8>> = part
                .iter()
                .map(Attribute::to_der)
                .collect::<Result<_, _>>()?;
            parts.extend(set_of(SET, attributes));
        }
        Ok(tlv(SEQUENCE, &[&parts]))
    }
}

impl Attribute {
    fn to_der(&self) -> Result<Vec<u8>, NameError> {
        let dotted = match self.kind.to_ascii_uppercase().as_str() {
            "C" => "2.5.4.6",
            "L" => "2.5.4.7",
            "ST" => "2.5.4.8",
            "O" => "2.5.4.10",
            "OU" => "2.5.4.11",
            "CN" => "2.5.4.3",
            "STREET" => "2.5.4.9",
            "SERIALNUMBER" => "2.5.4.5",
            "DC" => "0.9.2342.19200300.100.1.25",
            "UID" => "0.9.2342.19200300.100.1.1",
            "E" | "EMAIL" | "EMAILADDRESS" => "1.2.840.113549.1.9.1",
            _ => &self.kind,
        };
        let kind = oid(dotted).ok_or_else(|| NameError(self.kind.clone()))?;
        // RFC 5280 appendix A: countries and serial numbers are printable, the domain's are ASCII.
        let tag = match dotted {
            "2.5.4.6" | "2.5.4.5" if self.value.is_ascii() => PRINTABLE_STRING,
            "0.9.2342.19200300.100.1.25" | "1.2.840.113549.1.9.1" if self.value.is_ascii() => {
                IA5_STRING
            }
            _ => UTF8_STRING,
        };
        Ok(tlv(SEQUENCE, &[&kind, &tlv(tag, &[self.value.as_bytes()])]))
    }
}

/// A name beside the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// An address for mail (`rfc822Name`).
    Mail(String),
    /// A host name (`dNSName`).
    Host(String),
    /// An address of a resource (`uniformResourceIdentifier`).
    Address(String),
    /// A user of a Windows domain (`ntPrincipalName`).
    Principal(String),
}

/// The GeneralNames of a subjectAltName.
pub(super) fn general_names(names: &[AlternativeName]) -> Vec<u8> {
    let names: Vec<Vec<u8>> = names.iter().map(AlternativeName::to_der).collect();
    tlv(SEQUENCE, &[&names.concat()])
}

impl AlternativeName {
    fn to_der(&self) -> Vec<u8> {
        match self {
            Self::Mail(value) => tlv(0x81, &[value.as_bytes()]),
            Self::Host(value) => tlv(0x82, &[value.as_bytes()]),
            Self::Address(value) => tlv(0x86, &[value.as_bytes()]),
            Self::Principal(value) => {
                let kind = tlv(OBJECT_IDENTIFIER, &[PRINCIPAL_NAME]);
                let value = tlv(CONTEXT_0, &[&tlv(UTF8_STRING, &[value.as_bytes()])]);
                tlv(CONTEXT_0, &[&kind, &value])
            }
        }
    }
}

/// 1.3.6.1.4.1.311.20.2.3, `ntPrincipalName`.
const PRINCIPAL_NAME: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03";

#[cfg(test)]
mod tests {
    use der::Decode as _;

    use super::*;

    #[test]
    fn a_name_keeps_its_order_and_its_doubles() {
        let attribute = |kind: &str, value: &str| Attribute {
            kind: kind.to_owned(),
            value: value.to_owned(),
        };
        let name = Name {
            parts: vec![
                vec![attribute("C", "US")],
                vec![attribute("OU", "one")],
                vec![attribute("OU", "two")],
                vec![attribute("CN", "grün"), attribute("1.2.5.3", "x")],
            ],
        };
        let read = x509_cert::name::Name::from_der(&name.to_der().unwrap()).unwrap();
        let text = read.to_string();
        // RFC 4514 writes a name from its end.
        assert!(text.ends_with("OU=two,OU=one,C=US"), "{text}");
        let unknown = Name {
            parts: vec![vec![attribute("Colour", "green")]],
        };
        assert_eq!(unknown.to_der(), Err(NameError("Colour".to_owned())));
    }
}
