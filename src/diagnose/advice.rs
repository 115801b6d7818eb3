//! What to do: the setting of the recognised product, with the numbers that were measured.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::episode;
use crate::diagnose::episode::unlisted::Unlisted;
use crate::diagnose::evidence::span;
use crate::diagnose::explain;
use crate::diagnose::incident::{Episode, Grade, Incident, Kind};
use crate::diagnose::product::{self, Product};
use crate::event::{Endpoint, Protocol};
use crate::stats::{Spans, Stats};

/// Fills in what to do about each incident.
pub fn advise(incidents: &mut [Incident], stats: &Stats) {
    for incident in incidents {
        let upstream = upstream_of(incident);
        let mut advice = Vec::new();
        if let Some(measured) = upstream.and_then(|upstream| measured(incident.cause, upstream, stats)) {
            advice.push(measured);
        }
        advice.extend(upstream.and_then(|upstream| loss(incident.cause, upstream, stats)));
        advice.extend(setting(incident));
        advice.extend(kept_by_product(incident, upstream, stats));
        advice.extend(worker(incident));
        advice.push(explain::explain(incident.cause).todo.to_owned());
        incident.advice = advice;
    }
}

/// The setting of the recognised product, where it bears on what happened.
fn setting(incident: &Incident) -> Option<String> {
    // A rejection is immediate: no time-out bears on it. Leniency about header fields cures no other defect.
    let bears = match incident.cause {
        Cause::ConnectProhibited => false,
        Cause::MalformedResponse => incident.detail == Some("bad_header"),
        _ => true,
    };
    let product = incident.product.filter(|_| bears)?;
    let setting = product::setting(product, incident.cause)?;
    let setting = match product {
        // Its modules name their settings alike.
        Product::Nginx | Product::OpenResty if let Some(protocol) = application(incident) => {
            setting.replace("`proxy_", &format!("`{protocol}_"))
        }
        _ => setting.to_owned(),
    };
    Some(format!("{}: {setting}", product.name()))
}

/// Where to look for a worker that left a request behind.
fn worker(incident: &Incident) -> Option<String> {
    let (closed, reset) = match incident.cause {
        Cause::ClosedWithoutResponse => (true, false),
        Cause::ResetWithoutResponse => (false, true),
        Cause::TruncatedHeader | Cause::TruncatedBody => (true, incident.detail == Some("rst")),
        _ => (false, false),
    };
    match application(incident)? {
        protocol if protocol == Protocol::FastCgi.id() => reset.then(|| FPM_WORKER.to_owned()),
        protocol if protocol == Protocol::Uwsgi.id() => (closed || reset).then(|| UWSGI_WORKER.to_owned()),
        _ => None,
    }
}

/// What is spoken to the upstream, where that is no HTTP but a protocol of applications.
fn application(incident: &Incident) -> Option<&'static str> {
    let applications = [Protocol::FastCgi, Protocol::Uwsgi, Protocol::Scgi].map(Protocol::id);
    incident.attempts.last().map(|last| last.protocol).filter(|protocol| applications.contains(protocol))
}

/// A worker that dies leaves the last record of its request unread, so that the connection is reset.
const FPM_WORKER: &str = "A worker of PHP-FPM that died looks like this: its log has `exited on signal` for a crash or the kernel's \
                      OOM killer, and `execution timed out … terminating` for `request_terminate_timeout`.";

/// A worker that dies closes its connections, and so does one that meets an exception before the response began.
const UWSGI_WORKER: &str = "uWSGI's log tells which: `DAMN ! worker … died, killed by signal` for a crash or the kernel's OOM \
                            killer, `HARAKIRI` for a request that took longer than `harakiri`, a traceback for an exception.";

