//! The two halves of an analysis side by side: what turns frames into events in the thread that reads, what turns events
//! into a report in another one. In between go batches; emptied ones go back.
//!
//! ```text
//!   frames -> Below --- full batches, a few at most --> Above -> report
//!                   <-- empty ones -------------------
//! ```

use std::sync::mpsc::{self, SendError, TrySendError};
use std::thread;

use crate::analysis::{Above, Analysis, Below, Learner};
use crate::capture::Stretch;
use crate::event::Event;
use crate::flow::steer::Captured;
use crate::report::Report;
use crate::wire::tls::keylog::Entry;

/// What takes what is read.
pub(super) trait Feed {
    /// Takes the frame at hand of a stretch.
    fn take(&mut self, captured: &Captured<'_>, stretch: &Stretch<'_>);

    /// Takes secrets of TLS connections.
    fn learn(&mut self, secrets: &[Entry]);
}

/// The lower half, and the way to the upper one.
pub(super) struct Lower<'r> {
    below: Below,
    full: mpsc::SyncSender<Vec<Event>>,
    empty: mpsc::Receiver<Vec<Event>>,
    learner: Learner<'r>,
}

/// Gives an analysis all that `read` feeds it.
pub(super) fn run<'r>(analysis: Analysis<'r>, read: impl FnOnce(&mut Lower<'r>)) -> Report {
    let (below, above) = analysis.halves();
    let (full, batches) = mpsc::sync_channel(MOST_BATCHES);
    let (emptied, empty) = mpsc::channel();
    thread::scope(|scope| {
        let learner = above.learner();
        let above = scope.spawn(move || judge(above, &batches, &emptied));
        let mut feed = Lower { below, full, empty, learner };
        read(&mut feed);
        while feed.below.end() {
            feed.pass_on();
        }
        feed.pass_on();
        let Lower { below, full, learner, .. } = feed;
        drop(full);
        while learner.help() {}
        match above.join() {
            Ok(above) => above.finish(&below.passed()),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn judge<'r>(
    mut above: Above<'r>,
    batches: &mpsc::Receiver<Vec<Event>>,
    emptied: &mpsc::Sender<Vec<Event>>,
) -> Above<'r> {
    for mut events in batches {
        above.take(events.drain(..));
        // Who reads may have come to its end.
        let _ = emptied.send(events);
    }
    above
}

/// Both halves in one thread.
impl Feed for Analysis<'_> {
    #[inline(always)] // Nearly all is decided by what is at hand where it reads.
    fn take(&mut self, captured: &Captured<'_>, _: &Stretch<'_>) {
        Self::take(self, captured);
    }

    fn learn(&mut self, secrets: &[Entry]) {
        Self::learn(self, secrets);
    }
}

impl Feed for Lower<'_> {
    #[inline(always)] // Nearly all is decided by what is at hand where it reads.
    fn take(&mut self, captured: &Captured<'_>, _: &Stretch<'_>) {
        self.below.take(captured);
        if self.below.events().len() >= BATCH {
            self.pass_on();
        }
    }

    fn learn(&mut self, secrets: &[Entry]) {
        self.below.learn(secrets);
    }
}

impl Lower<'_> {
    #[cold]
    fn pass_on(&mut self) {
        let mut events = self.empty.try_recv().unwrap_or_default();
        events.reserve(BATCH * 2);
        std::mem::swap(self.below.events(), &mut events);
        send_or_learn(&self.full, events, &self.learner);
    }
}

/// Sends to a thread that may not be ready for it. Meanwhile there is what can be learned for it.
pub(super) fn send_or_learn<T>(way: &mpsc::SyncSender<T>, item: T, learner: &Learner<'_>) {
    let mut unsent = way.try_send(item);
    while let Err(TrySendError::Full(item)) = unsent {
        unsent = match learner.help() {
            true => way.try_send(item),
            false => way.send(item).map_err(|SendError(item)| TrySendError::Disconnected(item)),
        };
    }
    // Nobody takes it where a thread panicked, and then its panic is passed on at the end.
}

/// Events that are passed on together: some hundred KB, as much as stays near both processors. Each time that one thread has
/// waited for the other it has to be woken, which costs as much as tens of events.
const BATCH: usize = 2048;
/// Batches that may wait.
const MOST_BATCHES: usize = 2;
