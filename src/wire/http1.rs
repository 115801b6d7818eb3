//! HTTP/1 header sections (RFC 9112): octets in, their parts and the first violation out.
//!
//! Reading is lenient, judging is strict: a message that breaks a rule is still taken apart as far as it goes, because a
//! gateway may well have done the same.

mod field;

use std::mem::MaybeUninit;
use std::sync::LazyLock;

use memchr::memmem::Finder;

pub use crate::wire::http1::field::{Field, FieldName, Fields, framing};

/// A request line and its field lines.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'f, 'a> {
    /// Method token.
    pub method: &'a [u8],
    /// Request target.
    pub target: &'a [u8],
    /// Minor version; 0 for a request without version (HTTP/0.9).
    pub minor_version: u8,
    /// Whether there is no version: a Simple-Request (RFC 1945 section 5).
    pub is_simple: bool,
    /// Whether the octets end before the header section does.
    pub is_cut: bool,
    /// Whether they hold the whole target.
    pub target_is_whole: bool,
    /// Field lines.
    pub fields: &'f [Field<'a>],
}

/// A status line and its field lines.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'f, 'a> {
    /// Status code; `None` where there is none of three digits.
    pub status: Option<u16>,
    /// Minor version.
    pub minor_version: u8,
    /// Reason phrase.
    pub reason: &'a [u8],
    /// Field lines.
    pub fields: &'f [Field<'a>],
    /// The first violation, and where: offset within the header section.
    pub defect: Option<(DefectKind, usize)>,
    /// Whether the octets end before the header section does.
    pub is_cut: bool,
}

