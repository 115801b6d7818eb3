//! One input on several processors: the connections are dealt out to shards, each in a thread of its own, and what the shards
//! give is joined into one stream again, the same whatever their number.
//!
//! ```text
//!   frames -> steer --- batches ---> shard --- parts ---> join -> Above -> report
//!                 | \-------------> shard -----------/  /
//!                 `---- which frame went to which -----'
//! ```
//!
//! Octets are not copied: a batch keeps the buffers that its frames stand in. Where there are two processors the thread that deals
//! out has a shard itself, whose octets then stay with the processor that read them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use crate::analysis::{Above, Analysis, Joined, Learner, Part, Passed};
use crate::capture::{Buffer, Stretch};
use crate::event::{Endpoint, Moment};
use crate::flow::defrag::Reassembled;
use crate::flow::steer::{Beyond, Captured, Held, Sent, Steer};
use crate::limits::{Limits, MOST_SHARDS};
use crate::report::Report;
use crate::run::dealing::Dealing;
use crate::run::halves::{Feed, send_or_learn};
use crate::shard::Shard;
use crate::wire::link::LinkType;
use crate::wire::packet;
use crate::wire::tls::keylog::Entry;

/// What deals out.
pub(super) struct Deal<'r> {
    steer: Steer,
    /// A shard in the same thread, which is the last one of all.
    own: Option<Worker<'r>>,
    /// The others.
    hands: Vec<Hand>,
    dealing: Dealing,
    /// Which hand each frame of the batch went to.
    turns: Vec<u8>,
    to_join: SyncSender<Vec<u8>>,
    emptied: Receiver<Vec<u8>>,
    learner: Learner<'r>,
    last: Option<Moment>,
}

/// The way to a shard, and the batch that it will be given next.
struct Hand {
    batch: Batch,
    batches: SyncSender<Batch>,
    emptied: Receiver<Batch>,
}

/// Frames for a shard, and what it is to do before it takes them.
#[derive(Default)]
struct Batch {
    /// It is time to look at what waits and what is over.
    look: Option<Moment>,
    /// Secrets, and the moment of the latest frame.
    secrets: Option<(Arc<[Entry]>, Option<Moment>)>,
    items: Vec<Item>,
    /// What the frames stand in.
    buffers: Vec<Arc<Buffer>>,
    /// The capture ended; the moment of its last frame.
    end: Option<Moment>,
}

enum Item {
    /// An endpoint serves.
    Serves(Endpoint),
    Frame(Frame),
    /// The last fragment of this.
    Reassembled(Box<Reassembled>, Steered),
    /// A copy that tells this.
    Beyond(Beyond, Steered),
}

/// A frame with a packet.
struct Frame {
    steered: Steered,
    link: LinkType,
    length: u32,
    buffer: u32,
    octets: Range<u32>,
}

#[derive(Clone, Copy)]
struct Steered {
    moment: Moment,
    key: u64,
    focused: bool,
}

