//! While live: what there is to tell of incidents. Each is told as soon as a verdict can be given, keeps the identifier that
//! it then gets, and is told again where it settles as something else.

use hashbrown::HashMap;

use crate::correlate::conversation::ExchangeKey;
use crate::diagnose::incident::Incident;

/// What there is to tell of an incident.
#[derive(Clone, Debug)]
pub enum News {
    /// It happened, and this is how it looks so far.
    Provisional(Incident),
    /// It has settled.
    Settled {
        /// As it stands from now on.
        incident: Incident,
        /// As it was told before, if it was.
        told: Option<Box<Incident>>,
    },
}

/// What was told, and what is to be.
#[derive(Debug, Default)]
pub(super) struct Desk {
    news: Vec<News>,
    latest_id: u32,
    /// By the exchange: what was told of incidents that have not settled.
    told: HashMap<ExchangeKey, Incident>,
}

impl Desk {
    /// Whether an exchange can be told of before it settles.
    pub(super) fn has_room(&self) -> bool {
        self.told.len() < MOST_TOLD
    }

    pub(super) fn tell(&mut self, exchange: ExchangeKey, mut incident: Incident) {
        self.latest_id += 1;
        incident.id = self.latest_id;
        incident.ladder = Vec::new();
        self.told.insert(exchange, incident.clone());
        self.news.push(News::Provisional(incident));
    }

    /// What was told of a case before: of its own exchange, or of an attempt that looked like one. These are `keys`.
    pub(super) fn told(&mut self, mut keys: impl Iterator<Item = ExchangeKey>) -> Option<Incident> {
        if self.told.is_empty() {
            return None;
        }
        keys.find_map(|key| self.told.remove(&key))
    }

    /// Everything that was told and never settled.
    pub(super) fn left(&mut self) -> Vec<Incident> {
        let mut left: Vec<Incident> = self.told.drain().map(|(_, incident)| incident).collect();
        left.sort_unstable_by_key(|incident| incident.id);
        left
    }

    /// An incident has settled, and gets the identifier that it was told by.
    pub(super) fn settle(&mut self, incident: &mut Incident, told: Option<Incident>) {
        incident.id = told.as_ref().map_or(self.latest_id + 1, |told| told.id);
        self.latest_id = self.latest_id.max(incident.id);
        // It is drawn for who asks for one incident in full, and nobody does while live.
        incident.ladder = Vec::new();
        self.news.push(News::Settled { incident: incident.clone(), told: told.map(Box::new) });
    }

    pub(super) fn take(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }
}

/// Incidents that may have been told and not have settled, about 4 KB each; beyond it they are told once they have.
const MOST_TOLD: usize = 1024;
