//! TCP headers (RFC 9293 section 3.1) and the options that the analysis needs.

use smallvec::SmallVec;

use crate::wire::octets::Octets;
use crate::wire::packet::{Flags, Segment, Undecodable};

/// What a segment's options say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size, in octets (RFC 9293 section 3.7.1).
    pub mss: Option<u16>,
    /// Window scale, 0 to 14 (RFC 7323 section 2).
    pub window_scale: Option<u8>,
    /// Whether selective acknowledgements are permitted (RFC 2018 section 2).
    pub sack_permitted: bool,
    /// Timestamp value and timestamp echo reply (RFC 7323 section 3).
    pub timestamps: Option<(u32, u32)>,
}

impl Options {
    /// Reads options up to the first that is cut or has a length that is not its kind's.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Self {
        let mut options = Self::default();
        let mut rest = octets;
        loop {
            rest = match rest {
                [NO_OPERATION, rest @ ..] => rest,
                [MAXIMUM_SEGMENT_SIZE, 4, m0, m1, rest @ ..] => {
                    options.mss = Some(u16::from_be_bytes([*m0, *m1]));
                    rest
                }
                [WINDOW_SCALE, 3, shift, rest @ ..] => {
                    // RFC 7323 section 2.3: a greater shift must be taken for 14.
                    options.window_scale = Some((*shift).min(14));
                    rest
                }
                [SACK_PERMITTED, 2, rest @ ..] => {
                    options.sack_permitted = true;
                    rest
                }
                [TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3, rest @ ..] => {
                    options.timestamps =
                        Some((u32::from_be_bytes([*v0, *v1, *v2, *v3]), u32::from_be_bytes([*e0, *e1, *e2, *e3])));
                    rest
                }
                [END_OF_LIST | MAXIMUM_SEGMENT_SIZE | WINDOW_SCALE | SACK_PERMITTED | TIMESTAMPS, ..] => {
                    return options;
                }
                [_, length @ 2..=u8::MAX, ..] => match rest.get(usize::from(*length)..) {
                    Some(rest) => rest,
                    None => return options,
                },
                _ => return options,
            }
        }
    }
}

/// The right edges of the blocks that an acknowledgement says it holds beyond a hole (RFC 2018 section 3).
#[must_use]
pub fn sacked(options: &[u8]) -> SmallVec<[u32; 4]> {
    let mut rest = options;
    loop {
        rest = match rest {
            [NO_OPERATION, rest @ ..] => rest,
            [SACK, length @ 10..=34, blocks @ ..] => {
                let blocks = blocks.get(..usize::from(*length) - 2).unwrap_or_default().chunks_exact(8);
                let edge = |block: &[u8]| block.last_chunk::<4>().map(|edge| u32::from_be_bytes(*edge));
                return blocks.filter_map(edge).collect();
            }
            [kind, length @ 2..=u8::MAX, ..] if *kind > NO_OPERATION && *kind != SACK => {
                match rest.get(usize::from(*length)..) {
                    Some(rest) => rest,
                    None => return SmallVec::new(),
                }
            }
            _ => return SmallVec::new(),
        }
    }
}

/// A segment of `length` octets at the begin of `octets`, where its header was captured and is whole. What this reads
/// [`segment`] reads the same.
#[inline(always)] // Not inlined it doubles the cost of the fast path.
pub(super) fn plain(octets: &[u8], length: usize) -> Option<Segment<'_>> {
    // By the rows in which RFC 9293 section 3.1 draws the header.
    let (rows, _) = octets.first_chunk::<20>()?.as_chunks::<4>();
    let [ports, sequence, acknowledgement, control] = rows.first_chunk::<4>()?.map(u32::from_be_bytes);
    let header = (control >> 28) as usize * 4;
    Some(Segment {
        source_port: (ports >> 16) as u16,
        destination_port: ports as u16,
        sequence,
        acknowledgement,
        flags: Flags((control >> 16) as u8),
        window: control as u16,
        options: octets.get(20..header)?,
        length: length.checked_sub(header)? as u32,
        payload: octets.get(header..length.min(octets.len()))?,
    })
}

