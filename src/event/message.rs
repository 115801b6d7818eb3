//! Messages: where each stood, and what is needed of its header section. Of header sections that are the same octet for octet
//! one copy is kept for all.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::event::Signs;
use crate::texts::Texts;
use crate::time::{Moment, Span};

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which exchange of the connection, from 1.
    pub exchange: u32,
    /// Offset of its first octet.
    pub start: u64,
    /// When its first octet was seen.
    pub first: Moment,
    /// Up to which offset the client had acknowledged the server's octets when its first octet was seen.
    pub acknowledged: u64,
    /// Whether it ends with its header section: of its end nothing else is told.
    pub whole: bool,
    /// What its header section says.
    pub section: Arc<RequestSection>,
}

impl Request {
    /// Offset after the header section.
    #[must_use]
    pub fn head_end(&self) -> u64 {
        self.start.saturating_add(self.section.length.into())
    }
}

/// What the header section says is asked of the request.
impl Deref for Request {
    type Target = RequestSection;

    fn deref(&self) -> &RequestSection {
        &self.section
    }
}

/// A request's header section (RFC 9112 section 3), or what is needed of it.
#[derive(Clone, Debug)]
pub struct RequestSection {
    /// Octets that it has.
    pub length: u32,
    /// Method, target, host and user agent; see [`RequestSection::method`] and so on.
    pub texts: Texts<4>,
    /// The mark of the method.
    pub method_mark: u64,
    /// The mark of the target.
    pub target_mark: u64,
    /// Minor version of HTTP/1.
    pub minor_version: u8,
    /// Length of the content, where it is declared; `None` for chunked.
    pub content_length: Option<u64>,
    /// Whether content follows.
    pub chunked: bool,
    /// Whether it asks for a protocol upgrade, or is a CONNECT.
    pub upgrade: bool,
    /// Whether it asks for the connection to be kept.
    pub persistent: bool,
    /// Whether fields stand in it that only an intermediary adds (Via, X-Forwarded-For, Forwarded, …).
    pub forwarded: bool,
    /// The client that the fields name: last element of X-Forwarded-For, Forwarded or alike.
    pub forwarded_for: Option<ForwardedFor>,
    /// Fields in it that only certain products write.
    pub signs: Signs,
    /// Hashes of field values and target parts that may identify the request on another connection.
    pub marks: SmallVec<[u64; 6]>,
    /// Whether it has no version: a Simple-Request (RFC 1945 section 5), which content alone answers.
    pub simple: bool,
    /// What it is written in.
    pub protocol: Protocol,
    /// Whether the snaplen cut its header section: what stood behind the hole is not known, nor is the length of the content.
    /// A target that is not whole ends in `…`.
    pub cut: bool,
}

impl RequestSection {
    /// Method token, as sent.
    #[must_use]
    pub fn method(&self) -> &str {
        self.texts.get(0).unwrap_or_default()
    }

    /// Request target, as sent but for octets outside ASCII graphics, which are percent-encoded.
    #[must_use]
    pub fn target(&self) -> &str {
        self.texts.get(1).unwrap_or_default()
    }

    /// Host field (or the authority of the target).
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.texts.get(2)
    }

    /// User-Agent field.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.texts.get(3)
    }

    /// Octets that it holds besides itself, with what it takes to find it by its marks.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.texts.weight() + self.marks.len() * 64
    }
}

/// What a request is written in. All but HTTP have meta-variables of CGI in place of a header section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP, of whatever version.
    #[default]
    Http,
    /// FastCGI.
    FastCgi,
    /// uwsgi: its answers are HTTP/1, or what CGI writes.
    Uwsgi,
    /// SCGI: its answers are what CGI writes.
    Scgi,
}

impl Protocol {
    /// As the report names it.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::FastCgi => "fastcgi",
            Self::Uwsgi => "uwsgi",
            Self::Scgi => "scgi",
        }
    }
}

