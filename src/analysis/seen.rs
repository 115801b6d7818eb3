//! What messages were seen: requests by method, responses by status, and those of which the snaplen cut the header section.

use crate::event::{Request, Response};
use crate::report::Totals;

/// Counts of messages.
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
}

impl Seen {
    pub(super) fn request(&mut self, request: &Request) {
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

    pub(super) fn response(&mut self, response: &Response) {
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
    pub(super) fn tell(self, totals: &mut Totals) -> [u64; 2] {
        let methods = self.methods.into_iter().map(|(_, method, count)| (method.into(), count));
        let others = (self.others > 0).then(|| ("other".to_owned(), self.others));
        for (method, count) in methods.chain(others) {
            *totals.requests_seen.entry(method).or_default() += count;
        }
        totals.responses_seen = (0..).zip(self.statuses).filter(|(_, count)| *count > 0).collect();
        self.cut
    }
}

/// Methods that are counted each by its name.
const MOST_METHODS: usize = 64;