/// Gives an analysis all that `read` feeds it, in so many shards.
pub(super) fn run<'r>(
    analysis: Analysis<'r>,
    limits: &Limits,
    count: usize,
    processors: usize,
    read: impl FnOnce(&mut Deal<'r>),
) -> Report {
    let has_own = processors == 2;
    let shares = shares(count, has_own);
    let (steer, shards, above) = analysis.sharded(limits, &shares);
    thread::scope(|scope| {
        let (to_join, turns) = sync_channel(MOST_BATCHES);
        let (empty_turns, emptied) = channel();
        let mut ways = Vec::new();
        let mut workers: Vec<Worker<'_>> = Vec::new();
        for shard in shards {
            let (parts, to_take) = sync_channel(MOST_BATCHES);
            let (taken, to_clear) = channel();
            ways.push(Way { parts: to_take, taken });
            workers.push(Worker { shard, part: Part::default(), parts, taken: to_clear, learner: above.learner() });
        }
        let own = if has_own { workers.pop() } else { None };
        let mut hands = Vec::new();
        let mut threads = Vec::new();
        for worker in workers {
            let (batches, to_follow) = sync_channel(MOST_BATCHES);
            let (empty, emptied) = channel();
            hands.push(Hand { batch: Batch::default(), batches, emptied });
            threads.push(scope.spawn(move || worker.follow(&to_follow, &empty)));
        }
        let learner = above.learner();
        let above = scope.spawn(move || judge(above, &turns, &empty_turns, &ways));
        let mut deal = Deal {
            steer,
            own,
            hands,
            dealing: Dealing::new(&shares),
            turns: Vec::new(),
            to_join,
            emptied,
            learner,
            last: None,
        };
        read(&mut deal);
        let counters = deal.steer.counters();
        let own = deal.end();
        let away =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let passed = away.chain(own).fold(Passed::default(), |passed, shard| passed.with(&shard));
        match above.join() {
            Ok(above) => above.finish(&Passed { counters, ..passed }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// How many shards are best, with a thread for each, one that deals out, and one that judges: with two processors a single one,
/// which who deals out is itself. Where records are decrypted, beside which all else is little, it is one for each processor.
pub(super) fn best(processors: usize, decrypts: bool) -> usize {
    let others = usize::from(!decrypts);
    processors.saturating_sub(others).clamp(1, usize::from(MOST_SHARDS))
}

/// What each of so many shards gets of the connections, and of what bounds memory. Who reads has other work as well.
fn shares(count: usize, has_own: bool) -> Vec<usize> {
    let mut shares = vec![OTHERS_SHARE; count];
    if has_own && let Some(own) = shares.last_mut() {
        *own = OWN_SHARE;
    }
    shares
}

/// A shard, and the way from it.
struct Worker<'r> {
    shard: Shard,
    /// What it gave since the last batch.
    part: Part,
    parts: SyncSender<Part>,
    taken: Receiver<Part>,
    learner: Learner<'r>,
}

impl Worker<'_> {
    /// A shard's thread.
    fn follow(mut self, batches: &Receiver<Batch>, emptied: &Sender<Batch>) -> Shard {
        let mut last = None;
        for mut batch in batches {
            if let Some(moment) = batch.look.take() {
                self.look(moment);
            }
            if let Some((secrets, last)) = batch.secrets.take() {
                self.learn(&secrets, last);
            }
            for item in batch.items.drain(..) {
                match item {
                    Item::Serves(server) => self.shard.note_server(server),
                    Item::Reassembled(whole, steered) => self.take(Held::Reassembled(whole), steered),
                    Item::Beyond(beyond, steered) => self.take(Held::Beyond(beyond), steered),
                    Item::Frame(frame) => {
                        let range = frame.octets.start as usize..frame.octets.end as usize;
                        let buffer = batch.buffers.get(frame.buffer as usize);
                        self.take_frame(&frame, buffer.and_then(|buffer| buffer.get(range)).unwrap_or_default());
                    }
                }
            }
            batch.buffers.clear();
            last = batch.end.take();
            self.pass_on();
            // Nobody takes it back where a thread panicked, and then its panic is passed on at the end.
            let _ = emptied.send(batch);
        }
        self.finish(last)
    }

    fn look(&mut self, moment: Moment) {
        self.shard.look(moment, &mut self.part.before);
    }

    fn learn(&mut self, secrets: &[Entry], last: Option<Moment>) {
        self.shard.learn(secrets, last, &mut self.part.before);
    }

    fn take(&mut self, held: Held<'_, '_>, Steered { moment, key, focused }: Steered) {
        let Self { shard, part, .. } = self;
        shard.take(held, key, focused, moment, &mut part.events);
        part.ends.push(part.events.len() as u32);
    }

    fn take_frame(&mut self, frame: &Frame, octets: &[u8]) {
        if let Some(plain) = packet::plain(frame.link, octets) {
            self.take(Held::Segment(Sent::plain(&plain)), frame.steered);
        } else if let Ok(packet) = packet::decode_other(frame.link, octets, frame.length) {
            self.take(Held::Other(&packet), frame.steered);
        } else {
            self.part.ends.push(self.part.events.len() as u32);
        }
    }

    fn pass_on(&mut self) {
        let part = self.taken.try_recv().unwrap_or_default();
        send_or_learn(&self.parts, std::mem::replace(&mut self.part, part), &self.learner);
    }

    /// The capture ended with a frame, if it had any: what is open is given out, in parts.
    fn finish(mut self, last: Option<Moment>) -> Shard {
        if let Some(last) = last {
            let mut is_more = true;
            while is_more {
                is_more = self.shard.finish(last, &mut self.part.before);
                self.pass_on();
            }
        }
        self.shard
    }
}

/// The way from a shard.
struct Way {
    parts: Receiver<Part>,
    taken: Sender<Part>,
}

/// The thread that joins and judges.
fn judge<'r>(mut above: Above<'r>, turns: &Receiver<Vec<u8>>, empty: &Sender<Vec<u8>>, ways: &[Way]) -> Above<'r> {
    let mut joined = Joined::new(ways.len());
    let mut parts: Vec<Part> = Vec::new();
    for mut turns in turns {
        parts.extend(ways.iter().map(|way| way.parts.recv().unwrap_or_default()));
        joined.batch(&mut parts, &turns, &mut |event| above.take(std::iter::once(event)));
        for (way, mut part) in ways.iter().zip(parts.drain(..)) {
            part.clear();
            let _ = way.taken.send(part);
        }
        turns.clear();
        let _ = empty.send(turns);
    }
    let mut next = |shard: usize| ways.get(shard)?.parts.recv().ok().map(|part| part.before);
    joined.end(&mut next, &mut |event| above.take(std::iter::once(event)));
    above
}

impl Feed for Deal<'_> {
    fn take(&mut self, captured: &Captured<'_>, stretch: &Stretch<'_>) {
        let moment = captured.moment();
        if self.steer.is_time(captured.at) {
            self.pass_on();
            self.hands.iter_mut().for_each(|hand| hand.batch.look = Some(moment));
            if let Some(own) = &mut self.own {
                own.look(moment);
            }
        }
        self.last = Some(moment);
        let Self { steer, own, hands, dealing, turns, .. } = self;
        steer.take(captured, |held, course| {
            if let Some(server) = course.serves {
                hands.iter_mut().for_each(|hand| hand.batch.items.push(Item::Serves(server)));
                own.iter_mut().for_each(|own| own.shard.note_server(server));
            }
            let turn = dealing.shard(course.key, captured.length);
            turns.push(turn);
            let steered = Steered { moment, key: course.key, focused: captured.focused };
            let Some(hand) = hands.get_mut(usize::from(turn)) else {
                if let Some(own) = own {
                    own.take(held, steered);
                }
                return;
            };
            let item = match held {
                Held::Reassembled(whole) => Item::Reassembled(whole, steered),
                Held::Beyond(beyond) => Item::Beyond(beyond, steered),
                Held::Segment(_) | Held::Other(_) => Item::Frame(hand.batch.frame(captured, steered, stretch)),
            };
            hand.batch.items.push(item);
        });
        if self.turns.len() >= MOST_FRAMES || self.hands.iter().any(|hand| hand.batch.buffers.len() >= MOST_BUFFERS) {
            self.pass_on();
        }
    }

    fn learn(&mut self, secrets: &[Entry]) {
        if secrets.is_empty() {
            return;
        }
        self.pass_on();
        let last = self.last;
        if let Some(own) = &mut self.own {
            own.learn(secrets, last);
        }
        let secrets: Arc<[Entry]> = secrets.into();
        self.hands.iter_mut().for_each(|hand| hand.batch.secrets = Some((Arc::clone(&secrets), last)));
        self.pass_on();
    }
}