/// The client address that a request's fields name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedFor {
    /// Its address.
    pub address: IpAddr,
    /// Its port, where it is named.
    pub port: Option<u16>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Which exchange of the connection, from 1.
    pub exchange: u32,
    /// Offset of its first octet.
    pub start: u64,
    /// When its first octet was seen.
    pub first: Moment,
    /// Whether a request was outstanding.
    pub solicited: bool,
    /// Offset up to which the request stream had been sent when the response's first octet was seen.
    pub request_sent: u64,
    /// Whether what was asked up to there ends there, and the segment that it came with acknowledged it for the first time:
    /// nothing else is told of that then.
    pub acknowledges: bool,
    /// Octets of its content, where all of it came at once behind the header section: of its end nothing else is told.
    pub whole: Option<u32>,
    /// The beginning of the content, once it was seen; only where the status is 400 or above.
    pub content: Option<Box<Excerpt>>,
    /// What its status line and its header section say.
    pub section: Arc<ResponseSection>,
}

/// The first octets of a response's content, at most 512.
#[derive(Clone, Debug)]
pub struct Excerpt(pub Box<[u8]>);

impl Excerpt {
    /// The beginning of content.
    #[must_use]
    pub fn of(content: &[u8]) -> Box<Self> {
        Box::new(Self(content.get(..MOST_EXCERPT).unwrap_or(content).into()))
    }
}

/// Octets of content that are kept.
const MOST_EXCERPT: usize = 512;

impl Response {
    /// The first octets of the content, at most 512, where they were seen and the status is 400 or above.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.content.as_deref().map_or(&[], |Excerpt(octets)| octets)
    }

    /// Offset after the header section.
    #[must_use]
    pub fn head_end(&self) -> u64 {
        self.start.saturating_add(self.section.length.into())
    }
}

/// What the header section says is asked of the response.
impl Deref for Response {
    type Target = ResponseSection;

    fn deref(&self) -> &ResponseSection {
        &self.section
    }
}

/// A response's status line and header section (RFC 9112 section 4), or what is needed of them.
#[derive(Clone, Debug)]
pub struct ResponseSection {
    /// Octets that they have.
    pub length: u32,
    /// Status code.
    pub status: u16,
    /// Minor version of HTTP/1.
    pub minor_version: u8,
    /// Reason phrase and Server field; see [`ResponseSection::reason`] and [`ResponseSection::server`].
    pub texts: Texts<2>,
    /// Number of its fields.
    pub fields: u16,
    /// Length of the content, where it is declared.
    pub content_length: Option<u64>,
    /// Whether the content is chunked.
    pub chunked: bool,
    /// Whether the sender announces that it keeps the connection.
    pub persistent: bool,
    /// `timeout=` of the Keep-Alive field.
    pub keep_alive_timeout: Option<Span>,
    /// What may tell the product that made the response.
    pub signature: Signature,
    /// Whether the snaplen cut its header section: what stood behind the hole is not known, nor is the length of the content.
    pub cut: bool,
}

impl ResponseSection {
    /// Reason phrase, printable, at most 64 octets.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.texts.get(0).unwrap_or_default()
    }

    /// Server field.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.texts.get(1)
    }

    /// Octets that it holds besides itself, and may come to hold.
    #[must_use]
    pub fn weight(&self) -> usize {
        let fields = self.signature.fields.iter().map(|(name, value)| name.len() + value.len() + 64).sum::<usize>();
        let content = if self.status >= 400 { MOST_EXCERPT } else { 0 };
        self.texts.weight() + fields + content
    }
}

/// What a response shows of the software that made it.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    /// Field names and values that products are recognised by, names in lower case: `via`, `x-cache`, `cf-ray`, …
    pub fields: Box<[(Box<str>, Box<str>)]>,
    /// Whether all field names are in lower case.
    pub lower_case: bool,
    /// Whether a Date field is present.
    pub date: bool,
}