impl ResponseHead<'_, '_> {
    /// Whether what stands for a status line is none.
    #[must_use]
    pub fn has_bad_status_line(&self) -> bool {
        matches!(self.defect, Some((DefectKind::BadStatusLine | DefectKind::NotHttp, _)))
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DefectKind {
    /// The status line is not `HTTP/1.x SP 3DIGIT SP reason` (RFC 9112 section 4).
    BadStatusLine,
    /// A field line that RFC 9112 section 5 does not allow.
    BadHeader,
    /// A Content-Length that is not a number, or several that differ (RFC 9110 section 8.6).
    BadContentLength,
    /// Content-Length together with Transfer-Encoding, or a transfer coding that cannot delimit (RFC 9112 section 6).
    FramingConflict,
    /// A chunk that RFC 9112 section 7.1 does not allow.
    BadChunk,
    /// Not HTTP at all.
    NotHttp,
    /// Not FastCGI, where a record must stand.
    NotFastCgi,
}

/// How a message's content is delimited (RFC 9112 section 6.3), before method and status are considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Neither Content-Length nor Transfer-Encoding.
    Undeclared,
    /// This many octets.
    Length(u64),
    /// Chunks (RFC 9112 section 7.1).
    Chunked,
    /// By transfer codings of which chunked is not the last: a response goes on until the connection closes, and where a request
    /// ends cannot be told.
    Coded,
    /// Declared in a way that cannot be followed: until the connection closes.
    Unreadable,
}

/// Where the header section that begins `octets` ends: the offset after the empty line. `from` octets were searched before.
#[must_use]
pub fn head_end(octets: &[u8], from: usize) -> Option<usize> {
    // An empty line may straddle the octets searched before.
    let from = from.saturating_sub(3);
    let tail = octets.get(from..)?;
    let [crlf, lf] = &*EMPTY_LINES;
    let end = crlf.find(tail).map(|at| at + crlf.needle().len());
    let earlier = end.map_or(tail, |end| tail.get(..end).unwrap_or(tail));
    lf.find(earlier).map(|at| at + lf.needle().len()).or(end).map(|end| from + end)
}

/// Takes the request's header section apart that octets begin with, and tells its length, where it is whole and well-formed.
#[must_use]
#[inline]
pub fn whole_request<'f, 'a>(octets: &'a [u8], room: &'f mut Fields<'a>) -> Option<(RequestHead<'f, 'a>, usize)> {
    let (head, length) = well_formed_request(octets, room)?;
    Some((RequestHead { fields: room, ..head }, length))
}

/// Takes the response's header section apart that octets begin with, and tells its length, where it is whole and well-formed.
#[must_use]
#[inline]
pub fn whole_response<'f, 'a>(octets: &'a [u8], room: &'f mut Fields<'a>) -> Option<(ResponseHead<'f, 'a>, usize)> {
    let (head, length) = well_formed_response(octets, room)?;
    Some((ResponseHead { fields: room, ..head }, length))
}

/// Takes a request's header section apart. `None` where the first line is no request line at all.
#[must_use]
pub fn request<'f, 'a>(head: &'a [u8], room: &'f mut Fields<'a>) -> Option<RequestHead<'f, 'a>> {
    let well_formed = well_formed_request(head, room).map(|(head, _)| head);
    let head = well_formed.or_else(|| lenient_request(head, room))?;
    Some(RequestHead { fields: room, ..head })
}

/// Takes apart what there is of a request's header section whose rest is missing: whole field lines, and of the request line
/// what stands whole. `None` where it is no request line.
#[must_use]
pub fn cut_request<'f, 'a>(head: &'a [u8], room: &'f mut Fields<'a>) -> Option<RequestHead<'f, 'a>> {
    room.clear();
    if let lines @ [_, ..] = whole_lines(head) {
        return request(lines, room).map(|whole| RequestHead { is_cut: true, ..whole });
    }
    let mut words = head.splitn(3, |octet| *octet == b' ');
    let method = words.next().filter(|method| is_token(method))?;
    let target = words.next()?;
    let target_is_whole = words.next().is_some_and(|version| version.iter().zip(b"HTTP/1.").all(|(a, b)| a == b));
    Some(RequestHead {
        method,
        target,
        minor_version: 1,
        is_simple: false,
        is_cut: true,
        target_is_whole,
        fields: room,
    })
}

/// Whether octets are one whole line, a method and a target without a version: a Simple-Request (RFC 1945 section 5), which
/// has no header section.
#[must_use]
pub fn is_simple_request(octets: &[u8]) -> bool {
    let (line, rest) = split_line(octets);
    let mut words = line.split(|octet| *octet == b' ');
    let method = words.next().is_some_and(is_token);
    let target = words.next().is_some_and(|target| !target.is_empty());
    octets.ends_with(b"\n") && rest.is_empty() && method && target && words.next().is_none()
}

/// Takes a response's header section apart, however broken it is.
#[must_use]
pub fn response<'f, 'a>(head: &'a [u8], room: &'f mut Fields<'a>) -> ResponseHead<'f, 'a> {
    let well_formed = well_formed_response(head, room).map(|(head, _)| head);
    let head = well_formed.unwrap_or_else(|| lenient_response(head, room));
    ResponseHead { fields: room, ..head }
}

/// Takes apart what there is of a response's header section whose rest is missing: the status, and whole field lines. `None`
/// where the status is not whole.
#[must_use]
pub fn cut_response<'f, 'a>(head: &'a [u8], room: &'f mut Fields<'a>) -> Option<ResponseHead<'f, 'a>> {
    let lines = whole_lines(head);
    if lines.is_empty() && head.len() < STATUS_END {
        return None;
    }
    Some(ResponseHead { is_cut: true, ..response(if lines.is_empty() { head } else { lines }, room) })
}

/// Whether the octets so far can still become a status line; the offset of the first one that cannot stand.
#[must_use]
pub fn status_line_prefix_defect(octets: &[u8]) -> Option<usize> {
    octets.iter().zip(b"HTTP/1.").position(|(octet, expected)| octet != expected)
}

/// Takes field lines apart, however broken they are, up to an empty line. They go into `room`; told is the first violation.
#[must_use]
pub fn field_lines<'a>(lines: &'a [u8], room: &mut Fields<'a>) -> Option<(DefectKind, usize)> {
    room.clear();
    read_fields(lines, 0, room).map(|at| (DefectKind::BadHeader, at))
}

/// Whether octets are a token (RFC 9110 section 5.6.2).
#[must_use]
pub fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|octet| is_token_octet(*octet))
}

/// Whether an octet may stand in a token.
#[must_use]
pub fn is_token_octet(octet: u8) -> bool {
    TOKEN.get(usize::from(octet)).is_some_and(|is_token| *is_token)
}

/// Where a part of a section begins in it.
#[must_use]
pub fn offset_within(section: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(section.as_ptr() as usize).min(section.len())
}

/// A number of decimal digits only.
#[must_use]
pub fn decimal(octets: &[u8]) -> Option<u64> {
    if octets.is_empty() || octets.len() > 19 {
        return None;
    }
    // 19 digits fit.
    octets.iter().try_fold(0, |sum, octet| octet.is_ascii_digit().then(|| sum * 10 + u64::from(octet - b'0')))
}

