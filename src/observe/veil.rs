//! A connection with TLS: what it shows from outside, and, where the secrets are there, what is inside.
//!
//! From outside exchanges are inferred from lengths and order. Where the connection is decrypted they are read, and what was
//! inferred is not told; as long as that is open, what was inferred waits.

use crate::event::{Moment, Side, Tls as Shown, What};
use crate::flow::assembler::Piece;
use crate::limits::Limits;
use crate::observe::decrypted::{Decrypted, Fate, KeyRing, Now};
use crate::observe::tls::Tls;
use crate::wire::http2;

/// The observer of one connection with TLS.
#[derive(Debug)]
pub struct Veil {
    shown: Tls,
    decrypted: Option<Box<Decrypted>>,
    /// TLS has not begun yet: what is shown tells when it does.
    awaiting: bool,
    /// Exchanges of HTTP/1 that came before.
    exchanges: u32,
    /// What was inferred while it is not known whether the connection is decrypted.
    inferred: Vec<(Moment, What)>,
}

impl Veil {
    /// An observer for a connection that speaks TLS; `may_open` where there are secrets, or may come to be.
    #[must_use]
    pub fn new(shown: Tls, may_open: bool) -> Self {
        Self { shown, decrypted: may_open.then(Box::default), awaiting: false, exchanges: 0, inferred: Vec::new() }
    }

    /// An observer for a connection that speaks something else, behind so many exchanges of HTTP/1, and may turn to TLS.
    #[must_use]
    pub fn awaiting(shown: Tls, exchanges: u32) -> Self {
        Self { awaiting: true, exchanges, ..Self::new(shown, false) }
    }

    /// Whether a piece begins HTTP/2 where TLS was waited for, in a tunnel of CONNECT; behind how many exchanges.
    #[must_use]
    pub fn turns_to_http2(&self, side: Side, piece: &Piece<'_>) -> Option<u32> {
        let Piece::Data { octets, .. } = piece else { return None };
        let begins = self.awaiting
            && match side {
                Side::Client => octets.starts_with(http2::PREFACE),
                Side::Server => http2::is_server_preface(octets) == Some(true),
            };
        (begins && self.shown.is_awaiting()).then_some(self.exchanges)
    }

    /// Takes the next piece of a direction. What is told belongs to the moment that is told with it.
    pub fn piece(
        &mut self,
        side: Side,
        piece: &Piece<'_>,
        now: Now<'_>,
        ring: &mut KeyRing,
        tell: &mut impl FnMut(Moment, What),
    ) {
        let Some(decrypted) = &mut self.decrypted else {
            let awaiting = self.awaiting && ring.may_open();
            let mut begins = false;
            self.shown.piece(side, piece, now.context, now.limits, &mut |what| {
                if awaiting && matches!(what, What::Opaque(_)) {
                    begins = true;
                } else {
                    tell(now.moment, what);
                }
            });
            if begins {
                self.awaiting = false;
                self.decrypted.insert(Box::default()).piece(side, piece, now, ring, tell);
                self.settle(tell);
            }
            return;
        };
        decrypted.piece(side, piece, now, ring, tell);
        let fate = self.settle(tell);
        let Self { shown, inferred, .. } = self;
        shown.piece(side, piece, now.context, now.limits, &mut |what| {
            pass(fate, now.moment, what, inferred, tell);
        });
    }

    /// A direction is over.
    pub fn closed(
        &mut self,
        side: Side,
        reset: bool,
        moment: Moment,
        limits: &Limits,
        tell: &mut impl FnMut(Moment, What),
    ) {
        if let Some(decrypted) = &mut self.decrypted {
            decrypted.closed(side, reset, moment, limits, tell);
        }
        let fate = self.settle(tell);
        let Self { shown, inferred, .. } = self;
        shown.closed(side, reset, &mut |what| pass(fate, moment, what, inferred, tell));
    }

    /// Whether secrets are waited for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.decrypted.as_ref().is_some_and(|decrypted| decrypted.is_waiting())
    }

    /// Secrets may have come, or time has passed.
    pub fn look_again(
        &mut self,
        moment: Moment,
        ring: &mut KeyRing,
        limits: &Limits,
        tell: &mut impl FnMut(Moment, What),
    ) {
        if let Some(decrypted) = &mut self.decrypted {
            decrypted.look_again(moment, ring, limits, tell);
        }
        self.settle(tell);
    }

    /// The connection leaves: nothing is waited for any longer.
    pub fn leave(&mut self, moment: Moment, tell: &mut impl FnMut(Moment, What)) {
        if let Some(decrypted) = &mut self.decrypted {
            decrypted.leave(moment, tell);
        }
        self.settle(tell);
    }

    /// Octets of what is incomplete, or waits.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        let decrypted = self.decrypted.as_ref().map_or(0, |decrypted| decrypted.held_octets());
        self.shown.held_octets() + decrypted + self.inferred.capacity() * size_of::<(Moment, What)>()
    }

    /// There is no room for what is incomplete: it is given up.
    pub fn give_up(&mut self, now: Now<'_>, tell: &mut impl FnMut(Moment, What)) {
        self.shown.give_up_messages();
        if let Some(decrypted) = &mut self.decrypted {
            decrypted.give_up(now, tell);
        }
        self.settle(tell);
    }

    /// Tells or forgets what was inferred, once it is known which.
    fn settle(&mut self, tell: &mut impl FnMut(Moment, What)) -> Fate {
        let fate = self.decrypted.as_ref().map_or(Fate::Veiled, |decrypted| decrypted.fate());
        match fate {
            Fate::Undecided => {}
            Fate::Decrypted => self.inferred = Vec::new(),
            Fate::Veiled => {
                std::mem::take(&mut self.inferred).into_iter().for_each(|(moment, what)| tell(moment, what));
                self.decrypted = None;
            }
        }
        fate
    }
}

/// Something of what TLS shows is told, unless it is inferred and better is known, or may come to be.
fn pass(
    fate: Fate,
    moment: Moment,
    what: What,
    inferred: &mut Vec<(Moment, What)>,
    tell: &mut impl FnMut(Moment, What),
) {
    match (fate, is_inferred(&what)) {
        (Fate::Undecided, true) => inferred.push((moment, what)),
        (Fate::Decrypted, true) => {}
        _ => tell(moment, what),
    }
}

fn is_inferred(what: &What) -> bool {
    match what {
        What::RequestStarted { .. }
        | What::RequestEnded { .. }
        | What::ResponseStarted { .. }
        | What::ResponseEnded { .. }
        | What::Veiled(_) => true,
        What::Tls(shown) => match &**shown {
            Shown::Alert(sent) => sent.alert.is_none(),
            Shown::Carries(_) | Shown::NoCertificateShown { .. } | Shown::Tickets(_) => true,
            _ => false,
        },
        _ => false,
    }
}
