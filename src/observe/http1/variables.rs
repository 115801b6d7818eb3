//! Requests of which meta-variables stand in place of a header section, in uwsgi and SCGI, and what CGI writes in answer to them.
//! All else is as in HTTP/1: content behind what was declared of it, and of the answer up to the end of the connection.

use std::sync::Arc;

use crate::event::{DefectKind, Protocol};
use crate::limits::Limits;
use crate::observe::head;
use crate::observe::http1::Http1;
use crate::observe::http1::pairing::Method;
use crate::observe::http1::sections::Asked;
use crate::wire::cgi::{self, Variables};
use crate::wire::http1::{self, Fields, Framing, ResponseHead};
use crate::wire::{scgi, uwsgi};

/// Where the variables that octets begin with end, and what they say. Either is `None` where it is not there, or is none.
pub(super) fn read(protocol: Protocol, octets: &[u8], limits: &Limits) -> (Option<usize>, Option<Asked>) {
    let length = match protocol {
        Protocol::Scgi => scgi::block(octets).map(|block| block.length),
        _ => uwsgi::block(octets),
    };
    let Some((length, block)) = length.and_then(|length| Some((length, octets.get(..length)?))) else {
        return (None, None);
    };
    let is_whole = protocol != Protocol::Scgi || block.ends_with(b",");
    (Some(length), is_whole.then(|| asked(protocol, block, false, limits)).flatten())
}

/// What the variables say that stand before a hole; `None` where there is no method.
pub(super) fn read_cut(protocol: Protocol, octets: &[u8], limits: &Limits) -> Option<Asked> {
    asked(protocol, octets, true, limits)
}

fn asked(protocol: Protocol, block: &[u8], is_cut: bool, limits: &Limits) -> Option<Asked> {
    let variables = match protocol {
        Protocol::Scgi => Variables::of(scgi::block(block)?.pairs()),
        _ => Variables::of(uwsgi::pairs(block)),
    };
    let method = match variables.method {
        b"" => return None,
        b"HEAD" => Method::Head,
        _ => Method::Other,
    };
    let (section, framing) = head::variables(&variables, protocol, is_cut, block.len(), limits.text_bytes);
    // Whether chunks are passed on, and how, is between the two.
    let framing = if framing == Framing::Chunked { Framing::Coded } else { framing };
    Some(Asked { section: Arc::new(section), framing, method })
}

impl Http1 {
    /// Whether a response that begins with these octets is what CGI writes: without a status line.
    pub(super) fn is_of_cgi(&self, octets: &[u8]) -> bool {
        self.protocol != Protocol::Http && is_bare(octets)
    }
}

/// Whether octets are no status line, nor the beginning of one.
pub(super) fn is_bare(octets: &[u8]) -> bool {
    octets.iter().zip(b"HTTP/").any(|(octet, expected)| octet != expected)
}

/// The first octet that makes a header section of CGI's one of something else, in as much of it as is there.
pub(super) fn defect(octets: &[u8]) -> Option<(DefectKind, usize)> {
    match octets.first() {
        Some(octet) if !http1::is_token_octet(*octet) => Some((DefectKind::NotHttp, 0)),
        _ => cgi::defect_in_lines(octets),
    }
}

/// What of CGI's header section stands in whole lines before a hole; `None` where the status does not.
pub(super) fn cut_response<'f, 'a>(octets: &'a [u8], room: &'f mut Fields<'a>) -> Option<ResponseHead<'f, 'a>> {
    let lines = octets.get(..=memchr::memrchr(b'\n', octets)?)?;
    let head = cgi::response(lines, room);
    let says_so = |name: &[u8]| name.eq_ignore_ascii_case(b"status") || name.eq_ignore_ascii_case(b"location");
    head.fields.iter().any(|field| says_so(field.name)).then_some(ResponseHead { is_cut: true, ..head })
}
