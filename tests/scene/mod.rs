//! A client, a gateway and its upstream, packet by packet.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use netwatch502::diagnose::incident::Incident;
use netwatch502::limits::Limits;

use crate::packets::{self, End, Packet, segment};

pub(crate) const CLIENT: [u8; 4] = [10, 50, 1, 2];
pub(crate) const FRONT: End = ([10, 50, 1, 1], 8080);
pub(crate) const BACK: [u8; 4] = [10, 50, 2, 1];
pub(crate) const APP: End = ([10, 50, 2, 2], 9000);

/// Packets in the order in which they are added, 0.1 ms apart.
#[derive(Default)]
pub(crate) struct Scene {
    pauses_us: i64,
    packets: Vec<Packet>,
}

impl Scene {
    pub(crate) fn pause(&mut self, us: i64) {
        self.pauses_us += us;
    }

    pub(crate) fn send(&mut self, way: (End, End), flags: &str, numbers: (u32, u32), data: &[u8]) {
        let number = self.packets.len() as u64 + 1;
        let at_ns = 1_795_181_638_000_000_000 + (number as i64 * 100 + self.pauses_us) * 1000;
        self.packets.push(Packet { number, ..segment(at_ns, way, flags, numbers, data) });
    }

    pub(crate) fn incidents(&self) -> Vec<Incident> {
        packets::analyse(&self.packets, &Limits::default()).incidents
    }

    /// The only incident.
    pub(crate) fn incident(&self) -> Incident {
        let mut incidents = self.incidents();
        assert_eq!(incidents.len(), 1, "{:?}", incidents.iter().map(summary).collect::<Vec<_>>());
        incidents.remove(0)
    }
}

/// A connection and how far its sides have come.
pub(crate) struct Talk {
    pub(crate) client: End,
    pub(crate) server: End,
    sent: u32,
    answered: u32,
}

impl Talk {
    /// Opens a connection whose SYN is answered after `us`.
    pub(crate) fn open(scene: &mut Scene, client: End, server: End, us: i64) -> Self {
        scene.send((client, server), "S", (999, 0), b"");
        scene.pause(us);
        scene.send((server, client), "SA", (1999, 1000), b"");
        scene.send((client, server), "A", (1000, 2000), b"");
        Self { client, server, sent: 1000, answered: 2000 }
    }

    /// A client's connection to the gateway and the gateway's to the upstream, the `nth` of them, with a request sent on both.
    pub(crate) fn pair(scene: &mut Scene, nth: u16, request: &str) -> [Self; 2] {
        let mut down = Self::open(scene, (CLIENT, 40_000 + nth), FRONT, 0);
        down.ask(scene, request);
        let mut up = Self::open(scene, (BACK, 50_000 + nth), APP, 0);
        up.ask(scene, request);
        [down, up]
    }

    pub(crate) fn ask(&mut self, scene: &mut Scene, request: &str) {
        scene.send((self.client, self.server), "PA", (self.sent, self.answered), request.as_bytes());
        self.sent += request.len() as u32;
    }

    pub(crate) fn answer(&mut self, scene: &mut Scene, response: &str) {
        scene.send((self.server, self.client), "PA", (self.answered, self.sent), response.as_bytes());
        self.answered += response.len() as u32;
    }

    /// Acknowledges what the client sent.
    pub(crate) fn receive(&self, scene: &mut Scene) {
        scene.send((self.server, self.client), "A", (self.answered, self.sent), b"");
    }

    pub(crate) fn client_closes(&mut self, scene: &mut Scene, flags: &str) {
        scene.send((self.client, self.server), flags, (self.sent, self.answered), b"");
        self.sent += 1;
    }

    pub(crate) fn server_closes(&mut self, scene: &mut Scene, flags: &str) {
        scene.send((self.server, self.client), flags, (self.answered, self.sent), b"");
        self.answered += 1;
    }
}

pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: id-of-{}\r\n\r\n", target.replace('/', "-"))
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(crate) fn summary(incident: &Incident) -> String {
    format!("{:?} {} {:?}: {}", incident.kind, incident.cause, incident.grade, incident.why)
}
