//! One JSON object a line: each incident as it happens, each amended verdict, the summary at the end.

use std::io::{self, Write};

use serde::Serialize;

use crate::diagnose::incident::Incident;
use crate::report::record::{self, IncidentRecord};
use crate::report::{Report, Style, json};

/// Writes every incident and the summary.
///
/// # Errors
///
/// Those of `out`.
pub fn write(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    report.incidents.iter().try_for_each(|one| incident(one, style, out))?;
    summary(report, style, out)
}

/// Writes `{"type":"incident",…}`.
///
/// # Errors
///
/// Those of `out`.
pub fn incident(incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    json::line(&Line::Incident(record::incident(incident, style)), out)
}

/// Writes `{"type":"amended",…}`: the same incident, by its id, with a verdict that later packets changed.
///
/// # Errors
///
/// Those of `out`.
pub fn amended(incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    json::line(&Line::Amended(record::incident(incident, style)), out)
}

/// Writes `{"type":"summary",…}`: the report but for `incidents`, each of which has a line of its own.
///
/// # Errors
///
/// Those of `out`.
pub fn summary(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    json::line(&Line::Summary(json::summary(report, style)), out)
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Incident(IncidentRecord<'a>),
    Amended(IncidentRecord<'a>),
    Summary(json::Document<'a>),
}