/// The lines that have their line end.
fn whole_lines(octets: &[u8]) -> &[u8] {
    let end = memchr::memrchr(b'\n', octets).map_or(0, |line_feed| line_feed + 1);
    octets.get(..end).unwrap_or_default()
}

/// What httparse takes, which is strict. The field lines go into `room`.
#[inline]
fn well_formed_request<'f, 'a>(octets: &'a [u8], room: &mut Fields<'a>) -> Option<(RequestHead<'f, 'a>, usize)> {
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let Ok(httparse::Status::Complete(length)) = parsed.parse_with_uninit_headers(octets, &mut slots) else {
        return None;
    };
    let head = RequestHead {
        method: parsed.method?.as_bytes(),
        target: parsed.path?.as_bytes(),
        minor_version: parsed.version?,
        is_simple: false,
        is_cut: false,
        target_is_whole: true,
        fields: &[],
    };
    take_fields(parsed.headers, room);
    Some((head, length))
}

#[inline]
fn well_formed_response<'f, 'a>(octets: &'a [u8], room: &mut Fields<'a>) -> Option<(ResponseHead<'f, 'a>, usize)> {
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let Ok(httparse::Status::Complete(length)) =
        config.parse_response_with_uninit_headers(&mut parsed, octets, &mut slots)
    else {
        return None;
    };
    let head = ResponseHead {
        status: parsed.code,
        minor_version: parsed.version?,
        reason: parsed.reason?.as_bytes(),
        fields: &[],
        defect: None,
        is_cut: false,
    };
    take_fields(parsed.headers, room);
    Some((head, length))
}

#[inline]
fn take_fields<'a>(headers: &[httparse::Header<'a>], room: &mut Fields<'a>) {
    room.clear();
    room.extend(headers.iter().map(|header| Field::new(header.name.as_bytes(), header.value)));
}

/// Takes a request's header section apart that httparse does not take. The field lines go into `room`.
fn lenient_request<'f, 'a>(head: &'a [u8], room: &mut Fields<'a>) -> Option<RequestHead<'f, 'a>> {
    let mut head = head;
    // RFC 9112 section 2.2: empty lines before a request line are ignored.
    while let Some(after) = head.strip_prefix(b"\r\n").or(head.strip_prefix(b"\n")) {
        head = after;
    }
    let (line, rest) = split_line(head);
    let mut parts = line.splitn(2, |octet| *octet == b' ');
    let method = parts.next().filter(|method| is_token(method))?;
    let tail = parts.next()?;
    // The target may hold spaces that should have been encoded: the version is what follows the last one.
    let (target, version) = match tail.iter().rposition(|octet| *octet == b' ') {
        Some(space) if tail.get(space + 1..).is_some_and(|version| version.starts_with(b"HTTP/")) => {
            let version = tail.get(space + 1..).unwrap_or_default();
            (tail.get(..space)?, Some(version.get(7).map_or(0, |digit| digit.wrapping_sub(b'0'))))
        }
        _ => (tail, None),
    };
    room.clear();
    read_fields(rest, 0, room);
    Some(RequestHead {
        method,
        target,
        minor_version: version.unwrap_or(0),
        is_simple: version.is_none(),
        is_cut: false,
        target_is_whole: true,
        fields: &[],
    })
}

/// Takes a response's header section apart that httparse does not take. The field lines go into `room`.
fn lenient_response<'f, 'a>(head: &'a [u8], room: &mut Fields<'a>) -> ResponseHead<'f, 'a> {
    let (line, rest) = split_line(head);
    let offset = head.len() - rest.len();
    let line_defect = status_line_defect(line).map(|at| {
        let kind = if line.starts_with(b"HTTP") { DefectKind::BadStatusLine } else { DefectKind::NotHttp };
        (kind, at)
    });
    room.clear();
    let field_defect = read_fields(rest, offset, room).map(|at| (DefectKind::BadHeader, at));
    ResponseHead {
        status: status_code(line),
        minor_version: line.get(7).map_or(1, |digit| u8::from(*digit != b'0')),
        reason: line.get(13..).unwrap_or_default(),
        fields: &[],
        defect: line_defect.or(field_defect),
        is_cut: false,
    }
}

/// The first line without its line end, and what follows it.
fn split_line(octets: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', octets).unwrap_or(octets.len());
    let line = octets.get(..end).unwrap_or_default();
    (line.strip_suffix(b"\r").unwrap_or(line), octets.get(end + 1..).unwrap_or_default())
}

