//! The focus: in come a filter expression in libpcap's language and frames, out comes whether a frame matches.

use std::ffi::{c_int, c_uchar};
use std::fmt;

use pcap::{BpfProgram, Capture, Linktype, PacketHeader};

use super::live::Interface;
use super::{Error, link_name};
use crate::flow::steer::Captured;
use crate::limits;
use crate::wire::link::LinkType;

/// A filter expression, compiled for each link type as frames of it come. Memory: some kilobytes a link type.
pub struct Filter {
    expression: String,
    /// `None` where the expression means nothing on the link type.
    programs: Vec<(LinkType, Option<BpfProgram>)>,
    notes: Vec<String>,
}

impl Filter {
    /// Compiles `expression` ([pcap-filter(7)](https://www.tcpdump.org/manpages/pcap-filter.7.html)).
    ///
    /// # Errors
    ///
    /// Where libpcap accepts it on no link type that proxies are captured on, or where it asks for what a file does not say.
    pub fn compile(expression: &str) -> Result<Self, Error> {
        if let Some(word) = words(expression).find(|word| LIVE_ONLY.contains(word)) {
            return Err(Error::LiveFilter { expression: expression.to_owned(), word: word.to_owned() });
        }
        let mut refusal = None;
        for link in PROBED {
            match program(expression, link) {
                Ok(_) => {
                    return Ok(Self { expression: expression.to_owned(), programs: Vec::new(), notes: Vec::new() });
                }
                Err(cause) => refusal = refusal.or(Some(cause)),
            }
        }
        Err(Error::Filter { expression: expression.to_owned(), cause: refusal.unwrap_or_default() })
    }

    /// Whether `frame` matches. Cut frames are judged by their length on the wire.
    pub fn matches(&mut self, frame: &Captured<'_>) -> bool {
        if !self.programs.iter().any(|(link, _)| *link == frame.link) {
            self.add(frame.link);
        }
        self.programs
            .iter()
            .find(|(link, _)| *link == frame.link)
            .and_then(|(_, program)| program.as_ref())
            .is_some_and(|program| accepts(program, frame))
    }

    /// What the reader must know: link types on which the expression means nothing, so that their frames do not match.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    #[cold]
    fn add(&mut self, link: LinkType) {
        let program = match program(&self.expression, link) {
            Ok(program) => Some(program),
            Err(cause) => {
                self.notes.push(format!(
                    "filter '{}': no frame of link type {} matches, for it cannot be asked there: {cause}",
                    self.expression,
                    link_name(link)
                ));
                None
            }
        };
        self.programs.push((link, program));
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("expression", &self.expression).finish_non_exhaustive()
    }
}

/// libpcap's program for one link type, or its message.
fn program(expression: &str, link: LinkType) -> Result<BpfProgram, String> {
    let capture = Capture::dead(Linktype(data_link_type(link))).map_err(|error| message(&error))?;
    capture.compile(expression, true).map_err(|error| message(&error))
}

/// Whether the kernel could run `expression` on an interface. Compiled without asking the interface, so that the thread that
/// reads from it is not disturbed.
///
/// # Errors
///
/// Where libpcap cannot compile it there, or the kernel would not take so many instructions.
pub(super) fn check_live(expression: &str, interface: &Interface) -> Result<(), Error> {
    let length = program(expression, interface.link).map(|program| program.get_instructions().len());
    let cause = match length {
        Ok(length) if length <= limits::LIVE_FILTER_INSTRUCTIONS => return Ok(()),
        Ok(length) => {
            format!("it has {length} instructions, and the kernel takes {} at most", limits::LIVE_FILTER_INSTRUCTIONS)
        }
        Err(cause) => cause,
    };
    let (interface, expression) = (interface.name.clone(), expression.to_owned());
    Err(Error::InterfaceFilter { interface, expression, cause })
}

/// libpcap's words for an error, without the crate's.
pub(super) fn message(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(message) => message.clone(),
        other => other.to_string(),
    }
}

/// Files number some link types otherwise than libpcap's compiler does (`LINKTYPE_` and `DLT_`).
const fn data_link_type(link: LinkType) -> i32 {
    match link.0 {
        100 => 11,
        101 if cfg!(target_os = "openbsd") => 14,
        101 => 12,
        104 if cfg!(target_os = "openbsd") => 104,
        106 => 19,
        number => number as i32,
    }
}

/// The words of an expression that may be keywords.
pub(super) fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')))
}

