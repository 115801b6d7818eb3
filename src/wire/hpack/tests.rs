//! Examples of the RFC, another decoder, and hostile input.

use super::*;
use proptest::prelude::*;

const ROOM: usize = 1 << 20;

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    decoder.decode(block, ROOM).map(|lines| lines.iter().map(|(name, value)| (text(name), text(value))).collect())
}

fn check(decoder: &mut Decoder, block: &[u8], expected: &[(&str, &str)], size: usize) {
    let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(read(decoder, block), Ok(expected));
    assert_eq!(decoder.size, size);
}

/// RFC 7541 appendix C.4: requests, with a table that lives on.
#[test]
fn later_blocks_refer_to_earlier_ones() {
    let decoder = &mut Decoder::default();
    let get = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
    let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    check(decoder, first, &get, 57);
    let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
    check(decoder, second, &[&get[..], &[("cache-control", "no-cache")]].concat(), 110);
    let third = b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";
    let expected = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ];
    check(decoder, third, &expected, 164);
}

/// RFC 7541 appendix C.5, whose table holds 256 octets.
#[test]
fn what_does_not_fit_pushes_the_oldest_out() {
    let decoder = &mut Decoder::default();
    let mut first = b"\x3f\xe1\x01\x48\x03302\x58\x07private\x61\x1d".to_vec();
    first.extend_from_slice(b"Mon, 21 Oct 2013 20:13:21 GMT\x6e\x17https://www.example.com");
    let expected = [
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ];
    check(decoder, &first, &expected, 222);
    let second = [&[(":status", "307")], &expected[1..]].concat();
    check(decoder, b"\x48\x03307\xc1\xc0\xbf", &second, 222);
    check(decoder, b"\x20\x88", &[(":status", "200")], 0);
}

#[test]
fn what_breaks_a_rule_is_told() {
    for (block, error) in [
        (&b"\x80"[..], Error::Index),
        (b"\xbe", Error::Index),
        (b"\x40\x01", Error::Text),
        (b"\x40\x01a", Error::Number),
        (b"\x40\x81\x1e\x01b", Error::Text),
        (b"\xff", Error::Number),
        (b"\xff\xff\xff\xff\xff\x00", Error::Number),
        (b"\x3f\xe1\xff\x7f", Error::Table),
    ] {
        assert_eq!(read(&mut Decoder::default(), block), Err(error), "{block:02x?}");
    }
}

#[test]
fn a_small_block_does_not_become_a_large_list() {
    let decoder = &mut Decoder::default();
    let mut block = b"\x40\x01a\x7f\xa1\x1e".to_vec();
    block.extend([b'x'; 4000]);
    block.extend([0xbe; 60_000]);
    let lines = decoder.decode(&block, 64 << 10).unwrap();
    assert!(lines.cut && lines.octets.len() <= 64 << 10 && lines.ends.len() == 16);
    assert_eq!(decoder.decode(b"\xbe", ROOM).map(|lines| lines.iter().count()), Ok(1), "it was learned all the same");
}

/// Octets that are blocks more often than not: whole representations, one after the other.
fn blocks() -> impl Strategy<Value = Vec<u8>> {
    let literal = (0_u8..3, 0_u8..16, prop::collection::vec(any::<u8>(), 0..24), any::<bool>());
    let literal = literal.prop_map(|(kind, index, value, huffman)| {
        let first = [0x40, 0x10, 0x00][usize::from(kind)] | if kind > 0 { index.min(14) } else { index };
        let mut octets = vec![first];
        if index == 0 {
            octets.extend(b"\x04name");
        }
        octets.push(value.len() as u8 | if huffman { 0x80 } else { 0 });
        octets.extend(value);
        octets
    });
    let indexed = (0x80_u8..=0xfe).prop_map(|octet| vec![octet]);
    let resize = (0_u8..31).prop_map(|most| vec![0x20 | most, 0x82]);
    let noise = prop::collection::vec(any::<u8>(), 0..6);
    prop::collection::vec(prop_oneof![4 => literal, 6 => indexed, 1 => resize, 1 => noise], 0..12)
        .prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn it_agrees_with_another_decoder(blocks in prop::collection::vec(blocks(), 1..6)) {
        let (mut ours, mut theirs) = (Decoder::default(), loona_hpack::Decoder::new());
        theirs.set_max_allowed_table_size(MOST_TABLE);
        for block in blocks {
            let lines = ours.decode(&block, ROOM);
            let lines = lines.map(|lines| lines.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>());
            match (lines, theirs.decode(&block)) {
                (Ok(lines), Ok(expected)) => prop_assert_eq!(lines, expected),
                (Err(_), Err(_)) => break,
                // It is stricter about a table size at a block's end, and about nothing else.
                (Ok(_), Err(loona_hpack::decoder::DecoderError::SizeUpdateAtEnd)) => break,
                (ours, theirs) => prop_assert!(false, "{ours:?}, {theirs:?}"),
            }
        }
    }

    #[test]
    fn no_octets_are_too_much(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..8)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            if let Ok(lines) = decoder.decode(&block, 4096) {
                prop_assert!(lines.octets.len() + lines.ends.len() * LINE <= 4096);
            }
            prop_assert!(decoder.size <= decoder.most && decoder.most <= MOST_TABLE);
            prop_assert_eq!(decoder.size, decoder.table.iter().map(Entry::size).sum::<usize>());
        }
    }
}
