//! The progress bar.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Cli;

/// The progress bar: on standard error, on a terminal, for long work only.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    wanted: bool,
    began: Instant,
}

impl Progress {
    pub(super) fn new(cli: &Cli) -> Self {
        Self { bar: None, wanted: !cli.quiet && io::stderr().is_terminal(), began: Instant::now() }
    }

    pub(super) fn show(&mut self, (done, all): (u64, Option<u64>)) {
        if !self.wanted || self.began.elapsed() < LONG {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(all, ProgressDrawTarget::stderr_with_hz(5));
            let template =
                if all.is_some() { "{wide_bar} {bytes}/{total_bytes} {eta}" } else { "{spinner} {bytes} {elapsed}" };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        bar.set_position(done);
    }

    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Work that takes longer than this gets a progress bar.
const LONG: Duration = Duration::from_millis(700);
