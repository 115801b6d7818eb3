//! Header sections that came before: on kept connections, and from one server to many clients, most are the same octet for octet
//! as one of moments ago, and need not be taken apart again.

use std::sync::Arc;

use crate::event::{RequestSection, ResponseSection};
use crate::mark::mark;
use crate::observe::http1::pairing::Method;
use crate::wire::http1::{Framing, head_end};

/// The header sections that came to a shard more than once of late: some 4 MB at most. By default there is room for none.
#[derive(Debug, Default)]
pub struct Sections {
    pub(super) requests: Repeated<Asked>,
    pub(super) responses: Repeated<Answered>,
    /// Those that were the first of their connection: more is kept of them.
    pub(super) first_responses: Repeated<Answered>,
}

impl Sections {
    /// Room for them.
    #[must_use]
    pub fn new() -> Self {
        Self { requests: Repeated::new(), responses: Repeated::new(), first_responses: Repeated::new() }
    }
}

/// What a request's header section says.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) section: Arc<RequestSection>,
    pub(super) framing: Framing,
    pub(super) method: Method,
}

/// What a response's header section says.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) section: Arc<ResponseSection>,
    pub(super) framing: Framing,
}

/// Where the latest section of a direction is found: the next one is likely to be the same.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latest(u16);

/// Sections by their octets. One is kept from the second time on that it comes, in the place of one that came no more.
#[derive(Debug)]
pub(super) struct Repeated<T> {
    slots: Vec<Slot<T>>,
    /// The place of the section that was asked for last, where it came before and is not kept.
    wanted: Option<usize>,
    /// What searching has been good for of late: each find pays for some searches in vain.
    credit: u8,
    passed_over: u8,
}

#[derive(Debug)]
struct Slot<T> {
    /// The mark of the section that was asked for last, and is not kept.
    asked: u64,
    kept: Option<Kept<T>>,
}

/// A section, and what it says.
#[derive(Debug)]
struct Kept<T> {
    section: Box<[u8]>,
    read: T,
    /// Copies for the next that ask. What is made for each in turn, while another thread looks at the one before, makes both wait.
    spare: Vec<T>,
}

impl<T: Clone> Kept<T> {
    #[inline]
    fn copy(&mut self) -> Option<T> {
        if self.spare.is_empty() {
            self.spare.resize(COPIES, self.read.clone());
        }
        self.spare.pop()
    }
}

impl<T> Default for Repeated<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), wanted: None, credit: 0, passed_over: 0 }
    }
}

impl<T: Clone> Repeated<T> {
    fn new() -> Self {
        let mut slots = Vec::new();
        slots.resize_with(SLOTS, || Slot { asked: 0, kept: None });
        Self { slots, credit: MOST_CREDIT, ..Self::default() }
    }

    /// What the header section says that octets begin with, if it is known.
    #[inline]
    pub(super) fn find(&mut self, octets: &[u8], latest: &mut Latest) -> Option<T> {
        let Latest(place) = *latest;
        if let Some(Slot { kept: Some(kept), .. }) = self.slots.get_mut(usize::from(place))
            && octets.starts_with(&kept.section)
        {
            return kept.copy();
        }
        self.search(octets, latest)
    }

    fn search(&mut self, octets: &[u8], latest: &mut Latest) -> Option<T> {
        self.wanted = None;
        if self.slots.is_empty() || !self.is_worth_it() {
            return None;
        }
        let section = octets.get(..head_end(octets, 0)?).filter(|section| section.len() <= LONGEST)?;
        let mark = mark(section);
        let place = (mark % SLOTS as u64) as usize;
        let slot = self.slots.get_mut(place)?;
        if let Some(kept) = &mut slot.kept
            && *kept.section == *section
        {
            *latest = Latest(place as u16);
            self.credit = self.credit.saturating_add(WORTH).min(MOST_CREDIT);
            return kept.copy();
        }
        self.wanted = (slot.asked == mark).then_some(place);
        slot.asked = mark;
        None
    }

