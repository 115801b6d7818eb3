//! What a file is, by its first octets: in come some, out comes what they begin.

use crate::wire::{pcap, pcapng};

/// What octets begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Pcap,
    Pcapng,
    Gzip,
    Zstd,
    /// Anything else.
    Other,
}

impl Content {
    /// Octets that are enough to tell.
    pub(super) const ENOUGH: usize = 4;

    /// What `octets` begin. Fewer than [`Self::ENOUGH`] are what they may become.
    pub(super) fn of(octets: &[u8]) -> Self {
        if octets.is_empty() {
            Self::Other
        } else if pcap::may_begin(octets) {
            Self::Pcap
        } else if pcapng::may_begin(octets) {
            Self::Pcapng
        } else if begins(octets, &[0x1f, 0x8b, 8]) {
            Self::Gzip
        } else if begins(octets, &[0x28, 0xb5, 0x2f, 0xfd]) || skippable(octets) {
            Self::Zstd
        } else {
            Self::Other
        }
    }
}

/// What a file is that is no capture, and what to do: "begins with 50 4b 03 04, which is a zip archive; unpack it first".
pub(super) fn described(octets: &[u8]) -> String {
    let first: Vec<String> = octets.iter().take(4).map(|octet| format!("{octet:02x}")).collect();
    format!("begins with {}, which is {}", first.join(" "), known(octets))
}

/// Octets that [`described`] looks at: the mark of a tar archive stands last.
pub(super) const DESCRIBED: usize = 262;

fn known(octets: &[u8]) -> &'static str {
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| octets.starts_with(magic)) {
        return what;
    }
    if octets.get(257..262) == Some(b"ustar") {
        return "a tar archive; unpack it first";
    }
    if matches!(Content::of(octets), Content::Gzip | Content::Zstd) {
        return "compressed a second time; unpack it first";
    }
    let text = octets.trim_ascii_start();
    let starts = |with: &[u8]| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if starts(b"<!doctype html") || starts(b"<html") {
        "an HTML page, perhaps in place of a download that failed"
    } else if starts(b"version https://git-lfs") {
        "a pointer of Git LFS; fetch the file with git lfs pull"
    } else if octets.iter().all(|&octet| matches!(octet, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..)) {
        "text; capture packets with tcpdump -w FILE, not their printout"
    } else {
        "neither pcap nor pcapng, plain or with gzip or zstd; perhaps editcap -F pcapng can convert it"
    }
}

const KNOWN: [(&[u8], &str); 22] = [
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\xfd7zXZ\0", "xz data; unpack it first, with xz -d"),
    (b"BZh", "bzip2 data; unpack it first, with bzip2 -d"),
    (b"\x04\x22\x4d\x18", "lz4 data; unpack it first, with lz4 -d"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!", "a rar archive; unpack it first"),
    (b"\x1f\x9d", "data of compress; unpack it first, with gzip -d"),
    (b"snoop\0\0\0", "a snoop capture; convert it with editcap -F pcapng"),
    (b"RTSS", "a NetMon capture; convert it with editcap -F pcapng"),
    (b"GMBU", "a NetMon capture; convert it with editcap -F pcapng"),
    (b"TRSNIFF data", "a Sniffer capture; convert it with editcap -F pcapng"),
    (b"XCP\0", "a NetXray capture; convert it with editcap -F pcapng"),
    (b"\x1c\0\x01\xac", "an IXIA capture; convert it with editcap -F pcapng"),
    (b"\xac\x01\0\x1c", "an IXIA capture; convert it with editcap -F pcapng"),
    (b"\x1c\0\x01\xab", "an IXIA capture; convert it with editcap -F pcapng"),
    (b"\xab\x01\0\x1c", "an IXIA capture; convert it with editcap -F pcapng"),
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG", "a picture"),
    (b"\0\0\0\0", "a run of zeros, as in a file that was allocated and not written"),
];

/// RFC 8878 section 3.1.2: skippable frames begin with 0x184D2A5? in little-endian order.
fn skippable(octets: &[u8]) -> bool {
    matches!(
        octets,
        [0x50..=0x5f] | [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
    )
}

/// Whether `octets` begin with `magic`, as far as both reach.
fn begins(octets: &[u8], magic: &[u8]) -> bool {
    octets.iter().zip(magic).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_told_by_its_first_octets() {
        for (octets, expected) in [
            (&b"\xd4\xc3\xb2\xa1\x02\0\x04\0"[..], Content::Pcap),
            (b"\xa1\xb2\x3c\x4d", Content::Pcap),
            (b"\x34\xcd\xb2\xa1", Content::Pcap),
            (b"\x0a\x0d\x0d\x0a", Content::Pcapng),
            (b"\x1f\x8b\x08\x00", Content::Gzip),
            (b"\x28\xb5\x2f\xfd", Content::Zstd),
            (b"\x5e\x2a\x4d\x18", Content::Zstd),
            (b"\x1f", Content::Gzip),
            (b"\x28\xb5", Content::Zstd),
            (b"\x0a\x0d", Content::Pcapng),
            (b"", Content::Other),
            (b"PK\x03\x04", Content::Other),
            (b"\x1f\x8b\x07\x00", Content::Other),
            (b"\x04\x22\x4d\x18", Content::Other),
        ] {
            assert_eq!(Content::of(octets), expected, "{octets:02x?}");
        }
    }

    #[test]
    fn what_is_no_capture_is_named() {
        for (octets, expected) in [
            (&b"PK\x03\x04rest"[..], "begins with 50 4b 03 04, which is a zip archive; unpack it first"),
            (b"  <HTML><head>", "begins with 20 20 3c 48, which is an HTML page"),
            (b"12:00:01.0 IP 10.0.0.1.80 > 10.0.0.2.5", "begins with 31 32 3a 30, which is text; capture packets"),
            (b"\x01\x02", "begins with 01 02, which is neither pcap nor pcapng"),
            (b"version https://git-lfs.github.com/spec/v1", "begins with 76 65 72 73, which is a pointer of Git LFS"),
        ] {
            assert!(described(octets).starts_with(expected), "{}", described(octets));
        }
        let mut tar = vec![b'a'; 300];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(described(&tar).contains("a tar archive"));
    }
}
