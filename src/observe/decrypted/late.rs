//! What came before the secrets of a connection did: programs write their key log while they run, and packets may be read
//! before it.

use crate::event::{GapJudged, Moment, Side};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::limits::Limits;
use crate::observe::decrypted::Now;

/// What waits, in its order.
#[derive(Debug, Default)]
pub(super) struct Late {
    waiting: Vec<(Held, Moment, Context)>,
    octets: usize,
}

#[derive(Debug)]
pub(super) enum Held {
    Data(Side, u64, Vec<u8>),
    Gap(Side, u64, u64, GapJudged),
    Closed(Side, bool),
}

impl Held {
    pub(super) fn piece(side: Side, piece: &Piece<'_>) -> Self {
        match piece {
            Piece::Data { at, octets } => Self::Data(side, *at, octets.to_vec()),
            Piece::Gap { at, length, judged } => Self::Gap(side, *at, *length, *judged),
        }
    }

    /// The piece; or the side that is over, and whether it was reset.
    pub(super) fn as_piece(&self) -> Result<(Side, Piece<'_>), (Side, bool)> {
        match self {
            Self::Data(side, at, octets) => Ok((*side, Piece::Data { at: *at, octets })),
            Self::Gap(side, at, length, judged) => {
                Ok((*side, Piece::Gap { at: *at, length: *length, judged: *judged }))
            }
            Self::Closed(side, reset) => Err((*side, *reset)),
        }
    }
}

impl Late {
    pub(super) fn hold(&mut self, held: Held, now: Now<'_>) {
        self.octets += size_of::<(Held, Moment, Context)>();
        if let Held::Data(_, _, octets) = &held {
            self.octets += octets.len();
        }
        self.waiting.push((held, now.moment, now.context));
    }

    pub(super) fn take(&mut self) -> Vec<(Held, Moment, Context)> {
        self.octets = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Whether it waited for as long as it may, or is too much.
    pub(super) fn is_over(&self, moment: Moment, limits: &Limits) -> bool {
        let first = self.waiting.first().map_or(moment, |(_, first, _)| *first);
        moment.at.since(first.at) >= limits.secret_wait || self.octets > limits.secret_wait_bytes
    }

    pub(super) fn held_octets(&self) -> usize {
        self.octets
    }
}
