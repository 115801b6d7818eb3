//! What disturbs a connection: closes, errors, repetitions, holes. Most that are open have none of it, and there may be a
//! million of them.

use crate::correlate::missing::{Hole, Repeat};
use crate::correlate::multiplexed::Multiplexed;
use crate::event::tls::{AlertDescription, SentAlert};
use crate::event::{Closing, Endpoint, GapJudged, Gone, Moment, Side, Tls, Unreachable, What};

/// What disturbed a connection. Some 600 octets, which only those have that were disturbed.
#[derive(Debug)]
pub struct Disturbance {
    /// The latest SYN that was repeated, and how many were.
    pub syn_repeated: Option<(Moment, u32)>,
    /// First SYN-ACK that was repeated although the client had acknowledged it, and how many there were.
    pub syn_ack_repeated: Option<(Moment, u32)>,
    /// ICMP errors about it.
    pub unreachable: Vec<(Moment, Unreachable)>,
    /// First FIN of client and server.
    pub fins: [Option<(Moment, Closing)>; 2],
    /// When client's and server's FIN was acknowledged.
    pub fins_acknowledged: [Option<Moment>; 2],
    /// Resets, the first ones.
    pub resets: Vec<(Moment, Closing)>,
    /// Repeated segments, the latest ones.
    pub repeats: Vec<Repeat>,
    /// Repeated segments of client and server, all.
    pub repeated: [u32; 2],
    /// Since when client's and server's receive window is closed.
    pub window_closed: [Option<Moment>; 2],
    /// Times that client and server closed their window.
    pub windows_closed: [u32; 2],
    /// Holes, the latest ones.
    pub gaps: Vec<Hole>,
    /// The first octets of the server that were sent and did not come by.
    pub server_ahead: Option<(Moment, u64)>,
    /// When octets of the server came before others, the first of which did not come then: its offset, and how many.
    pub server_skipped: Option<(Moment, u64, u64)>,
    /// When the server sent octets while no request was outstanding.
    pub unsolicited: Option<Moment>,
    /// When `[client, server]` said inside of TLS that it closes: its FIN may follow the other's, which answers that.
    pub notified: [Option<Moment>; 2],
    /// The client that a PROXY protocol header names.
    pub speaks_for: Option<Endpoint>,
    /// What is known of it where it speaks HTTP/2.
    pub multiplexed: Option<Box<Multiplexed>>,
    /// How it left, once it did.
    pub gone: Option<(Moment, Gone)>,
}

impl Disturbance {
    /// That of a connection that nothing disturbed.
    pub(super) const NONE: Self = Self {
        syn_repeated: None,
        syn_ack_repeated: None,
        unreachable: Vec::new(),
        fins: [None, None],
        fins_acknowledged: [None, None],
        resets: Vec::new(),
        repeats: Vec::new(),
        repeated: [0; 2],
        window_closed: [None, None],
        windows_closed: [0; 2],
        gaps: Vec::new(),
        server_ahead: None,
        server_skipped: None,
        unsolicited: None,
        notified: [None; 2],
        speaks_for: None,
        multiplexed: None,
        gone: None,
    };

    /// Whether an event is a disturbance, or the end.
    pub(super) fn is_one(what: &What) -> bool {
        if let What::Tls(shown) = what {
            return matches!(**shown, Tls::Alert(_));
        }
        matches!(
            what,
            What::SynRepeated
                | What::Unreachable(_)
                | What::Fin(_)
                | What::FinAcknowledged { .. }
                | What::Ahead { .. }
                | What::Skipped { .. }
                | What::ResponseStarted { solicited: false, .. }
                | What::Reset(_)
                | What::Retransmitted { .. }
                | What::WindowClosed { .. }
                | What::WindowOpened { .. }
                | What::Gap { .. }
                | What::SpeaksFor(_)
                | What::Gone(_)
        )
    }

