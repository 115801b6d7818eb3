//! Giving up what a capture needs no longer once it is open: in come the files that are still to be written, out comes
//! what was given up. Packets come from strangers; what reads them should be able to do nothing but read and report.
//!
//! All of it is a matter of threads on Linux, and threads begin with what their creator has. So the order is: open the
//! interfaces, and whatever listens or is written at once; give up; then start threads.
//!
//! ```text
//! bounding set ─► groups, group, user ─► capabilities ─► no_new_privs ─► Landlock ─► looked at again
//!  (needs           (needs CAP_SET*)                      (Landlock needs it)
//!   CAP_SETPCAP)
//! ```

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{Gid, Uid, geteuid, getuid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// What stays possible.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Files to be written, replaced or removed later: their directories stay writable, and nothing else does. What is open
    /// already, or a terminal, stays writable whatever stands here.
    pub write: Vec<PathBuf>,
    /// Files to be read later, besides what the system's libraries need for names and counters.
    pub read: Vec<PathBuf>,
}

/// A user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// How far Landlock holds. It forbids to write elsewhere, to read what is not needed, to run programs, to connect by TCP and
/// to bind TCP ports; what listens already goes on to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// All of it.
    Full,
    /// What this kernel knows of it.
    Partial,
    /// The kernel has no Landlock, or it is switched off.
    Absent,
}

/// What was given up. `Display` is a line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Who the process is now, where that changed.
    pub identity: Option<Identity>,
    /// Whether even a program with capabilities of its own could gain none (the bounding set is empty).
    pub bounded: bool,
    /// How far Landlock holds.
    pub landlock: Landlock,
}

/// Why privileges could not be given up. Going on would be careless.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Other threads would keep theirs.
    #[error("privileges cannot be given up: {0} threads run already, and each would keep its own")]
    Threads(usize),
    /// The system refused a step.
    #[error(
        "privileges cannot be given up: {step}: {cause}; run it as an ordinary user, with capabilities set by setcap"
    )]
    Step {
        /// Which step.
        step: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// A directory to be written to is not there.
    #[error("{}: files cannot be written there: {cause}; make the directory first, or name another one", path.display())]
    Path {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// Landlock is there, and failed.
    #[error("privileges cannot be given up: Landlock: {0}")]
    Landlock(#[from] RulesetError),
    /// The kernel says that something is left.
    #[error("privileges cannot be given up: {0} is still there")]
    Left(&'static str),
}

/// Who [`drop`] will become: where the process is root, the user who called sudo, else who owns the directory that is to be
/// written to, if that is not root, else nobody; `None` where it is not root. Files that are opened before can be handed
/// over.
#[must_use]
pub fn identity(kept: &Kept) -> Option<Identity> {
    if !geteuid().is_root() {
        return None;
    }
    let owner = kept.write.iter().find_map(|path| {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let metadata = fs::metadata(directory).ok()?;
        (metadata.uid() != 0).then(|| Identity { uid: metadata.uid(), gid: metadata.gid() })
    });
    let caller = |name: &str| env::var(name).ok()?.parse().ok().filter(|id| *id != 0 && *id != u32::MAX);
    Some(match (caller("SUDO_UID"), caller("SUDO_GID"), getuid()) {
        (Some(uid), gid, _) => Identity { uid, gid: gid.unwrap_or(NOBODY) },
        (None, _, real) if !real.is_root() => Identity { uid: real.as_raw(), gid: NOBODY },
        _ => owner.unwrap_or(Identity { uid: NOBODY, gid: NOBODY }),
    })
}

/// Gives up user, groups and capabilities, and confines the process. There is no way back.
///
/// # Errors
///
/// Where the process has several threads, a step fails, or the kernel says afterwards that something is left. Landlock
/// alone may be absent or partial.
pub fn drop(kept: &Kept) -> Result<Dropped, Error> {
    // Without /proc it cannot be told, and what is checked at the end holds for this thread.
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(Error::Threads(threads));
    }
    // While directories can still be opened.
    let rules = rules(kept)?;
    let identity = identity(kept);
    let bounded = empty_bounding_set();
    if let Some(Identity { uid, gid }) = identity {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::thread::set_thread_groups(&[]).map_err(step("setgroups"))?;
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(step("setresgid"))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(step("setresuid"))?;
    }
    rustix::thread::clear_ambient_capability_set().map_err(step("ambient capabilities"))?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(step("capset"))?;
    rustix::thread::set_no_new_privs(true).map_err(step("no_new_privs"))?;
    let landlock = match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::Absent,
    };
    look_again()?;
    Ok(Dropped { identity, bounded, landlock })
}

/// Takes every capability out of the bounding set, which needs CAP_SETPCAP. Says whether it is empty.
fn empty_bounding_set() -> bool {
    let mut empty = true;
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::capability_is_in_bounding_set(capability) {
            Ok(true) => empty &= rustix::thread::remove_capability_from_bounding_set(capability).is_ok(),
            Ok(false) => {}
            // The kernel knows no more of them.
            Err(_) => break,
        }
    }
    empty
}

