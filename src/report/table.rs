//! Aligned columns. Cells are padded before they are painted, so that colours shift nothing.

use std::io::{self, Write};

use crate::report::style::{Paint, Style};

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
        blanks += before + if index > 0 { 2 } else { 0 };
        if !cell.text.is_empty() {
            line.extend(std::iter::repeat_n(' ', blanks));
            line.push_str(&style.paint(cell.paint, &cell.text));
            blanks = 0;
        }
        blanks += after;
    }
    line
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
    writeln!(out, "{}", head(&columns, style))?;
    rows.iter().try_for_each(|row| writeln!(out, "{}", line(&columns, row, style)))
}

fn width(text: &str) -> usize {
    text.chars().count()
}
