//! Segments that only carry on have a shorter way: what it does the longer one does too.

use proptest::prelude::*;

use super::*;

/// A segment, and what else is done before it comes.
#[derive(Clone, Debug)]
struct Turn {
    side: Side,
    flags: &'static str,
    /// Octets before or beyond where its side stands.
    off: i32,
    /// The same of what it acknowledges.
    acknowledges: i32,
    length: usize,
    window: u16,
    snaplen: usize,
    watches: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    let flags = prop_oneof![20 => Just("A"), 1 => Just("AF"), 1 => Just("AR"), 1 => Just("S"), 1 => Just("SA"), 1 => Just("R"), 1 => Just("")];
    let off = || prop_oneof![12 => Just(0), 1 => -3..4_i32];
    let window = prop_oneof![15 => Just(1000_u16), 1 => Just(0)];
    let snaplen = prop_oneof![15 => Just(usize::MAX), 1 => 0..3_usize];
    (any::<(bool, bool)>(), flags, off(), off(), 0..4_usize, window, snaplen).prop_map(
        |((is_client, watches), flags, off, acknowledges, length, window, snaplen)| Turn {
            side: if is_client { C } else { S },
            flags,
            off,
            acknowledges,
            length,
            window,
            snaplen,
            watches,
        },
    )
}

/// What was told, and how the connection stands, with or without the shorter way; and how often that was gone.
fn take(turns: &[Turn], is_opened: bool, may_carry_on: bool) -> (String, String, usize) {
    let mut ladder = if is_opened { Ladder::opened() } else { Ladder::new([u32::MAX - 3, 2000]) };
    ladder.may_carry_on = may_carry_on;
    let mut stands = [1_i32; 2];
    for turn in turns {
        let [own, other] = [turn.side.index(), turn.side.other().index()].map(|side| stands[side]);
        (ladder.window, ladder.snaplen) = (turn.window, turn.snaplen);
        if turn.watches {
            ladder.watch(u64::try_from(own).unwrap());
        }
        let number = |stand: i32, off: i32| stand.wrapping_add(off).cast_unsigned();
        let payload = &b"abc"[..turn.length];
        ladder.steps(&[(turn.side, turn.flags, number(own, turn.off), number(other, turn.acknowledges), payload)]);
        stands[turn.side.index()] += i32::try_from(turn.length).unwrap();
    }
    (ladder.told, format!("{:?}", ladder.connection), ladder.carried_on)
}

proptest! {
    #[test]
    fn the_shorter_way_leads_to_the_same(turns in prop::collection::vec(turn(), 0..40), is_opened in any::<bool>()) {
        let (told, stands, _) = take(&turns, is_opened, true);
        let (expected, expected_stands, _) = take(&turns, is_opened, false);
        prop_assert_eq!(told, expected);
        prop_assert_eq!(stands, expected_stands);
    }
}

#[test]
fn most_segments_go_the_shorter_way() {
    let plain =
        |side, length| Turn { side, flags: "A", off: 0, acknowledges: 0, length, window: 9, snaplen: 9, watches: true };
    let turns = [plain(C, 3), plain(S, 0), plain(S, 3), plain(C, 0)];
    assert_eq!(take(&turns, true, true).2, 4);
}
