//! The capture thread: in come handles, out come batches and notices, until it is told to stop and the rings are empty.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smallvec::SmallVec;

use super::batch::{Buffer, Level};
use super::handle::{Handle, Trouble};
use super::order::Order;
use super::{Delivery, Ended, Notice, Shared, lock};
use crate::limits;
use crate::time::Timestamp;

/// The thread's state.
pub(super) struct Collector {
    /// By the interfaces' indexes; `None` once one is gone.
    places: Vec<Option<Place>>,
    /// With several interfaces.
    order: Option<Order>,
    /// What is being filled.
    buffer: Buffer,
    /// When one was handed over last.
    handed_over: Instant,
    shared: Arc<Shared>,
    deliver: SyncSender<Delivery>,
    empty: Receiver<Buffer>,
    /// When counters were read last.
    counted: Instant,
    stopping: Option<Stopping>,
}

struct Place {
    handle: Handle,
    delivered: u64,
    /// Its descriptor showed an error.
    alarmed: bool,
    /// Set when it went down, until a frame comes again.
    down: bool,
    /// Set when it cannot be read any more: why, and until when its ring may still hand over a block.
    leaving: Option<(String, Instant)>,
    /// Every frame that came before the stop has been read.
    drained: bool,
}

struct Stopping {
    /// Frames up to then are wanted.
    at: Timestamp,
    /// From then on an empty ring stays so.
    settled: Instant,
    /// Then it ends, whatever the rings hold.
    latest: Instant,
}

/// The other thread has gone.
struct Abandoned;

impl Collector {
    pub(super) fn new(
        handles: Vec<Handle>,
        shared: Arc<Shared>,
        deliver: SyncSender<Delivery>,
        empty: Receiver<Buffer>,
    ) -> Self {
        let order = (handles.len() > 1).then(|| Order::new(handles.len()));
        let place =
            |handle| Some(Place { handle, delivered: 0, alarmed: false, down: false, leaving: None, drained: false });
        Self {
            places: handles.into_iter().map(place).collect(),
            order,
            buffer: Buffer::default(),
            handed_over: Instant::now(),
            shared,
            deliver,
            empty,
            counted: Instant::now(),
            stopping: None,
        }
    }

    /// Captures until there is nothing to capture.
    pub(super) fn run(mut self) {
        let Ok(first) = self.empty.recv() else { return };
        self.buffer = first;
        if let Ok(ended) = self.work()
            && self.hand_over().is_ok()
        {
            self.count();
            // Where nobody listens any more, nobody needs to know.
            let _ = self.deliver.send(Delivery::Ended(ended));
        }
    }

    fn work(&mut self) -> Result<Ended, Abandoned> {
        let mut more = true;
        loop {
            // Also where there is more to read: libpcap swallows the error of an interface that goes down.
            self.wait(more);
            self.obey()?;
            let clock = Instant::now();
            // Taken before the rings are looked at: what is stamped later may be missing from them.
            let now = now();
            more = self.read(clock)?;
            self.pass_on(now, clock)?;
            if self.places.iter().all(Option::is_none) {
                self.pass_on(Timestamp::from_nanos(i64::MAX), clock)?;
                return Ok(Ended::NoInterfaceLeft);
            }
            if self.stopping.is_some() && self.places.iter().flatten().all(|place| place.drained) {
                self.pass_on(Timestamp::from_nanos(i64::MAX), clock)?;
                return Ok(Ended::Stopped);
            }
            if clock.duration_since(self.counted) >= Duration::from_secs(1) {
                self.counted = clock;
                self.count();
            }
        }
    }

    /// Does what the other thread has asked for.
    fn obey(&mut self) -> Result<(), Abandoned> {
        if self.stopping.is_none() && self.shared.stop.load(Ordering::Acquire) {
            let clock = Instant::now();
            self.stopping =
                Some(Stopping { at: now(), settled: clock + limits::LIVE_HOLD_BACK, latest: clock + DRAINED_AT_LAST });
        }
        let Some(expression) = lock(&self.shared.filter).take() else { return Ok(()) };
        for index in 0..self.places.len() {
            // Where libpcap filters, it judges by the new filter what the ring still holds of the old one's.
            for _ in 0..RING_BATCHES {
                if !self.read_one(index, Instant::now())? {
                    break;
                }
            }
            let Some(place) = self.places.get_mut(index).and_then(Option::as_mut) else { continue };
            if let Err(reason) = place.handle.refilter(&expression) {
                let name = place.handle.name().to_owned();
                self.tell(Notice::FilterRefused { interface: index, name, reason })?;
            }
        }
        Ok(())
    }

    /// Reads a batch at most of every interface. Says whether one may have more.
    fn read(&mut self, clock: Instant) -> Result<bool, Abandoned> {
        let mut more = false;
        for index in 0..self.places.len() {
            more |= self.read_one(index, clock)?;
        }
        Ok(more)
    }

