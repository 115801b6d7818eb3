//! Exchanges that nobody has claimed, and those that may want one: by the addresses of their gateway, and by time.

use crate::correlate::Correlator;
use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::gateway::Host;
use crate::correlate::index::{Entry, LAST};
use crate::correlate::pair::{CLOCK_SLACK, MOST_LOOKED_AT, UNSEEN_REQUEST, Window};
use crate::correlate::places::Place;
use crate::time::Timestamp;

impl Correlator {
    /// Whether a front's gateway made attempts in its time that nobody has claimed.
    pub(super) fn has_orphans(&self, front: &Exchange) -> bool {
        let backs = self.gateways.akin(front.hosts.server);
        // Upstreams mostly ask nobody.
        if !backs.iter().any(|back| self.orphans.has_any(*back)) || self.is_own_upstream(front) {
            return false;
        }
        let window = self.whole(front);
        let from = if front.is_begun() { window.from } else { window.until - UNSEEN_REQUEST };
        self.has_orphan_within(front, Window { from, ..window }, |_| true)
    }

    /// Whether one of those within a window is such a one.
    pub(super) fn has_orphan_within(
        &self,
        front: &Exchange,
        window: Window,
        is_one: impl Fn(ExchangeKey) -> bool,
    ) -> bool {
        let from = window.from - CLOCK_SLACK;
        let mut is_behind = self.places.behind(front.place);
        let mut is_one = |entry: &Entry| is_behind(entry.place) && is_one(entry.key);
        let backs = self.gateways.akin(front.hosts.server);
        // Most are of the front itself, behind which it does not stand.
        let own = if front.place == Place::BEYOND { Place::NOWHERE } else { front.place };
        backs.iter().any(|back| self.orphans.has_one(*back, from, window.until, own, &mut is_one))
    }

    /// Exchanges without a parent that a front's gateway began in a window.
    pub(super) fn orphans_within(&self, front: &Exchange, window: Window) -> impl Iterator<Item = ExchangeKey> {
        let (from, until) = (window.from - CLOCK_SLACK, (window.until, LAST));
        let backs = self.gateways.akin(front.hosts.server).each();
        let entries = backs.flat_map(move |back| self.orphans.between(back, from, until));
        let mut is_behind = self.places.behind(front.place);
        entries.filter(move |entry| is_behind(entry.place)).map(|entry| entry.key)
    }

    /// Whether a gateway that begins an attempt has a single exchange open of those that it may make one for.
    pub(super) fn has_one_open_front(&self, client: Host) -> bool {
        let fronts = self.gateways.akin(client).each();
        let latest = fronts.flat_map(|front| self.unsettled.latest(front).take(MOST_LOOKED_AT));
        let mut open = latest.filter(|front| front.is_open() && !self.places.is_upstream_only(front.place));
        open.next().is_some() && open.next().is_none()
    }

    /// Exchanges of the gateway that made an attempt: those that may still want one, and were open when it began.
    pub(super) fn fronts_of(
        &self,
        attempt: &Exchange,
        from: Timestamp,
        until: (Timestamp, ExchangeKey),
    ) -> impl Iterator<Item = ExchangeKey> {
        let began = self.began(attempt) - CLOCK_SLACK * 20;
        let fronts = self.gateways.akin(attempt.hosts.client).each();
        let open = fronts.flat_map(move |front| self.unsettled.between(front, from, until).rev().take(MOST_LOOKED_AT));
        let open = open.filter(move |front| front.over >= began);
        // Nearly always the place alone tells.
        let wants = |front: &&Entry| {
            !self.places.is_upstream_only(front.place)
                || self.books.exchange(front.key).is_none_or(|front| !self.is_own_upstream(front))
        };
        open.filter(wants).map(|front| front.key)
    }
}
