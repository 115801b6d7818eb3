//! What rests on two captures of which nothing shows that one clock stamped them is no proof.

use std::collections::BTreeSet;

use crate::diagnose::incident::{Grade, Incident};

/// Lowers what rests on several inputs, of one of which it is not known that its clock agrees with the others'.
pub fn doubt(incidents: &mut [Incident], is_unknown: impl Fn(u16) -> bool) {
    for incident in incidents.iter_mut().filter(|incident| incident.grade == Grade::Proven) {
        let inputs = inputs(incident);
        if inputs.len() > 1 && inputs.iter().any(|input| is_unknown(*input)) {
            incident.grade = Grade::Consistent;
            incident.not_known.push("whether the clocks of the files agree: no packet stands in both".to_owned());
        }
    }
}

/// The inputs that an incident's frames stand in.
fn inputs(incident: &Incident) -> BTreeSet<u16> {
    let front = incident.downstream.iter().flat_map(|leg| [leg.request, leg.response]).flatten();
    let attempts = incident.attempts.iter().flat_map(|attempt| [attempt.first, attempt.last]);
    let evidence = incident.evidence.iter().map(|proof| proof.moment);
    front.chain(attempts).chain(evidence).map(|moment| moment.frame.input()).collect()
}
