//! Key logs, which TLS programs append to the file that SSLKEYLOGFILE names (draft-ietf-tls-keylogfile): in comes text, in
//! pieces of any size, out come secrets. A line is a label, the random of a ClientHello and a secret:
//!
//! ```text
//! CLIENT_RANDOM 31 octets more … 32, as hexadecimal digits  master secret, 48 octets
//! RSA Session-ID:up to 32 octets  Master-Key:master secret
//! ```
//!
//! The second form is older: it names the session, by the id in the ServerHello of TLS 1.2 and before.

use std::fmt;

/// The random of a ClientHello, which names a connection's secrets; or a session's id, see [`session`].
pub type Random = [u8; 32];

/// The name that a session's id gives to its secrets, filled up with zeros; `None` where it is none (RFC 5246 section 7.4.1.2).
#[must_use]
pub fn session(id: &[u8]) -> Option<Random> {
    let mut name = [0; 32];
    name.get_mut(..id.len())?.copy_from_slice(id);
    (!id.is_empty()).then_some(name)
}

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// `CLIENT_RANDOM`: the master secret of TLS 1.2 and before.
    Master,
    /// `CLIENT_EARLY_TRAFFIC_SECRET`.
    ClientEarly,
    /// `CLIENT_HANDSHAKE_TRAFFIC_SECRET`.
    ClientHandshake,
    /// `SERVER_HANDSHAKE_TRAFFIC_SECRET`.
    ServerHandshake,
    /// `CLIENT_TRAFFIC_SECRET_0`.
    ClientApplication,
    /// `SERVER_TRAFFIC_SECRET_0`.
    ServerApplication,
}

/// A secret: 48 octets, or as many as the suite's hash has. It is never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    octets: [u8; MOST_OCTETS],
    length: u8,
}

impl Secret {
    /// The octets; `None` where they are more than any secret has.
    #[must_use]
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut secret = Self { octets: [0; MOST_OCTETS], length: u8::try_from(octets.len()).ok()? };
        secret.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(secret)
    }

    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or(&self.octets)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret of {} octets", self.length)
    }
}

/// A line's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The ClientHello's random, or what stands for the session's id.
    pub random: Random,
    /// Whether it is that of a session.
    pub of_session: bool,
    /// What the secret is for.
    pub label: Label,
    /// The secret.
    pub secret: Secret,
}

/// What the lines were, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All lines.
    pub lines: u64,
    /// Secrets.
    pub secrets: u64,
    /// Lines that are none of the format, and the number of the first, from 1.
    pub bad: u64,
    /// See `bad`.
    pub first_bad: Option<u64>,
    /// Pre-master secrets, which name no ClientHello (`RSA …`), and the number of the first line with one.
    pub unsupported: u64,
    /// See `unsupported`.
    pub first_unsupported: Option<u64>,
}

/// Reads a key log that may still grow. Memory: a line.
#[derive(Debug, Default)]
pub struct Reader {
    /// The begin of a line whose end has not come.
    partial: Vec<u8>,
    /// The line's begin is gone: it is longer than any of the format.
    overlong: bool,
    tally: Tally,
}

impl Reader {
    /// Takes the next octets of the file.
    pub fn feed(&mut self, octets: &[u8], take: &mut impl FnMut(Entry)) {
        let mut rest = octets;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = behind.get(1..).unwrap_or_default();
            if self.partial.is_empty() && !self.overlong {
                self.line(line, take);
            } else {
                self.keep(line);
                self.finish(take);
            }
        }
        self.keep(rest);
    }

    /// The file ended: what has no line end is a line all the same.
    pub fn finish(&mut self, take: &mut impl FnMut(Entry)) {
        let line = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.overlong) {
            self.tally.lines += 1;
            self.bad();
        } else if !line.is_empty() {
            self.line(&line, take);
        }
    }

    /// What the lines were, so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    fn keep(&mut self, octets: &[u8]) {
        self.overlong |= self.partial.len() + octets.len() > LONGEST_LINE;
        if self.overlong {
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(octets);
        }
    }

    fn line(&mut self, line: &[u8], take: &mut impl FnMut(Entry)) {
        self.tally.lines += 1;
        let line = if self.tally.lines == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        match parse(line) {
            Line::Entry(entry) => {
                self.tally.secrets += 1;
                take(entry);
            }
            Line::Other => {}
            Line::PreMaster => {
                self.tally.unsupported += 1;
                self.tally.first_unsupported.get_or_insert(self.tally.lines);
            }
            Line::Bad => self.bad(),
        }
    }

    fn bad(&mut self) {
        self.tally.bad += 1;
        self.tally.first_bad.get_or_insert(self.tally.lines);
    }
}

