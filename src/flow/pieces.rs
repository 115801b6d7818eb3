//! A vector in pieces of a fixed size: what it holds never moves, and no more memory is taken than it needs. Of a million
//! connections a vector that grows by doubling would hold two copies for a while.

use crate::time::Timestamp;

/// Places that are taken or free, by their number.
#[derive(Debug)]
pub struct Pieces<T> {
    pieces: Vec<Piece<T>>,
    len: usize,
}

#[derive(Debug)]
struct Piece<T> {
    places: Vec<Option<T>>,
    /// Nothing in it is due before, unless it is touched.
    due: Timestamp,
    touched: bool,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }
}

impl<T> Pieces<T> {
    /// How many places there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is at a place.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pieces.get(index / PIECE)?.places.get(index % PIECE)?.as_ref()
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.place_mut(index)?.as_mut()
    }

    /// A place, taken or free.
    #[inline]
    pub fn place_mut(&mut self, index: usize) -> Option<&mut Option<T>> {
        let piece = self.pieces.get_mut(index / PIECE)?;
        piece.touched = true;
        piece.places.get_mut(index % PIECE)
    }

    /// Adds a place at the end, which is free.
    pub fn add(&mut self) -> usize {
        if self.len.is_multiple_of(PIECE) {
            let places = Vec::with_capacity(PIECE);
            self.pieces.push(Piece { places, due: Timestamp::default(), touched: true });
        }
        if let Some(last) = self.pieces.last_mut() {
            last.places.push(None);
        }
        self.len += 1;
        self.len - 1
    }

    /// All that are taken, by their numbers.
    pub fn taken(&self) -> impl Iterator<Item = (usize, &T)> {
        let places = self.pieces.iter().flat_map(|piece| &piece.places);
        places.enumerate().filter_map(|(index, place)| Some((index, place.as_ref()?)))
    }

    /// Shows what may be due by `now` to `look`, which says when it is due next.
    pub fn sweep(&mut self, now: Timestamp, mut look: impl FnMut(usize, &mut Option<T>) -> Option<Timestamp>) {
        for (number, piece) in self.pieces.iter_mut().enumerate() {
            if !piece.touched && now < piece.due {
                continue;
            }
            let next = piece.places.iter_mut().enumerate().filter_map(|(at, place)| look(number * PIECE + at, place));
            piece.due = next.min().unwrap_or(Timestamp::from_nanos(i64::MAX));
            piece.touched = false;
        }
    }
}

/// Places of a piece.
const PIECE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_due_nor_touched_is_not_looked_at() {
        let at = Timestamp::from_nanos;
        let mut pieces = Pieces::default();
        for number in 0..3 * PIECE {
            let index = pieces.add();
            *pieces.place_mut(index).unwrap() = Some(number);
        }
        let looked = |pieces: &mut Pieces<usize>, now| {
            let mut seen = Vec::new();
            pieces.sweep(at(now), |index, place| {
                assert_eq!(*place, Some(index));
                seen.push(index / PIECE);
                Some(at(100 + (index / PIECE) as i64))
            });
            seen.dedup();
            seen
        };
        assert_eq!(looked(&mut pieces, 1), [0, 1, 2]);
        assert!(looked(&mut pieces, 99).is_empty());
        assert_eq!(pieces.get_mut(PIECE).copied(), Some(PIECE));
        assert_eq!(looked(&mut pieces, 100), [0, 1]);
        assert_eq!(pieces.taken().count(), 3 * PIECE);
    }
}
