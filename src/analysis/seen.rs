//! What was seen, whatever came of it: connections, requests by method, responses by status, what is missing or not read.

use std::collections::BTreeSet;

use crate::analysis::Passed;
use crate::event::{Endpoint, FirstSeen, GapJudged, Opaque, Request, Response, Side, Translated, What};
use crate::report::{Coverage, Totals};

/// Counts of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By the method's mark.
    methods: Vec<(u64, Box<str>, u64)>,
    /// Requests with a method beyond these.
    others: u64,
    /// By the status itself.
    statuses: Vec<u64>,
    /// Of `[requests, responses]`.
    cut: [u64; 2],
    connections: u64,
    resets: u64,
    gaps: u64,
    opaque_tls: u64,
    /// Under which names the servers behind address translation are asked, and their own.
    translations: BTreeSet<(Endpoint, Endpoint)>,
    pub(super) decrypted_tls: u64,
    pub(super) lost_http2: u64,
}

impl Seen {
    pub(super) fn take(&mut self, what: &What) {
        match what {
            What::Request(request) => self.request(request),
            What::Response(response) => self.response(response),
            // Most of what happens is counted nowhere.
            What::RequestEnded { .. } | What::Acknowledged { .. } | What::ResponseEnded { .. } => {}
            what => self.other(what),
        }
    }

    /// What of the capture could be seen.
    pub(super) fn coverage(&self, passed: &Passed) -> Coverage {
        let counters = passed.counters;
        Coverage {
            kernel_drops: 0,
            duplicates: counters.duplicates,
            truncated_packets: counters.truncated,
            gaps: self.gaps,
            undecodable: counters.undecodable,
            evicted: passed.given_up.connections,
            opaque_tls_connections: self.opaque_tls,
            notes: Vec::new(),
        }
    }

    fn other(&mut self, what: &What) {
        match what {
            // A connection whose SYN is only quoted is none that the capture holds.
            What::Opened(opened) if opened.first == FirstSeen::Quoted => {}
            What::Opened(_) => self.connections += 1,
            What::Reset(_) => self.resets += 1,
            What::Gap { judged: GapJudged::Capture | GapJudged::Snaplen, .. } => self.gaps += 1,
            What::Opaque(Opaque::Tls) => self.opaque_tls += 1,
            What::Opaque(Opaque::Http2) => self.lost_http2 += 1,
            What::Translated(translated) if translated.side == Side::Server => self.translated(translated),
            What::Decrypted => self.decrypted_tls += 1,
            _ => {}
        }
    }

    fn translated(&mut self, translated: &Translated) {
        if self.translations.len() < MOST_TRANSLATIONS {
            self.translations.insert((translated.from, translated.to));
        }
    }

    /// Servers behind address translation: the name under which each is asked, and its own.
    pub(super) fn translations(&self) -> impl Iterator<Item = (Endpoint, Endpoint)> {
        self.translations.iter().copied()
    }

    fn request(&mut self, request: &Request) {
        let [requests, _] = &mut self.cut;
        *requests += u64::from(request.cut);
        if let Some((.., count)) = self.methods.iter_mut().find(|(mark, ..)| *mark == request.method_mark) {
            *count += 1;
        } else if self.methods.len() < MOST_METHODS {
            self.methods.push((request.method_mark, request.method().into(), 1));
        } else {
            self.others += 1;
        }
    }

    fn response(&mut self, response: &Response) {
        let status = usize::from(response.status);
        if status == 0 {
            return;
        }
        let [_, responses] = &mut self.cut;
        *responses += u64::from(response.cut);
        if self.statuses.len() <= status {
            self.statuses.resize(status + 1, 0);
        }
        if let Some(count) = self.statuses.get_mut(status) {
            *count += 1;
        }
    }

    /// Puts the counts into the totals. Gives back of how many `[requests, responses]` the header section was cut.
    pub(super) fn tell(&self, totals: &mut Totals) -> [u64; 2] {
        (totals.tcp_connections, totals.resets) = (self.connections, self.resets);
        let methods = self.methods.iter().map(|(_, method, count)| (method.to_string(), *count));
        let others = (self.others > 0).then(|| ("other".to_owned(), self.others));
        for (method, count) in methods.chain(others) {
            *totals.requests_seen.entry(method).or_default() += count;
        }
        totals.responses_seen = (0..).zip(self.statuses.iter().copied()).filter(|(_, count)| *count > 0).collect();
        self.cut
    }
}

/// Methods that are counted each by its name.
const MOST_METHODS: usize = 64;
/// Names of servers behind address translation that are remembered.
const MOST_TRANSLATIONS: usize = 1024;
