//! What is known of a connection that speaks HTTP/2, besides its exchanges.

use crate::event::{GoAway, Moment, Side, What};

/// What the sides said of the connection.
#[derive(Clone, Debug, Default)]
pub struct Multiplexed {
    /// Of client and server the word that it takes no new streams: the one that takes the fewest, if there were several.
    pub goaways: [Option<(Moment, GoAway)>; 2],
    /// Since when it cannot be followed.
    pub lost: Option<Moment>,
}

impl Multiplexed {
    /// A side takes no new streams, or the connection cannot be followed any more.
    pub(super) fn take(&mut self, moment: Moment, what: &What) {
        let What::GoAway(goaway) = what else {
            self.lost = Some(moment);
            return;
        };
        if let Some(known) = self.goaways.get_mut(goaway.by.index())
            && known.is_none_or(|(_, known)| goaway.last < known.last)
        {
            *known = Some((moment, *goaway));
        }
    }

    /// The word of a side by which it did not work on an exchange.
    #[must_use]
    pub fn refused(&self, by: Side, number: u32) -> Option<(Moment, GoAway)> {
        self.goaways.get(by.index()).copied().flatten().filter(|(_, goaway)| goaway.last < number)
    }
}
