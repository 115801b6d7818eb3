//! What may be shown, and how: the only file that knows a terminal's colours.

use std::borrow::Cow;

use crate::event::Frame;
use crate::report::{escape, redact};

/// What may be shown, and how.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether colours are written (ECMA-48 SGR).
    pub color: bool,
    /// Whether query values, path parameters and user names in targets are shown.
    pub show_secrets: bool,
    /// Whether there is more than one input, so that a frame's number alone does not name it.
    pub several_inputs: bool,
    /// Columns within which sentences are wrapped.
    pub width: usize,
    /// Columns of the terminal, which tables have to fit. `None` where nothing cuts or wraps lines: then what is one row
    /// is one line, however long, for `grep` and `awk`.
    pub columns: Option<usize>,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, show_secrets: false, several_inputs: false, width: 100, columns: None }
    }
}

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Paint {
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// What matters less.
    Dim,
    /// A failure that the client saw.
    Red,
    /// One that it did not see, or that nobody is sure of.
    Yellow,
    /// What is certain.
    Green,
}

impl Paint {
    const fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Yellow => "33",
            Self::Green => "32",
        }
    }
}

impl Style {
    /// For a terminal of so many columns, or for none. Sentences are hard to read in lines of more than a hundred.
    #[must_use]
    pub fn within(self, columns: Option<usize>) -> Self {
        Self { width: columns.map_or(100, |columns| columns.clamp(40, 100)), columns, ..self }
    }

    /// `text`, which is ours or was escaped before, in a colour.
    pub(super) fn paint<'a>(&self, paint: Paint, text: &'a str) -> Cow<'a, str> {
        if !self.color || paint == Paint::Plain || text.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(format!("\u{1b}[{}m{text}\u{1b}[0m", paint.sgr()))
    }

    /// A request target as it may be printed.
    pub(super) fn target(&self, target: &str) -> String {
        escape::text(&self.cut_target(target)).into_owned()
    }

    /// A sentence as it may be printed.
    pub(super) fn prose(&self, prose: &str) -> String {
        escape::text(&self.cut_prose(prose)).into_owned()
    }

    /// A request target without its secrets, not yet fit for a terminal.
    pub(super) fn cut_target<'a>(&self, target: &'a str) -> Cow<'a, str> {
        if self.show_secrets { Cow::Borrowed(target) } else { redact::target(target) }
    }

    /// A sentence without the secrets of the targets in it, not yet fit for a terminal.
    pub(super) fn cut_prose<'a>(&self, prose: &'a str) -> Cow<'a, str> {
        if self.show_secrets { Cow::Borrowed(prose) } else { redact::prose(prose) }
    }

    /// A host without a user's name and password before it, not yet fit for a terminal.
    pub(super) fn cut_host<'a>(&self, host: &'a str) -> Cow<'a, str> {
        if self.show_secrets { Cow::Borrowed(host) } else { redact::userinfo(host) }
    }

    /// A frame: `25`, or `0:25` where there are several inputs.
    pub(super) fn frame(&self, frame: Frame) -> String {
        if self.several_inputs { format!("{}:{frame}", frame.input()) } else { frame.to_string() }
    }
}
