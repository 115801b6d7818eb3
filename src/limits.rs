//! Every bound of the analysis: its unit, its default, its reason. What a bound cuts off is an event, and the report says so.

use std::time::Duration;

/// Bounds of memory and time. The defaults serve a busy proxy within 150 MB.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections followed at once. Beyond it the least recently seen one is evicted.
    pub connections: usize,
    /// Octets of out-of-order data that one direction of a connection may wait with; beyond it the hole is declared a gap.
    pub waiting_bytes_per_direction: usize,
    /// The same for all connections together, with the header sections that are not complete; beyond it the connection that
    /// would hold more gives up what it holds.
    pub waiting_bytes: usize,
    /// Octets of one header section. Beyond it the message is skipped to the next one that can be recognised.
    pub head_bytes: usize,
    /// Octets of TLS handshake messages that are not complete, in one direction. Beyond it the handshake is not read.
    pub handshake_bytes: usize,
    /// Octets kept of a request target, a host, a field value.
    pub text_bytes: usize,
    /// Requests that may be outstanding on one connection (pipelining).
    pub outstanding_requests: usize,
    /// Octets of memory for the secrets of TLS connections, of which each shard has all: some 200,000 connections. Beyond it those
    /// that were learned first are forgotten.
    pub secret_bytes: usize,
    /// Span for which a connection waits for its secrets, where they may come late: key logs are looked at once a second.
    pub secret_wait: Duration,
    /// Octets of a connection that wait for its secrets, or for the server's word on early data.
    pub secret_wait_bytes: usize,
    /// Span after which a connection without packets is taken for dead, once both sides have been heard.
    pub idle: Duration,
    /// The same while the handshake is incomplete.
    pub handshake: Duration,
    /// Span for which a closed connection is remembered, so that late segments find it.
    pub linger: Duration,
    /// IP datagrams under reassembly at once.
    pub fragments: usize,
    /// Span after which an incomplete datagram is dropped (RFC 8200: 60 s).
    pub fragment_age: Duration,
    /// Copies of a packet arrive within this span.
    pub duplicate_window: Duration,
    /// Packets remembered in the search for copies.
    pub duplicate_memory: usize,
    /// Exchanges in the books at once, open or not settled. Beyond it those that are due first are judged by what is known.
    /// About 2 KB each, with their connection.
    pub exchanges: usize,
    /// Octets of text and marks that the exchanges in the books hold. Beyond it the same is done.
    pub exchange_bytes: usize,
    /// Incidents listed one by one; beyond it they are counted. About 4 KB each, and twice that with their ladders, which are not
    /// kept while live.
    pub incidents: usize,
    /// Least span of capture time after which a verdict is final.
    pub settle: Duration,
    /// Octets of memory that the recorder takes for frames, their notes included: a hundred thousand packets and more.
    pub recorder_bytes: usize,
    /// Span for which the recorder remembers a frame: longer than most gateways wait for a connection, and than idle
    /// connections are mostly kept.
    pub recorder_span: Duration,
    /// Octets that the recorder's file may have. Beyond it no more incidents are recorded.
    pub recorder_file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 18_432,
            waiting_bytes_per_direction: 1 << 20,
            waiting_bytes: 24 << 20,
            head_bytes: 256 << 10,
            handshake_bytes: 64 << 10,
            text_bytes: 2048,
            outstanding_requests: 256,
            secret_bytes: 64 << 20,
            secret_wait: Duration::from_secs(1),
            secret_wait_bytes: 64 << 10,
            idle: Duration::from_secs(2 * 3600),
            handshake: Duration::from_secs(150),
            linger: Duration::from_secs(5),
            fragments: 256,
            fragment_age: Duration::from_secs(60),
            duplicate_window: Duration::from_millis(5),
            duplicate_memory: 4096,
            exchanges: 18_432,
            exchange_bytes: 16 << 20,
            incidents: 4_000,
            settle: Duration::from_millis(250),
            recorder_bytes: 32 << 20,
            recorder_span: Duration::from_secs(30),
            recorder_file_bytes: 1 << 30,
        }
    }
}

impl Limits {
    /// With as much as is of use where there are several inputs: what passes from host to host is on its way for longer than what
    /// passes through one.
    #[must_use]
    pub const fn of_inputs(self, several: bool) -> Self {
        let duplicate_memory = if several { self.duplicate_memory.saturating_mul(16) } else { self.duplicate_memory };
        Self { duplicate_memory, ..self }
    }
}

/// Shards at most. More would wait for the thread that deals out, and for the one that judges.
pub const MOST_SHARDS: u8 = 16;

/// Live: frames handed over at once. Who analyses them finds its code and its books in no cache each time, since the servers that
/// it looks at ran meanwhile: this many are worth the way there.
pub const LIVE_BATCH_FRAMES: usize = 4096;

/// Live: octets handed over at once, which a core's cache holds.
pub const LIVE_BATCH_BYTES: usize = 1 << 20;

/// Live: batches under way. Beyond it frames wait in the kernel's ring, which is larger.
pub const LIVE_BATCHES: usize = 4;

/// Live: span in which no batch is handed over after another one, but for full ones. Verdicts take longer to settle.
pub const LIVE_GATHER: Duration = Duration::from_millis(100);

/// Live, with several interfaces: octets that wait for those of other interfaces. Beyond it the oldest go, in what may not
/// be their order.
pub const LIVE_HELD_BYTES: usize = 24 << 20;

/// Live, with several interfaces: span for which a frame waits for earlier ones of other interfaces. The kernel hands over a
/// block after 0.1 s, or 0.2 s where it was begun just after the clock struck.
pub const LIVE_HOLD_BACK: Duration = Duration::from_millis(220);

/// Live: words of a filter that replaces another one. libpcap's time grows with their cube: this many take up to a second,
/// thrice as many half a minute, and the ring fills meanwhile.
pub const LIVE_FILTER_WORDS: usize = 512;

/// Live: instructions of a filter, which is the kernel's own limit.
pub const LIVE_FILTER_INSTRUCTIONS: usize = 4096;
