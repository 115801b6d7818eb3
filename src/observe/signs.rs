//! Fields of a request by which the product that sent it is known.

use std::net::IpAddr;

use crate::event::{ForwardedFor, Signs};
use crate::wire::http1::Field;

/// What the fields of one request show so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    signs: Signs,
    connecting: Option<IpAddr>,
}

impl Seen {
    /// Takes a field. Cheap where it is none of these: most differ in their first octet.
    #[inline]
    pub(super) fn take(&mut self, field: &Field<'_>) {
        if let Some(b'c' | b'C' | b'f' | b'F' | b'v' | b'V' | b'x' | b'X') = field.name.first() {
            self.look(field);
        }
    }

    fn look(&mut self, field: &Field<'_>) {
        let found = match field.name.len() {
            3 if field.is("via") => return self.via(field.value),
            6 if field.is("cf-ray") && field.name == b"Cf-Ray" => Signs::CF_RAY.with(Signs::CF_IN_GO),
            6 if field.is("cf-ray") => Signs::CF_RAY,
            9 if field.is("fastly-ff") => Signs::FASTLY,
            9 if field.is("x-real-ip") => Signs::OTHER_HOP,
            11 if field.is("x-amz-cf-id") => Signs::AMZ_CF_ID,
            12 if field.is("x-azure-fdid") => Signs::AZURE_FDID,
            14 if field.is("cf-warp-tag-id") => Signs::CF_WARP_TAG,
            // X-Ray writes the field as well, but only what stands in front of a target begins a trace with its own part.
            15 if field.is("x-amzn-trace-id") && has_root(field.value) => Signs::AMZN_TRACE,
            15 if field.is("x-original-host") => Signs::ORIGINAL_HOST,
            16 if field.is("x-appgw-trace-id") => Signs::APPGW_TRACE,
            16 if field.is("x-forwarded-host") => Signs::FORWARDED_HOST,
            16 if field.is("fastly-client-ip") => Signs::FASTLY,
            16 if field.is("cf-connecting-ip") => {
                self.connecting = std::str::from_utf8(field.value).ok().and_then(|text| text.trim().parse().ok());
                return;
            }
            18 if field.is("x-forwarded-server") => Signs::OTHER_HOP,
            _ => return,
        };
        self.signs = self.signs.with(found);
    }

    /// The nearest hop that writes itself there stands last (RFC 9110 section 7.6.3).
    fn via(&mut self, value: &[u8]) {
        let last = value.rsplit(|octet| *octet == b',').next().unwrap_or_default().trim_ascii();
        let holds = |mark: &[u8]| last.windows(mark.len()).any(|part| part.eq_ignore_ascii_case(mark));
        let found = if holds(b"1.1 google") {
            Signs::VIA_GOOGLE
        } else if [&b"cloudfront"[..], b"varnish", b"azure"].into_iter().any(holds) {
            // CloudFront, Fastly and Front Door say who they are elsewhere.
            return;
        } else {
            Signs::OTHER_HOP
        };
        self.signs = self.signs.with(found);
    }

    /// The signs of the whole request, whose client the fields name as `forwarded_for`.
    pub(super) fn all(self, forwarded_for: Option<ForwardedFor>) -> Signs {
        let same = self.connecting.zip(forwarded_for).is_some_and(|(client, last)| client == last.address);
        if same { self.signs.with(Signs::CF_LAST) } else { self.signs }
    }
}

fn has_root(value: &[u8]) -> bool {
    value.windows(5).any(|part| part.eq_ignore_ascii_case(b"root="))
}
