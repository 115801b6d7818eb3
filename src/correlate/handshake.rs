//! What is kept of a connection's TLS handshake: enough to say who refused what. Once a response came, which proves that nobody
//! refused anything, next to nothing.

use std::time::Duration;

use crate::correlate::conversation::Conversation;
use crate::event::tls::{
    AlertDescription, AlertLevel, Carried, Certificate, Certificates, ClientHello, HandshakeDone, NotTls, SentAlert,
    ServerHello, Version,
};
use crate::event::{Endpoint, Moment, Side, Tls};

/// A handshake, as far as it went and was seen. Each fact has the frame that shows it.
#[derive(Debug, Default)]
pub struct Handshake {
    /// When the first ClientHello was complete.
    pub began: Option<Moment>,
    /// The latest ClientHello.
    pub hello: Option<(Moment, Box<ClientHello>)>,
    /// When the server had acknowledged all of it.
    pub acknowledged: Option<Moment>,
    /// When the server asked for another one, and the offset behind that.
    pub retry: Option<(Moment, u64)>,
    /// What the server chose.
    pub chosen: Option<(Moment, Box<ServerHello>)>,
    /// The certificates of `[client, server]`, where they are in clear.
    pub shown: [Option<(Moment, Box<Chain>)>; 2],
    /// The server asked for the client's certificate, in clear.
    pub requested: Option<Moment>,
    /// The client sent what is as long as an empty list of certificates, encrypted.
    pub none_shown: Option<Moment>,
    /// Alerts, and what is as long as one: the first ones.
    pub alerts: Vec<(Moment, SentAlert)>,
    /// When `[client, server]` had sent Finished.
    pub done: [Option<(Moment, HandshakeDone)>; 2],
    /// The server does not speak TLS.
    pub not_tls: Option<(Moment, Box<NotTls>)>,
    /// What is inside.
    pub carries: Option<Carried>,
    /// When the first octets of a response came.
    pub answered: Option<Moment>,
}

/// Certificates that a side showed.
#[derive(Debug)]
pub struct Chain {
    /// The first ones, its own first; of their names the first ones.
    pub certificates: Box<[Certificate]>,
    /// How many were sent.
    pub sent: usize,
    /// Whether each was followed by that of its issuer.
    pub in_order: bool,
    /// Whether its own is for the host that the client had asked for; `None` where it asked for none, or not all names are known.
    pub names_host: Option<bool>,
}

impl Handshake {
    /// Takes what TLS shows.
    pub fn take(&mut self, moment: Moment, shown: Tls) {
        match shown {
            Tls::ClientHello(hello) => {
                self.began.get_or_insert(moment);
                self.acknowledged = None;
                self.hello = Some((moment, Box::new(hello)));
            }
            Tls::ServerHello(hello) if hello.retry => self.retry = Some((moment, hello.end)),
            Tls::ServerHello(hello) => {
                self.chosen.get_or_insert_with(|| (moment, Box::new(hello)));
            }
            Tls::Certificates(certificates) => {
                let host = self.hello.as_ref().and_then(|(_, hello)| hello.server_name.clone());
                if let Some(shown) = self.shown.get_mut(certificates.sender.index()) {
                    shown.get_or_insert_with(|| (moment, Box::new(Chain::new(certificates, host.as_deref()))));
                }
            }
            Tls::CertificateRequested { .. } => self.requested = Some(moment),
            Tls::NoCertificateShown { .. } => self.none_shown = Some(moment),
            Tls::Alert(alert) => {
                if self.alerts.len() < MOST_ALERTS {
                    self.alerts.push((moment, alert));
                }
            }
            Tls::HandshakeDone(done) => {
                if let Some(own) = self.done.get_mut(done.by.index()) {
                    own.get_or_insert((moment, done));
                }
            }
            Tls::NotTls(not_tls) => self.not_tls = Some((moment, Box::new(not_tls))),
            Tls::Carries(carried) => self.carries = Some(carried),
            Tls::Tickets(_) => {}
        }
    }

    /// The server acknowledged the client's octets up to `offset`.
    pub fn acknowledge(&mut self, moment: Moment, offset: u64) {
        if self.hello.as_ref().is_some_and(|(_, hello)| hello.end == offset) {
            self.acknowledged = Some(moment);
        }
    }