    /// Takes one.
    pub(super) fn take(&mut self, moment: Moment, what: &What) {
        match what {
            What::Multiplexed => self.multiplexed = Some(Box::default()),
            What::GoAway(_) | What::Opaque(_) => {
                if let Some(multiplexed) = &mut self.multiplexed {
                    multiplexed.take(moment, what);
                }
            }
            What::SynRepeated => {
                let count = self.syn_repeated.map_or(0, |(_, count)| count);
                self.syn_repeated = Some((moment, count + 1));
            }
            What::SynAck { .. } => {
                let (first, count) = self.syn_ack_repeated.unwrap_or((moment, 0));
                self.syn_ack_repeated = Some((first, count + 1));
            }
            What::Tls(shown) => {
                // What is encrypted after the handshake is a farewell: any other alert ends the connection as well.
                if let Tls::Alert(SentAlert { sender, alert, after_handshake, .. }) = &**shown
                    && alert.map_or(*after_handshake, |alert| alert.description == AlertDescription::CLOSE_NOTIFY)
                    && let Some(notified) = self.notified.get_mut(sender.index())
                {
                    notified.get_or_insert(moment);
                }
            }
            What::Unreachable(error) if self.unreachable.len() < 4 => self.unreachable.push((moment, **error)),
            What::Fin(closing) => {
                if let Some(fin) = self.fins.get_mut(closing.by.index()) {
                    fin.get_or_insert((moment, *closing));
                }
            }
            What::FinAcknowledged { sender } => {
                if let Some(acknowledged) = self.fins_acknowledged.get_mut(sender.index()) {
                    *acknowledged = Some(moment);
                }
            }
            What::Ahead { sender: Side::Server, length, .. } => {
                self.server_ahead.get_or_insert((moment, *length));
            }
            What::Skipped { sender: Side::Server, offset, length } => {
                self.server_skipped = Some((moment, *offset, *length));
            }
            What::ResponseStarted { solicited: false, .. } => self.unsolicited = Some(moment),
            What::Reset(closing) if self.resets.len() < 8 => self.resets.push((moment, *closing)),
            What::Retransmitted { sender, offset, length } => {
                if let Some(count) = self.repeated.get_mut(sender.index()) {
                    *count += 1;
                }
                if self.repeats.len() >= 32 {
                    self.repeats.remove(0);
                }
                let repeat = Repeat { moment, sender: *sender, offset: *offset, length: *length };
                self.repeats.push(repeat);
            }
            What::WindowClosed { by } => {
                if let (Some(since), Some(count)) =
                    (self.window_closed.get_mut(by.index()), self.windows_closed.get_mut(by.index()))
                {
                    *since = Some(moment);
                    *count += 1;
                }
            }
            What::WindowOpened { by } => {
                if let Some(since) = self.window_closed.get_mut(by.index()) {
                    *since = None;
                }
            }
            What::Gap { sender, offset, length, judged: GapJudged::Snaplen } => {
                // Nearly every segment has one: the latest of a side stands for all, from the first one's offset on.
                let known = self.gaps.iter_mut().find(|gap| gap.judged == GapJudged::Snaplen && gap.sender == *sender);
                match known {
                    Some(gap) => {
                        gap.moment = moment;
                        gap.length = (offset + length).saturating_sub(gap.offset);
                    }
                    None => self.gaps.push(Hole {
                        moment,
                        sender: *sender,
                        offset: *offset,
                        length: *length,
                        judged: GapJudged::Snaplen,
                    }),
                }
            }
            What::Gap { sender, offset, length, judged } => {
                if self.gaps.len() >= 16 {
                    self.gaps.remove(0);
                }
                let (moment, sender, offset, length) = (moment, *sender, *offset, *length);
                self.gaps.push(Hole { moment, sender, offset, length, judged: *judged });
            }
            What::SpeaksFor(client) => self.speaks_for = Some(*client),
            What::Gone(gone) => self.gone = Some((moment, *gone)),
            _ => {}
        }
    }
}

impl Default for Disturbance {
    fn default() -> Self {
        Self::NONE
    }
}
