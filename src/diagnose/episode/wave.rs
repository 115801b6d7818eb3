//! A rollout: upstreams that are restarted one after the other.

use std::time::Duration;

use crate::diagnose::episode::{DIED, RESTARTED, time_of_day};
use crate::diagnose::incident::Episode;

/// Makes one episode of restarts that follow each other; the other episodes stay as they are.
pub(super) fn merge(mut episodes: Vec<Episode>) -> Vec<Episode> {
    episodes.sort_by_key(|episode| (episode.first, episode.upstream));
    let (restarts, mut others): (Vec<Episode>, Vec<Episode>) = episodes.into_iter().partition(is_restart);
    for wave in restarts.chunk_by(follows) {
        match wave {
            [first, .., last] if wave.iter().rev().skip(1).all(|one| one.kind == RESTARTED) => {
                let mut upstreams: Vec<_> = wave.iter().filter_map(|one| one.upstream).collect();
                let mut incidents: Vec<u32> = wave.iter().flat_map(|one| one.incidents.iter().copied()).collect();
                incidents.sort_unstable();
                incidents.dedup();
                let steps: Vec<String> = wave
                    .iter()
                    .filter_map(|one| Some(format!("{} at {}", one.upstream?, time_of_day(one.first))))
                    .take(MOST_STEPS)
                    .collect();
                let more = if wave.len() > steps.len() { ", …" } else { "" };
                let n = upstreams.len();
                upstreams.dedup();
                others.push(Episode {
                    id: 0,
                    kind: "deploy_wave",
                    upstream: None,
                    first: first.first,
                    last: wave.iter().map(|one| one.last).max().unwrap_or(last.last),
                    served_again: last.served_again,
                    incidents,
                    summary: format!("{n} upstreams were restarted one after the other: {}{more}", steps.join(", ")),
                    upstreams,
                });
            }
            _ => others.extend(wave.iter().cloned()),
        }
    }
    others
}

fn is_restart(episode: &Episode) -> bool {
    matches!(episode.kind, RESTARTED | DIED)
}

/// Whether a restart came after another one: of another upstream, not at the same moment, and not long after it.
fn follows(one: &Episode, next: &Episode) -> bool {
    let ended = one.served_again.unwrap_or(one.last);
    one.upstream != next.upstream && next.first.since(one.first) > SAME_MOMENT && next.first.since(ended) <= STEP
}

/// Restarts at one moment have one reason, and it is no rollout.
const SAME_MOMENT: Duration = Duration::from_millis(200);
/// The next upstream's turn comes within this span.
const STEP: Duration = Duration::from_secs(120);
/// Upstreams that are named with their time.
const MOST_STEPS: usize = 4;
