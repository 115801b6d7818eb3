//! Prints what TLS shows.
#![allow(warnings, clippy::all, clippy::unwrap_used)]

use netwatch502::event::*;
use netwatch502::limits::Limits;
use netwatch502::shard::Shard;
fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let mut source = netwatch502::capture::Source::open(&names).unwrap();
    let mut shard = Shard::new(&Limits::default());
    let mut events = Vec::new();
    let mut last = None;
    while let Some(c) = source.next() {
        last = Some(Moment { at: c.at, frame: c.frame });
        shard.take(&c, &mut events);
    }
    if let Some(last) = last {
        shard.finish(last, &mut events);
    }
    for e in events {
        let f = e.moment.frame;
        let c = e.connection.0;
        match e.what {
            What::Tls(t) => match &*t {
                Tls::Certificates(x) => {
                    println!(
                        "{c} {f} Certificates {:?} n={} unread={} in_order={}",
                        x.sender,
                        x.chain.len(),
                        x.unread,
                        x.in_order
                    );
                    for x in &x.chain {
                        println!("{c} {f}   cert {x:?}");
                    }
                }
                Tls::ClientHello(h) => println!(
                    "{c} {f} ClientHello {}..{} again={} ssl2={} versions={:?} suites={} sni={:?} alpn={:?} exts={:?} resumes={} early={} ja4={}",
                    h.start,
                    h.end,
                    h.again,
                    h.ssl_2,
                    h.versions.iter().map(|v| v.0).collect::<Vec<_>>(),
                    h.suites.iter().map(|s| s.0.to_string()).collect::<Vec<_>>().join(","),
                    h.server_name,
                    h.alpn,
                    h.extensions,
                    h.resumes,
                    h.early_data,
                    h.ja4
                ),
                Tls::ServerHello(h) => println!(
                    "{c} {f} ServerHello {}..{} retry={} version={} offered={:?} suite={} {} alpn={:?} resumed={:?}",
                    h.start, h.end, h.retry, h.version.0, h.version_offered, h.suite.0, h.suite, h.alpn, h.resumed
                ),
                t => println!("{c} {f} {t:?}"),
            },
            What::Veiled(v) => println!("{c} {f} {v:?}"),
            w @ (What::RequestStarted { .. }
            | What::RequestEnded { .. }
            | What::ResponseStarted { .. }
            | What::ResponseEnded { .. }
            | What::Opaque(_)
            | What::Fin(_)
            | What::Reset(_)
            | What::Gap { .. }
            | What::SpeaksFor(_)) => {
                let s = format!("{w:?}");
                println!("{c} {f} {}", &s[..s.len().min(160)]);
            }
            What::Opened(o) => println!("{c} {f} Opened {} {} {:?}", o.client, o.server, o.first),
            What::Request(r) => println!("{c} {f} Request {} {}", r.method(), r.target()),
            What::Response(r) => println!("{c} {f} Response {}", r.status),
            _ => {}
        }
    }
}
