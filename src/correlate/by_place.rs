//! Values by endpoint, such as are looked up for each exchange: that of an endpoint that has a number is found without hashing.

use hashbrown::HashMap;

use crate::correlate::places::Place;
use crate::event::Endpoint;

/// Values by endpoint, in the order in which they were made.
#[derive(Clone, Debug)]
pub struct ByPlace<V> {
    values: Vec<(Endpoint, V)>,
    indices: HashMap<Endpoint, u32>,
    /// The same by the endpoint's number, as far as they were looked up by it: one more than the index.
    places: Vec<u32>,
}

impl<V> Default for ByPlace<V> {
    fn default() -> Self {
        Self { values: Vec::new(), indices: HashMap::new(), places: Vec::new() }
    }
}

impl<V: Default> ByPlace<V> {
    /// The value of an endpoint; a new one where there is none, unless there are `most`.
    #[inline]
    pub fn entry(&mut self, place: Place, endpoint: Endpoint, most: usize) -> Option<&mut V> {
        let index = match self.places.get(place.index()) {
            Some(after) if *after > 0 => *after as usize - 1,
            _ => self.enter(place, endpoint, most)?,
        };
        self.values.get_mut(index).map(|(_, value)| value)
    }

    fn enter(&mut self, place: Place, endpoint: Endpoint, most: usize) -> Option<usize> {
        let known = self.indices.get(&endpoint).map(|index| *index as usize);
        let index = known.or_else(|| (self.values.len() < most).then_some(self.values.len()))?;
        if known.is_none() {
            self.values.push((endpoint, V::default()));
            self.indices.insert(endpoint, index as u32);
        }
        if place != Place::BEYOND {
            if self.places.len() <= place.index() {
                self.places.resize(place.index() + 1, 0);
            }
            if let Some(after) = self.places.get_mut(place.index()) {
                *after = index as u32 + 1;
            }
        }
        Some(index)
    }
}

impl<V> ByPlace<V> {
    /// The value of an endpoint.
    #[must_use]
    pub fn get(&self, endpoint: &Endpoint) -> Option<&V> {
        let index = *self.indices.get(endpoint)?;
        self.values.get(index as usize).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, endpoint: &Endpoint) -> Option<&mut V> {
        let index = *self.indices.get(endpoint)?;
        self.values.get_mut(index as usize).map(|(_, value)| value)
    }

    /// Whether there is a value of an endpoint.
    #[must_use]
    pub fn contains_key(&self, endpoint: &Endpoint) -> bool {
        self.indices.contains_key(endpoint)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Endpoint, &V)> {
        self.values.iter().map(|(endpoint, value)| (endpoint, value))
    }

    /// All of them in the order of their endpoints.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&Endpoint, &V)> {
        let mut sorted: Vec<_> = self.iter().collect();
        sorted.sort_unstable_by_key(|(endpoint, _)| **endpoint);
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::places::Places;

    #[test]
    fn a_value_is_found_by_number_and_by_endpoint() {
        let [first, second, third] = [3, 1, 2].map(|port| Endpoint::from(([10, 0, 0, 1], port)));
        let mut places = Places::default();
        let mut values: ByPlace<u32> = ByPlace::default();
        for endpoint in [first, second, first, second, first] {
            *values.entry(places.number(endpoint), endpoint, 2).unwrap() += 1;
        }
        assert_eq!(values.entry(places.number(third), third, 2), None);
        // One that came too late for a number.
        *values.entry(Place::BEYOND, first, 2).unwrap() += 1;
        assert_eq!(values.get(&first), Some(&4));
        assert_eq!(values.sorted(), [(&second, &2), (&first, &4)]);
    }
}