/// Offset of the first octet of a status line that RFC 9112 section 4 does not allow.
fn status_line_defect(line: &[u8]) -> Option<usize> {
    if let Some(at) = status_line_prefix_defect(line) {
        return Some(at);
    }
    let shape = |at: usize, allowed: fn(&u8) -> bool| line.get(at).is_none_or(|octet| !allowed(octet)).then_some(at);
    shape(7, u8::is_ascii_digit)
        .or_else(|| shape(8, |octet| *octet == b' '))
        .or_else(|| (9..12).find_map(|at| shape(at, u8::is_ascii_digit)))
        .or_else(|| line.get(12).and_then(|octet| (*octet != b' ').then_some(12)))
        .or_else(|| line.iter().skip(13).position(|octet| !is_text(*octet)).map(|at| at + 13))
}

/// The status code of a line that begins like a status line, in its second word.
fn status_code(line: &[u8]) -> Option<u16> {
    let is_space = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r');
    let mut words = line.split(is_space).filter(|word| !word.is_empty());
    words.next().filter(|version| version.starts_with(b"HTTP/"))?;
    let code = words.next().filter(|code| code.len() == 3)?;
    decimal(code).and_then(|code| u16::try_from(code).ok())
}

/// Reads the field lines. Returns the offset of the first octet that RFC 9112 section 5 does not allow.
fn read_fields<'a>(octets: &'a [u8], offset: usize, fields: &mut Fields<'a>) -> Option<usize> {
    let mut defect = None;
    let mut rest = octets;
    loop {
        let name = rest.iter().position(|octet| !is_token_octet(*octet)).unwrap_or(rest.len());
        if name > 0
            && let Some((name, [b':', tail @ ..])) = rest.split_at_checked(name)
            && let Some((value, [b'\r', b'\n', after @ ..] | [b'\n', after @ ..])) = tail.split_at_checked(text(tail))
        {
            fields.push(Field::new(name, value.trim_ascii()));
            rest = after;
            continue;
        }
        let at = offset + octets.len() - rest.len();
        let (line, after) = split_line(rest);
        if line.is_empty() {
            return defect;
        }
        rest = after;
        let Some(colon) = memchr::memchr(b':', line) else {
            defect.get_or_insert(at);
            continue;
        };
        let (whole_name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        let flaw = if name < colon || name == 0 { name } else { colon + 1 + text(value) };
        if flaw < line.len() {
            defect.get_or_insert(at + flaw);
        }
        fields.push(Field::new(whole_name.trim_ascii(), value.trim_ascii()));
    }
}

/// How many octets from the first one on may stand in a field value or a reason phrase.
fn text(octets: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    // The high bit of each octet that is less than a space, or DEL; exact up to the first one.
    let flaws = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let del = word ^ (ONES * 0x7f);
        ((word.wrapping_sub(ONES * 0x20) & !word) | (del.wrapping_sub(ONES) & !del)) & (ONES * 0x80)
    };
    let (words, _) = octets.as_chunks::<8>();
    let clean = words.iter().position(|word| flaws(word) != 0).unwrap_or(words.len());
    let at = clean * 8 + words.get(clean).map_or(0, |word| flaws(word).trailing_zeros() as usize / 8);
    // A tab is none, and the last octets make no word.
    let rest = octets.get(at..).unwrap_or_default();
    at + rest.iter().position(|octet| !is_text(*octet)).unwrap_or(rest.len())
}

/// Whether an octet may stand in a field value or a reason phrase: visible, space, tab, or obs-text.
fn is_text(octet: u8) -> bool {
    octet == b'\t' || (octet >= b' ' && octet != 0x7f)
}

/// What may stand in a token, by octet.
const TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let mut octet = 0_u8;
    while octet < 0x80 {
        let sign = matches!(octet, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        if let Some(is_token) = token.split_at_mut(octet as usize).1.first_mut() {
            *is_token = octet.is_ascii_alphanumeric() || sign;
        }
        octet += 1;
    }
    token
};

/// What ends a header section: the line feed of its last line, and an empty line.
static EMPTY_LINES: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| [Finder::new(b"\n\r\n"), Finder::new(b"\n\n")]);
/// Octets of a status line up to the end of its status code (RFC 9112 section 4).
const STATUS_END: usize = "HTTP/1.1 200".len();

/// Field lines that httparse is given room for; a header section with more is read by the lenient reader.
const MAX_FIELDS: usize = 64;

#[cfg(test)]
mod tests;
