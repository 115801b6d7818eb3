//! IEEE 802.11 data frames, with or without a radiotap header: the LLC header behind them comes out.
//!
//! Encrypted frames are not IP to us, and neither are aggregated ones (A-MSDU), of which one frame holds several packets.

use crate::wire::octets::Octets;
use crate::wire::packet::Undecodable;

/// Skips a radiotap header (<https://www.radiotap.org>):
///
/// ```text
/// | version = 0 (1) | pad (1) | length, little endian (2) | present (4, repeated while bit 31 is set) | fields …
/// ```
pub(super) fn radiotap(frame: Octets<'_>) -> Result<Octets<'_>, Undecodable> {
    let [version, _, low, high, ..] = *frame.head::<8>()?;
    if version != 0 {
        return Err(Undecodable::Malformed);
    }
    let length = usize::from(u16::from_le_bytes([low, high]));
    let is_padded = flags(frame.declared(length)).is_some_and(|flags| flags & DATA_PAD != 0);
    mac(frame.after(length)?, is_padded)
}

/// Skips the header of a data frame.
pub(super) fn data(frame: Octets<'_>) -> Result<Octets<'_>, Undecodable> {
    mac(frame, false)
}

/// The radiotap flags: the second field, behind an 8-octet timestamp that is aligned to its size.
fn flags(header: Octets<'_>) -> Option<u8> {
    let mut words = header.captured.get(4..)?.chunks_exact(4);
    let present = u32::from_le_bytes(words.next()?.try_into().ok()?);
    let mut fields: usize = 8;
    let mut last = present;
    while last & (1 << 31) != 0 {
        last = u32::from_le_bytes(words.next()?.try_into().ok()?);
        fields += 4;
    }
    if present & HAS_FLAGS == 0 {
        return None;
    }
    if present & HAS_TIMESTAMP != 0 {
        fields = fields.next_multiple_of(8) + 8;
    }
    header.captured.get(fields).copied()
}

/// IEEE 802.11-2020 section 9.2.3:
///
/// ```text
/// | frame control (2) | duration (2) | 3 addresses (18) | sequence (2) | address 4 (0/6) | QoS (0/2) | HT (0/4) | …
/// ```
fn mac(frame: Octets<'_>, is_padded: bool) -> Result<Octets<'_>, Undecodable> {
    let [control, flags, ..] = *frame.head::<24>()?;
    let has_payload = control & NO_DATA == 0;
    if control & TYPE_AND_VERSION != DATA || !has_payload || flags & PROTECTED != 0 {
        return Err(Undecodable::NotIp);
    }
    let mut length = 24;
    if flags & BOTH_DS == BOTH_DS {
        length += 6;
    }
    if control & QOS != 0 {
        let [qos, _] = *frame.after(length)?.head()?;
        if qos & AGGREGATED != 0 {
            return Err(Undecodable::NotIp);
        }
        length += if flags & ORDER != 0 { 6 } else { 2 };
    }
    if is_padded {
        length = length.next_multiple_of(4);
    }
    frame.after(length)
}

const HAS_TIMESTAMP: u32 = 1;
const HAS_FLAGS: u32 = 2;
/// Radiotap flag: the header is padded to a multiple of four.
const DATA_PAD: u8 = 0x20;

const TYPE_AND_VERSION: u8 = 0x0f;
const DATA: u8 = 0x08;
const NO_DATA: u8 = 0x40;
const QOS: u8 = 0x80;
const BOTH_DS: u8 = 0x03;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;
const AGGREGATED: u8 = 0x80;
