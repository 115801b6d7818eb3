//! uwsgi (the protocol of the uWSGI server): the variables that a request begins with.
//!
//! ```text
//!   0           1           3
//!   modifier1   datasize    modifier2   { length  name   length  value } …   content …
//!               (little endian, as all lengths)
//! ```

/// Octets before the variables.
pub const HEADER: usize = 4;

/// What octets are, where a request must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// A request, as far as can be told.
    Request,
    /// More octets are needed.
    Undecided,
    /// Something else.
    Other,
}

/// What octets begin. Of the modifiers those are taken that name a kind of application.
#[must_use]
pub fn begin(octets: &[u8]) -> Begin {
    let [modifier, .., _] = octets else { return Begin::Undecided };
    if *modifier > LAST_APPLICATION {
        return Begin::Other;
    }
    let [_, low, high, _, first, second, name @ ..] = octets else { return Begin::Undecided };
    let [size, length] = [[*low, *high], [*first, *second]].map(u16::from_le_bytes);
    let is_name = |name: &[u8]| name.iter().all(|octet| matches!(octet, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    let name = name.get(..usize::from(length)).unwrap_or(name);
    match (SHORTEST_NAME..=LONGEST_NAME).contains(&length) && length + LENGTHS <= size && is_name(name) {
        true if name.len() < usize::from(SHORTEST_NAME) => Begin::Undecided,
        true => Begin::Request,
        false => Begin::Other,
    }
}

/// Octets of the variables with what stands before them; `None` where that is not all there.
#[must_use]
pub fn block(octets: &[u8]) -> Option<usize> {
    let [_, low, high, _, ..] = *octets else { return None };
    Some(HEADER + usize::from(u16::from_le_bytes([low, high])))
}

/// The variables, as far as they are there.
pub fn pairs(octets: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = octets.get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || Some((text(&mut rest)?, text(&mut rest)?)))
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let (text, behind) = behind.split_at_checked(u16::from_le_bytes(*length).into())?;
    *rest = behind;
    Some(text)
}

/// Of the modifiers that uWSGI defines, those up to here are requests of WSGI, PSGI, Rack, PHP and other applications.
const LAST_APPLICATION: u8 = 30;
/// Names of variables are no shorter, and no longer.
const SHORTEST_NAME: u16 = 3;
const LONGEST_NAME: u16 = 256;
/// Octets of the lengths of a name and its value.
const LENGTHS: u16 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_behind_a_header() {
        let octets = b"\x00\x25\x00\x00\x0e\x00REQUEST_METHOD\x03\x00GET\x0c\x00QUERY_STRING\x00\x00content";
        assert_eq!(begin(octets), Begin::Request);
        assert_eq!(block(octets), Some(4 + 0x25));
        let variables: Vec<_> = pairs(&octets[..4 + 0x25]).collect();
        assert_eq!(variables, [(&b"REQUEST_METHOD"[..], &b"GET"[..]), (b"QUERY_STRING", b"")]);
        assert_eq!(pairs(&octets[..24]).count(), 0, "a value that is not all there is none");
    }

    #[test]
    fn a_request_is_told_by_the_name_of_a_variable() {
        assert_eq!(begin(b"\x00\x25\x00\x00\x0e"), Begin::Undecided);
        assert_eq!(begin(b"\x00\x25\x00\x00\x0e\x00RE"), Begin::Undecided);
        assert_eq!(begin(b"\x00\x25\x00\x00\x0e\x00Req"), Begin::Other);
        assert_eq!(begin(b"\x00\x25\x00\x00\x00\x0eREQUEST_METHOD"), Begin::Other, "big endian");
        assert_eq!(
            begin(b"\x00\x08\x00\x00\x0e\x00REQUEST_METHOD"),
            Begin::Other,
            "the name is longer than all variables"
        );
        assert_eq!(begin(b"GET / HTTP/1.1\r\n\r\n"), Begin::Other);
        assert_eq!(begin(b"\x00\x00\x00\x00\x00\x00\x00\x00"), Begin::Other);
    }
}