/// Runs `program`. The pcap crate does this with the captured length for both lengths, which makes `len` and `greater`
/// wrong on cut frames.
#[expect(unsafe_code, reason = "the pcap crate offers no way to run a program with the length on the wire")]
fn accepts(program: &BpfProgram, frame: &Captured<'_>) -> bool {
    unsafe extern "C" {
        fn pcap_offline_filter(
            program: *const BpfProgram,
            header: *const PacketHeader,
            octets: *const c_uchar,
        ) -> c_int;
    }
    // SAFETY: `BpfProgram` is a transparent wrapper of `struct bpf_program` and `PacketHeader` has the layout of `struct
    // pcap_pkthdr`; all fields of the latter are integers, for which zero is a value. The program is one that libpcap
    // compiled and nobody changed. libpcap reads no more of `octets` than `caplen` says, which is their number, and keeps
    // none of the pointers, all of which are valid during the call.
    unsafe {
        let mut header: PacketHeader = std::mem::zeroed();
        header.caplen = u32::try_from(frame.octets.len()).unwrap_or(0);
        header.len = frame.length;
        pcap_offline_filter(program, &raw const header, frame.octets.as_ptr()) != 0
    }
}

/// Link types on one of which an expression must compile.
const PROBED: [LinkType; 6] =
    [LinkType::ETHERNET, LinkType::LINUX_SLL2, LinkType::LINUX_SLL, LinkType::RAW, LinkType(0), LinkType(127)];

/// libpcap compiles these for files too, to loads that only the kernel can serve: they would match nothing.
const LIVE_ONLY: [&str; 3] = ["inbound", "outbound", "ifindex"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Frame;
    use crate::time::Timestamp;

    /// An IPv4 packet with a TCP segment from port 4000 to port 80.
    fn packet() -> Vec<u8> {
        let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(4000, 80, 1, 1024);
        let mut octets = Vec::new();
        builder.write(&mut octets, b"GET / HTTP/1.1\r\n\r\n").unwrap();
        octets
    }

    fn with_link_header(link: LinkType) -> Vec<u8> {
        let mut octets = match link {
            LinkType::ETHERNET => vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0],
            LinkType::LINUX_SLL => vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0],
            LinkType::LINUX_SLL2 => vec![8, 0, 0, 0, 0, 0, 0, 7, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0],
            _ => Vec::new(),
        };
        octets.extend(packet());
        octets
    }

    fn matches(filter: &mut Filter, link: LinkType, length: u32, octets: &[u8]) -> bool {
        filter.matches(&Captured {
            frame: Frame::new(0, 1),
            at: Timestamp::default(),
            link,
            interface: 0,
            length,
            focused: true,
            octets,
        })
    }

    #[test]
    fn an_expression_matches_on_every_link_type() {
        let mut hit = Filter::compile("tcp dst port 80 and host 10.0.0.1").unwrap();
        let mut miss = Filter::compile("tcp dst port 81").unwrap();
        for link in [LinkType::ETHERNET, LinkType::LINUX_SLL, LinkType::LINUX_SLL2, LinkType::RAW] {
            let octets = with_link_header(link);
            assert!(matches(&mut hit, link, octets.len() as u32, &octets), "{link:?}");
            assert!(!matches(&mut miss, link, octets.len() as u32, &octets), "{link:?}");
        }
        assert!(hit.notes().is_empty());
    }

    #[test]
    fn cut_frames_are_judged_by_their_length_on_the_wire() {
        let octets = with_link_header(LinkType::ETHERNET);
        let mut filter = Filter::compile("greater 1000").unwrap();
        assert!(matches(&mut filter, LinkType::ETHERNET, 1514, &octets));
        assert!(!matches(&mut filter, LinkType::ETHERNET, 100, &octets));
    }

    #[test]
    fn a_link_type_that_knows_not_the_expression_is_noted_once_and_matches_nothing() {
        let mut filter = Filter::compile("vlan 5").unwrap();
        for _ in 0..2 {
            let octets = with_link_header(LinkType::LINUX_SLL2);
            assert!(!matches(&mut filter, LinkType::LINUX_SLL2, octets.len() as u32, &octets));
        }
        assert_eq!(filter.notes().len(), 1);
        assert!(filter.notes()[0].contains("LINUX_SLL2"), "{:?}", filter.notes());
    }

    #[test]
    fn an_unknown_link_type_matches_nothing() {
        let mut filter = Filter::compile("tcp").unwrap();
        assert!(!matches(&mut filter, LinkType(999), 4, b"abcd"));
        assert_eq!(filter.notes().len(), 1);
    }

    #[test]
    fn an_empty_expression_matches_everything() {
        let mut filter = Filter::compile("").unwrap();
        assert!(matches(&mut filter, LinkType::ETHERNET, 4, b"abcd"));
    }

    #[test]
    fn what_libpcap_refuses_is_an_error_with_its_message() {
        for (expression, expected) in [
            ("tcp prot 80", "syntax error"),
            ("port http and and", "syntax error"),
            ("tcp\0", "filter 'tcp\0'"),
            ("inbound and tcp", "'inbound' can only be answered while capturing"),
            ("tcp or (ifindex 2)", "'ifindex' can only be answered"),
        ] {
            let error = Filter::compile(expression).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Filter::compile("host 10.0.0.1 and not port 22").is_ok());
    }
}
