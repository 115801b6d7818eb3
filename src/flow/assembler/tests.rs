use proptest::prelude::*;

use super::*;

/// Pushes segments and returns what came out: octets with gaps as `None`.
fn assemble(segments: &[(u64, &[u8], u64)]) -> (Vec<Option<u8>>, Assembler) {
    let mut assembler = Assembler::default();
    let mut stream = Vec::new();
    for (at, octets, length) in segments {
        assembler.push(*at, octets, *length, &mut |piece| append(&mut stream, &piece));
    }
    (stream, assembler)
}

fn append(stream: &mut Vec<Option<u8>>, piece: &Piece<'_>) {
    match piece {
        Piece::Data { at, octets } => {
            assert_eq!(*at, stream.len() as u64, "pieces come in order");
            assert!(!octets.is_empty());
            stream.extend(octets.iter().copied().map(Some));
        }
        Piece::Gap { at, length, .. } => {
            assert_eq!(*at, stream.len() as u64, "gaps come in order");
            assert!(*length > 0);
            stream.extend(std::iter::repeat_n(None, usize::try_from(*length).unwrap()));
        }
    }
}

fn text(stream: &[Option<u8>]) -> String {
    stream.iter().map(|octet| octet.map_or('_', char::from)).collect()
}

#[test]
fn segments_in_order_pass_through() {
    let (stream, _) = assemble(&[(0, b"abc", 3), (3, b"def", 3)]);
    assert_eq!(text(&stream), "abcdef");
}

#[test]
fn an_early_segment_waits() {
    let (stream, assembler) = assemble(&[(3, b"def", 3)]);
    assert_eq!(text(&stream), "");
    assert_eq!(assembler.waiting_octets(), 3);
    let (stream, assembler) = assemble(&[(3, b"def", 3), (0, b"abc", 3)]);
    assert_eq!(text(&stream), "abcdef");
    assert_eq!(assembler.waiting_octets(), 0);
}

#[test]
fn where_segments_overlap_the_first_octets_stand() {
    let (stream, _) = assemble(&[(2, b"CD", 2), (0, b"abcdef", 6)]);
    assert_eq!(text(&stream), "abcdef", "what is deliverable is delivered at once");
    let (stream, _) = assemble(&[(4, b"EF", 2), (3, b"defg", 4), (0, b"abc", 3)]);
    assert_eq!(text(&stream), "abcdEFg");
}

#[test]
fn a_cut_segment_leaves_a_gap_of_the_snaplen() {
    let (stream, _) = assemble(&[(0, b"ab", 5), (5, b"fg", 2)]);
    assert_eq!(text(&stream), "ab___fg");
}

#[test]
fn a_hole_that_is_given_up_is_a_gap() {
    let mut assembler = Assembler::default();
    let mut stream = Vec::new();
    let mut judgements = Vec::new();
    let mut take = |piece: Piece<'_>| {
        if let Piece::Gap { judged, .. } = piece {
            judgements.push(judged);
        }
        append(&mut stream, &piece);
    };
    assembler.push(0, b"ab", 2, &mut take);
    assembler.push(4, b"ef", 2, &mut take);
    assembler.skip_to(8, GapJudged::Capture, &mut take);
    assembler.push(6, b"late", 4, &mut take);
    assert_eq!(text(&stream), "ab__ef__te");
    assert_eq!(judgements, [GapJudged::Capture, GapJudged::Capture]);
}

proptest! {
    /// Whatever the order, the repetitions and the cuts of the segments: every octet comes once and in order.
    #[test]
    fn every_octet_is_delivered_once_in_order(
        stream in proptest::collection::vec(any::<u8>(), 1..200),
        cuts in proptest::collection::vec((0usize..200, 1usize..60), 0..60),
        order in any::<u64>(),
    ) {
        let mut segments: Vec<(usize, usize)> = cuts.iter().map(|(at, length)| (at % stream.len(), *length)).collect();
        segments.extend((0..stream.len()).step_by(7).map(|at| (at, 7)));
        let mut state = order;
        for index in (1..segments.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            segments.swap(index, (state >> 33) as usize % (index + 1));
        }
        let mut assembler = Assembler::default();
        let mut result = Vec::new();
        for (at, length) in segments {
            let end = (at + length).min(stream.len());
            let octets = &stream[at..end];
            assembler.push(at as u64, octets, octets.len() as u64, &mut |piece| append(&mut result, &piece));
        }
        prop_assert_eq!(result, stream.iter().copied().map(Some).collect::<Vec<_>>());
        prop_assert_eq!(assembler.waiting_octets(), 0);
        prop_assert!(!assembler.has_hole());
    }

    /// With segments missing: what came stands at its place, what did not come is a gap.
    #[test]
    fn what_did_not_come_is_a_gap(
        stream in proptest::collection::vec(any::<u8>(), 20..200),
        lost in proptest::collection::btree_set(0usize..20, 0..20),
    ) {
        let mut assembler = Assembler::default();
        let mut result = Vec::new();
        let mut expected: Vec<Option<u8>> = Vec::new();
        for (index, octets) in stream.chunks(10).enumerate() {
            if lost.contains(&index) {
                expected.extend(octets.iter().map(|_| None));
            } else {
                expected.extend(octets.iter().copied().map(Some));
                assembler.push((index * 10) as u64, octets, octets.len() as u64, &mut |piece| append(&mut result, &piece));
            }
        }
        assembler.skip_to(stream.len() as u64, GapJudged::Unknown, &mut |piece| append(&mut result, &piece));
        prop_assert_eq!(result, expected);
        prop_assert_eq!(assembler.next(), stream.len() as u64);
    }
}
