//! Numbers over all exchanges: latency by phase and by upstream, idle closes, reuse, half-closed connections; and what
//! gateways and upstreams do by habit.

pub mod ages;
pub mod clusters;
pub mod habits;
pub mod served;

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use hdrhistogram::Histogram;

use crate::correlate::by_place::ByPlace;
use crate::correlate::conversation::{Conversation, Exchange, Place};
use crate::correlate::served::Leg;
use crate::event::{Endpoint, FirstSeen, GoneWhy, Side};
use crate::stats::clusters::Clusters;
use crate::stats::habits::{End, Habits, Idle};
use crate::stats::served::Served;
use crate::time::Timestamp;

/// Spans, as a histogram of microseconds up to an hour, two significant digits.
/// The least and the greatest are exact.
#[derive(Clone, Debug)]
pub struct Spans {
    histogram: Option<Histogram<u32>>,
    min_us: u64,
    max_us: u64,
    sum_us: u64,
}

impl Default for Spans {
    fn default() -> Self {
        Self { histogram: Histogram::new_with_bounds(1, LONGEST_US, 2).ok(), min_us: u64::MAX, max_us: 0, sum_us: 0 }
    }
}

impl Spans {
    /// Notes a span; what is longer than an hour counts as an hour.
    pub fn note(&mut self, span: Duration) {
        let us = micros(span).min(LONGEST_US);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(us);
            self.min_us = self.min_us.min(us);
            self.max_us = self.max_us.max(us);
            self.sum_us = self.sum_us.saturating_add(us);
        }
    }

    /// Notes what others noted.
    pub fn merge(&mut self, other: &Self) {
        // They have the same bounds.
        if let Some((own, others)) = self.histogram.as_mut().zip(other.histogram.as_ref())
            && own.add(others).is_ok()
        {
            self.min_us = self.min_us.min(other.min_us);
            self.max_us = self.max_us.max(other.max_us);
            self.sum_us = self.sum_us.saturating_add(other.sum_us);
        }
    }

    /// How many were noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// The value below which a share of the spans lies, microseconds.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        let found = self.histogram.as_ref().map_or(0, |histogram| histogram.value_at_quantile(quantile));
        found.max(self.min().as_micros() as u64).min(self.max_us)
    }

    /// All spans together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }

    /// For each of `bounds`, which ascend, how many spans lie within it. What the histogram cannot tell from a longer
    /// span counts as longer: within two significant digits.
    pub fn count_within(&self, bounds: impl Iterator<Item = Duration>, counts: &mut [u64]) {
        let Some(histogram) = self.histogram.as_ref().filter(|histogram| !histogram.is_empty()) else { return };
        let mut recorded = histogram.iter_recorded().peekable();
        let mut within = 0;
        for (bound, count) in bounds.zip(counts) {
            let fits = |longest: u64| u128::from(longest) <= bound.as_micros();
            while let Some(slot) = recorded.next_if(|slot| fits(histogram.highest_equivalent(slot.value_iterated_to())))
            {
                within += slot.count_since_last_iteration();
            }
            *count = within;
        }
    }

    /// Least span.
    #[must_use]
    pub fn min(&self) -> Duration {
        Duration::from_micros(if self.count() == 0 { 0 } else { self.min_us })
    }

    /// Greatest span.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max_us)
    }
}

/// What is known of an endpoint in the role of an upstream.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    /// Attempts at it, health probes excluded.
    pub attempts: u64,
    /// Health probes, and those of them that failed.
    pub probes: (u64, u64),
    /// SYN to SYN-ACK.
    pub connect: Option<Box<Spans>>,
    /// ClientHello to the end of the TLS handshake.
    pub tls: Option<Box<Spans>>,
    /// Last octet of the request to first octet of the response.
    pub wait: Option<Box<Spans>>,
    /// Waits after which the gateway gave up.
    pub gave_up: Option<Box<Spans>>,
    /// Greatest idle time after which a reuse succeeded.
    pub longest_reuse: Option<Duration>,
    /// `timeout=` that it announces.
    pub announced_timeout: Option<Duration>,
    /// What became of idle connections to it.
    pub idle: Option<Box<Idle>>,
    /// When it served requests.
    pub served: Served,
    /// The address from which a gateway last asked it.
    pub asked_by: Option<IpAddr>,
}

