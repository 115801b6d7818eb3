//! `netwatch502 explain`: what a cause means, how it is proven, what to do.

use std::process::ExitCode;

use crate::cli::Cli;
use crate::diagnose::cause::Cause;
use crate::diagnose::explain;
use crate::run::Error;
use crate::run::output::{Output, columns};

/// Prints the list of causes, or what there is to know of one.
pub(super) fn print(cause: Option<&str>, cli: &Cli) -> Result<ExitCode, Error> {
    let mut output = Output::open(cli.output.as_deref())?;
    let text = match cause {
        None => list_of_causes(columns(&output)),
        Some(id) => {
            let cause = Cause::from_id(id).ok_or_else(|| Error::NoCause(id.to_owned(), similar(id)))?;
            explanation(cause, columns(&output))
        }
    };
    let done = output.out().write_all(text.as_bytes());
    output.finished(done)?;
    Ok(ExitCode::SUCCESS)
}

fn list_of_causes(columns: Option<usize>) -> String {
    let mut text = String::new();
    let mut phase = None;
    for cause in Cause::ALL {
        if phase != Some(cause.phase()) {
            phase = Some(cause.phase());
            text.push_str(&format!("\n{}\n", cause.phase().id()));
        }
        let summary = explain::summary(*cause);
        let lines =
            columns.map_or(vec![summary.to_owned()], |limit| wrapped(summary, limit.saturating_sub(36).max(30)));
        text.push_str(&format!("  {:32}  {}\n", cause.id(), lines.join(&format!("\n{:36}", ""))));
    }
    text.trim_start().to_owned()
}

fn explanation(cause: Cause, columns: Option<usize>) -> String {
    let said = explain::explain(cause);
    let status = cause.proxy_status().map_or(String::new(), |kind| format!(", Proxy-Status error={kind}"));
    let mut text = format!("{cause}   (phase {}{status})\n", cause.phase().id());
    for (title, body) in [
        ("MEANS", said.meaning),
        ("PROVEN BY", said.proof),
        ("LOOKS LIKE IT", said.look_alikes),
        ("WHAT TO DO", said.todo),
    ] {
        text.push_str(&format!("\n{title}\n"));
        for line in wrapped(body, columns.map_or(96, |limit| limit.clamp(40, 100) - 4)) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full =
            lines.last().is_some_and(|line| !line.is_empty() && line.chars().count() + word.chars().count() >= width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// A hint at causes whose id has a word in common.
fn similar(id: &str) -> String {
    let words: Vec<&str> = id.split(['_', '-', ' ']).filter(|word| word.len() > 3).collect();
    let near: Vec<&str> = Cause::ALL
        .iter()
        .map(|cause| cause.id())
        .filter(|known| words.iter().any(|word| known.contains(word)))
        .collect();
    if near.is_empty() { String::new() } else { format!("; near: {}", near.join(", ")) }
}
