//! Aligned columns. Cells are padded before they are painted, so that colours shift nothing. On a terminal a table that is
//! too wide wraps its prose, and what still does not fit stands below, under the first column again.

use std::io::{self, Write};

use crate::report::style::{Paint, Style};
use crate::report::units;

/// One cell; its text is printable already.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) paint: Paint,
}

impl Cell {
    pub(super) fn painted(text: impl Into<String>, paint: Paint) -> Self {
        Self { text: text.into(), paint }
    }

    fn or_dash(self) -> Self {
        if self.text.is_empty() { Self::painted("-", Paint::Dim) } else { self }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::painted(text, Paint::Plain)
    }
}

/// On which side of its column a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
    /// Left, and wrapped where there is no room.
    Prose,
}

/// A column: heading, side, and the least width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) align: Align,
    pub(super) width: usize,
}

impl Column {
    pub(super) const fn left(head: &'static str) -> Self {
        Self { head, align: Align::Left, width: 0 }
    }

    pub(super) const fn right(head: &'static str) -> Self {
        Self { head, align: Align::Right, width: 0 }
    }

    pub(super) const fn prose(head: &'static str) -> Self {
        Self { head, align: Align::Prose, width: 0 }
    }
}

/// The columns, each as wide as its widest cell.
pub(super) fn fit<'a>(columns: &[Column], rows: impl Iterator<Item = &'a [Cell]>) -> Vec<Column> {
    let mut fitted: Vec<Column> =
        columns.iter().map(|column| Column { width: column.width.max(width(column.head)), ..*column }).collect();
    for row in rows {
        for (column, cell) in fitted.iter_mut().zip(row) {
            column.width = column.width.max(width(&cell.text));
        }
    }
    fitted
}

/// What a line of the columns takes.
pub(super) fn total(columns: &[Column]) -> usize {
    columns.iter().map(|column| column.width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// The line of headings.
pub(super) fn head(columns: &[Column], style: &Style) -> String {
    let cells: Vec<Cell> = columns.iter().map(|column| Cell::painted(column.head, Paint::Bold)).collect();
    line(columns, &cells, style)
}

/// One row: two blanks between the columns, none at the end.
pub(super) fn line(columns: &[Column], cells: &[Cell], style: &Style) -> String {
    let mut line = String::new();
    let mut blanks = 0;
    for (index, (column, cell)) in columns.iter().zip(cells).enumerate() {
        let padding = column.width.saturating_sub(width(&cell.text));
        let (before, after) = if column.align == Align::Right { (padding, 0) } else { (0, padding) };
        blanks += before + if index > 0 { GAP } else { 0 };
        if !cell.text.is_empty() {
            line.extend(std::iter::repeat_n(' ', blanks));
            line.push_str(&style.paint(cell.paint, &cell.text));
            blanks = 0;
        }
        blanks += after;
    }
    line
}

/// One row on as many lines as its prose takes.
pub(super) fn lines(columns: &[Column], cells: &[Cell], style: &Style) -> Vec<String> {
    let wrapped: Vec<Vec<String>> = columns
        .iter()
        .zip(cells)
        .map(|(column, cell)| match column.align {
            Align::Prose if width(&cell.text) > column.width => units::wrap(&cell.text, column.width),
            _ => vec![cell.text.clone()],
        })
        .collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or_default();
    let row = |index: usize| -> Vec<Cell> {
        let part = |(parts, cell): (&Vec<String>, &Cell)| {
            Cell::painted(parts.get(index).cloned().unwrap_or_default(), cell.paint)
        };
        wrapped.iter().zip(cells).map(part).collect()
    };
    (0..height).map(|index| line(columns, &row(index), style)).collect()
}

/// Headings and rows. A column in which no row has anything is left out; elsewhere a dash says that there is nothing.
pub(super) fn write(columns: &[Column], rows: Vec<Vec<Cell>>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let filled = |index: usize| rows.iter().any(|row| row.get(index).is_some_and(|cell| !cell.text.is_empty()));
    let kept: Vec<bool> = (0..columns.len()).map(filled).collect();
    let columns: Vec<Column> = columns.iter().zip(&kept).filter_map(|(column, kept)| kept.then_some(*column)).collect();
    let rows: Vec<Vec<Cell>> = rows
        .into_iter()
        .map(|row| row.into_iter().zip(&kept).filter_map(|(cell, kept)| kept.then(|| cell.or_dash())).collect())
        .collect();
    let columns = fit(&columns, rows.iter().map(Vec::as_slice));
    for part in parts(&columns, style.columns) {
        let pick = |row: &[Cell]| part.iter().filter_map(|(index, _)| row.get(*index).cloned()).collect::<Vec<_>>();
        let columns: Vec<Column> = part.iter().map(|(_, column)| *column).collect();
        writeln!(out, "{}", head(&columns, style))?;
        for line in rows.iter().flat_map(|row| lines(&columns, &pick(row), style)) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// The columns in parts that fit, each with the first column and at least one other.
fn parts(columns: &[Column], limit: Option<usize>) -> Vec<Vec<(usize, Column)>> {
    let all: Vec<(usize, Column)> = columns.iter().copied().enumerate().collect();
    let Some((limit, (first, rest))) = limit.zip(all.split_first()).filter(|(limit, _)| total(columns) > *limit) else {
        return vec![all];
    };
    let mut parts = vec![vec![*first]];
    let mut used = first.1.width;
    for (index, column) in rest {
        let least = if column.align == Align::Prose { column.width.min(LEAST_PROSE) } else { column.width };
        if used + GAP + least > limit && used > first.1.width {
            parts.push(vec![*first]);
            used = first.1.width;
        }
        let room = limit.saturating_sub(used + GAP).max(least);
        let width = if column.align == Align::Prose { column.width.min(room) } else { column.width };
        used += GAP + width;
        if let Some(part) = parts.last_mut() {
            part.push((*index, Column { width, ..*column }));
        }
    }
    parts
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Blanks between columns.
const GAP: usize = 2;
/// Prose narrower than this is worse to read than prose that stands below.
pub(super) const LEAST_PROSE: usize = 36;