/// What is known of an endpoint in the role of a server, whoever asks it.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Idle times after which it closed.
    pub idle_close: Option<Box<Spans>>,
    /// The same in clusters.
    pub idle_clusters: Clusters,
    /// Connections that stayed half-closed, by who had closed: client, server.
    pub half_closed: [u64; 2],
    /// The longest of them.
    pub half_closed_longest: Duration,
    /// Octets sent by the other side after the FIN.
    pub half_closed_octets: u64,
    /// Data segments, both ways, the repeated ones included.
    pub segments: u64,
    /// Segments repeated.
    pub repeated: u64,
    /// SYNs repeated.
    pub syns_repeated: u64,
    /// Round trips of its handshakes.
    pub round_trip: RoundTrips,
    /// Times that it closed its receive window.
    pub windows_closed: u64,
}

/// Round trips from SYN to SYN-ACK, of SYNs that were answered at once: what the way takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrips {
    /// How many.
    pub n: u64,
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
    /// All together.
    pub sum: Duration,
}

impl RoundTrips {
    fn note(&mut self, round_trip: Duration) {
        self.min = if self.n == 0 { round_trip } else { self.min.min(round_trip) };
        self.max = self.max.max(round_trip);
        self.sum = self.sum.saturating_add(round_trip);
        self.n += 1;
    }

    /// The average.
    #[must_use]
    pub fn mean(&self) -> Duration {
        u32::try_from(self.n).ok().and_then(|n| self.sum.checked_div(n)).unwrap_or_default()
    }
}

/// What one attempt took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    connect: Option<Duration>,
    tls: Option<Duration>,
    wait: Option<Duration>,
    /// For how long the connection had been idle that was reused with success.
    reuse: Option<Duration>,
    announced_timeout: Option<Duration>,
    /// For how long the connection had been idle that was reused, whatever came of it.
    idle: Option<Duration>,
    /// Whether it was answered, and did not fail.
    served: bool,
    /// Whose attempt it was, and when it began.
    by: Option<(IpAddr, Timestamp)>,
    /// The number of the endpoint that was asked.
    place: Place,
}

impl Taken {
    /// What a gateway's exchange with an upstream took. What a failure took says nothing of what success takes.
    #[must_use]
    pub fn of(exchange: &Exchange, conversation: &Conversation, failed: bool) -> Self {
        Self {
            connect: conversation.connect().filter(|_| !exchange.reused),
            tls: conversation.secured().filter(|_| !exchange.reused),
            wait: exchange.wait().filter(|_| !failed),
            reuse: exchange.idle.filter(|_| !failed && exchange.is_answered()),
            announced_timeout: conversation.announced_timeout.map(Duration::from),
            idle: exchange.idle,
            served: !failed && exchange.is_answered(),
            by: Some((exchange.client.ip(), exchange.started.at)),
            place: exchange.place,
        }
    }

    /// The same of one that served.
    #[must_use]
    pub fn by(leg: &Leg) -> Self {
        Self {
            connect: leg.connect,
            tls: leg.tls,
            wait: leg.wait,
            reuse: leg.idle,
            announced_timeout: leg.announced_timeout,
            idle: leg.idle,
            served: true,
            by: Some((leg.client, leg.started)),
            place: leg.place,
        }
    }
}

/// All numbers.
#[derive(Debug, Default)]
pub struct Stats {
    /// Downstream wait.
    pub client_wait: Spans,
    /// A gateway's lookups that led to an address.
    pub upstream_resolve: Spans,
    /// Client wait less upstream wait.
    pub gateway_added: Spans,
    /// Downstream wait of failed exchanges.
    pub failed_wait: Spans,
    /// Upstreams.
    pub upstreams: ByPlace<Upstream>,
    servers: HashMap<Endpoint, Server>,
    habits: HashMap<IpAddr, Habits>,
    /// When lookups led to an address.
    pub resolved: Served,
    /// Health probes that gateways sent, and those of them that failed.
    pub probes: (u64, u64),
    /// Connections that stayed half-closed.
    pub half_closed: u64,
    /// Connections whose TLS handshake failed.
    pub failed_handshakes: u64,
}

impl Stats {
    /// A gateway's exchange with an upstream.
    pub fn attempt(&mut self, exchange: &Exchange, conversation: &Conversation, failed: bool) {
        self.take(exchange.server, &Taken::of(exchange, conversation, failed));
    }

