//! Header sections to the events' plain data: what identifies a request on another connection, what tells a product.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::event::{ForwardedFor, Moment, Protocol, Request, RequestSection, Response, ResponseSection, Signature};
use crate::mark::{self, mark};
use crate::observe::signs::Seen;
use crate::texts::{Texts, readable};
use crate::time::Span;
use crate::wire::cgi::Variables;
use crate::wire::http1::{self, FieldName, Framing, RequestHead, ResponseHead};

/// Where a header section stood.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Which exchange of the connection.
    pub exchange: u32,
    /// Offset of the first octet.
    pub start: u64,
    /// When the first octet was seen.
    pub first: Moment,
}

impl Place {
    /// Octets from there up to `end`.
    #[must_use]
    pub fn length(self, end: u64) -> usize {
        usize::try_from(end.saturating_sub(self.start)).unwrap_or(usize::MAX)
    }

    /// The request whose header section stood there. `acknowledged` is how far its sender had received by then.
    #[must_use]
    pub fn request(self, acknowledged: u64, section: Arc<RequestSection>) -> Request {
        let Self { exchange, start, first } = self;
        Request { exchange, start, first, acknowledged, whole: false, section }
    }

    /// The response whose header section stood there. `request_sent` is how far the request stream was at its first octet.
    #[must_use]
    pub fn response(self, request_sent: u64, solicited: bool, section: Arc<ResponseSection>) -> Response {
        let Self { exchange, start, first } = self;
        Response {
            exchange,
            start,
            first,
            solicited,
            request_sent,
            acknowledges: false,
            whole: None,
            content: None,
            section,
        }
    }
}

/// What the events tell of a request's header section, of so many octets. No text is longer than `text_bytes`.
#[must_use]
pub fn request(head: &RequestHead<'_, '_>, framing: Framing, length: usize, text_bytes: usize) -> RequestSection {
    let mut host = None;
    let mut user_agent = None;
    let mut persistent = head.minor_version >= 1;
    let mut upgrade = head.method == b"CONNECT";
    let mut forwarded = false;
    let mut forwarded_for = None;
    let mut seen = Seen::default();
    let mut marks = SmallVec::new();
    if head.target_is_whole {
        target_marks(head.target, &mut marks);
    }
    for field in head.fields {
        seen.take(field);
        match field.known {
            FieldName::Host => host = Some(cut(field.value, text_bytes)),
            FieldName::UserAgent => user_agent = Some(cut(field.value, 128)),
            FieldName::Connection => persistent = keeps(field.value).unwrap_or(persistent),
            FieldName::Upgrade => upgrade = true,
            FieldName::Forwarded => {
                forwarded = true;
                forwarded_for = forwarded_field(field.value).or(forwarded_for);
            }
            FieldName::XForwardedFor => {
                forwarded = true;
                forwarded_for = field.value.rsplit(|octet| *octet == b',').next().and_then(address).or(forwarded_for);
            }
            FieldName::XRealIp => {
                forwarded = true;
                forwarded_for = forwarded_for.or_else(|| address(field.value));
            }
            FieldName::Via | FieldName::XForwardedHost | FieldName::XForwardedServer => forwarded = true,
            FieldName::XForwarded => {
                forwarded = true;
                // X-Forwarded-Uri: who is asked whether a client may have something is told what.
                if field.value.len() >= mark::SHORTEST && field.value.starts_with(b"/") {
                    note(mark(field.value), &mut marks);
                }
            }
            FieldName::ContentLength
            | FieldName::Date
            | FieldName::KeepAlive
            | FieldName::TransferEncoding
            | FieldName::Common => {}
            _ if field.value.len() < mark::SHORTEST => {}
            _ => note(mark(field.value), &mut marks),
        }
    }
    if host.is_none() {
        host = authority(head.target).map(|authority| cut(authority, text_bytes));
    }
    let target = printable(cut(head.target, text_bytes), head.target_is_whole);
    let texts = Texts::new([Some(cut(head.method, 32)), Some(&target), host, user_agent]);
    let [method_mark, target_mark] = [0, 1].map(|nth| mark(texts.get(nth).unwrap_or_default().as_bytes()));
    RequestSection {
        length: u32::try_from(length).unwrap_or(u32::MAX),
        texts,
        method_mark,
        target_mark,
        minor_version: head.minor_version,
        content_length: match framing {
            Framing::Length(length) => Some(length),
            Framing::Undeclared if !head.is_cut => Some(0),
            Framing::Undeclared | Framing::Chunked | Framing::Coded | Framing::Unreadable => None,
        },
        chunked: framing == Framing::Chunked,
        upgrade,
        persistent,
        forwarded,
        forwarded_for,
        signs: seen.all(forwarded_for),
        marks,
        simple: head.is_simple,
        protocol: Protocol::Http,
        cut: head.is_cut,
    }
}