    /// Reads a batch at most of an interface. Says whether it may have more.
    fn read_one(&mut self, index: usize, clock: Instant) -> Result<bool, Abandoned> {
        let Some(place) = self.places.get_mut(index).and_then(Option::as_mut) else { return Ok(false) };
        let (result, last) = match &mut self.order {
            None => (place.handle.read(&mut self.buffer, Level::BATCH), self.buffer.last()),
            Some(order) => order
                .add(index, |buffer| (place.handle.read(buffer, buffer.level()), buffer.last()))
                .unwrap_or((Ok(0), None)),
        };
        let result = match result {
            // libpcap passes over an interface that was taken down.
            Ok(0) if mem::take(&mut place.alarmed) => Err(place.handle.absence()),
            result => result,
        };
        let frames = match result {
            Ok(frames) => frames,
            Err(Trouble::Gone(reason)) => {
                place.leaving.get_or_insert((reason, clock + limits::LIVE_HOLD_BACK));
                0
            }
            Err(Trouble::Down) if place.leaving.is_none() && !mem::replace(&mut place.down, true) => {
                let name = place.handle.name().to_owned();
                self.tell(Notice::Down { interface: index, name })?;
                return Ok(true);
            }
            Err(Trouble::Down) => 0,
        };
        place.delivered += frames as u64;
        if frames > 0 {
            place.down = false;
        }
        if let Some(stopping) = &self.stopping {
            let past = frames > 0 && last.is_some_and(|last| last > stopping.at);
            let settled = frames == 0 && clock >= stopping.settled;
            place.drained |= past || settled || clock >= stopping.latest;
        }
        if frames == 0 && place.leaving.as_ref().is_some_and(|(_, until)| clock >= *until) {
            self.close(index)?;
        }
        if self.order.is_none() {
            self.hand_over_in_time(clock)?;
        }
        Ok(frames > 0)
    }

    /// Passes on what is in order by now.
    fn pass_on(&mut self, now: Timestamp, clock: Instant) -> Result<(), Abandoned> {
        let Some(order) = &mut self.order else { return Ok(()) };
        let safe = order.safe(now, clock);
        loop {
            let Some(order) = &mut self.order else { return Ok(()) };
            let more = order.take(safe, &mut self.buffer, clock);
            self.hand_over_in_time(clock)?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Sends the buffer off where it is full, or none was for a while.
    fn hand_over_in_time(&mut self, clock: Instant) -> Result<(), Abandoned> {
        let is_time = clock.saturating_duration_since(self.handed_over) >= limits::LIVE_GATHER;
        let is_full = self.buffer.room(Level::BATCH, 1) == 0;
        if is_full || is_time || self.stopping.is_some() { self.hand_over() } else { Ok(()) }
    }

    /// Sends the buffer off if there is anything in it, and waits for an empty one: here a slow analysis is waited for.
    fn hand_over(&mut self) -> Result<(), Abandoned> {
        if self.buffer.len() == 0 {
            return Ok(());
        }
        self.handed_over = Instant::now();
        let full = mem::take(&mut self.buffer);
        self.deliver.send(Delivery::Frames(full)).map_err(|_| Abandoned)?;
        self.buffer = self.empty.recv().map_err(|_| Abandoned)?;
        Ok(())
    }

    fn tell(&self, notice: Notice) -> Result<(), Abandoned> {
        self.deliver.send(Delivery::Notice(notice)).map_err(|_| Abandoned)
    }

    #[cold]
    fn close(&mut self, index: usize) -> Result<(), Abandoned> {
        self.count();
        let Some(place) = self.places.get_mut(index).and_then(Option::take) else { return Ok(()) };
        if let Some(order) = &mut self.order {
            order.end(index);
        }
        let reason = place.leaving.map(|(reason, _)| reason).unwrap_or_default();
        self.tell(Notice::Gone { interface: index, name: place.handle.name().to_owned(), reason })
    }

    fn count(&mut self) {
        let mut counters = lock(&self.shared.counters);
        for (place, counters) in self.places.iter_mut().zip(counters.iter_mut()) {
            let Some(place) = place else { continue };
            counters.delivered = place.delivered;
            if let Some(stats) = place.handle.stats() {
                counters.update(stats);
            }
        }
    }

    /// Sleeps until a ring has a block, the other thread wants something, or it is time for something else; not at all where
    /// there is `more` to do.
    fn wait(&mut self, more: bool) {
        let clock = Instant::now();
        let mut least = (self.counted + Duration::from_secs(1)).saturating_duration_since(clock);
        let leaving = self.places.iter().flatten().filter_map(|place| Some(place.leaving.as_ref()?.1));
        let stopping = self.stopping.iter().map(|stopping| stopping.settled);
        let gathered = (self.buffer.len() > 0).then(|| self.handed_over + limits::LIVE_GATHER);
        for instant in leaving.chain(stopping).chain(gathered) {
            least = least.min(instant.saturating_duration_since(clock));
        }
        if self.order.as_ref().is_some_and(Order::holds) {
            least = least.min(TURN);
        }
        if more {
            least = Duration::ZERO;
        }
        let timeout = Timespec { tv_sec: least.as_secs() as i64, tv_nsec: i64::from(least.subsec_nanos()) };
        let mut awaited: SmallVec<[PollFd<'_>; 8]> = SmallVec::new();
        awaited.push(PollFd::new(&self.shared.wake, PollFlags::IN));
        awaited.extend(self.places.iter().flatten().map(|place| PollFd::new(&place.handle, PollFlags::IN)));
        // Where a signal interrupts it, the loop turns once more than it has to.
        let _ = poll(&mut awaited, Some(&timeout));
        let events: SmallVec<[PollFlags; 8]> = awaited.iter().map(PollFd::revents).collect();
        drop(awaited);
        let mut events = events.into_iter();
        if events.next().is_some_and(|wake| !wake.is_empty()) {
            let _ = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
        }
        for (place, events) in self.places.iter_mut().flatten().zip(events) {
            place.alarmed |= events.contains(PollFlags::ERR);
        }
    }
}

/// The time of the host, which is that of the stamps.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(0) + since
}

/// How often it is looked whether frames have waited long enough.
const TURN: Duration = Duration::from_millis(20);

/// As many batches as a ring of the default size holds.
const RING_BATCHES: usize = 256;

/// How long the rings are read after the stop, where the analysis lags behind or their stamps have another clock.
const DRAINED_AT_LAST: Duration = Duration::from_secs(2);
