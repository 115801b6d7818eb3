//! One interface: in comes its name, out come its frames, appended to a buffer. All that is asked of libpcap while
//! capturing is asked here.

use std::os::fd::{AsFd, BorrowedFd};

use pcap::{Active, Capture, Linktype, Precision, Stat};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use rustix::thread::CapabilitySet;

use super::batch::{Buffer, Level};
use super::{Interface, Options, interfaces, socket_filter};
use crate::capture::Error;
use crate::capture::filter;
use crate::limits;
use crate::time::Timestamp;
use crate::wire::link::LinkType;

/// An interface that frames are read from.
pub(super) struct Handle {
    capture: Capture<Active>,
    name: String,
    index: u16,
    link: LinkType,
    snaplen: u32,
}

/// Why nothing could be read.
pub(super) enum Trouble {
    /// The interface was taken down.
    Down,
    /// It is no longer there, or something else; for the operator.
    Gone(String),
}

impl Handle {
    /// Opens the interface `name`: not blocking, TPACKET_V3, nanoseconds, and as the options say.
    pub(super) fn open(name: &str, index: u16, options: &Options) -> Result<Self, Error> {
        let refused = |error| refusal(name, &error);
        let capture = Capture::from_device(name)
            .map_err(refused)?
            .timeout(TIMEOUT_MS)
            .snaplen(i32::try_from(options.snaplen).unwrap_or(i32::MAX))
            .buffer_size(i32::try_from(options.buffer).unwrap_or(i32::MAX))
            .promisc(options.promiscuous && name != interfaces::ANY)
            .precision(Precision::Nano)
            .open()
            .map_err(refused)?;
        let mut capture = capture.setnonblock().map_err(refused)?;
        if name == interfaces::ANY {
            // Where it cannot be had, version 1 lacks the interface's index only.
            let _ = capture.set_datalink(Linktype(i32::from(LinkType::LINUX_SLL2.0)));
        }
        let link = link_type(capture.get_datalink());
        let mut handle = Self { capture, name: name.to_owned(), index, link, snaplen: options.snaplen };
        if let Some(expression) = &options.filter {
            filter::check_live(expression, &handle.interface())?;
            handle.filter(expression).map_err(|cause| Error::InterfaceFilter {
                interface: name.to_owned(),
                expression: expression.clone(),
                cause,
            })?;
        }
        // What passes on loopback comes twice otherwise, which costs time alone.
        let _ = handle.refilter(options.filter.as_deref().unwrap_or_default());
        Ok(handle)
    }

    pub(super) fn interface(&self) -> Interface {
        Interface { name: self.name.clone(), link: self.link }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Appends what the ring holds until `buffer` is full to `level`, and says how many frames these were. 0 where the ring has no
    /// block that is complete.
    pub(super) fn read(&mut self, buffer: &mut Buffer, level: Level) -> Result<usize, Trouble> {
        let mut read = 0;
        loop {
            let room = buffer.room(level, self.snaplen);
            if room == 0 {
                return Ok(read);
            }
            let (index, link) = (self.index, self.link);
            let done = self.capture.dispatch(Some(room), |packet| {
                let stamp = packet.header.ts;
                // The fraction is in nanoseconds, as asked for.
                let at = Timestamp::from_nanos(stamp.tv_sec * 1_000_000_000 + stamp.tv_usec);
                buffer.push(at, index, link, packet.header.len, packet.data);
            });
            match done {
                Ok(0) => return Ok(read),
                Ok(frames) => read += frames,
                // The trouble comes again if it lasts.
                Err(_) if read > 0 => return Ok(read),
                Err(error) => return Err(self.trouble(&error)),
            }
        }
    }

    /// Replaces the filter in the kernel by another one. No packet passes unseen meanwhile, but for filters on what the
    /// kernel does not know of cooked frames: those libpcap runs.
    pub(super) fn refilter(&mut self, expression: &str) -> Result<(), String> {
        let program = self.capture.compile(expression, true).map_err(|error| filter::message(&error))?;
        match socket_filter::attach(self, self.link, &program) {
            Ok(true) => Ok(()),
            Ok(false) => self.filter(expression),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sets a filter, in the kernel if it can run it.
    fn filter(&mut self, expression: &str) -> Result<(), String> {
        self.capture.filter(expression, true).map_err(|error| filter::message(&error))
    }

    /// libpcap's counters; `None` where it has none any more.
    pub(super) fn stats(&mut self) -> Option<Stat> {
        self.capture.stats().ok()
    }

    /// What an interface suffers from which is silent.
    #[cold]
    pub(super) fn absence(&self) -> Trouble {
        match exists(&self.name) {
            Some(false) => Trouble::Gone("the interface was removed".to_owned()),
            _ => Trouble::Down,
        }
    }

    #[cold]
    fn trouble(&self, error: &pcap::Error) -> Trouble {
        let message = filter::message(error);
        match self.absence() {
            Trouble::Down if !message.contains("went down") => Trouble::Gone(message),
            trouble => trouble,
        }
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.capture.as_fd()
    }
}

/// libpcap numbers some link types otherwise than files do (`DLT_` and `LINKTYPE_`).
fn link_type(data_link: Linktype) -> LinkType {
    match data_link.0 {
        12 => LinkType::RAW,
        // Numbers of link types have 16 bits in files.
        number => LinkType(number as u16),
    }
}

/// Why an interface could not be opened.
#[cold]
fn refusal(name: &str, error: &pcap::Error) -> Error {
    let cause = filter::message(error);
    let name = name.to_owned();
    if name != interfaces::ANY && exists(&name) == Some(false) {
        let hint = interfaces::hint(&name);
        return Error::NoInterface { name, hint };
    }
    if !may_capture() {
        let program =
            std::env::current_exe().map_or_else(|_| "netwatch502".to_owned(), |path| path.display().to_string());
        return Error::CapturePermission { name, program };
    }
    if cause.contains("not up") || interfaces::is_down(&name) {
        return Error::InterfaceDown { name };
    }
    Error::Interface { name, cause }
}

/// Whether this network namespace has an interface of this name; `None` where it cannot be told.
pub(super) fn exists(name: &str) -> Option<bool> {
    let asked = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    match netdevice::name_to_index(asked, name) {
        Ok(_) => Some(true),
        Err(rustix::io::Errno::NODEV | rustix::io::Errno::INVAL | rustix::io::Errno::NXIO) => Some(false),
        Err(_) => None,
    }
}

/// Whether the kernel lets this process open a packet socket.
fn may_capture() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_RAW))
}

/// Milliseconds after which the kernel hands over a block that is not full.
const TIMEOUT_MS: i32 = 100;

const _: () = assert!(limits::LIVE_HOLD_BACK.as_millis() > 2 * TIMEOUT_MS as u128);
