//! What settled, on its way to what is made of it. Most is but to be learned from, in the order in which it happened, and who
//! pairs need not do it himself: whoever has to wait for him may.
//!
//! ```text
//!   Correlator -- notes --> lesson, lesson, ... --> Findings
//!              -- cases ------------------------->        once all before them was learned
//! ```

use std::collections::VecDeque;
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::analysis::findings::Findings;
use crate::correlate::served::{Leg, Lone, Served};
use crate::correlate::{Finding, Note};
use crate::diagnose::Question;

/// The way there.
pub(super) struct Lessons<'r> {
    shared: Arc<Shared<'r>>,
    /// The next lesson.
    lesson: Lesson,
}

/// Who may learn while he waits.
pub struct Learner<'r> {
    shared: Arc<Shared<'r>>,
}

struct Shared<'r> {
    /// Whoever has these takes lessons, one after the other.
    findings: Mutex<Findings<'r>>,
    lectern: Mutex<Lectern>,
}

/// Lessons that wait.
#[derive(Default)]
struct Lectern {
    waiting: VecDeque<Lesson>,
    empty: Vec<Lesson>,
}

/// Notes that are learned from together: while the code that learns is at hand, this takes least.
#[derive(Default)]
pub(super) struct Lesson {
    pub(super) notes: Vec<Note>,
    /// The attempts that served exchanges among these, in the same order.
    pub(super) attempts: Vec<Leg>,
}

impl<'r> Lessons<'r> {
    pub(super) fn new(findings: Findings<'r>) -> Self {
        let shared = Shared { findings: Mutex::new(findings), lectern: Mutex::default() };
        Self { shared: Arc::new(shared), lesson: Lesson::default() }
    }

    /// Who may help.
    pub(super) fn learner(&self) -> Learner<'r> {
        Learner { shared: Arc::clone(&self.shared) }
    }

    /// Takes what the correlator gives out.
    #[inline]
    pub(super) fn take(&mut self, finding: Finding<'_>) {
        match finding {
            // What is added as it is made is not copied.
            Finding::Attempt(leaving, pairing) => {
                self.lesson.attempts.extend(iter::once_with(|| Leg { pairing, ..leaving.leg() }));
            }
            Finding::Served { root, attempts, upstream_visible } => {
                self.note(|| Note::Served(Served { root: root.leg(), attempts, upstream_visible }));
            }
            Finding::Lone { leaving, known, at_home } => {
                self.note(|| Note::Lone(Lone { leg: leaving.leg(), known, at_home }));
            }
            Finding::Note(note) => self.note(|| note),
            // These are judged by all that was learned before.
            Finding::Case(mut case) => self.learned().judge(&mut case),
            Finding::Provisional { case, contested } => self.learned().preview(&case, contested),
        }
    }

    #[inline(always)]
    fn note(&mut self, note: impl FnOnce() -> Note) {
        self.lesson.notes.extend(iter::once_with(note));
        if self.lesson.notes.len() >= TOGETHER {
            self.hand_on();
        }
    }

    /// Learns all that is still to be learned, and gives what came of it so far.
    #[inline(never)]
    pub(super) fn learned(&mut self) -> MutexGuard<'_, Findings<'r>> {
        let Self { shared, lesson } = self;
        let mut findings = held(&shared.findings);
        while shared.teach(&mut findings) {}
        findings.learn(lesson);
        findings
    }

    /// All that came of it.
    pub(super) fn end(mut self) -> Findings<'r> {
        let none = Findings::new(Question::default(), 0, None);
        std::mem::replace(&mut *self.learned(), none)
    }

    /// What came of what was learned so far, which may not be all.
    pub(super) fn findings(&self) -> MutexGuard<'_, Findings<'r>> {
        held(&self.shared.findings)
    }

    /// A lesson is full: it waits for whoever has time, if there is anybody else.
    #[inline(never)]
    fn hand_on(&mut self) {
        if Arc::strong_count(&self.shared) == 1 {
            drop(self.learned());
            return;
        }
        let mut lectern = held(&self.shared.lectern);
        let next = lectern.empty.pop().unwrap_or_default();
        lectern.waiting.push_back(std::mem::replace(&mut self.lesson, next));
        let is_crowded = lectern.waiting.len() > MOST_WAITING;
        drop(lectern);
        if is_crowded {
            let mut findings = held(&self.shared.findings);
            self.shared.teach(&mut findings);
        }
    }
}

impl Learner<'_> {
    /// Learns a lesson, if one waits and nobody else is learning.
    pub fn help(&self) -> bool {
        self.shared.findings.try_lock().is_ok_and(|mut findings| self.shared.teach(&mut findings))
    }
}

impl Shared<'_> {
    /// The next lesson is learned, if one waits.
    fn teach(&self, findings: &mut Findings<'_>) -> bool {
        let Some(mut lesson) = held(&self.lectern).waiting.pop_front() else { return false };
        findings.learn(&mut lesson);
        held(&self.lectern).empty.push(lesson);
        true
    }
}

/// Where a thread panicked, its panic is passed on at the end.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that are learned from together: some tens of KB.
const TOGETHER: usize = 128;
/// Lessons that may wait.
const MOST_WAITING: usize = 16;
