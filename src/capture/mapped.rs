//! Parts of a file that are mapped into memory: of packets of which most octets are never looked at, those need not be copied.
//!
//! What a file had when it was mapped may be gone when it is looked at: a ring begins anew in a file that is being read, a disk
//! fails. Then the kernel sends SIGBUS. The page that is missing becomes one of zeros, and the part tells that it is not whole.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::mm::{self, MapFlags, ProtFlags};
use rustix::param;

/// A part of a file.
pub(super) struct Mapped {
    place: &'static Place,
    begin: usize,
    octets: usize,
}

/// Where one of the parts is, for who gets the signal: he may not wait for a lock.
struct Place {
    is_taken: AtomicBool,
    /// Zero while there is none.
    begin: AtomicUsize,
    octets: AtomicUsize,
    is_broken: AtomicBool,
}

impl Mapped {
    /// Maps the part that begins at an offset, which must be a multiple of [`page`].
    ///
    /// # Errors
    ///
    /// Where the system cannot, or there are as many parts as there may be.
    pub(super) fn new(file: &File, at: u64, octets: usize) -> io::Result<Self> {
        if !*LISTENING.get_or_init(listen) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let place = PLACES.iter().find(|place| !place.is_taken.swap(true, Ordering::AcqRel));
        let Some(place) = place else { return Err(io::ErrorKind::QuotaExceeded.into()) };
        match map(file, at, octets) {
            Ok(begin) => {
                place.is_broken.store(false, Ordering::Relaxed);
                place.octets.store(octets, Ordering::Relaxed);
                place.begin.store(begin, Ordering::Release);
                Ok(Self { place, begin, octets })
            }
            Err(error) => {
                place.is_taken.store(false, Ordering::Release);
                Err(error)
            }
        }
    }

    /// Whether octets that were looked at were gone, and are zeros instead.
    pub(super) fn is_broken(&self) -> bool {
        self.place.is_broken.load(Ordering::Acquire)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    #[inline]
    #[expect(unsafe_code, reason = "the slice lies in pages that stay mapped, to be read, as long as this lives")]
    fn deref(&self) -> &[u8] {
        // SAFETY: `map` gave so many octets from `begin` on, which `drop` alone takes away. That somebody may write to the file
        // meanwhile is as with a buffer that is read into twice: octets are taken for what they are, each time they are looked at.
        unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance(self.begin), self.octets) }
    }
}

impl Drop for Mapped {
    #[expect(unsafe_code, reason = "nobody has a slice of it any more")]
    fn drop(&mut self) {
        self.place.begin.store(0, Ordering::Release);
        // SAFETY: these pages were mapped by `map` for this part, and slices of them borrow it.
        let unmapped = unsafe { mm::munmap(ptr::with_exposed_provenance_mut(self.begin), self.octets) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        self.place.is_taken.store(false, Ordering::Release);
    }
}

/// Octets of a page.
pub(super) fn page() -> usize {
    param::page_size()
}

#[expect(unsafe_code, reason = "new pages where nothing is")]
fn map(file: &File, at: u64, octets: usize) -> io::Result<usize> {
    // SAFETY: the kernel chooses addresses at which nothing is.
    let begin = unsafe { mm::mmap(ptr::null_mut(), octets, ProtFlags::READ, MapFlags::SHARED, file.as_fd(), at)? };
    Ok(begin.expose_provenance())
}

/// From now on a page that is missing in a part becomes one of zeros. False where the system does not allow that.
#[expect(unsafe_code, reason = "there is no safe way to handle this signal")]
fn listen() -> bool {
    // SAFETY: all of the structure is set, zero where it is not named; the handler has the signature that SA_SIGINFO asks for, and
    // does nothing but what signal-safety(7) allows.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = (on_missing_page as extern "C" fn(_, _, _)) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) == 0
    }
}

#[expect(unsafe_code, reason = "system calls that signal-safety(7) allows, on pages of this program alone")]
extern "C" fn on_missing_page(_: libc::c_int, told: *const libc::siginfo_t, _: *const libc::c_void) {
    // SAFETY: the kernel gives the structure of this signal, which has an address.
    let address = unsafe { (*told).si_addr() }.addr();
    for place in &PLACES {
        let begin = place.begin.load(Ordering::Acquire);
        let is_here =
            begin != 0 && address.checked_sub(begin).is_some_and(|at| at < place.octets.load(Ordering::Relaxed));
        if is_here {
            place.is_broken.store(true, Ordering::Release);
            let page = page();
            let flags = MapFlags::PRIVATE | MapFlags::FIXED;
            // SAFETY: the page is one of a part of a file, of which slices are read only; it stays mapped.
            let filled = unsafe {
                mm::mmap_anonymous(
                    ptr::with_exposed_provenance_mut(address & !(page - 1)),
                    page,
                    ProtFlags::READ,
                    flags,
                )
            };
            if filled.is_ok() {
                return;
            }
        }
    }
    // Of any other the program ends, as it would have.
    // SAFETY: both are allowed in a handler; what faulted is run again, and ends the program.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
    }
}

static LISTENING: OnceLock<bool> = OnceLock::new();

static PLACES: [Place; MOST_PARTS] = [const {
    Place {
        is_taken: AtomicBool::new(false),
        begin: AtomicUsize::new(0),
        octets: AtomicUsize::new(0),
        is_broken: AtomicBool::new(false),
    }
}; MOST_PARTS];

/// Parts that are mapped at a time.
const MOST_PARTS: usize = 256;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(octets: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(octets).unwrap();
        file
    }

    #[test]
    fn a_part_is_what_the_file_has_there() {
        let octets: Vec<u8> = (0..3 * page() + 11).map(|at| (at ^ (at >> 8)) as u8).collect();
        let file = file(&octets);
        for (page_number, length) in [(0, octets.len()), (1, page()), (3, 11)] {
            let at = page_number * page();
            let mapped = Mapped::new(file.as_file(), at as u64, length).unwrap();
            assert!(*mapped == octets[at..at + length] && !mapped.is_broken());
        }
    }

    #[test]
    fn what_is_gone_is_zeros_and_said_to_be() {
        let (whole, cut) = (file(&vec![7; 4 * page()]), file(&vec![7; 4 * page()]));
        let whole = Mapped::new(whole.as_file(), 0, 4 * page()).unwrap();
        let mapped = Mapped::new(cut.as_file(), 0, 4 * page()).unwrap();
        cut.as_file().set_len(page() as u64).unwrap();
        assert!(mapped[..page()].iter().all(|octet| *octet == 7) && !mapped.is_broken());
        assert!(mapped[page()..].iter().all(|octet| *octet == 0) && mapped.is_broken());
        assert!(whole.iter().all(|octet| *octet == 7) && !whole.is_broken());
        drop(mapped);
        // Its place is taken by the next one, which is whole.
        let again = Mapped::new(cut.as_file(), 0, page()).unwrap();
        assert!(again.iter().all(|octet| *octet == 7) && !again.is_broken());
    }
}
