//! Certificates (RFC 5280), as far as they tell why one is rejected.

use std::net::{Ipv4Addr, Ipv6Addr};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::Error;
use crate::texts::readable;

/// What is needed of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, as a distinguished name; what is longer than a kilobyte is cut.
    pub subject: Box<str>,
    /// Who signed it, likewise.
    pub issuer: Box<str>,
    /// The subject's common names: what it is for where it has no other names.
    pub common_names: Box<[Box<str>]>,
    /// The hosts that it is for (subjectAltName: dNSName and iPAddress), the first 64.
    pub names: Box<[Box<str>]>,
    /// How many there are.
    pub names_count: usize,
    /// Since when it is valid: seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid: seconds since 1970.
    pub not_after: i64,
    /// Whether subject and issuer are the same, octet by octet. No signature is verified.
    pub self_signed: bool,
    /// Whether it may sign others (basicConstraints).
    pub is_authority: bool,
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    ///
    /// `Malformed` where it is none.
    pub fn parse(octets: &[u8]) -> Result<Self, Error> {
        let (_, certificate) = X509Certificate::from_der(octets)
            .map_err(|_| Error::Malformed("not a certificate, RFC 5280 section 4.1"))?;
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let general = alternatives.iter().flat_map(|names| &names.value.general_names);
        let names: Vec<Box<str>> = general.filter_map(name).collect();
        let (subject, issuer) = (certificate.subject(), certificate.issuer());
        Ok(Self {
            subject: cut(subject.to_string()),
            issuer: cut(issuer.to_string()),
            common_names: subject
                .iter_common_name()
                .take(MOST_COMMON_NAMES)
                .map(|name| common(name.as_slice()))
                .collect(),
            names_count: names.len(),
            names: names.into_iter().take(MOST_NAMES).collect(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            self_signed: subject.as_raw() == issuer.as_raw(),
            is_authority: certificate.is_ca(),
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(host) => Some(cut((*host).to_owned())),
        GeneralName::IPAddress(octets) => match <[u8; 4]>::try_from(*octets) {
            Ok(octets) => Some(Ipv4Addr::from(octets).to_string().into()),
            Err(_) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(*octets).ok()?).to_string().into()),
        },
        _ => None,
    }
}

fn common(octets: &[u8]) -> Box<str> {
    cut(readable(octets).into_owned())
}

/// At most [`MOST_OCTETS`] of a text.
fn cut(mut text: String) -> Box<str> {
    let end = (0..=MOST_OCTETS.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text.into()
}

const MOST_NAMES: usize = 64;
const MOST_COMMON_NAMES: usize = 4;
const MOST_OCTETS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_octets_make_it_panic(octets in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = Certificate::parse(&octets);
        }
    }
}