/// What the events tell of a request's meta-variables that take so many octets; `is_cut` where the snaplen cut them.
#[must_use]
pub fn variables(
    variables: &Variables<'_>,
    protocol: Protocol,
    is_cut: bool,
    length: usize,
    text_bytes: usize,
) -> (RequestSection, Framing) {
    let (target, fields) = (variables.target(), variables.fields());
    let head = RequestHead {
        method: variables.method,
        target: &target,
        minor_version: 1,
        is_simple: false,
        is_cut,
        target_is_whole: variables.has_target(),
        fields: &fields,
    };
    let framing = match variables.content_length {
        Some(length) => Framing::Length(length),
        None if http1::framing(&fields).0 == Framing::Chunked => Framing::Chunked,
        None => Framing::Undeclared,
    };
    let request = request(&head, framing, length, text_bytes);
    let client = variables.client().map(|(address, port)| ForwardedFor { address, port });
    let section = RequestSection {
        protocol,
        // Who asks in this way asks for others, and closes behind the answer unless something else says that it does not.
        forwarded: true,
        persistent: false,
        forwarded_for: client.or(request.forwarded_for),
        ..request
    };
    (section, framing)
}

/// What the events tell of a response's header section, of so many octets; whether it is the first one of its connection, and so
/// tells the product.
#[must_use]
pub fn response(head: &ResponseHead<'_, '_>, framing: Framing, length: usize, is_first: bool) -> ResponseSection {
    // What is not said may be said behind the hole.
    let mut persistent = head.minor_version >= 1 && !head.is_cut;
    let mut keep_alive_timeout = None;
    let mut server = None;
    let status = head.status.unwrap_or(0);
    let mut signature = Signature { lower_case: true, ..Signature::default() };
    let keep = status >= 400 || is_first;
    let mut kept = Vec::new();
    for field in head.fields {
        if signature.lower_case {
            signature.lower_case = !field.name.iter().any(u8::is_ascii_uppercase);
        }
        match field.known {
            FieldName::Date => signature.date = true,
            // A gateway may write its own and pass on what came: then the first one is its.
            FieldName::Server => server = server.or_else(|| Some(cut(field.value, 128))),
            FieldName::Connection => persistent = keeps(field.value).unwrap_or(persistent),
            FieldName::KeepAlive => keep_alive_timeout = keep_alive(field.value),
            _ if keep && kept.len() < 24 => {
                let name = field.name.to_ascii_lowercase();
                let [name, value] = [cut(&name, 64), cut(field.value, 160)].map(readable);
                kept.push((name.into(), value.into()));
            }
            _ => {}
        }
    }
    signature.fields = kept.into();
    ResponseSection {
        length: u32::try_from(length).unwrap_or(u32::MAX),
        status,
        minor_version: head.minor_version,
        texts: Texts::new([Some(cut(head.reason, 64)), server]),
        fields: u16::try_from(head.fields.len()).unwrap_or(u16::MAX),
        content_length: match framing {
            Framing::Length(length) => Some(length),
            _ => None,
        },
        chunked: framing == Framing::Chunked,
        persistent,
        keep_alive_timeout,
        signature,
        cut: head.is_cut,
    }
}

/// The marks of a target's path.
fn target_marks(target: &[u8], marks: &mut SmallVec<[u64; 6]>) {
    let path = match authority(target) {
        Some(authority) => target.splitn(4, |octet| *octet == b'/').nth(3).map_or(target, |rest| {
            let at = target.len() - rest.len();
            target.get(at.saturating_sub(1)..).unwrap_or(authority)
        }),
        None => target,
    };
    mark::of_path(path).for_each(|mark| note(mark, marks));
}

/// Each mark counts once.
fn note(mark: u64, marks: &mut SmallVec<[u64; 6]>) {
    if !marks.contains(&mark) {
        marks.push(mark);
    }
}