enum Line {
    Entry(Entry),
    /// Empty, a comment, or a secret that opens no record of TCP.
    Other,
    PreMaster,
    Bad,
}

fn parse(line: &[u8]) -> Line {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Line::Other;
    }
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (Some(label), Some(random), Some(secret), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Line::Bad;
    };
    let label = match label {
        b"CLIENT_RANDOM" => Label::Master,
        b"CLIENT_EARLY_TRAFFIC_SECRET" => Label::ClientEarly,
        b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::ClientHandshake,
        b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::ServerHandshake,
        b"CLIENT_TRAFFIC_SECRET_0" => Label::ClientApplication,
        b"SERVER_TRAFFIC_SECRET_0" => Label::ServerApplication,
        b"RSA" if random.starts_with(SESSION_ID) => return of_session(random, secret),
        b"RSA" | b"PMS_CLIENT_RANDOM" => return Line::PreMaster,
        other => {
            return if is_label(other) && is_digits(random) && is_digits(secret) { Line::Other } else { Line::Bad };
        }
    };
    let (mut name, mut octets) = ([0; 32], [0; MOST_OCTETS]);
    let (Some(32), Some(length)) = (digits(random, &mut name), digits(secret, &mut octets)) else { return Line::Bad };
    let possible = if label == Label::Master { length == 48 } else { matches!(length, 32 | 48) };
    match octets.get(..length).filter(|_| possible).and_then(Secret::new) {
        Some(secret) => Line::Entry(Entry { random: name, of_session: false, label, secret }),
        None => Line::Bad,
    }
}

/// The words behind `RSA`, where they name a session and its master secret.
fn of_session(id: &[u8], secret: &[u8]) -> Line {
    let (mut name, mut octets) = ([0; 32], [0; MOST_OCTETS]);
    let id = id.strip_prefix(SESSION_ID).and_then(|id| digits(id, &mut name));
    let random = id.and_then(|octets| session(name.get(..octets)?));
    let whole = secret.strip_prefix(MASTER_KEY).and_then(|secret| digits(secret, &mut octets)) == Some(MOST_OCTETS);
    match random.zip(Secret::new(&octets).filter(|_| whole)) {
        Some((random, secret)) => Line::Entry(Entry { random, of_session: true, label: Label::Master, secret }),
        None => Line::Bad,
    }
}

