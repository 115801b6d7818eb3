//! Packets as they pass: in come names of interfaces, out come batches of frames, from a thread of its own.
//!
//! ```text
//!  kernel                capture thread                                    the thread that analyses
//!  ring per handle ──►  poll ─ dispatch ─┬─ one handle: as they come ─┬─► bounded channel ─► Live::next
//!  (TPACKET_V3)          ▲               └─ several: by time, held    ┘                          │
//!                        │                  back a little                 emptied buffers ◄── Batch dropped
//!                        └─ wake-up: stop, another filter
//! ```
//!
//! Opening and starting are two steps, so that privileges can be given up between them, while there is one thread:
//! [`Live::open`], `privileges::drop`, [`Opened::start`]. Nothing after the first step needs a privilege.
//!
//! Where the analysis is slower than the network, the buffers run out, the capture thread waits, the ring fills, and the
//! kernel drops and counts: see [`Counters`]. Immediate mode is never used: libpcap then falls back to TPACKET_V2, which
//! costs an order of magnitude more and slows down the very server that is looked at. So frames arrive up to 0.2 s late; where
//! there are many, up to 0.3 s: who analyses them is woken ten times a second, and once for every batch that is full.

mod batch;
mod collector;
mod counters;
mod handle;
mod interfaces;
mod order;
mod socket_filter;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

pub use batch::{Batch, Frames};
pub use counters::Counters;
pub use interfaces::{Listed, State, list_interfaces};

use self::batch::Buffer;
use self::collector::Collector;
use self::handle::Handle;
use super::{Error, filter};
use crate::limits;
use crate::wire::link::LinkType;

/// What to capture, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of interfaces; `any` is all of them. A name that comes twice counts once.
    pub interfaces: Vec<String>,
    /// Octets kept of a frame. More than the headers of a request costs memory and time.
    pub snaplen: u32,
    /// Size of the kernel's ring in octets, for each interface.
    pub buffer: u32,
    /// Whether frames for other hosts are wanted too. Never done on `any`, where the kernel cannot.
    pub promiscuous: bool,
    /// What the kernel hands over, as an expression in libpcap's language; `None` for everything.
    pub filter: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { interfaces: Vec::new(), snaplen: 2048, buffer: 32 << 20, promiscuous: true, filter: None }
    }
}

/// An interface that is captured on. Its place in the list is the number that [`Captured::interface`] says.
///
/// [`Captured::interface`]: crate::flow::steer::Captured::interface
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name; `any` for all of them.
    pub name: String,
    /// The link type of its frames.
    pub link: LinkType,
}

/// Interfaces that are open, with the filter set, and collect frames in their rings. Memory: the rings.
pub struct Opened {
    handles: Vec<Handle>,
    interfaces: Vec<Interface>,
}

impl Opened {
    /// What was opened, in the order of the options.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Starts the capture thread. Frames that came since the interfaces were opened are not lost.
    ///
    /// # Errors
    ///
    /// Where the system has no thread or descriptor left.
    pub fn start(self) -> Result<Live, Error> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map_err(|error| Error::CaptureThread(io::Error::from(error)))?;
        let shared = Arc::new(Shared {
            wake,
            stop: AtomicBool::new(false),
            filter: Mutex::new(None),
            counters: Mutex::new(vec![Counters::default(); self.handles.len()]),
        });
        let (deliver, deliveries) = sync_channel(limits::LIVE_BATCHES);
        let (home, empty) = channel();
        for _ in 0..limits::LIVE_BATCHES {
            // The receiver is right here.
            let _ = home.send(Buffer::default());
        }
        let collector = Collector::new(self.handles, Arc::clone(&shared), deliver, empty);
        thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || collector.run())
            .map_err(Error::CaptureThread)?;
        Ok(Live { interfaces: self.interfaces, shared, deliveries, home, delivered: 0, ended: None })
    }
}

/// A running capture. Dropping it ends the capture thread; what was not taken is lost then. Memory: 5 MiB at most, and
/// with several interfaces up to 32 MiB more under load.
pub struct Live {
    interfaces: Vec<Interface>,
    shared: Arc<Shared>,
    deliveries: Receiver<Delivery>,
    /// Where batches send their buffers when they are dropped.
    home: Sender<Buffer>,
    delivered: u64,
    ended: Option<Ended>,
}

