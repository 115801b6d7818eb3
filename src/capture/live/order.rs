//! Several interfaces in the order of time: in come the frames of each, which the kernel hands over in blocks and late by as
//! much as a block takes to fill, out comes one stream.
//!
//! Within an interface the order stands. Between interfaces the earlier frame goes first, once no interface can have one
//! that is earlier still: when every other has shown a later frame, or when the hold-back is over.

use std::time::{Duration, Instant};

use super::batch::{Buffer, Level};
use crate::limits;
use crate::time::Timestamp;

/// Frames that wait for those of other interfaces. Memory: [`limits::LIVE_HELD_BYTES`] and a batch.
pub(super) struct Order {
    queues: Vec<Queue>,
    /// Since when frames wait and none went. The clock of the stamps may have been set back.
    waiting: Option<Instant>,
}

#[derive(Default)]
struct Queue {
    buffer: Buffer,
    /// The first frame that has not gone.
    front: usize,
    /// Stamp of the last frame that came; `None` before there was one.
    latest: Option<Timestamp>,
    over: bool,
}

impl Order {
    pub(super) fn new(interfaces: usize) -> Self {
        Self { queues: std::iter::repeat_with(Queue::default).take(interfaces).collect(), waiting: None }
    }

    /// Lets `read` append frames of an interface.
    pub(super) fn add<T>(&mut self, interface: usize, read: impl FnOnce(&mut Buffer) -> T) -> Option<T> {
        let queue = self.queues.get_mut(interface)?;
        queue.compact();
        let result = read(&mut queue.buffer);
        queue.latest = queue.buffer.last().or(queue.latest);
        Some(result)
    }

    /// Nothing will come of an interface any more.
    pub(super) fn end(&mut self, interface: usize) {
        if let Some(queue) = self.queues.get_mut(interface) {
            queue.over = true;
        }
    }

    /// Whether a frame waits.
    pub(super) fn holds(&self) -> bool {
        self.queues.iter().any(|queue| queue.at().is_some())
    }

    /// The stamp up to which frames may go, where every interface was read at `now`.
    pub(super) fn safe(&mut self, now: Timestamp, clock: Instant) -> Timestamp {
        let stuck = self.waiting.is_some_and(|since| clock.saturating_duration_since(since) > STUCK);
        let held: usize = self.queues.iter().map(|queue| queue.buffer.bytes()).sum();
        if stuck || held > limits::LIVE_HELD_BYTES {
            return LAST;
        }
        let shown = self.queues.iter().filter(|queue| !queue.over).map(|queue| queue.latest.unwrap_or(FIRST)).min();
        shown.unwrap_or(LAST).max(now - limits::LIVE_HOLD_BACK)
    }

    /// Moves the frames up to `safe` to the end of `into`, until it is full. Says whether there may be more.
    pub(super) fn take(&mut self, safe: Timestamp, into: &mut Buffer, clock: Instant) -> bool {
        loop {
            if into.room(Level::BATCH, 1) == 0 {
                return true;
            }
            let fronts = self.queues.iter_mut().filter_map(|queue| Some((queue.at()?, queue)));
            let Some((_, queue)) = fronts.min_by_key(|(at, _)| *at).filter(|(at, _)| *at <= safe) else {
                self.waiting = if self.holds() { self.waiting.or(Some(clock)) } else { None };
                return false;
            };
            if let Some((record, octets)) = queue.buffer.get(queue.front) {
                into.push(record.at, record.interface, record.link, record.length, octets);
            }
            queue.front += 1;
            self.waiting = None;
        }
    }
}

impl Queue {
    fn at(&self) -> Option<Timestamp> {
        self.buffer.get(self.front).map(|(record, _)| record.at)
    }

    /// Forgets the frames that have gone, where they are many.
    fn compact(&mut self) {
        if self.front > limits::LIVE_BATCH_FRAMES / 2 || self.front == self.buffer.len() {
            self.buffer.forget(self.front);
            self.front = 0;
        }
    }
}

const FIRST: Timestamp = Timestamp::from_nanos(i64::MIN);
const LAST: Timestamp = Timestamp::from_nanos(i64::MAX);

/// Frames wait for the hold-back and a turn of the loop; longer only where the clock was set back.
const STUCK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::link::LinkType;

    const HOLD: i64 = limits::LIVE_HOLD_BACK.as_nanos() as i64;

    fn add(order: &mut Order, interface: usize, stamps: &[i64]) {
        order.add(interface, |buffer| {
            for at in stamps {
                let octets = at.to_le_bytes();
                buffer.push(Timestamp::from_nanos(*at), interface as u16, LinkType::ETHERNET, 99, &octets);
            }
        });
    }

    /// Interfaces and stamps of what goes at `now`.
    fn check(order: &mut Order, now: i64, clock: Instant, expected: &[(u16, i64)]) {
        let mut into = Buffer::default();
        let safe = order.safe(Timestamp::from_nanos(now), clock);
        while order.take(safe, &mut into, clock) {}
        let mut gone = Vec::new();
        for index in 0..into.len() {
            let (record, octets) = into.get(index).unwrap();
            assert_eq!(octets, record.at.as_nanos().to_le_bytes());
            gone.push((record.interface, record.at.as_nanos()));
        }
        assert_eq!(gone, expected);
    }

    #[test]
    fn frames_wait_until_every_interface_has_shown_a_later_one() {
        let (mut order, clock) = (Order::new(2), Instant::now());
        add(&mut order, 0, &[10, 30, 20, 50]);
        check(&mut order, 60, clock, &[]);
        add(&mut order, 1, &[5, 25, 40]);
        check(&mut order, 60, clock, &[(1, 5), (0, 10), (1, 25), (0, 30), (0, 20), (1, 40)]);
        assert!(order.holds());
        add(&mut order, 1, &[55]);
        check(&mut order, 60, clock, &[(0, 50)]);
    }

    #[test]
    fn frames_wait_no_longer_than_the_hold_back() {
        let (mut order, clock) = (Order::new(2), Instant::now());
        add(&mut order, 0, &[10, 20]);
        check(&mut order, HOLD + 9, clock, &[]);
        check(&mut order, HOLD + 10, clock, &[(0, 10)]);
        check(&mut order, HOLD + 20, clock, &[(0, 20)]);
        assert!(!order.holds());
    }

    #[test]
    fn an_interface_that_is_gone_is_not_waited_for() {
        let (mut order, clock) = (Order::new(2), Instant::now());
        add(&mut order, 0, &[10]);
        add(&mut order, 1, &[4, 5]);
        order.end(1);
        check(&mut order, 20, clock, &[(1, 4), (1, 5), (0, 10)]);
        add(&mut order, 0, &[11]);
        check(&mut order, 20, clock, &[(0, 11)]);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_for_ever() {
        let (mut order, clock) = (Order::new(2), Instant::now());
        add(&mut order, 0, &[HOLD * 1000]);
        check(&mut order, 0, clock, &[]);
        check(&mut order, 0, clock + STUCK, &[]);
        check(&mut order, 0, clock + STUCK * 2, &[(0, HOLD * 1000)]);
    }

    #[test]
    fn what_is_too_much_goes_at_once() {
        let (mut order, clock) = (Order::new(2), Instant::now());
        let octets = vec![0; limits::LIVE_HELD_BYTES + 1];
        order.add(0, |buffer| buffer.push(Timestamp::from_nanos(7), 0, LinkType::ETHERNET, 1, &octets));
        let safe = order.safe(Timestamp::from_nanos(7), clock);
        let mut into = Buffer::default();
        order.take(safe, &mut into, clock);
        assert_eq!(into.len(), 1);
    }
}