fn is_label(word: &[u8]) -> bool {
    word.iter().all(|octet| matches!(octet, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

fn is_digits(word: &[u8]) -> bool {
    word.len().is_multiple_of(2) && word.iter().all(u8::is_ascii_hexdigit)
}

/// Hexadecimal digits as octets. Returns how many; `None` where they are no digits, or too many.
fn digits(word: &[u8], octets: &mut [u8]) -> Option<usize> {
    let value = |digit: u8| (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, []) = word.as_chunks::<2>() else { return None };
    for (octet, [high, low]) in octets.get_mut(..pairs.len())?.iter_mut().zip(pairs) {
        *octet = value(*high)? << 4 | value(*low)?;
    }
    Some(pairs.len())
}

const SESSION_ID: &[u8] = b"Session-ID:";
const MASTER_KEY: &[u8] = b"Master-Key:";

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Octets of a master secret, and of the longest hash that a suite of TLS 1.3 has.
const MOST_OCTETS: usize = 48;

/// Octets of a line. The longest secret takes 195; keys of Encrypted ClientHello, which are stepped over, take some more.
const LONGEST_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANDOM: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn line(label: &str, octets: usize) -> String {
        format!("{label} {RANDOM} {}", "aB".repeat(octets))
    }

    fn read(pieces: &[&[u8]]) -> (Vec<Entry>, Tally) {
        let (mut reader, mut entries) = (Reader::default(), Vec::new());
        pieces.iter().for_each(|piece| reader.feed(piece, &mut |entry| entries.push(entry)));
        reader.finish(&mut |entry| entries.push(entry));
        (entries, reader.tally())
    }

    #[test]
    fn every_label_gives_its_secret() {
        for (label, octets, expected) in [
            ("CLIENT_RANDOM", 48, Label::Master),
            ("CLIENT_EARLY_TRAFFIC_SECRET", 32, Label::ClientEarly),
            ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 48, Label::ClientHandshake),
            ("SERVER_HANDSHAKE_TRAFFIC_SECRET", 32, Label::ServerHandshake),
            ("CLIENT_TRAFFIC_SECRET_0", 48, Label::ClientApplication),
            ("SERVER_TRAFFIC_SECRET_0", 32, Label::ServerApplication),
        ] {
            let (entries, _) = read(&[line(label, octets).as_bytes()]);
            let [entry] = entries.as_slice() else { panic!("{label}: {entries:?}") };
            assert_eq!((entry.label, entry.random[31], entry.secret.octets()), (expected, 31, &*vec![0xab; octets]));
        }
    }

    #[test]
    fn a_session_has_the_master_secret_of_its_line() {
        let text = |id: &str| format!("RSA Session-ID:{id} Master-Key:{}", "aB".repeat(48));
        let (entries, _) = read(&[text("0a0b").as_bytes()]);
        let [entry] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!((Some(entry.random), entry.of_session, entry.label), (session(&[10, 11]), true, Label::Master));
        assert_eq!(entry.secret.octets(), [0xab; 48]);
        let long = "00".repeat(33);
        for bad in [
            text(""),
            text("0"),
            text(&long),
            text("0a").replace("Master", "Monster"),
            "RSA Session-ID:0a Master-Key:00".to_owned(),
        ] {
            let (entries, tally) = read(&[bad.as_bytes()]);
            assert_eq!((entries.len(), tally.bad), (0, 1), "{bad}");
        }
    }

    #[test]
    fn what_is_no_secret_is_counted_with_its_first_line() {
        let text = [
            "\u{feff}# a comment\r".to_owned(),
            String::new(),
            format!("{}\r", line("CLIENT_RANDOM", 48)),
            line("EXPORTER_SECRET", 32),
            line("CLIENT_RANDOM", 32),
            line("CLIENT_TRAFFIC_SECRET_0", 20),
            "RSA 0123456789abcdef 00".to_owned(),
            "no key log at all".to_owned(),
            "CLIENT_RANDOM 00 0g".to_owned(),
            "x".repeat(LONGEST_LINE + 1),
            line("SERVER_TRAFFIC_SECRET_0", 48),
        ]
        .join("\n");
        let (entries, tally) = read(&[text.as_bytes()]);
        assert_eq!(entries.len(), 2);
        assert_eq!((tally.lines, tally.secrets), (11, 2));
        assert_eq!((tally.bad, tally.first_bad), (5, Some(5)));
        assert_eq!((tally.unsupported, tally.first_unsupported), (1, Some(7)));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let (entries, _) = read(&[line("CLIENT_RANDOM", 48).as_bytes()]);
        assert!(!format!("{entries:?}").to_lowercase().contains("171, 171"));
        assert!(format!("{entries:?}").contains("Secret of 48 octets"));
    }

    proptest! {
        #[test]
        fn the_pieces_in_which_a_file_arrives_do_not_matter(cuts in prop::collection::vec(0_usize..900, 0..8), noise in "[ -~\\r\\n]{0,200}") {
            let text = format!("{}\n{noise}\n{}\n# x\n{}", line("CLIENT_RANDOM", 48), line("RSA", 48), line("CLIENT_TRAFFIC_SECRET_0", 32));
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[text.as_bytes()]));
        }

        #[test]
        fn no_octets_are_too_much(octets in prop::collection::vec(any::<u8>(), 0..600)) {
            let (entries, tally) = read(&[&octets]);
            prop_assert_eq!(entries.len() as u64, tally.secrets);
        }
    }
}