    /// The same of an attempt that was put by.
    pub fn take(&mut self, endpoint: Endpoint, taken: &Taken) {
        let Self { upstreams, habits, .. } = self;
        let Some(upstream) = upstreams.entry(taken.place, endpoint, MOST_ENDPOINTS) else { return };
        upstream.attempts += 1;
        if let Some(connect) = taken.connect {
            upstream.connect.get_or_insert_default().note(connect);
        }
        if let Some(tls) = taken.tls {
            upstream.tls.get_or_insert_default().note(tls);
        }
        if let Some(wait) = taken.wait {
            upstream.wait.get_or_insert_default().note(wait);
        }
        upstream.longest_reuse = upstream.longest_reuse.max(taken.reuse);
        upstream.announced_timeout = taken.announced_timeout.or(upstream.announced_timeout);
        if let Some(idle) = taken.reuse {
            upstream.idle.get_or_insert_default().reused.note(idle);
        }
        let Some((gateway, at)) = taken.by else { return };
        upstream.asked_by = Some(gateway);
        if taken.served {
            upstream.served.note(at);
        }
        if let Some(habits) = habits::of(habits, gateway) {
            habits.asked(endpoint, at);
            habits.longest_reuse = habits.longest_reuse.max(taken.idle.unwrap_or_default());
        }
    }

    /// Handshakes with all upstreams.
    #[must_use]
    pub fn upstream_connect(&self) -> Spans {
        self.of_all(|upstream| upstream.connect.as_deref())
    }

    /// TLS handshakes with all upstreams.
    #[must_use]
    pub fn upstream_tls(&self) -> Spans {
        self.of_all(|upstream| upstream.tls.as_deref())
    }

    /// Waits for all upstreams.
    #[must_use]
    pub fn upstream_wait(&self) -> Spans {
        self.of_all(|upstream| upstream.wait.as_deref())
    }

    fn of_all(&self, of_one: impl Fn(&Upstream) -> Option<&Spans>) -> Spans {
        let mut all = Spans::default();
        self.upstreams.iter().filter_map(|(_, upstream)| of_one(upstream)).for_each(|spans| all.merge(spans));
        all
    }

