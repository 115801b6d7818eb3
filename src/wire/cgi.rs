//! CGI (RFC 3875): the meta-variables of a request, and the header section of a response.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use crate::wire::http1::{DefectKind, Field, Fields, ResponseHead, decimal, field_lines, offset_within};
use crate::wire::{fastcgi, scgi, uwsgi};

/// Whether octets begin a request in one of the protocols that carry meta-variables: FastCGI, uwsgi, SCGI.
#[must_use]
pub fn begins_request(octets: &[u8]) -> bool {
    fastcgi::begins_request(octets)
        || uwsgi::begin(octets) == uwsgi::Begin::Request
        || scgi::begins_request(octets) == Some(true)
}

/// A request, as meta-variables tell it (section 4.1).
#[derive(Debug, Default)]
pub struct Variables<'a> {
    /// REQUEST_METHOD.
    pub method: &'a [u8],
    /// CONTENT_LENGTH, where it is a number.
    pub content_length: Option<u64>,
    /// REQUEST_URI, which servers add to what the RFC has.
    uri: Option<&'a [u8]>,
    script: &'a [u8],
    path: &'a [u8],
    query: &'a [u8],
    address: Option<IpAddr>,
    port: Option<u16>,
    /// Names of fields, one behind the other.
    names: Vec<u8>,
    /// Where each stands, and its value.
    values: Vec<(Range<usize>, &'a [u8])>,
}

impl<'a> Variables<'a> {
    /// What name-value pairs tell.
    pub fn of(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut variables = Self::default();
        for (name, value) in pairs {
            variables.take(name, value);
        }
        variables
    }

    fn take(&mut self, name: &[u8], value: &'a [u8]) {
        match name {
            b"REQUEST_METHOD" => self.method = value,
            b"REQUEST_URI" => self.uri = Some(value).filter(|uri| !uri.is_empty()),
            b"SCRIPT_NAME" => self.script = value,
            b"PATH_INFO" => self.path = value,
            b"QUERY_STRING" => self.query = value,
            b"CONTENT_LENGTH" => self.content_length = decimal(value),
            b"REMOTE_ADDR" => self.address = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
            b"REMOTE_PORT" => self.port = decimal(value).and_then(|port| u16::try_from(port).ok()),
            // Section 4.1.18: the fields of the request.
            _ => {
                let Some(field) = name.strip_prefix(b"HTTP_") else { return };
                let begins = self.names.len();
                self.names.extend(field.iter().map(|octet| match octet {
                    b'_' => b'-',
                    octet => octet.to_ascii_lowercase(),
                }));
                self.values.push((begins..self.names.len(), value));
            }
        }
    }

    /// The request target.
    #[must_use]
    pub fn target(&self) -> Cow<'a, [u8]> {
        match self.uri {
            Some(uri) => Cow::Borrowed(uri),
            None => {
                let mark = if self.query.is_empty() { &b""[..] } else { b"?" };
                Cow::Owned([self.script, self.path, mark, self.query].concat())
            }
        }
    }

    /// Whether the request target is told.
    #[must_use]
    pub fn has_target(&self) -> bool {
        self.uri.is_some() || !self.script.is_empty()
    }

    /// The client of the server that asks: its address, and its port where that is told.
    #[must_use]
    pub fn client(&self) -> Option<(IpAddr, Option<u16>)> {
        self.address.map(|address| (address, self.port))
    }

    /// The fields of the request.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        let field = |(name, value): &(Range<usize>, &'a [u8])| {
            Field::new(self.names.get(name.clone()).unwrap_or_default(), value.trim_ascii())
        };
        self.values.iter().map(field).collect()
    }
}

/// Takes a response's header section apart (section 6.2), however broken it is. The field lines go into `room`.
#[must_use]
pub fn response<'f, 'a>(section: &'a [u8], room: &'f mut Fields<'a>) -> ResponseHead<'f, 'a> {
    let mut defect = field_lines(section, room);
    let value_of =
        |name: &[u8]| room.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value);
    let (status, reason) = match value_of(b"status") {
        Some(value) => {
            let (code, reason) = value.split_at_checked(3).unwrap_or((value, b""));
            let status = decimal(code).and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 100);
            if status.is_none() {
                defect.get_or_insert((DefectKind::BadStatusLine, offset_within(section, value)));
            }
            (status, reason.trim_ascii())
        }
        // Sections 6.2.3 and 6.2.1.
        None if value_of(b"location").is_some() => (Some(302), &b""[..]),
        None => (Some(200), &b""[..]),
    };
    ResponseHead { status, minor_version: 1, reason, fields: room, defect, is_cut: false }
}

/// The first violation in the whole lines of a header section that did not end, and where.
#[must_use]
pub fn defect_in_lines(output: &[u8]) -> Option<(DefectKind, usize)> {
    let lines = output.get(..memchr::memrchr(b'\n', output)? + 1)?;
    response(lines, &mut Fields::new()).defect
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_tell_a_request() {
        let pairs = [
            (&b"REQUEST_METHOD"[..], &b"POST"[..]),
            (b"SCRIPT_NAME", b"/index.php"),
            (b"PATH_INFO", b"/a"),
            (b"QUERY_STRING", b"b=c"),
            (b"CONTENT_LENGTH", b"12"),
            (b"REMOTE_ADDR", b"192.0.2.7"),
            (b"REMOTE_PORT", b"5123"),
            (b"HTTP_X_REQUEST_ID", b" 7f3a "),
        ];
        let variables = Variables::of(pairs.into_iter());
        assert_eq!((variables.method, variables.content_length), (&b"POST"[..], Some(12)));
        assert_eq!(*variables.target(), *b"/index.php/a?b=c");
        assert_eq!(variables.client(), Some(([192, 0, 2, 7].into(), Some(5123))));
        let fields = variables.fields();
        assert_eq!(
            fields.iter().map(|field| (field.name, field.value)).collect::<Vec<_>>(),
            [(&b"x-request-id"[..], &b"7f3a"[..])]
        );
        let whole = pairs.into_iter().chain([(&b"REQUEST_URI"[..], &b"/a?b=c"[..])]);
        assert_eq!(*Variables::of(whole).target(), *b"/a?b=c");
    }

    #[test]
    fn a_response_has_a_status_whether_it_says_so_or_not() {
        let status = |section: &[u8]| response(section, &mut Fields::new()).status;
        assert_eq!(status(b"Content-Type: text/html\r\n\r\n"), Some(200));
        assert_eq!(status(b"Status: 500 Internal Server Error\r\n\r\n"), Some(500));
        assert_eq!(status(b"location: /elsewhere\n\n"), Some(302));
        assert_eq!(status(b"Status: what\r\n\r\n"), None);
        let defect = response(b"Status: what\r\n\r\n", &mut Fields::new()).defect;
        assert_eq!(defect, Some((DefectKind::BadStatusLine, 8)));
        let broken = response(b"PHP Warning in line 7\r\n\r\n", &mut Fields::new()).defect;
        assert!(broken.is_some());
        assert_eq!(defect_in_lines(b"A: b\r\nno field\r\nC"), Some((DefectKind::BadHeader, 6)));
        assert_eq!(defect_in_lines(b"A: b\r\nCont"), None);
    }
}