impl Live {
    /// Opens the interfaces and sets the filter. What they need of privileges, they need here only.
    ///
    /// # Errors
    ///
    /// Where there is no such interface, it is down, capturing is not permitted, or the expression means nothing there.
    pub fn open(options: &Options) -> Result<Opened, Error> {
        let mut names: Vec<&str> = Vec::new();
        for name in &options.interfaces {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        if names.is_empty() {
            return Err(Error::NoInterfaceNamed);
        }
        let handles = (0_u16..).zip(&names).map(|(index, name)| Handle::open(name, index, options));
        let handles = handles.collect::<Result<Vec<_>, _>>()?;
        let interfaces = handles.iter().map(Handle::interface).collect();
        Ok(Opened { handles, interfaces })
    }

    /// The interfaces, in the order of the options. Those that are gone keep their place.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// What comes next, waiting `timeout` for it at most. After [`Next::Ended`] it says so again.
    pub fn next(&mut self, timeout: Duration) -> Next {
        if let Some(ended) = &self.ended {
            return Next::Ended(ended.clone());
        }
        match self.deliveries.recv_timeout(timeout) {
            Ok(Delivery::Frames(buffer)) => {
                let first = self.delivered + 1;
                self.delivered += buffer.len() as u64;
                Next::Batch(Batch::new(buffer, first, self.home.clone()))
            }
            Ok(Delivery::Notice(notice)) => Next::Notice(notice),
            Ok(Delivery::Ended(ended)) => self.end(ended),
            Err(RecvTimeoutError::Timeout) => Next::Idle,
            Err(RecvTimeoutError::Disconnected) => self.end(Ended::Failed),
        }
    }

    /// Replaces the filter on every interface, without waiting: it takes effect within microseconds, after the frames
    /// that the ring holds were read. What both filters want is not missed meanwhile.
    ///
    /// # Errors
    ///
    /// Where it has more words than [`limits::LIVE_FILTER_WORDS`], libpcap cannot compile it for one of the interfaces, or the
    /// kernel would not take so long a program; then the old filter stays on all of them. What the kernel itself refuses comes
    /// as [`Notice::FilterRefused`].
    pub fn refilter(&self, expression: String) -> Result<(), Error> {
        let words = expression.split_whitespace().count();
        if words > limits::LIVE_FILTER_WORDS {
            return Err(Error::LongFilter { words, most: limits::LIVE_FILTER_WORDS });
        }
        for interface in &self.interfaces {
            filter::check_live(&expression, interface)?;
        }
        *lock(&self.shared.filter) = Some(expression);
        self.shared.wake();
        Ok(())
    }

    /// Something that ends the capture from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Ends the capture: what was captured until now is still delivered, then [`Next::Ended`]. Takes 0.22 s on an idle
    /// link, for only after that the kernel has handed over a block which it had begun to fill.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Counters for each interface, not older than a second, and exact once the capture has ended.
    #[must_use]
    pub fn counters(&self) -> Vec<Counters> {
        lock(&self.shared.counters).clone()
    }

    fn end(&mut self, ended: Ended) -> Next {
        self.ended = Some(ended.clone());
        Next::Ended(ended)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// Ends a capture from another thread, or from a signal's task.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// As [`Live::stop`].
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// What [`Live::next`] has.
#[derive(Debug)]
pub enum Next {
    /// Frames, numbered on from those before.
    Batch(Batch),
    /// Something happened to an interface. Frames that it gave before may still follow.
    Notice(Notice),
    /// Nothing came within the time.
    Idle,
    /// Nothing will come any more.
    Ended(Ended),
}

/// What happened to an interface, by its index. `Display` is a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Notice {
    /// It is no longer there, or can no longer be read. The others go on.
    #[error("{name}: capturing ended: {reason}")]
    Gone {
        /// Its index.
        interface: usize,
        /// Its name.
        name: String,
        /// What happened.
        reason: String,
    },
    /// It was taken down. Should it come up, its frames come again.
    #[error("{name}: the interface is down; its packets are seen again once it is up")]
    Down {
        /// Its index.
        interface: usize,
        /// Its name.
        name: String,
    },
    /// Another filter could not be set, and the old one stands.
    #[error("{name}: the filter could not be replaced, the one before stays: {reason}")]
    FilterRefused {
        /// Its index.
        interface: usize,
        /// Its name.
        name: String,
        /// What the system says.
        reason: String,
    },
}

/// Why a capture ended. `Display` is a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It was told to.
    #[error("stopped")]
    Stopped,
    /// Every interface is gone.
    #[error("no interface is left to capture on")]
    NoInterfaceLeft,
    /// The capture thread died, which is a defect of this program.
    #[error("the capture thread ended unexpectedly")]
    Failed,
}

enum Delivery {
    Frames(Buffer),
    Notice(Notice),
    Ended(Ended),
}

/// What both threads look at.
struct Shared {
    /// Readable when one of the two below has changed.
    wake: OwnedFd,
    stop: AtomicBool,
    filter: Mutex<Option<String>>,
    counters: Mutex<Vec<Counters>>,
}

impl Shared {
    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // Fails only where the count is at its limit, and then it is readable.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// What a poisoned lock guards here is whole all the same: it is replaced, never changed in steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