    /// A reuse of an idle connection failed because the upstream had closed it, or was about to.
    pub fn reuse_failed(&mut self, upstream: Endpoint, idle: Duration) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream) {
            upstream.idle.get_or_insert_default().failed.note(idle);
        }
    }

    /// What the gateway at an address does by habit, to be added to.
    pub fn habits(&mut self, gateway: IpAddr) -> Option<&mut Habits> {
        habits::of(&mut self.habits, gateway)
    }

    /// What the gateway at an address does by habit.
    #[must_use]
    pub fn habits_of(&self, gateway: IpAddr) -> Option<&Habits> {
        self.habits.get(&gateway)
    }

    /// A gateway's health probes of an upstream, and how many of them failed. They are in no other number.
    pub fn probes(&mut self, endpoint: Endpoint, sent: u64, failed: u64) {
        self.probes = (self.probes.0 + sent, self.probes.1 + failed);
        if let Some(upstream) = self.upstreams.entry(Place::default(), endpoint, MOST_ENDPOINTS) {
            upstream.probes = (upstream.probes.0 + sent, upstream.probes.1 + failed);
        }
    }

    /// A gateway gave up on an upstream.
    pub fn gave_up(&mut self, upstream: Endpoint, waited: Duration) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream) {
            upstream.gave_up.get_or_insert_default().note(waited);
        }
    }

    /// A server closed an idle connection.
    pub fn idle_close(&mut self, server: Endpoint, idle: Duration, at: Timestamp) {
        if let Some(server) = self.server(server) {
            server.idle_close.get_or_insert_default().note(idle);
            server.idle_clusters.note(idle, at);
        }
    }

    /// A connection is gone.
    pub fn conversation(&mut self, conversation: &Conversation) {
        self.failed_handshakes += u64::from(conversation.has_failed_handshake());
        self.learn_end(conversation);
        let repeated = conversation.repeated.iter().map(|count| u64::from(*count)).sum::<u64>();
        let [_, closed] = conversation.windows_closed;
        let half = half_closed(conversation);
        let syns = u64::from(conversation.syn().1);
        // Who is an upstream may turn out later. Half of the room is for those of which there is something to tell.
        let known =
            self.upstreams.contains_key(&conversation.server) || self.servers.contains_key(&conversation.server);
        let full = self.servers.len() >= MOST_ENDPOINTS / 2;
        if repeated == 0 && closed == 0 && half.is_none() && full && !known {
            return;
        }
        self.half_closed += u64::from(half.is_some());
        let Some(server) = self.server(conversation.server) else { return };
        server.repeated += repeated;
        server.syns_repeated += syns;
        if let Some((_, gone)) = conversation.gone {
            server.segments += gone.segments.iter().map(|count| u64::from(*count)).sum::<u64>();
        }
        if let Some(round_trip) = conversation.rtt().filter(|_| syns == 0) {
            server.round_trip.note(round_trip);
        }
        server.windows_closed += u64::from(closed);
        if let Some((by, lasted, octets)) = half {
            if let Some(count) = server.half_closed.get_mut(by.index()) {
                *count += 1;
            }
            server.half_closed_longest = server.half_closed_longest.max(lasted);
            server.half_closed_octets += octets;
        }
    }

    /// What the end of a gateway's connection tells of how long such connections are kept.
    fn learn_end(&mut self, conversation: &Conversation) {
        let Some(upstream) = self.upstreams.get_mut(&conversation.server) else { return };
        let Some(end) = habits::end(conversation) else { return };
        let idle = upstream.idle.get_or_insert_default();
        match end {
            End::Open(span) => idle.open.note(span),
            End::Announced(exchanges) => idle.announced(exchanges),
            End::Gateway(span, at) => {
                idle.closed_by_gateway.note(span);
                if let Some(habits) = habits::of(&mut self.habits, conversation.client.ip()) {
                    habits.idle_limit.note(span, at);
                }
            }
        }
    }

    /// How often a server was seen to close an idle connection.
    #[must_use]
    pub fn idle_closes(&self) -> u64 {
        self.servers.values().filter_map(|server| server.idle_close.as_deref()).map(Spans::count).sum()
    }

    /// What is known of an endpoint as a server.
    #[must_use]
    pub fn of_server(&self, endpoint: Endpoint) -> Option<&Server> {
        self.servers.get(&endpoint)
    }

    fn server(&mut self, endpoint: Endpoint) -> Option<&mut Server> {
        if self.servers.len() >= MOST_ENDPOINTS && !self.servers.contains_key(&endpoint) {
            return None;
        }
        Some(self.servers.entry(endpoint).or_default())
    }
}

/// Whole microseconds, in 64 bits.
fn micros(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000).saturating_add(span.subsec_micros().into())
}

/// Whether a connection stayed half-closed: who had closed, for how long, and what the other side still sent.
#[must_use]
pub fn half_closed(conversation: &Conversation) -> Option<(Side, Duration, u64)> {
    let (end, gone) = conversation.gone?;
    if conversation.first_seen != FirstSeen::Syn && gone.why == GoneWhy::Evicted {
        return None;
    }
    let (first, closing, reset) = conversation.first_close()?;
    if reset {
        return None;
    }
    let other = conversation.close(closing.by.other());
    // Who closed may end it by a RST as well.
    let reset = conversation.reset(closing.by).map(|(moment, _)| moment);
    let until = other.map(|(moment, ..)| moment).into_iter().chain(reset).min().unwrap_or(end);
    let lasted = until.at.since(first.at);
    let octets = gone.after_fin.get(closing.by.other().index()).copied().unwrap_or(0);
    (lasted >= HALF_CLOSED).then_some((closing.by, lasted, octets))
}

/// The longest span that is told from longer ones: an hour.
const LONGEST_US: u64 = 3_600_000_000;
/// A connection counts as half-closed if the other side takes longer than this to close as well.
const HALF_CLOSED: Duration = Duration::from_secs(1);
/// Endpoints of which numbers are kept.
const MOST_ENDPOINTS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_do_not_exceed_the_greatest_span() {
        let mut spans = Spans::default();
        for micros in [100, 200, 300, 400, 1_000_000] {
            spans.note(Duration::from_micros(micros));
        }
        assert_eq!(spans.count(), 5);
        assert_eq!((spans.min().as_micros(), spans.max().as_micros()), (100, 1_000_000));
        assert!((300..=302).contains(&spans.quantile_us(0.5)));
        assert!(spans.quantile_us(0.999) <= spans.max().as_micros() as u64);
        spans.note(Duration::from_secs(100_000));
        assert_eq!(spans.count(), 6);
    }
}