/// Reads a segment. Of a header that the snaplen cut the ports, the numbers and the flags must be there; the rest of it
/// reads as zero or empty.
pub(super) fn segment(octets: Octets<'_>) -> Result<Segment<'_>, Undecodable> {
    let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags] = *octets.head::<14>()?;
    let header = usize::from(offset >> 4) * 4;
    if header < 20 {
        return Err(Undecodable::Malformed);
    }
    let Some(length) = octets.length.checked_sub(header) else {
        return Err(Undecodable::Malformed);
    };
    let window = match octets.captured {
        [_, _, _, _, _, _, _, _, _, _, _, _, _, _, w0, w1, ..] => u16::from_be_bytes([*w0, *w1]),
        _ => 0,
    };
    let (options, payload) = match octets.captured.split_at_checked(header) {
        Some((header, payload)) => (header.get(20..).unwrap_or_default(), payload),
        None => (&[][..], &[][..]),
    };
    Ok(Segment {
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        sequence: u32::from_be_bytes([q0, q1, q2, q3]),
        acknowledgement: u32::from_be_bytes([a0, a1, a2, a3]),
        flags: Flags(flags),
        window,
        options,
        length: u32::try_from(length).unwrap_or(u32::MAX),
        payload,
    })
}

const END_OF_LIST: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_syn_are_read() {
        let octets = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7, 1, 3, 3, 10];
        let expected =
            Options { mss: Some(1460), window_scale: Some(10), sack_permitted: true, timestamps: Some((9, 7)) };
        assert_eq!(Options::parse(&octets), expected);
    }

    #[test]
    fn unknown_options_are_skipped_and_broken_ones_end_the_reading() {
        assert_eq!(Options::parse(&[5, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 1, 0]).mss, Some(256));
        assert_eq!(Options::parse(&[0, 2, 4, 1, 0]), Options::default());
        assert_eq!(Options::parse(&[2, 3, 1, 2, 4, 1, 0]), Options::default());
        assert_eq!(Options::parse(&[99, 0, 2, 4, 1, 0]), Options::default());
        assert_eq!(Options::parse(&[99, 9]), Options::default());
        assert_eq!(Options::parse(&[8, 10, 1]), Options::default());
    }

    #[test]
    fn what_is_acknowledged_beyond_a_hole_is_read() {
        let mut octets = vec![1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7, 1, 1, 5, 18];
        octets.extend([0, 0, 0, 10, 0, 0, 0, 20, 0, 0, 0, 30, 0, 0, 1, 0]);
        assert_eq!(sacked(&octets).as_slice(), [20, 256]);
        assert!(sacked(&octets[..20]).is_empty());
        assert!(sacked(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7]).is_empty());
    }

    #[test]
    fn a_window_scale_above_14_is_14() {
        assert_eq!(Options::parse(&[3, 3, 200]).window_scale, Some(14));
    }

    proptest::proptest! {
        #[test]
        fn options_agree_with_etherparse(octets in proptest::collection::vec(0_u8..12, 0..40)) {
            use etherparse::TcpOptionElement as Element;
            let mut expected = Options::default();
            for element in etherparse::TcpOptionsIterator::from_slice(&octets) {
                match element {
                    Ok(Element::MaximumSegmentSize(mss)) => expected.mss = Some(mss),
                    Ok(Element::WindowScale(shift)) => expected.window_scale = Some(shift.min(14)),
                    Ok(Element::SelectiveAcknowledgementPermitted) => expected.sack_permitted = true,
                    Ok(Element::Timestamp(value, echo)) => expected.timestamps = Some((value, echo)),
                    Ok(_) => {}
                    // It ends at options that it does not know; the comparison ends with it.
                    Err(_) => return Ok(()),
                }
            }
            proptest::prop_assert_eq!(Options::parse(&octets), expected);
        }
    }
}