/// Landlock's rules, not yet in force.
fn rules(kept: &Kept) -> Result<RulesetCreated, Error> {
    let write = AccessFs::from_read(KNOWN) & !AccessFs::Execute
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    for path in &kept.write {
        let directory = directory(path);
        let opened = PathFd::new(directory)
            .map_err(|error| Error::Path { path: directory.to_owned(), cause: reason(&error) })?;
        rules = rules.add_rule(PathBeneath::new(opened, write))?;
    }
    let system = NEEDED.iter().map(Path::new);
    for path in system.chain(kept.read.iter().map(PathBuf::as_path)) {
        // What is not there need not be readable.
        let Ok(opened) = PathFd::new(path) else { continue };
        let access: BitFlags<AccessFs> = if path.is_dir() { read } else { AccessFs::ReadFile.into() };
        rules = rules.add_rule(PathBeneath::new(opened, access))?;
    }
    Ok(rules)
}

/// Where a file lies.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn reason(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

fn step(step: &'static str) -> impl FnOnce(rustix::io::Errno) -> Error {
    move |cause| Error::Step { step, cause: cause.into() }
}

/// Asks the kernel what is left.
fn look_again() -> Result<(), Error> {
    let sets = rustix::thread::capabilities(None).map_err(step("capget"))?;
    let left = sets.effective | sets.permitted | sets.inheritable;
    if !left.is_empty() {
        return Err(Error::Left("a capability"));
    }
    if geteuid().is_root() || getuid().is_root() {
        return Err(Error::Left("the user root"));
    }
    if !rustix::thread::no_new_privs().map_err(step("no_new_privs"))? {
        return Err(Error::Left("the right to gain privileges"));
    }
    Ok(())
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.identity {
            Some(Identity { uid, gid }) => write!(f, "now user {uid}, group {gid}, ")?,
            None => f.write_str("user unchanged, ")?,
        }
        f.write_str("no capabilities")?;
        if !self.bounded {
            f.write_str(" (bounding set not empty)")?;
        }
        f.write_str(", no_new_privs, ")?;
        f.write_str(match self.landlock {
            Landlock::Full => "confined by Landlock",
            Landlock::Partial => "confined by Landlock as far as this kernel has it",
            Landlock::Absent => "not confined: this kernel has no Landlock",
        })
    }
}

/// The version of Landlock whose rules are asked for; older kernels enforce what they have (Linux 6.12).
const KNOWN: ABI = ABI::V6;

/// The kernel's overflow user and group, which own nothing; `nobody` and `nogroup` on Debian.
const NOBODY: u32 = 65534;

/// What is read while running: counters of interfaces and of the process, and what libpcap and the C library need to look
/// up names.
const NEEDED: [&str; 8] = ["/proc", "/sys", "/etc", "/usr", "/lib", "/lib64", "/run/systemd/resolve", "/dev/null"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_directory_is_where_it_lies() {
        for (path, expected) in [("a.pcapng", "."), ("d/a.pcapng", "d"), ("/a", "/"), ("/", "/"), ("../x/y", "../x")] {
            assert_eq!(directory(Path::new(path)), Path::new(expected));
        }
    }

    #[test]
    fn what_was_given_up_is_one_line() {
        let dropped =
            Dropped { identity: Some(Identity { uid: 1000, gid: 100 }), bounded: true, landlock: Landlock::Full };
        assert_eq!(
            dropped.to_string(),
            "now user 1000, group 100, no capabilities, no_new_privs, confined by Landlock"
        );
    }

    #[test]
    fn a_process_with_threads_keeps_its_privileges() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv().is_err());
        assert!(matches!(super::drop(&Kept::default()), Err(Error::Threads(2..))));
        std::mem::drop(release);
        assert!(thread.join().unwrap());
    }
}
