//! Counts of exchanges by the pattern of their paths. Most targets come again soon: the pattern of a target is remembered for a
//! while.

use hashbrown::HashMap;

use crate::diagnose::differ::Count;
use crate::diagnose::differ::facet::pattern;
use crate::event::RequestSection;
use crate::mark::mark;

/// The patterns, each with its count.
#[derive(Debug)]
pub(super) struct Paths {
    counts: Vec<(Box<str>, Count)>,
    /// Where each stands, by its mark.
    indices: HashMap<u64, usize>,
    /// The marks of targets that were noted lately, with where their patterns stand.
    lately: Box<[(u64, usize); LATELY]>,
}

impl Default for Paths {
    fn default() -> Self {
        Self { counts: Vec::new(), indices: HashMap::new(), lately: Box::new([(0, usize::MAX); LATELY]) }
    }
}

impl Paths {
    /// The count of the pattern of a request's target; `None` where there are too many.
    pub(super) fn of(&mut self, request: &RequestSection) -> Option<&mut Count> {
        self.of_target(request.target_mark, || request.target())
    }

    fn of_target<'a>(&mut self, target_mark: u64, target: impl FnOnce() -> &'a str) -> Option<&mut Count> {
        let lately = self.lately.get(target_mark as usize % LATELY).copied();
        let index = match lately.filter(|(mark, index)| *mark == target_mark && *index < self.counts.len()) {
            Some((_, index)) => index,
            None => self.find(target(), target_mark)?,
        };
        self.counts.get_mut(index).map(|(_, count)| count)
    }

    fn find(&mut self, target: &str, target_mark: u64) -> Option<usize> {
        let name = pattern(target);
        let key = mark(name.as_bytes());
        let index = match self.indices.get(&key) {
            Some(index) => *index,
            None if self.counts.len() < MOST_PATHS => {
                self.counts.push((name.as_str().into(), Count::default()));
                self.indices.insert(key, self.counts.len() - 1);
                self.counts.len() - 1
            }
            None => return None,
        };
        if let Some(lately) = self.lately.get_mut(target_mark as usize % LATELY) {
            *lately = (target_mark, index);
        }
        Some(index)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Count)> {
        self.counts.iter().map(|(name, count)| (&**name, *count))
    }
}

/// Paths that are told apart.
const MOST_PATHS: usize = 1024;
/// Targets whose patterns are remembered.
const LATELY: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn count<'a>(paths: &'a mut Paths, target: &str) -> Option<&'a mut Count> {
        paths.of_target(mark(target.as_bytes()), || target)
    }

    #[test]
    fn targets_of_one_pattern_are_counted_together() {
        let mut paths = Paths::default();
        for number in (0..500).chain(0..500) {
            for target in [format!("/orders/{number}"), format!("/carts/{number}?n={number}")] {
                count(&mut paths, &target).unwrap().note(number == 0);
            }
        }
        let counted: Vec<_> = paths.all().map(|(name, count)| (name, count.all, count.failed)).collect();
        assert_eq!(counted, [("/orders/*", 1000, 2), ("/carts/*", 1000, 2)]);
    }

    #[test]
    fn patterns_beyond_the_most_have_no_count() {
        let mut paths = Paths::default();
        let word = |n: usize| String::from_utf8(vec![b'a' + (n % 26) as u8; 1 + n / 26]).unwrap();
        let counted = (0..2000).filter(|n| count(&mut paths, &format!("/{}", word(*n))).is_some()).count();
        assert!(counted >= MOST_PATHS, "{counted}");
        assert_eq!(paths.all().count(), MOST_PATHS);
        assert!(count(&mut paths, "/a").is_some() && count(&mut paths, "/one/more").is_none());
    }
}
