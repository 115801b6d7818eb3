//! netwatch502 names the cause of every 502 from the packets on both legs of a reverse proxy.
//!
//! This page is for engineers: how the program is built, and why. For its use see the README.
//!
//! # The question
//!
//! A gateway has two legs: *downstream* to its clients, *upstream* to its origins. When it answers 502, something
//! happened on the upstream leg, or nothing did, and what it was depends on **which side did what first**. A FIN that
//! acknowledges the request means that the upstream had read it; the same FIN with a smaller acknowledgement means that
//! the request was still on its way. So the order of packets, the acknowledgement numbers and the times of the capture
//! are kept through all stages, and the two legs, which share no connection, are paired at the end.
//!
//! # The hourglass
//!
//! Everything that can be said of one connection is found below the waist; everything that takes several, above it.
//!
//! ```text
//!   files, pipes, gzip, zstd
//!            |
//!   [capture]   reads, merges by time, names link types, applies EXPR         rim: I/O, may fail
//!            |  Captured { frame, at, link, octets }
//!  ==========|=========================================================== pure: no I/O, no clock, never fails
//!   \        v                                                      /
//!    \  [wire]     octets -> Packet -> Segment | IcmpError         /    stateless
//!     \ [flow]     copies out, fragments together,                /     for all, then
//!      \           connections, octets in order, gaps declared   /      per connection,
//!       \ [observe] messages and defects of HTTP/1 and HTTP/2,  /       bounded by limits
//!        \         in clear or inside of TLS; TLS; DNS         /
//!         \        (what is per connection is a [shard])      /
//!          '----------------------+---------------------------'
//!                            Vec<Event>        [event]: the waist, plain data
//!         .-----------------------+----------------------------.
//!        /  [correlate] connections -> exchanges -> legs        \
//!       /               paired: Case { root, attempts }          \     across connections
//!      /   [stats]      latencies, idle closes, reuse             \
//!     /    [diagnose]   Case -> Incident { cause, grade, frames }  \
//!    /                  incidents -> episodes, advice               \
//!  ==========|==========================================================
//!            v  Report
//!   [report]    text, json, ndjson, csv                                       writes to what it is given
//!   [run]       opens the outputs, decides the exit status                    rim
//! ```
//!
//! [`analysis`] is the whole of the pure part behind two functions: [`analysis::Analysis::take`] a frame,
//! [`analysis::Analysis::finish`] into a [`report::Report`]. Tests and benchmarks begin there. Its halves below and above the
//! waist can be had one by one: files are read with each in a thread of its own, and batches of events in between.
//!
//! # What flows
//!
//! 1. [`capture::Source`] hands out frames one at a time, as borrowed octets, in the order of capture time over all
//!    inputs. A [`event::Frame`] is the input and the number in it, counted as Wireshark counts.
//! 2. [`wire::packet`] decodes a frame down to its TCP segment, or the ICMP error that quotes one, or who asks for whom on
//!    the link. Nothing is copied.
//! 3. [`flow::steer`] leaves out copies of a packet that was seen on several interfaces, and tells which shard a packet is for;
//!    there [`flow`] finds its connection, turns sequence numbers into 64-bit offsets, and emits the stream as pieces: data at an
//!    offset, or a gap of a length.
//! 4. [`observe`] reads messages off the two streams of a connection. Bodies are counted, not kept.
//! 5. Events are appended to a buffer that the caller owns, each with its [`event::Moment`]: frame and time.
//! 6. [`correlate`] rebuilds exchanges from events, learns which addresses are one gateway, and pairs each downstream
//!    exchange with its attempts, or with the failed lookup that it waited for, once time enough has passed that no more
//!    can come. What the gateway asked beside the attempts, whether the client may have it or a copy, is set apart: it is
//!    no retry. What has settled is handed on and forgotten, so memory follows what is open, not what was read. What was
//!    served, of which nothing is to be judged, is handed on as notes, of which many are learned from together.
//! 7. [`diagnose`] puts questions to each attempt ([`diagnose::evidence`]), phase by phase; the first rule that fits
//!    gives the cause, the frames, and what they rule out. The grade falls with the pairing and with what was not seen.
//! 8. [`report`] prints. It judges nothing, and cuts secrets and control characters on the way out.
//!
//! # Who may import whom
//!
//! ```text
//! time limits < wire < event < flow < observe < shard | correlate stats < diagnose < report < analysis < capture cli privileges serve < run
//!                        ^------------ both halves meet here ------------^
//! ```
//!
//! A module imports only what stands to its left. Nothing left of `capture` names a file, a socket, a thread, the
//! environment or a clock. A foreign crate is named in as few places as it can be, so that it can be replaced there:
//!
//! | crate | where | for |
//! |---|---|---|
//! | `etherparse` | `wire::packet`, `wire::tcp`, `wire::ip` | whatever leaves the fast path; the oracle of the fast path's tests |
//! | `httparse` | `wire::http1` | header sections, in its strict mode |
//! | `aes-gcm`, `ccm`, `chacha20poly1305`, `aes`, `cbc`, `hmac`, `hkdf`, `sha1`, `sha2`, `md-5`, `rc4` | `wire::tls::protect` | the protection of records |
//! | `hdrhistogram` | `stats` | quantiles in constant memory |
//! | `pcap` | `capture` | filter expressions, live capture |
//! | `rustix` | `capture::live`, `privileges`, `run` | poll, eventfd, users and capabilities without `unsafe` |
//! | `rustix`, `libc` | `capture::mapped` | parts of files in memory, and SIGBUS where such a part is gone |
//! | `landlock` | `privileges` | confinement |
//! | `flate2`, `zstd` | `capture` | compressed inputs, each unpacked in a thread of its own |
//! | `prometheus` | `report::metrics` | the text exposition and its escaping |
//! | `tokio`, `hyper`, `hyper-util`, `http-body-util`, `bytes` | `serve` | signals, ticks and scrapes, in one thread |
//! | `clap`, `indicatif`, `terminal_size` | `cli`, `run` | the command line, and how wide it is |
//!
//! # Where things are
//!
//! ```text
//! src/      one idea a file; a module's long tests beside it in tests.rs
//!   event.rs        the waist                     limits.rs   every bound, with its reason
//!   capture/        the inputs, and keep/         time.rs     time of the capture; there is no other
//!   wire/ flow/ observe/ shard.rs                 below the waist
//!   correlate/ stats.rs diagnose/                 above it
//!   analysis.rs     both halves together
//!   report/         a file a format; lines, ladder, drawing, sections are the parts of the text
//!   cli.rs run.rs main.rs                         the program     privileges.rs   what it gives up before it looks
//!   serve.rs        signals, ticks, the metrics' address: a thread with tokio beside the pipeline
//! captures/ stories: what a real gateway did, its packets, and what has to be found in them
//! tests/    what holds for the whole; tests/lab makes the captures
//! ```
//!
//! # Decisions
//!
//! - **Push, not poll.** A stage is a function that appends to the caller's buffer. A test is a call and a comparison.
//! - **Capture time is the only clock.** Expiry is last seen plus a limit, in the capture's time: ten hours read in a
//!   minute expire as they would have done live. Where the clock steps back, the order of the frames stands.
//!   Of several hosts each has its own: which frame was first, [`time::Moment`] says, by times that are corrected.
//! - **Errors end at the wire.** Above it nothing returns `Result`: broken traffic is a fact, and often the answer.
//! - **A gap is part of a stream.** Observers are told of it and start again at the next message that can be
//!   recognised. Whether the network or the capture lost the octets is judged by what the receiver acknowledged.
//! - **Plaintext has offsets of its own.** Rules compare acknowledgements with ends of messages, so what stood in TLS records
//!   is told in offsets of the TCP stream: an octet begins with its record and ends with it ([`observe::decrypted`]).
//! - **What opens is what was sent.** Which keys a record needs is found by its tag, not by following the handshake: holes and
//!   secrets that a log lacks cannot lead astray.
//! - **A stream is an exchange.** Of HTTP/2 the same events are told as of HTTP/1, in offsets of the TCP stream, so that rules on
//!   acknowledgements hold; those that rest on one request at a time have to look at [`correlate::multiplexed`]. Where octets are
//!   missing, nothing is guessed: the connection is not followed any more ([`observe::http2`]).
//! - **Our own HPACK.** Of the crates that decode it one builds its Huffman table anew for every string, another one indexes past
//!   what is cut. [`wire::hpack`] is bounded, and its tests hold it against one of them.
//! - **Roles do not change.** Who is client and who server is settled by SYN, SYN-ACK, or what the first octets say.
//! - **Pairing is a matching, not a search.** Successful exchanges take part, because what they take is a candidate no
//!   more. Values that stand on both legs and nowhere else count most, then request and length, then time.
//! - **What is inside TLS is paired too**, without keys by time and by octets alone. Which answer was an error is hidden there: a
//!   failed attempt is an incident of its own kind, and whatever the gateway answered by itself, without an attempt, is none.
//! - **A verdict waits** ([`limits::Limits::settle`]): the late answer that turns a failure into a time-out comes after
//!   the error. An exchange that failed settles after four times the least span, and later where its attempts may not be
//!   over. While live a provisional verdict is told after the least span, and learned from is only the settled one: so a
//!   live run ends with what the capture's reading says. Where a wrong line could not be put right, none is provisional: a
//!   failure that a retry seems to have hidden waits until it has settled, and a gateway's request that no client asked for
//!   waits for seven seconds, in which it may turn out to be a health probe.
//! - **A closed list of causes** ([`diagnose::cause::Cause`]). An id that was published keeps its meaning.
//! - **`proven` means excluded, not likely.** What cannot be told is `undetermined`, with its candidates. There are no
//!   percentages.
//! - **Any number of shards, one report.** What has to be known of all packets is known before they are dealt out by the keys of
//!   their connections ([`flow::steer`]): copies, fragments, who serves, and when it is time to forget. So a shard gives the same
//!   events whoever follows the other connections, and [`analysis::Joined`] puts them in one order and numbers the connections
//!   anew. What is above the waist takes as long as what is below it: with two cores there is one shard, in the thread that
//!   reads and decodes, and another thread above; with more there is a shard for each that is left, and a thread reads ahead.
//! - **Our own pcap and pcapng reader.** libpcap reads no mixed link types, byte orders or compression.
//! - **Our own decoder for common frames**, and etherparse for the rest: the fast path stays small, and property tests
//!   hold the two against each other.
//!
//! # Where the code is not as the drawing
//!
//! - While live, capturing has a thread, and both halves share another one.
//! - [`analysis`] stands above `report` although it does no I/O: what it composes is a report, and the order of the
//!   stages should stand in one place.
//! - `DefectKind`, what HTTP/1 forbids, is defined in [`wire::http1`], where it is found; the waist uses it. So it does with
//!   the error codes of [`wire::http2`], and the messages of [`wire::dns`] and of [`wire::neighbour`].
//! - Queries meet their answers above the waist, in `correlate::lookups`: a stub and the server behind it are asked on
//!   different flows.
//! - `etherparse` is also named in `wire/ip.rs`: extension headers are walked there with it, for both of its callers.
//! - [`correlate`] and [`diagnose`] take one function from [`observe`], the digest of a value, so that all compute it alike.
//!
//! # What must stay true
//!
//! | invariant | held by |
//! |---|---|
//! | modules import to the left only; the pure part names no file, socket, thread or clock | `tests/architecture.rs` |
//! | the same capture gives the same report, whatever the batching and the number of shards | `tests/determinism.rs` |
//! | no input makes it panic; memory stays within [`limits::Limits`] | `tests/robustness.rs` |
//! | each story is found as its `expect` block says, and nothing besides | `tests/captures.rs` |
//! | the command line's contract: flags, exit status, broken pipes | `tests/cli.rs` |
//! | timers are told before they cost a request, events as one; neither they nor what differs are made up by chance | `tests/learning.rs` |
//! | no line of text is wider than the terminal, no reason is cut, in a pipe an incident is a line | `tests/screen.rs` |
//! | every octet of a stream is delivered once, in order, or declared a gap | `flow::assembler`: `every_octet_is_delivered_once_in_order`, `what_did_not_come_is_a_gap` |
//! | the fast path decodes as the general one | `wire::packet`: `the_fast_path_agrees_with_the_general_one` |
//! | live: every frame once, in order, the last ones before a stop too; nothing kept of root's rights | `tests/live.rs`, `tests/privileges.rs` |
//! | live: what is told is what the capture's reading says, and each failure in time | `tests/determinism.rs`; with real gateways `tests/lab/run.sh --live` |
//! | files are read as another reader reads them, in pieces of any size | `capture`: `files_are_read_as_pcap_parser_reads_them`, `the_pieces_in_which_octets_arrive_do_not_matter` |
//! | a small snaplen hides causes, and makes none up | `tests/snaplen.rs` |
//! | what there are many of is small; an idle connection costs no more than it did | `tests/memory.rs` |
//! | inside of TLS the same is found as clients saw, in every suite; no missing packet, cut or wrong key makes a failure up | `tests/decrypt.rs` |
//! | a report shows no secret and no control character | `report`: tests of `redact` and `escape` |
//!
//! # How it grows
//!
//! - **A cause**: a row in [`diagnose::cause`], its explanation, a rule in its phase's file, and a story in `captures/`
//!   that shows it, with the look-alike that must not be taken for it.
//! - **A protocol's observer**: a file in [`observe`] that turns pieces into events, and its place in `observe::sniff`.
//!   If the events do not suffice, the waist grows first.
//! - **A format**: a file in [`report`] and a row in [`report::FORMATS`].
//! - **A product**: its fingerprint, log lines, settings and limits, in `diagnose::product`.
//! - **A bound**: in [`limits`], with unit and reason; what it cuts off is an event, and the report counts it.
//! - **A defect found in the field**: first the capture, cut to what shows it, then the fix.

pub mod analysis;
pub mod capture;
pub mod cli;
pub mod correlate;
pub mod diagnose;
pub mod event;
pub mod flow;
pub mod limits;
pub mod mark;
pub mod observe;
pub mod privileges;
pub mod report;
pub mod run;
pub mod serve;
pub mod shard;
pub mod stats;
pub mod texts;
pub mod time;
pub mod wire;
