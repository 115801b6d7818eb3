//! What would be said of a case that has not settled, without learning from it: it will be judged again.

use crate::correlate::{Case, Role};
use crate::diagnose::Diagnoser;
use crate::diagnose::incident::{Candidate, Grade, Incident, Kind};

impl Diagnoser {
    /// What would be said of a failed exchange by now. An attempt that is `contested` may not be over, or turn out to be another
    /// exchange's. `None` where it may be a false alarm: a gateway's request whose client may be yet to show, and an exchange
    /// that was served and may be yet to find its attempt.
    pub fn preview(&mut self, case: &Case<'_>, contested: bool) -> Option<Incident> {
        if case.role == Role::Upstream || case.root.exchange.key.number == 0 || !self.is_asked_for(case) {
            return None;
        }
        let known = self.products.clone();
        self.products.recognise(case);
        let incident = self.judge_downstream(case, None);
        self.products = known;
        let mut incident = incident.filter(|incident| incident.kind != Kind::Masked)?;
        if contested && incident.grade == Grade::Proven {
            incident.grade = Grade::Consistent;
            let what =
                String::from("the attempt was made for another request, or is not over: the next seconds will tell");
            incident.candidates.push(Candidate { cause: None, what });
        }
        Some(incident)
    }
}