impl Deal<'_> {
    fn pass_on(&mut self) {
        let Self { own, hands, turns, to_join, emptied, learner, .. } = self;
        for hand in hands {
            let empty = hand.emptied.try_recv().unwrap_or_default();
            send_or_learn(&hand.batches, std::mem::replace(&mut hand.batch, empty), learner);
        }
        own.iter_mut().for_each(|own| own.pass_on());
        let empty = emptied.try_recv().unwrap_or_default();
        send_or_learn(to_join, std::mem::replace(turns, empty), learner);
    }

    /// The capture ended. Gives back the own shard.
    fn end(mut self) -> Option<Shard> {
        self.hands.iter_mut().for_each(|hand| hand.batch.end = self.last);
        self.pass_on();
        let Self { own, hands, to_join, last, .. } = self;
        // Whoever waits for more has to know that this was all, before the own shard waits for who joins.
        drop((hands, to_join));
        own.map(|own| own.finish(last))
    }
}

impl Batch {
    fn frame(&mut self, captured: &Captured<'_>, steered: Steered, stretch: &Stretch<'_>) -> Frame {
        let (kept, octets) = stretch.kept();
        let known = self.buffers.iter().rposition(|buffer| Arc::ptr_eq(buffer, kept));
        let buffer = known.unwrap_or_else(|| {
            self.buffers.push(Arc::clone(kept));
            self.buffers.len() - 1
        });
        Frame {
            steered,
            link: captured.link,
            length: captured.length,
            buffer: buffer as u32,
            // A frame is at most some MiB long, and so is a buffer.
            octets: octets.start as u32..octets.end as u32,
        }
    }
}

/// Frames that are dealt out together, and buffers that they may stand in.
const MOST_FRAMES: usize = 1024;
const MOST_BUFFERS: usize = 12;
/// What each of the others gets, and what the own one.
const OTHERS_SHARE: usize = 8;
const OWN_SHARE: usize = 6;
/// Batches that may wait, for each shard.
const MOST_BATCHES: usize = 4;