    /// Whether to search. Where next to nothing repeats, few are searched for.
    fn is_worth_it(&mut self) -> bool {
        if self.credit > 0 {
            self.credit -= 1;
            return true;
        }
        self.passed_over = (self.passed_over + 1) % SELDOM;
        self.passed_over == 0
    }

    /// A section that was not found was taken apart.
    #[inline]
    pub(super) fn note(&mut self, section: &[u8], read: &T) {
        if let Some(slot) = self.wanted.take().and_then(|place| self.slots.get_mut(place)) {
            slot.kept = Some(Kept { section: section.into(), read: read.clone(), spare: Vec::new() });
        }
    }
}

/// Copies that are made at once.
const COPIES: usize = 32;
/// Longer ones are not kept.
const LONGEST: usize = 2048;
/// Sections of each kind.
const SLOTS: usize = 512;
/// How many searches in vain a find pays for: half of what it saves.
const WORTH: u8 = 3;
/// So many are paid for at most.
const MOST_CREDIT: u8 = 60;
/// Where none is paid for, one in so many is made.
const SELDOM: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of octets, after which they are noted as `read`.
    fn ask(sections: &mut Repeated<u32>, latest: &mut Latest, octets: &str, read: u32) -> Option<u32> {
        let known = sections.find(octets.as_bytes(), latest);
        if known.is_none() {
            let end = head_end(octets.as_bytes(), 0).unwrap();
            sections.note(&octets.as_bytes()[..end], &read);
        }
        known
    }

    #[test]
    fn a_section_is_known_once_it_came_twice() {
        let (mut sections, mut latest) = (Repeated::new(), Latest::default());
        let [one, other] = ["GET /1 HTTP/1.1\r\n\r\n", "GET /2 HTTP/1.1\r\n\r\nand what follows"];
        let mut known = |octets, read| ask(&mut sections, &mut latest, octets, read);
        assert_eq!([known(one, 1), known(one, 2), known(one, 3), known(one, 4)], [None, None, Some(2), Some(2)]);
        assert_eq!([known(other, 5), known(other, 6), known(one, 7), known(other, 8)], [None, None, Some(2), Some(6)]);
        assert_eq!(known("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", 9), None, "one that begins alike is another one");
        assert_eq!(known("GET /2 HTTP/1.1\r\n\r\n", 10), Some(6));
    }

    #[test]
    fn what_comes_no_more_makes_room() {
        let (mut sections, mut latest) = (Repeated::new(), Latest::default());
        for number in 0..4 * SLOTS as u32 {
            let octets = format!("GET /{number} HTTP/1.1\r\n\r\n");
            assert_eq!(ask(&mut sections, &mut latest, &octets, number), None);
            assert_eq!(ask(&mut sections, &mut latest, &octets, number), None);
            assert_eq!(ask(&mut sections, &mut latest, &octets, 0), Some(number));
            assert_eq!(sections.find(octets.as_bytes(), &mut Latest::default()), Some(number));
        }
        assert_eq!(sections.slots.len(), SLOTS);
    }

    #[test]
    fn where_nothing_repeats_little_is_searched_for_until_something_does() {
        let (mut sections, mut latest) = (Repeated::new(), Latest::default());
        for number in 0..1000 {
            assert_eq!(ask(&mut sections, &mut latest, &format!("GET /{number} HTTP/1.1\r\n\r\n"), number), None);
        }
        assert!(!sections.is_worth_it());
        let asked = (0..100).map(|_| ask(&mut sections, &mut latest, "GET / HTTP/1.1\r\n\r\n", 7));
        assert!(asked.take_while(Option::is_none).count() < 3 * usize::from(SELDOM));
        assert_eq!(sections.find(b"GET / HTTP/1.1\r\n\r\n", &mut Latest::default()), Some(7));
    }
}
