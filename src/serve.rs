//! What comes from outside while a live run goes on: signals, a tick each second, and scrapes of the metrics. In comes the
//! text to serve, out come [`Wake`]s. The only file that names tokio: all of this runs in one thread beside the pipeline.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Why nothing can be served. `Display` is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address for the metrics cannot be had.
    #[error("--metrics {address}: cannot listen there: {source}; {}", advice(source))]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The thread, its signals or its timers cannot be had.
    #[error("cannot wait for signals: {0}")]
    Start(#[source] io::Error),
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "another program does; name another port",
        io::ErrorKind::AddrNotAvailable => "name an address of this host, such as 127.0.0.1",
        io::ErrorKind::PermissionDenied => "name a port from 1024 on",
        _ => "name another address",
    }
}

/// What the live loop is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A second has passed. Ticks that the loop has no time for are left out.
    Tick,
    /// SIGINT, SIGTERM, or SIGHUP unless it is ignored (nohup): end with the summary. A second one but SIGHUP ends the process at once.
    Stop,
}

/// The thread that serves. It ends when this is dropped.
#[derive(Debug)]
pub struct Serve {
    events: Receiver<Wake>,
    stopping: Arc<AtomicBool>,
    text: Arc<Mutex<Bytes>>,
    metrics: Option<SocketAddr>,
    /// Dropped, it ends the thread.
    running: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Serve {
    /// Waits for signals and for the seconds to pass, and serves the metrics to whom a listener accepts. When it comes back, signals end
    /// the process no more. A thread has rights of its own: start it when those of the process have been given up.
    ///
    /// # Errors
    ///
    /// The system has no thread to give, or no signals and timers.
    pub fn start(listener: Option<TcpListener>) -> Result<Self, Error> {
        let address = listener.as_ref().map(TcpListener::local_addr).transpose().map_err(Error::Start)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
        let (wake, events) = mpsc::sync_channel(MOST_WAKES);
        let (running, ended) = oneshot::channel();
        let (text, stopping) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let waiting = {
            let _within = runtime.enter();
            let own = |kind| signal(kind).map_err(Error::Start);
            let hangup = if is_ignored(SignalKind::hangup()) { None } else { Some(own(SignalKind::hangup())?) };
            let signals = [Some(own(SignalKind::interrupt())?), Some(own(SignalKind::terminate())?), hangup];
            let listener = listener.map(tokio::net::TcpListener::from_std).transpose().map_err(Error::Start)?;
            let scrapes = scrapes(listener, Arc::clone(&text));
            let wakes = wakes(wake, signals, Arc::clone(&stopping));
            async move {
                tokio::select! {
                    _ = ended => {}
                    () = wakes => {}
                    () = scrapes => {}
                }
            }
        };
        let thread = std::thread::Builder::new().name("serve".to_owned()).spawn(move || runtime.block_on(waiting));
        let thread = Some(thread.map_err(Error::Start)?);
        Ok(Self { events, stopping, text, metrics: address, running: Some(running), thread })
    }

    /// Where wakes arrive. A stop comes again each second.
    #[must_use]
    pub const fn events(&self) -> &Receiver<Wake> {
        &self.events
    }

    /// Whether a signal asked for the end: for loops that have no time to wait.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// What is served as `/metrics` from now on.
    pub fn publish(&self, text: String) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = Bytes::from(text);
    }

    /// Where the metrics are served: the address asked for, with the port that the system chose for port 0.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.running.take();
        if let Some(thread) = self.thread.take() {
            // If it panicked it has said so.
            let _ = thread.join();
        }
    }
}

/// Listens for scrapes. What gives up privileges does so afterwards.
///
/// # Errors
///
/// The address cannot be had.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let fail = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

/// Sends ticks, and from the first signal on, stops. The second signal is the end. What does not fit into the channel is left
/// out: a loop that is so far behind is awake.
async fn wakes(wake: SyncSender<Wake>, signals: [Option<Signal>; 3], stopping: Arc<AtomicBool>) {
    let [mut interrupt, mut terminate, mut hangup] = signals;
    let mut seconds = interval(TICK);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    seconds.tick().await;
    loop {
        let signal = tokio::select! {
            () = received(&mut interrupt) => Some(SignalKind::interrupt()),
            () = received(&mut terminate) => Some(SignalKind::terminate()),
            () = received(&mut hangup) => Some(SignalKind::hangup()),
            _ = seconds.tick() => None,
        };
        if let Some(signal) = signal
            && stopping.swap(true, Ordering::Relaxed)
            // A terminal that closes sends one, and so does its shell.
            && signal != SignalKind::hangup()
        {
            std::process::exit(128 + signal.as_raw_value());
        }
        let due = if stopping.load(Ordering::Relaxed) { Wake::Stop } else { Wake::Tick };
        let _ = wake.try_send(due);
    }
}

/// Waits for a signal; for ever where it is not waited for.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether who started this process wants it to ignore a signal.
fn is_ignored(signal: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored >> (signal.as_raw_value() - 1) & 1 == 1)
}

/// Serves every connection, so many at a time and each for so long.
async fn scrapes(listener: Option<tokio::net::TcpListener>, text: Arc<Mutex<Bytes>>) {
    let Some(listener) = listener else { return std::future::pending().await };
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Beyond the bound a connection is closed at once, so that none waits behind those that are slow.
                if let Ok(place) = Arc::clone(&room).try_acquire_owned() {
                    let text = Arc::clone(&text);
                    tokio::spawn(async move {
                        let _ = timeout(LONGEST_CONNECTION, connection(stream, text)).await;
                        drop(place);
                    });
                }
            }
            // Too many files are open, or the like: it may pass.
            Err(_) => sleep(TICK).await,
        }
    }
}

async fn connection(stream: TcpStream, text: Arc<Mutex<Bytes>>) {
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &text))));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(LONGEST_CONNECTION).keep_alive(false).max_buf_size(MOST_HEAD);
    // A client that left or sent no HTTP is its own business.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

fn answer<B>(request: &Request<B>, text: &Mutex<Bytes>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "GET /metrics\n".into());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET /metrics\n".into());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let text = text.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match text.is_empty() {
        true => plain(StatusCode::SERVICE_UNAVAILABLE, "nothing has been counted yet\n".into()),
        false => plain(StatusCode::OK, text),
    }
}

fn plain(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// How often the loop is woken.
const TICK: Duration = Duration::from_secs(1);
/// Wakes that wait for the loop.
const MOST_WAKES: usize = 4;
/// Connections at a time.
const MOST_CONNECTIONS: usize = 16;
/// How long a connection may take.
const LONGEST_CONNECTION: Duration = Duration::from_secs(10);
/// Octets of a request's header section.
const MOST_HEAD: usize = 16 << 10;
