//! HPACK (RFC 7541): header blocks in, field lines out. A decoder has what the blocks of one direction have taught it so far,
//! and must see all of them, in order.
//!
//! The bounds are ours: a table that grows beyond [`MOST_TABLE`] is not followed, and of a block no more is kept than the caller
//! has room for, while the rest of it is still learned from.

mod huffman;

use std::collections::VecDeque;

/// The field lines of a header block. Names and values stand one behind the other in one buffer.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    octets: Vec<u8>,
    /// Where each name and each value ends.
    ends: Vec<(usize, usize)>,
    /// There was no room for all of them.
    pub cut: bool,
}

impl Lines {
    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(name, value)| {
            let line = (self.octets.get(start..*name), self.octets.get(*name..*value));
            start = *value;
            (line.0.unwrap_or_default(), line.1.unwrap_or_default())
        })
    }

    fn push(&mut self, name: &[u8], value: &[u8], most_octets: usize) {
        if self.octets.len() + name.len() + value.len() + LINE > most_octets.saturating_sub(self.ends.len() * LINE) {
            self.cut = true;
        }
        if !self.cut {
            self.octets.extend_from_slice(name);
            let end = self.octets.len();
            self.octets.extend_from_slice(value);
            self.ends.push((end, self.octets.len()));
        }
    }
}

/// Why a block cannot be decoded. What follows on its connection cannot be trusted either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An index that is in neither table (section 2.3.3).
    Index,
    /// A number that is not whole, or larger than any that is needed (section 5.1).
    Number,
    /// A string that is not whole, or no Huffman code (section 5.2).
    Text,
    /// A table larger than is allowed (section 6.3), or than is followed.
    Table,
}

/// What a direction's blocks taught so far.
#[derive(Debug)]
pub struct Decoder {
    /// The latest one first.
    table: VecDeque<Entry>,
    /// Its size as section 4.1 counts it, and the most that it may have.
    size: usize,
    most: usize,
    text: Vec<u8>,
}

/// A field line of the dynamic table.
#[derive(Debug)]
struct Entry {
    octets: Box<[u8]>,
    name_end: usize,
}

impl Entry {
    fn line(&self) -> (&[u8], &[u8]) {
        self.octets.split_at_checked(self.name_end).unwrap_or((&self.octets, &[]))
    }

    fn size(&self) -> usize {
        self.octets.len() + LINE
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: VecDeque::new(), size: 0, most: FIRST_TABLE, text: Vec::new() }
    }
}

impl Decoder {
    /// Decodes a whole block. No more than `most_octets` of field lines are kept, counted as tables count them.
    ///
    /// # Errors
    ///
    /// Where the block breaks a rule of RFC 7541, or needs more room than is given.
    pub fn decode(&mut self, block: &[u8], most_octets: usize) -> Result<Lines, Error> {
        let mut lines = Lines::default();
        let mut rest = block;
        while let Some(first) = rest.first().copied() {
            match first {
                0x80.. => {
                    let index = number(&mut rest, 7)?;
                    let (name, value) = self.line(index)?;
                    lines.push(name, value, most_octets);
                }
                0x40..0x80 => self.literal(&mut rest, 6, true, &mut lines, most_octets)?,
                0x20..0x40 => self.resize(number(&mut rest, 5)?)?,
                0x00..0x20 => self.literal(&mut rest, 4, false, &mut lines, most_octets)?,
            }
        }
        Ok(lines)
    }

    /// Octets of memory that are held.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        self.size + self.text.capacity()
    }

    fn literal(
        &mut self,
        rest: &mut &[u8],
        prefix: u32,
        learn: bool,
        lines: &mut Lines,
        most_octets: usize,
    ) -> Result<(), Error> {
        let index = number(rest, prefix)?;
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let outcome = match index {
            0 => string(rest, &mut text),
            _ => self.line(index).map(|(name, _)| text.extend_from_slice(name)),
        };
        let name_end = text.len();
        let outcome = outcome.and_then(|()| string(rest, &mut text));
        if outcome.is_ok() {
            let (name, value) = text.split_at_checked(name_end).unwrap_or_default();
            lines.push(name, value, most_octets);
            if learn {
                self.learn(&text, name_end);
            }
        }
        text.shrink_to(KEPT_TEXT);
        self.text = text;
        outcome
    }

    /// Section 4.4: what is larger than the table empties it.
    fn learn(&mut self, octets: &[u8], name_end: usize) {
        let size = octets.len() + LINE;
        self.evict(self.most.saturating_sub(size));
        if size <= self.most {
            self.size += size;
            self.table.push_front(Entry { octets: octets.into(), name_end });
        }
    }

    fn resize(&mut self, most: usize) -> Result<(), Error> {
        if most > MOST_TABLE {
            return Err(Error::Table);
        }
        self.most = most;
        self.evict(most);
        Ok(())
    }

    /// Section 4.3: the oldest ones go.
    fn evict(&mut self, most: usize) {
        while self.size > most
            && let Some(oldest) = self.table.pop_back()
        {
            self.size = self.size.saturating_sub(oldest.size());
        }
    }

    fn line(&self, index: usize) -> Result<(&[u8], &[u8]), Error> {
        let index = index.checked_sub(1).ok_or(Error::Index)?;
        match STATIC.get(index) {
            Some((name, value)) => Ok((name.as_bytes(), value.as_bytes())),
            None => self.table.get(index - STATIC.len()).map(Entry::line).ok_or(Error::Index),
        }
    }
}

/// Section 5.1: a number whose first bits are the last `prefix` ones of an octet.
fn number(rest: &mut &[u8], prefix: u32) -> Result<usize, Error> {
    let (first, mut behind) = rest.split_first().ok_or(Error::Number)?;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (next, tail) = behind.split_first().ok_or(Error::Number)?;
            behind = tail;
            value += usize::from(next & 0x7f) << shift;
            shift += 7;
            if next & 0x80 == 0 {
                break;
            }
            if shift > 21 {
                return Err(Error::Number);
            }
        }
    }
    *rest = behind;
    Ok(value)
}

/// Section 5.2: a string, onto the end of `text`.
fn string(rest: &mut &[u8], text: &mut Vec<u8>) -> Result<(), Error> {
    let is_huffman = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = number(rest, 7)?;
    let (octets, behind) = rest.split_at_checked(length).ok_or(Error::Text)?;
    *rest = behind;
    if is_huffman {
        huffman::decode(octets, text).ok_or(Error::Text)
    } else {
        text.extend_from_slice(octets);
        Ok(())
    }
}

/// Octets of a dynamic table, as section 4.1 counts them, that are followed. The default is 4096; browsers ask for 64 KiB.
pub const MOST_TABLE: usize = 64 << 10;

/// Octets of a dynamic table before either side says otherwise (RFC 9113 section 6.5.2).
const FIRST_TABLE: usize = 4096;

/// What a field line counts for besides its octets (section 4.1).
const LINE: usize = 32;

/// Octets of room for a line that are kept for the next one.
const KEPT_TEXT: usize = 256;

/// Appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests;
