//! Field lines (RFC 9110 section 5): which field each is, and the framing that they declare.

use smallvec::SmallVec;

use crate::wire::http1::{DefectKind, Framing, decimal};

/// A field line: name and value without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Field name, as sent.
    pub name: &'a [u8],
    /// Field value, trimmed.
    pub value: &'a [u8],
    /// Which field that is: found once, for all who ask.
    pub known: FieldName,
}

impl<'a> Field<'a> {
    /// A field line of these.
    #[inline]
    #[must_use]
    pub fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        Self { name, value, known: FieldName::of(name) }
    }
}

/// The field lines of a header section: room that the caller has for them.
pub type Fields<'a> = SmallVec<[Field<'a>; 16]>;

/// The fields that something is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of that name")]
pub enum FieldName {
    CfConnectingIp,
    CfRay,
    CfWarpTagId,
    Connection,
    ContentLength,
    Date,
    FastlyClientIp,
    FastlyFf,
    Forwarded,
    Host,
    KeepAlive,
    Server,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    XAmzCfId,
    XAmznTraceId,
    XAppgwTraceId,
    XAzureFdid,
    XForwardedFor,
    XForwardedHost,
    XForwardedServer,
    XOriginalHost,
    XRealIp,
    /// Another one that begins with `X-Forwarded-`.
    XForwarded,
    /// Another one whose value many messages have in common, so that it tells none from another.
    Common,
    /// Any other one.
    Other,
}

impl FieldName {
    /// The field of a name; names are the same in upper and lower case.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name.len() {
            2 if is(name, b"te") => Self::Common,
            3 if is(name, b"via") => Self::Via,
            3 if is(name, b"dnt") => Self::Common,
            4 if is(name, b"host") => Self::Host,
            4 if is(name, b"date") => Self::Date,
            6 if is(name, b"server") => Self::Server,
            6 if is(name, b"accept") || is(name, b"expect") || is(name, b"pragma") => Self::Common,
            6 if is(name, b"cf-ray") => Self::CfRay,
            7 if is(name, b"upgrade") => Self::Upgrade,
            9 if is(name, b"x-real-ip") => Self::XRealIp,
            9 if is(name, b"forwarded") => Self::Forwarded,
            9 if is(name, b"fastly-ff") => Self::FastlyFf,
            10 if is(name, b"connection") => Self::Connection,
            10 if is(name, b"user-agent") => Self::UserAgent,
            10 if is(name, b"keep-alive") => Self::KeepAlive,
            11 if is(name, b"x-amz-cf-id") => Self::XAmzCfId,
            12 if is(name, b"content-type") => Self::Common,
            12 if is(name, b"x-azure-fdid") => Self::XAzureFdid,
            13 if is(name, b"cache-control") => Self::Common,
            14 if is(name, b"content-length") => Self::ContentLength,
            14 if is(name, b"cf-warp-tag-id") => Self::CfWarpTagId,
            15 if is(name, b"accept-encoding") || is(name, b"accept-language") => Self::Common,
            15 if is(name, b"x-forwarded-for") => Self::XForwardedFor,
            15 if is(name, b"x-amzn-trace-id") => Self::XAmznTraceId,
            15 if is(name, b"x-original-host") => Self::XOriginalHost,
            16 if is(name, b"proxy-connection") => Self::Common,
            16 if is(name, b"x-forwarded-host") => Self::XForwardedHost,
            16 if is(name, b"cf-connecting-ip") => Self::CfConnectingIp,
            16 if is(name, b"x-appgw-trace-id") => Self::XAppgwTraceId,
            16 if is(name, b"fastly-client-ip") => Self::FastlyClientIp,
            17 if is(name, b"transfer-encoding") => Self::TransferEncoding,
            18 if is(name, b"x-forwarded-server") => Self::XForwardedServer,
            13.. if name.first_chunk::<12>().is_some_and(|prefix| is(prefix, b"x-forwarded-")) => Self::XForwarded,
            _ => Self::Other,
        }
    }
}

/// Whether a name is a known one, given in lower case. The known ones stand in the code, so that words are compared.
#[inline(always)]
fn is<const LENGTH: usize>(name: &[u8], known: &[u8; LENGTH]) -> bool {
    let Ok(name) = <&[u8; LENGTH]>::try_from(name) else { return false };
    // The bit that is the case of an octet, where that is a letter.
    let case = |known: u64| (known & 0x4040_4040_4040_4040) >> 1;
    let same = |name: u64, known: u64| (name ^ known) & !case(known) == 0;
    let word = |octets: &[u8]| octets.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet));
    let (words, rest) = name.as_chunks();
    let (known_words, known_rest) = known.as_chunks();
    let mut pairs = words.iter().zip(known_words);
    pairs.all(|(name, known)| same(u64::from_le_bytes(*name), u64::from_le_bytes(*known)))
        && same(word(rest), word(known_rest))
}

/// The framing that the fields declare, and a violation of RFC 9110 section 8.6 or RFC 9112 section 6 in it: the index of
/// the field line at fault.
#[inline]
#[must_use]
pub fn framing(fields: &[Field<'_>]) -> (Framing, Option<(DefectKind, usize)>) {
    let mut length: Option<u64> = None;
    let mut length_line = None;
    let mut has_codings = false;
    for (index, field) in fields.iter().enumerate() {
        match field.known {
            FieldName::ContentLength => {
                let declared = content_length(field.value);
                if declared.is_none() || length.is_some() && length != declared {
                    return (Framing::Unreadable, Some((DefectKind::BadContentLength, index)));
                }
                (length, length_line) = (declared, Some(index));
            }
            FieldName::TransferEncoding => has_codings = true,
            _ => {}
        }
    }
    if has_codings {
        return transfer_coding(fields, length_line);
    }
    (length.map_or(Framing::Undeclared, Framing::Length), None)
}

/// The number that a Content-Length field declares, once or several times.
fn content_length(value: &[u8]) -> Option<u64> {
    if let length @ Some(_) = decimal(value) {
        return length;
    }
    let mut parts = value.split(|octet| *octet == b',').map(|part| decimal(part.trim_ascii()));
    let first = parts.next()??;
    parts.all(|part| part == Some(first)).then_some(first)
}

/// The framing by transfer codings, where there are any, beside a Content-Length in that line.
#[inline(never)]
fn transfer_coding(fields: &[Field<'_>], length_line: Option<usize>) -> (Framing, Option<(DefectKind, usize)>) {
    let mut codings: SmallVec<[&[u8]; 4]> = SmallVec::new();
    let mut coding_line = 0;
    for (index, field) in fields.iter().enumerate() {
        if field.known == FieldName::TransferEncoding {
            let parts = field.value.split(|octet| *octet == b',').map(<[u8]>::trim_ascii);
            codings.extend(parts.filter(|part| !part.is_empty()));
            coding_line = index;
        }
    }
    let chunked = |coding: &&&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let chunks = codings.iter().filter(chunked).count();
    let last = codings.last().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    let framing = if last { Framing::Chunked } else { Framing::Coded };
    let conflict = if length_line.is_some() {
        length_line
    } else if chunks > 1 || !last {
        Some(coding_line)
    } else {
        None
    };
    (framing, conflict.map(|index| (DefectKind::FramingConflict, index)))
}