/// The paragraphs that say what to do first: what was one event, then the most frequent cause, and last what only
/// followed from the others or could not be told.
#[must_use]
pub fn do_first(incidents: &[Incident], unlisted: &Unlisted, episodes: &[Episode], stats: &Stats) -> Vec<String> {
    let events: Vec<(&Episode, String)> =
        episodes.iter().filter_map(|episode| Some((episode, event(episode)?))).collect();
    let told = |incident: &&Incident| events.iter().any(|(episode, _)| Some(episode.id) == incident.episode);
    let mut sentences: Vec<(usize, String)> =
        events.iter().map(|(episode, text)| (episode.incidents.len(), text.clone())).collect();
    sentences.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    let first = sentences.into_iter().map(|(_, text)| text);
    let mut groups: BTreeMap<Cause, Vec<&Incident>> = BTreeMap::new();
    for incident in incidents.iter().filter(|incident| incident.kind != Kind::ClientAbort && !told(incident)) {
        groups.entry(incident.cause).or_default().push(incident);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    let follows = |cause: Cause, group: &[&Incident]| {
        cause == Cause::NoUpstreamAttempt && group.iter().all(|incident| incident.grade == Grade::Consistent)
            || matches!(cause, Cause::Unknown | Cause::UpstreamNotCaptured)
    };
    let all = |cause: Cause, group: &[&Incident]| group.len() + unlisted.count(cause)[0];
    groups.sort_by_key(|(cause, group)| (follows(*cause, group), std::cmp::Reverse(all(*cause, group)), *cause));
    let paragraphs = groups.iter().map(|(cause, group)| paragraph(*cause, group, unlisted.count(*cause), stats));
    first.chain(paragraphs).take(PARAGRAPHS).collect()
}

/// What to do about an episode that says more than its incidents do.
fn event(episode: &Episode) -> Option<String> {
    let at = episode.upstream.map_or(String::new(), |upstream| format!(" at {upstream}"));
    let n = match episode.incidents.len() {
        1 => "1 incident is".to_owned(),
        n => format!("{n} incidents are"),
    };
    let gently =
        "take a server out of the gateway's rotation before it is stopped, and let it finish what is in flight";
    Some(match episode.kind {
        episode::DIED => format!(
            "The process{at} died or was restarted: {n} this one event. Look for the time in its log, in `journalctl -k` \
             (out of memory?) and in the list of deployments. If it was a restart: {gently}."
        ),
        episode::RESTARTED => format!(
            "The process{at} was restarted under traffic, or died and was started again: {n} this one event. Was it a deployment, or did it crash? Look \
             for the time in its log and in `journalctl -k`. For the next time: {gently}."
        ),
        "deploy_wave" => format!(
            "{} upstreams were restarted one after the other, as a rollout does: {n} this one event. For the next one: \
             {gently}.",
            episode.upstreams.len()
        ),
        "path_outage" => format!(
            "{}: {n} this one event. Look at the switch, the firewall or the tunnel between the gateway and them.",
            episode.summary
        ),
        "resolver_outage" => format!(
            "{}: {n} this one event. Look at the name server, and at what the gateway does while it is away.",
            episode.summary
        ),
        "saturation" => format!(
            "{}: {n} this one event. Hold how many workers it has (processes, threads, connections to a database) against how many \
             requests came at once; `ss -ltn` there shows a queue that is full. Longer time-outs at the gateway only make the queue \
             longer.",
            episode.summary
        ),
        _ => return None,
    })
}

fn paragraph(cause: Cause, group: &[&Incident], [others, others_masked]: [usize; 2], stats: &Stats) -> String {
    let masked = group.iter().filter(|incident| incident.kind == Kind::Masked).count() + others_masked;
    let n = group.len() + others;
    let times = if n == 1 { String::from("once") } else { format!("{n} times") };
    let hidden = if masked > 0 { format!(" ({masked} hidden by a retry)") } else { String::new() };
    let mut upstreams: BTreeMap<Endpoint, usize> = BTreeMap::new();
    for upstream in group.iter().filter_map(|incident| upstream_of(incident)) {
        *upstreams.entry(upstream).or_default() += 1;
    }
    let upstream = upstreams.iter().max_by_key(|(endpoint, n)| (**n, std::cmp::Reverse(**endpoint)));
    let upstream = upstream.map(|(endpoint, _)| *endpoint);
    let at = match (upstreams.len(), upstream) {
        (1, Some(upstream)) => format!(" at {upstream}"),
        (2.., _) => format!(" at {} upstreams", upstreams.len()),
        _ => String::new(),
    };
    let mut text = format!("{cause}{at}, {times}{hidden}.");
    if let Some(measured) = upstream.and_then(|upstream| measured(cause, upstream, stats)) {
        text.push(' ');
        text.push_str(&measured);
    }
    let idles: Vec<Duration> =
        group.iter().filter_map(|incident| incident.attempts.iter().find(|a| a.outcome == Some(cause))?.idle).collect();
    if matches!(cause, Cause::KeepaliveRace | Cause::StaleReuse | Cause::IdleFlowDropped)
        && let (Some(least), Some(most)) = (idles.iter().min(), idles.iter().max())
    {
        let most = if span(*most) == span(*least) { String::new() } else { format!(" to {}", span(*most)) };
        let ended = if n == 1 { "connection that failed" } else { "connections that failed" };
        text.push_str(&format!(" The {ended} had been idle for {}{most}.", span(*least)));
    }
    let advised = group.iter().find_map(|incident| setting(incident));
    text.push(' ');
    text.push_str(advised.as_deref().unwrap_or_else(|| explain::explain(cause).todo));
    text
}

/// How much is lost on the way to an upstream, next to the ways to the others.
fn loss(cause: Cause, upstream: Endpoint, stats: &Stats) -> Option<String> {
    let of_the_way = matches!(
        cause,
        Cause::ConnectTimeout
            | Cause::AcceptQueueFull
            | Cause::RequestLost
            | Cause::IdleFlowDropped
            | Cause::ResponseLost
            | Cause::ResponseTimeout
            | Cause::StalledBody
    );
    let own = stats.of_server(upstream).filter(|own| of_the_way && own.repeated > 0 && own.segments >= own.repeated)?;
    let others = stats.upstreams.iter().filter(|(other, _)| **other != upstream);
    let others = others.filter_map(|(other, _)| stats.of_server(*other));
    let (repeated, segments) =
        others.fold((0, 0), |(repeated, segments), other| (repeated + other.repeated, segments + other.segments));
    let share = |repeated: u64, segments: u64| format!("{:.1} %", repeated as f64 * 100.0 / segments as f64);
    let beside = if segments > 0 {
        format!(" To the other upstreams it was {repeated} of {segments} ({}).", share(repeated, segments))
    } else {
        String::new()
    };
    Some(format!(
        "Of {} segments to and from {upstream}, {} were repeated ({}).{beside}",
        own.segments,
        own.repeated,
        share(own.repeated, own.segments)
    ))
}

/// For how long the gateway keeps idle connections, as it is shipped, next to when the upstream closes them.
fn kept_by_product(incident: &Incident, upstream: Option<Endpoint>, stats: &Stats) -> Option<String> {
    let race =
        matches!(incident.cause, Cause::KeepaliveRace | Cause::StaleReuse) && incident.kind == Kind::UpstreamFailure;
    let product = incident.product.filter(|_| race)?;
    let kept = product::keeps_idle(product)?;
    let (upstream, name) = (upstream?, product.name());
    let closes = stats.of_server(upstream).and_then(|server| server.idle_close.as_deref())?;
    let median = Duration::from_micros(closes.quantile_us(0.5));
    (median < kept).then(|| {
        format!(
            "{upstream} closes idle connections after {}; {name} keeps them for {} as it is shipped: make the former longer than the latter.",
            span(median),
            span(kept)
        )
    })
}

/// What the capture tells of an upstream's habits that bears on a cause.
fn measured(cause: Cause, upstream: Endpoint, stats: &Stats) -> Option<String> {
    match cause {
        Cause::KeepaliveRace | Cause::StaleReuse => {
            let known = stats.upstreams.get(&upstream);
            let closes = stats.of_server(upstream).and_then(|server| server.idle_close.as_deref());
            let mut text = match closes {
                Some(spans) => format!("{upstream} closes idle connections after {}.", spread(spans)),
                None => String::new(),
            };
            if let Some(announced) = known.and_then(|known| known.announced_timeout) {
                text.push_str(&format!(" It announces Keep-Alive: timeout={}.", announced.as_secs()));
            }
            if let Some(reuse) = known.and_then(|known| known.longest_reuse) {
                text.push_str(&format!(
                    " The gateway reused connections that had been idle for up to {} with success.",
                    span(reuse)
                ));
            }
            if text.is_empty() {
                return None;
            }
            Some(text.trim_start().to_owned())
        }
        Cause::ResponseTimeout => {
            let upstream_stats = stats.upstreams.get(&upstream)?;
            let gave_up = upstream_stats.gave_up.as_deref().filter(|spans| spans.count() > 0)?;
            let usual = upstream_stats.wait.as_deref().filter(|wait| wait.count() > 0).map_or(String::new(), |wait| {
                format!(
                    " Its answers otherwise take {} (median) to {} (99 %).",
                    span(Duration::from_micros(wait.quantile_us(0.5))),
                    span(Duration::from_micros(wait.quantile_us(0.99)))
                )
            });
            Some(format!("The gateway gives up on {upstream} after {}.{usual}", spread(gave_up)))
        }
        _ => None,
    }
}

/// `6.000 s (n=214, 5.990 s to 6.010 s)`.
fn spread(spans: &Spans) -> String {
    let median = span(Duration::from_micros(spans.quantile_us(0.5)));
    match spans.count() {
        1 => format!("{median} (seen once)"),
        n => format!("{median} (n={n}, {} to {})", span(spans.min()), span(spans.max())),
    }
}

fn upstream_of(incident: &Incident) -> Option<Endpoint> {
    let failing = incident.attempts.iter().rev().find(|attempt| attempt.outcome == Some(incident.cause));
    failing.and_then(|attempt| attempt.upstream)
}

/// Paragraphs at most: what to do first is not a catalogue.
const PARAGRAPHS: usize = 3;