    /// A response came: what was agreed upon, and how, explains no failure any more.
    pub fn answer(&mut self, moment: Moment) {
        self.answered = Some(moment);
        self.hello = None;
        self.shown = [None, None];
    }

    /// The host that the client asked for.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.hello.as_ref().and_then(|(_, hello)| hello.server_name.as_deref())
    }

    /// The version that the server chose.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.chosen.as_ref().map(|(_, hello)| hello.version)
    }

    /// Whether what follows the hellos is encrypted.
    #[must_use]
    pub fn is_1_3(&self) -> bool {
        self.version().is_some_and(Version::is_1_3)
    }

    /// The certificates of a side.
    #[must_use]
    pub fn chain(&self, side: Side) -> Option<(Moment, &Chain)> {
        self.shown.get(side.index())?.as_ref().map(|(moment, chain)| (*moment, &**chain))
    }

    /// When a side had sent Finished.
    #[must_use]
    pub fn done(&self, side: Side) -> Option<Moment> {
        self.done.get(side.index())?.as_ref().map(|(moment, _)| *moment)
    }

    /// Whether both sides have sent Finished.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done.iter().all(Option::is_some)
    }

    /// Whether a session was resumed.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        let chosen = self.chosen.as_ref().and_then(|(_, hello)| hello.resumed);
        let done = self.done.iter().flatten().find_map(|(_, done)| done.resumed);
        chosen.or(done) == Some(true)
    }

    /// The first alert in clear that ends the connection, and whose it is.
    #[must_use]
    pub fn fatal(&self) -> Option<(Moment, SentAlert, AlertDescription)> {
        self.alerts.iter().find_map(|(moment, sent)| {
            let alert = sent.alert?;
            let says_goodbye =
                matches!(alert.description, AlertDescription::CLOSE_NOTIFY | AlertDescription::USER_CANCELED);
            let ends = alert.level == AlertLevel::FATAL || self.is_1_3();
            (ends && !says_goodbye).then_some((*moment, *sent, alert.description))
        })
    }

    /// The first record of a side that is as long as an encrypted alert.
    #[must_use]
    pub fn hidden_alert(&self, side: Side) -> Option<(Moment, SentAlert)> {
        self.alerts.iter().find(|(_, sent)| sent.sender == side && sent.alert.is_none()).copied()
    }

    /// What a gateway may have taken for the end of it: alerts, and what is no TLS.
    pub fn ends(&self) -> impl Iterator<Item = Moment> {
        let not_tls = self.not_tls.as_ref().map(|(moment, _)| *moment);
        self.alerts.iter().map(|(moment, _)| *moment).chain(not_tls)
    }

    /// The first alert of a side after its Finished that is not known to be fatal.
    #[must_use]
    pub fn farewell(&self, side: Side) -> Option<Moment> {
        let fatal = self.fatal().map(|(moment, ..)| moment);
        let mut own = self.alerts.iter().filter(|(_, sent)| sent.sender == side && sent.after_handshake);
        own.find(|(moment, _)| Some(*moment) != fatal).map(|(moment, _)| *moment)
    }

    /// The first of a side's alerts from an offset on.
    #[must_use]
    pub fn alerted(&self, side: Side, from: u64) -> Option<(Moment, SentAlert)> {
        self.alerts.iter().find(|(_, sent)| sent.sender == side && sent.start >= from).copied()
    }

    /// From the first ClientHello to the later one of both Finished, where that was made out.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        let [Some((client, own)), Some((server, _))] = &self.done else { return None };
        own.seen.then_some(())?;
        Some(client.at.max(server.at).since(self.began?.at))
    }

    /// Whether it failed, as far as TLS alone shows: it began, and broke off, or was answered by an alert.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.began.is_some() && self.answered.is_none() && (!self.is_done() || self.fatal().is_some())
    }
}

impl Conversation {
    /// Takes what TLS shows. Where the server chose, and by that goes on with the handshake: the server, and the host that it was
    /// asked for.
    pub(super) fn take_tls(&mut self, moment: Moment, shown: Tls) -> Option<(Endpoint, Option<&str>)> {
        let chosen = matches!(&shown, Tls::ServerHello(hello) if !hello.retry);
        let handshake = self.handshake.get_or_insert_default();
        handshake.take(moment, shown);
        chosen.then(|| (self.server, handshake.host()))
    }

