use proptest::prelude::*;

use super::*;
use crate::event::Frame;
use crate::wire::link::LinkType;

fn captured(number: u64, octets: &[u8]) -> Captured<'_> {
    Captured {
        frame: Frame::new(0, number),
        at: Timestamp::from_nanos(number as i64),
        link: LinkType::ETHERNET,
        interface: 0,
        length: octets.len() as u32,
        focused: true,
        octets,
    }
}

/// What the store must be like: a queue of connection, ordinal, octets.
fn check(limit_bytes: usize, frames: &[(u64, Vec<u8>)]) {
    let mut store = Store::new(limit_bytes);
    let memory = |store: &Store| {
        store.octets.capacity()
            + store.notes.capacity() * size_of::<Note>()
            + store.buckets.capacity() * size_of::<u64>()
            + store.notes.len() * 2 * size_of::<u64>()
    };
    let mut model: VecDeque<(u64, u64, Vec<u8>)> = VecDeque::new();
    let mut ordinal = 0;
    for (connection, octets) in frames {
        assert!(memory(&store) <= limit_bytes);
        if !store.fits(octets.len()) {
            continue;
        }
        while store.is_in_the_way(octets.len()) {
            store.forget_oldest();
            model.pop_front().expect("an empty store has room");
        }
        ordinal += 1;
        store.push(*connection, &captured(ordinal, octets), 0);
        model.push_back((*connection, ordinal, octets.clone()));
        let held: usize = model.iter().map(|(.., octets)| octets.len()).sum();
        assert!(held <= store.octets.len() && model.len() <= store.most_notes);
    }
    for connection in 0..4 {
        let mut wanted = Vec::new();
        store.want(connection, Timestamp::from_nanos(i64::MAX), &mut wanted);
        wanted.reverse();
        let expected: Vec<_> = model.iter().filter(|(of, ..)| *of == connection).collect();
        assert_eq!(wanted, expected.iter().map(|(_, ordinal, _)| *ordinal).collect::<Vec<_>>());
        for (_, ordinal, octets) in expected {
            let (note, found) = store.written(*ordinal).unwrap();
            assert_eq!((found, note.at.as_nanos() as u64), (&octets[..], *ordinal));
        }
        store.want(connection, Timestamp::from_nanos(i64::MAX), &mut wanted);
        assert_eq!(wanted.len(), model.iter().filter(|(of, ..)| *of == connection).count(), "wanted twice");
    }
}

proptest! {
    #[test]
    fn the_newest_frames_that_fit_are_remembered_and_memory_is_bounded(
        limit_bytes in 0..4096_usize,
        frames in prop::collection::vec((0..4_u64, prop::collection::vec(any::<u8>(), 0..300)), 0..200),
    ) {
        check(limit_bytes, &frames);
    }
}

#[test]
fn frames_of_one_connection_alone_are_found_in_a_bucket_that_several_share() {
    check(2048, &(0..40).map(|n| (n % 2 * 2, vec![n as u8; 10])).collect::<Vec<_>>());
}
