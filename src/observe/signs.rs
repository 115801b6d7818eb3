//! Fields of a request by which the product that sent it is known.

use std::net::IpAddr;

use crate::event::{ForwardedFor, Signs, prober};
use crate::wire::http1::{Field, FieldName};

/// What the fields of one request show so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    signs: Signs,
    connecting: Option<IpAddr>,
}

impl Seen {
    /// Takes a field.
    #[inline]
    pub(super) fn take(&mut self, field: &Field<'_>) {
        let found = match field.known {
            FieldName::Via => return self.via(field.value),
            FieldName::CfRay if field.name == b"Cf-Ray" => Signs::CF_RAY.with(Signs::CF_IN_GO),
            FieldName::CfRay => Signs::CF_RAY,
            FieldName::FastlyFf | FieldName::FastlyClientIp => Signs::FASTLY,
            FieldName::XRealIp | FieldName::XForwardedServer => Signs::OTHER_HOP,
            FieldName::XAmzCfId => Signs::AMZ_CF_ID,
            FieldName::XAzureFdid => Signs::AZURE_FDID,
            FieldName::CfWarpTagId => Signs::CF_WARP_TAG,
            // X-Ray writes the field as well, but only what stands in front of a target begins a trace with its own part.
            FieldName::XAmznTraceId if has_root(field.value) => Signs::AMZN_TRACE,
            FieldName::XOriginalHost => Signs::ORIGINAL_HOST,
            FieldName::XAppgwTraceId => Signs::APPGW_TRACE,
            FieldName::XForwardedHost => Signs::FORWARDED_HOST,
            FieldName::Host if is_of_copy(field.value) => Signs::ASIDE,
            FieldName::UserAgent if std::str::from_utf8(field.value).is_ok_and(|agent| prober(agent).is_some()) => {
                Signs::ASIDE
            }
            FieldName::CfConnectingIp => {
                self.connecting = std::str::from_utf8(field.value).ok().and_then(|text| text.trim().parse().ok());
                return;
            }
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

/// Envoy marks the host of what it copies to a mirror (`request_mirror_policies`).
fn is_of_copy(host: &[u8]) -> bool {
    let name = host.iter().rposition(|octet| *octet == b':').and_then(|colon| host.get(..colon)).unwrap_or(host);
    name.ends_with(b"-shadow")
}

fn has_root(value: &[u8]) -> bool {
    value.windows(5).any(|part| part.eq_ignore_ascii_case(b"root="))
}