fn starts_with(octets: &[u8], prefix: &[u8]) -> bool {
    octets.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether a Connection field says that the connection is kept (RFC 9112 section 9.3); `None` where it says nothing of it.
fn keeps(value: &[u8]) -> Option<bool> {
    match value {
        b"keep-alive" => Some(true),
        b"close" => Some(false),
        _ if has_word(value, b"close") => Some(false),
        _ => has_word(value, b"keep-alive").then_some(true),
    }
}

fn has_word(value: &[u8], word: &[u8]) -> bool {
    value.split(|octet| *octet == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

/// The authority of an absolute-form or authority-form target (RFC 9112 section 3.2), without user information.
fn authority(target: &[u8]) -> Option<&[u8]> {
    if target.starts_with(b"/") || target == b"*" {
        return None;
    }
    let start = target.windows(3).position(|window| window == b"://").map_or(0, |at| at + 3);
    let rest = target.get(start..)?;
    let end = rest.iter().position(|octet| matches!(octet, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    let user = memchr::memrchr(b'@', authority).map_or(0, |at| at + 1);
    authority.get(user..).filter(|authority| !authority.is_empty())
}

fn cut(octets: &[u8], limit: usize) -> &[u8] {
    octets.get(..limit).unwrap_or(octets)
}

/// A target with what is no ASCII graphic percent-encoded, and with an ellipsis, which no target has, for what is not known of it.
fn printable(target: &[u8], is_whole: bool) -> Cow<'_, [u8]> {
    if is_whole && target.iter().fold(true, |graphic, octet| graphic & octet.is_ascii_graphic()) {
        return target.into();
    }
    let mut encoded = Vec::with_capacity(target.len() + 16);
    for octet in target {
        if octet.is_ascii_graphic() {
            encoded.push(*octet);
        } else {
            encoded.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
    if !is_whole {
        encoded.extend_from_slice("…".as_bytes());
    }
    encoded.into()
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`.
fn address(octets: &[u8]) -> Option<ForwardedFor> {
    let text = std::str::from_utf8(octets).ok()?.trim().trim_matches('"');
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(ForwardedFor { address, port: None });
    }
    let endpoint = text.parse::<SocketAddr>().ok()?;
    Some(ForwardedFor { address: endpoint.ip(), port: Some(endpoint.port()) })
}

/// The `for` parameter of the last element of a Forwarded field (RFC 7239).
fn forwarded_field(value: &[u8]) -> Option<ForwardedFor> {
    let last = value.rsplit(|octet| *octet == b',').next()?;
    let pair = last.split(|octet| *octet == b';').find(|pair| starts_with(pair.trim_ascii(), b"for="))?;
    address(pair.trim_ascii().get(4..)?)
}

/// The `timeout` parameter of a Keep-Alive field.
fn keep_alive(value: &[u8]) -> Option<Span> {
    let parameter =
        value.split(|octet| *octet == b',').map(<[u8]>::trim_ascii).find(|p| starts_with(p, b"timeout="))?;
    http1::decimal(parameter.get(8..)?).map(|seconds| Duration::from_secs(seconds).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripped_prefix_leaves_a_common_mark() {
        let marks = |target: &str| {
            let mut marks = SmallVec::new();
            target_marks(target.as_bytes(), &mut marks);
            marks
        };
        let outer = marks("/api/v1/orders/17");
        assert!(outer.contains(&marks("/v1/orders/17")[0]));
        assert!(outer.contains(&marks("/orders/17")[0]));
        assert!(marks("http://example.org/api/v1/orders/17").contains(&outer[0]));
        assert!(marks("/").is_empty());
    }

    #[test]
    fn clients_are_read_from_forwarding_fields() {
        let with = |port| Some(ForwardedFor { address: "192.0.2.7".parse().unwrap(), port });
        assert_eq!(address(b" 192.0.2.7 "), with(None));
        assert_eq!(address(b"192.0.2.7:4711"), with(Some(4711)));
        assert_eq!(forwarded_field(b"for=10.0.0.1, for=\"192.0.2.7:4711\";proto=http"), with(Some(4711)));
        assert!(address(b"unknown").is_none());
        assert_eq!(address(b"[2001:db8::1]:80").map(|client| client.port), Some(Some(80)));
    }

    #[test]
    fn odd_octets_of_a_target_are_encoded() {
        assert_eq!(&*printable(b"/a b\xff", true), b"/a%20b%FF");
    }
}
