//! Words for the operator, on standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Says a sentence, in one piece. Where nobody listens any more, the run goes on all the same.
pub fn say(sentence: impl Display) {
    let _ = io::stderr().write_all(format!("netwatch502: {sentence}\n").as_bytes());
}
