//! What keeps a run from starting, as sentences for the operator.

use std::io;

use thiserror::Error;

/// Why the inputs cannot be read, or the filter expression not be used: what failed, on what, what to try.
#[derive(Debug, Error)]
pub enum Error {
    /// Nothing to read.
    #[error("no input: name one or more capture files, or - for standard input")]
    NoInput,
    /// More inputs than frames can be numbered for.
    #[error("{0} inputs: no more than 65536 can be read at once; merge some with mergecap first")]
    TooMany(usize),
    /// A name without a file.
    #[error("{name}: no such file")]
    NotFound {
        /// The name as given.
        name: String,
    },
    /// A pattern without a file.
    #[error("{pattern}: no file matches this pattern")]
    EmptyPattern {
        /// The pattern as given.
        pattern: String,
    },
    /// A file that may not be read.
    #[error("{name}: permission denied; run as a user who may read it, or pipe it in: sudo cat {name} | netwatch502 -")]
    PermissionDenied {
        /// The name as given.
        name: String,
    },
    /// A directory.
    #[error("{name}: is a directory; name the capture files in it, for example '{}/*.pcap'", name.trim_end_matches('/'))]
    Directory {
        /// The name as given.
        name: String,
    },
    /// Any other failure of the system.
    #[error("{name}: cannot be read: {cause}")]
    Unreadable {
        /// The name as given.
        name: String,
        /// What the system says.
        cause: io::Error,
    },
    /// Not pcap or pcapng.
    #[error("{name}: not a capture file: {found}")]
    NotACapture {
        /// The name as given.
        name: String,
        /// What it is instead, and what to do about it.
        found: String,
    },
    /// A filter expression that libpcap does not accept.
    #[error("filter '{expression}': {cause}; the syntax is that of tcpdump, see pcap-filter(7)")]
    Filter {
        /// The expression as given.
        expression: String,
        /// libpcap's message.
        cause: String,
    },
    /// A filter expression that only the kernel of the capturing host could answer.
    #[error(
        "filter '{expression}': '{word}' can only be answered while capturing, a file would never match; \
         name addresses instead, for example 'src host 192.0.2.1'"
    )]
    LiveFilter {
        /// The expression as given.
        expression: String,
        /// The word in it.
        word: String,
    },
    /// A pipe or a device as the key log of a live run.
    #[error("{name}: a key log that is read while capturing must be a file, which the program appends to")]
    GrowingKeyLog {
        /// The name as given.
        name: String,
    },
    /// No interface to capture on.
    #[error("no interface: name one with -i, for example -i any")]
    NoInterfaceNamed,
    /// A name that no interface has.
    #[error("{name}: no such interface; {hint}")]
    NoInterface {
        /// The name as given.
        name: String,
        /// Names that there are.
        hint: String,
    },
    /// The kernel does not let this user capture.
    #[error(
        "{name}: capturing is not permitted; run it with sudo, or permit it once: \
         sudo setcap cap_net_raw,cap_net_admin=eip {program}"
    )]
    CapturePermission {
        /// The interface.
        name: String,
        /// The path of this program.
        program: String,
    },
    /// An interface that is down.
    #[error("{name}: the interface is down; take it up first: sudo ip link set {name} up")]
    InterfaceDown {
        /// The interface.
        name: String,
    },
    /// An interface that cannot be captured on for another reason.
    #[error("{name}: cannot capture: {cause}")]
    Interface {
        /// The interface.
        name: String,
        /// libpcap's message.
        cause: String,
    },
    /// A filter expression that an interface cannot be asked.
    #[error("filter '{expression}': cannot be used on {interface}: {cause}")]
    InterfaceFilter {
        /// The interface.
        interface: String,
        /// The expression as given.
        expression: String,
        /// libpcap's message.
        cause: String,
    },
    /// A filter expression that would take too long to compile while packets pass.
    #[error("the filter has {words} words, and {most} are the most that libpcap compiles in time while capturing")]
    LongFilter {
        /// Words that it has.
        words: usize,
        /// Words that it may have.
        most: usize,
    },
    /// libpcap cannot say what interfaces there are.
    #[error("the interfaces cannot be listed: {0}")]
    ListInterfaces(String),
    /// There is no thread or descriptor left to capture with.
    #[error("capturing cannot start: {0}")]
    CaptureThread(io::Error),
}

impl Error {
    /// The error that opening or reading `name` met.
    pub(crate) fn from_io(name: &str, cause: io::Error) -> Self {
        let name = name.to_owned();
        match cause.kind() {
            io::ErrorKind::NotFound => Self::NotFound { name },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { name },
            io::ErrorKind::IsADirectory => Self::Directory { name },
            _ => Self::Unreadable { name, cause },
        }
    }
}
