//! Spans that gather at a few values, as what timers end does: clusters, found as the spans come.

use std::time::Duration;

use smallvec::SmallVec;

use crate::time::Timestamp;

/// Spans in clusters; what is far from all of them begins one of its own. About 4 KB at most.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    /// By the span.
    clusters: Vec<Cluster>,
}

/// Spans that are nearly the same.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// How many.
    pub n: u64,
    /// On how many occasions: what happens at one moment may have one reason, and be no timer's doing.
    pub occasions: u32,
    /// Least, microseconds.
    pub min_us: u64,
    /// Greatest, microseconds.
    pub max_us: u64,
    latest: Timestamp,
    sample: SmallVec<[u64; SAMPLE]>,
}

impl Clusters {
    /// Notes a span that ended at `at`.
    pub fn note(&mut self, span: Duration, at: Timestamp) {
        let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let place = self.clusters.partition_point(|cluster| cluster.min_us <= us);
        let around = [place.checked_sub(1), Some(place)].into_iter().flatten();
        let near = around.filter(|index| self.clusters.get(*index).is_some_and(|cluster| cluster.may_hold(us)));
        let nearest = near.min_by_key(|index| self.clusters.get(*index).map_or(u64::MAX, |cluster| cluster.far(us)));
        if let Some(cluster) = nearest.and_then(|index| self.clusters.get_mut(index)) {
            cluster.take(us, at);
            return;
        }
        if self.clusters.len() >= MOST_CLUSTERS {
            self.merge_nearest();
        }
        let place = self.clusters.partition_point(|cluster| cluster.min_us <= us);
        self.clusters.insert(place, Cluster::of(us, at));
    }

    /// The clusters, the shortest spans first.
    #[must_use]
    pub fn all(&self) -> &[Cluster] {
        &self.clusters
    }

    /// How many spans were noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.clusters.iter().map(|cluster| cluster.n).sum()
    }

    /// What a timer seems to have ended: the cluster of most spans, where it holds at least a half of all, came on several
    /// occasions, and is narrow.
    #[must_use]
    pub fn timer(&self) -> Option<&Cluster> {
        let most = self.clusters.iter().max_by_key(|cluster| (cluster.n, cluster.min_us))?;
        (most.is_timer() && most.n * 2 >= self.count()).then_some(most)
    }

    /// Two clusters become one: those that are nearest to each other, as shares of what they are.
    fn merge_nearest(&mut self) {
        let gap = |pair: &[Cluster]| match pair {
            [one, next] => next.min_us.saturating_sub(one.max_us).saturating_mul(1000) / next.min_us.max(1),
            _ => u64::MAX,
        };
        let gaps = self.clusters.windows(2).map(gap);
        let Some((index, _)) = gaps.enumerate().min_by_key(|(_, gap)| *gap) else { return };
        let next = self.clusters.remove(index + 1);
        if let Some(one) = self.clusters.get_mut(index) {
            one.join(&next);
        }
    }
}

impl Cluster {
    fn of(us: u64, at: Timestamp) -> Self {
        Self { n: 1, occasions: 1, min_us: us, max_us: us, latest: at, sample: SmallVec::from_slice(&[us]) }
    }

    /// Middle of the latest spans, microseconds.
    #[must_use]
    pub fn median_us(&self) -> u64 {
        let mut sample = self.sample.clone();
        sample.sort_unstable();
        sample.get(sample.len().saturating_sub(1) / 2).copied().unwrap_or(self.min_us)
    }

    /// Whether it looks like the doing of a timer: narrow, and seen on several occasions.
    #[must_use]
    pub fn is_timer(&self) -> bool {
        self.occasions >= TIMER_OCCASIONS && self.max_us - self.min_us <= 2 * width(self.median_us())
    }

    /// Takes another one in.
    pub fn join(&mut self, other: &Self) {
        self.n += other.n;
        self.occasions = self.occasions.max(other.occasions);
        self.min_us = self.min_us.min(other.min_us);
        self.max_us = self.max_us.max(other.max_us);
        self.latest = self.latest.max(other.latest);
        let room = SAMPLE.saturating_sub(self.sample.len());
        self.sample.extend(other.sample.iter().copied().take(room));
    }

    fn take(&mut self, us: u64, at: Timestamp) {
        let apart = at.since(self.latest).max(self.latest.since(at));
        self.occasions = self.occasions.saturating_add(u32::from(apart > AT_ONCE));
        self.latest = self.latest.max(at);
        self.min_us = self.min_us.min(us);
        self.max_us = self.max_us.max(us);
        let place = usize::try_from(self.n % SAMPLE as u64).unwrap_or(0);
        match self.sample.get_mut(place) {
            Some(old) => *old = us,
            None => self.sample.push(us),
        }
        self.n += 1;
    }

    /// Whether a span is near enough, and the cluster would stay narrow.
    fn may_hold(&self, us: u64) -> bool {
        let is_within = self.min_us <= us && us <= self.max_us;
        is_within
            || self.far(us) <= width(us) && self.max_us.max(us) - self.min_us.min(us) <= 2 * width(us.max(self.min_us))
    }

    fn far(&self, us: u64) -> u64 {
        self.min_us.saturating_sub(us).max(us.saturating_sub(self.max_us))
    }
}

/// How far spans of one timer lie apart, mostly: programs look at their timers now and then.
fn width(us: u64) -> u64 {
    (us / 50).max(50_000)
}

/// Clusters that are told apart.
const MOST_CLUSTERS: usize = 8;
/// The latest spans of a cluster, of which the median is known.
const SAMPLE: usize = 16;
/// What happens within this span is one occasion.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Occasions from which on a cluster is taken for the doing of a timer.
const TIMER_OCCASIONS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(spans: &[(u64, i64)]) -> Clusters {
        let mut clusters = Clusters::default();
        for (millis, at) in spans {
            clusters.note(Duration::from_millis(*millis), Timestamp::from_nanos(at * 1_000_000));
        }
        clusters
    }

    #[test]
    fn what_a_timer_ends_is_one_cluster() {
        let clusters = noted(&[(5_001, 0), (5_004, 7_000), (700, 8_000), (5_002, 20_000), (5_030, 30_000)]);
        assert_eq!(clusters.all().iter().map(|cluster| cluster.n).collect::<Vec<_>>(), [1, 4]);
        let timer = clusters.timer().map(|timer| (timer.n, timer.min_us, timer.median_us(), timer.max_us));
        assert_eq!(timer, Some((4, 5_001_000, 5_002_000, 5_030_000)));
    }

    #[test]
    fn what_ends_at_one_moment_is_no_timers_doing() {
        let clusters = noted(&[(2_000, 10_000), (2_010, 10_002), (1_990, 10_003)]);
        assert!(clusters.timer().is_none(), "{clusters:?}");
    }

    #[test]
    fn spans_all_over_the_place_are_no_timers_doing_and_take_no_more_room() {
        let spans: Vec<(u64, i64)> = (1..200).map(|n| (n * 137 % 9_001, n as i64 * 1_000)).collect();
        let clusters = noted(&spans);
        assert!(clusters.timer().is_none(), "{clusters:?}");
        assert!(clusters.all().len() <= MOST_CLUSTERS);
        assert_eq!(clusters.count(), 199);
    }
}
