//! The tables a run prints.

use std::fmt::Write;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};

use super::grid::{Grid, grids};
use super::panel::measures;
use crate::figure::Report;

/// How wide a table is where there is no terminal.
const WIDTH: u16 = 120;

/// How narrow a column of labels may be.
const LABEL_MIN: usize = 20;

/// What a column needs beside its text.
const BORDER: usize = 3;

/// All tables of a report, each with a title; as wide as the terminal at most, unless told.
pub(super) fn tables(report: &Report, width: Option<u16>) -> String {
    let width = width.or_else(|| Table::new().width()).unwrap_or(WIDTH);
    let mut text = String::new();
    for measure in measures(report) {
        for (grid, _) in grids(report, measure) {
            let grid = fitting(grid, width);
            let (title, table) = (&grid.title, table(&grid, width));
            write!(text, "\n{title}\n{table}\n").expect("a string takes what is written");
        }
    }
    text
}

/// The table itself, or what were columns as rows if only so it is narrow enough.
fn fitting(grid: Grid, width: u16) -> Grid {
    let transposed = grid.transposed();
    if needed(&grid) > usize::from(width) && needed(&transposed) < needed(&grid) {
        return transposed;
    }
    grid
}

/// How wide a table is at least.
fn needed(grid: &Grid) -> usize {
    let label = grid.rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
    let numbers = (1..grid.header.len()).map(|index| narrowest(grid, index) + BORDER);
    label.min(LABEL_MIN) + BORDER + numbers.sum::<usize>() + 1
}

/// How narrow the text of a column may be: a header may be broken between words, a number not.
fn narrowest(grid: &Grid, index: usize) -> usize {
    let words = grid.header[index].split_whitespace();
    let texts = words.chain(grid.rows.iter().map(|row| row[index].as_str()));
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

fn table(grid: &Grid, width: u16) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(cells(&grid.header));
    for row in &grid.rows {
        table.add_row(cells(row));
    }
    for (index, column) in table.column_iter_mut().enumerate().skip(1) {
        let width = narrowest(grid, index) + usize::from(column.padding_width());
        let width = Width::Fixed(u16::try_from(width).unwrap_or(u16::MAX));
        column.set_constraint(ColumnConstraint::LowerBoundary(width));
    }
    table
}

/// The label to the left, numbers to the right.
fn cells(row: &[String]) -> Vec<Cell> {
    let alignment = |index| if index == 0 { CellAlignment::Left } else { CellAlignment::Right };
    let cell = |(index, text): (usize, &String)| Cell::new(text).set_alignment(alignment(index));
    row.iter().enumerate().map(cell).collect()
}