    /// A response began; whether it is the first one inside of TLS.
    pub(super) fn answer_inside(&mut self, moment: Moment) -> bool {
        let begun =
            self.handshake.as_mut().filter(|handshake| handshake.began.is_some() && handshake.answered.is_none());
        begun.map(|handshake| handshake.answer(moment)).is_some()
    }

    /// Whether a TLS handshake began on it.
    #[must_use]
    pub fn is_veiled(&self) -> bool {
        self.handshake.as_ref().is_some_and(|handshake| handshake.began.is_some())
    }

    /// Time from the ClientHello to the end of the TLS handshake.
    #[must_use]
    pub fn secured(&self) -> Option<Duration> {
        self.handshake.as_ref()?.took()
    }

    /// Whether it has a TLS handshake that failed, and the capture holds all of it.
    #[must_use]
    pub fn has_failed_handshake(&self) -> bool {
        let failed = self.handshake.as_ref().is_some_and(|handshake| handshake.has_failed());
        failed && self.first_close().is_some() && !self.is_incomplete()
    }
}

impl Chain {
    fn new(shown: Certificates, host: Option<&str>) -> Self {
        let own = shown.chain.first();
        let names_host = host.zip(own).and_then(|(host, own)| names(own, host));
        let sent = shown.chain.len() + shown.unread;
        let mut certificates = shown.chain.into_vec();
        certificates.truncate(MOST_CERTIFICATES);
        for certificate in &mut certificates {
            let mut names = std::mem::take(&mut certificate.names).into_vec();
            names.truncate(MOST_NAMES);
            certificate.names = names.into();
        }
        Self { certificates: certificates.into(), sent, in_order: shown.in_order, names_host }
    }

    /// The side's own certificate.
    #[must_use]
    pub fn own(&self) -> Option<&Certificate> {
        self.certificates.first()
    }
}

/// Whether a certificate is for a host (RFC 9525 section 6.3): a label `*` stands for any first one. Where it names hosts, its
/// common name counts for nothing.
fn names(certificate: &Certificate, host: &str) -> Option<bool> {
    let host = host.trim_end_matches('.');
    let is_for = |name: &str| {
        let name = name.trim_end_matches('.');
        let any_first = name.strip_prefix("*.").zip(host.split_once('.'));
        name.eq_ignore_ascii_case(host)
            || any_first.is_some_and(|(rest, (_, parent))| rest.eq_ignore_ascii_case(parent))
    };
    let listed = if certificate.names.is_empty() { &certificate.common_names } else { &certificate.names };
    let found = listed.iter().any(|name| is_for(name));
    let all_known = certificate.names_count == certificate.names.len();
    (found || all_known).then_some(found)
}

const MOST_ALERTS: usize = 4;
const MOST_CERTIFICATES: usize = 4;
const MOST_NAMES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names_of: &[&str], common: &str, host: &str, expected: Option<bool>) {
        let certificate = Certificate {
            subject: "".into(),
            issuer: "".into(),
            common_names: [common.into()].into(),
            names: names_of.iter().map(|name| (*name).into()).collect(),
            names_count: names_of.len() + usize::from(names_of.first() == Some(&"cut.lab")),
            not_before: 0,
            not_after: 0,
            self_signed: false,
            is_authority: false,
        };
        assert_eq!(names(&certificate, host), expected, "{names_of:?} {common} {host}");
    }

    #[test]
    fn a_host_is_compared_with_the_names_of_a_certificate() {
        check(&["app.lab", "www.app.lab"], "x", "WWW.app.lab", Some(true));
        check(&["app.lab"], "www.app.lab", "www.app.lab", Some(false));
        check(&["*.app.lab"], "x", "www.app.lab", Some(true));
        check(&["*.app.lab"], "x", "app.lab", Some(false));
        check(&["*.app.lab"], "x", "a.b.app.lab", Some(false));
        check(&[], "app.lab", "app.lab", Some(true));
        check(&["cut.lab"], "x", "app.lab", None);
    }
}
