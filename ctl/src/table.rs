//! Tables without lines: columns two blanks apart, numbers to the right.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table as Grid};

use crate::format::plain;

/// How a column stands.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Headings and rows on their way to text.
pub(crate) struct Table {
    grid: Grid,
    align: Vec<Align>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let mut grid = Grid::new();
        let align: Vec<Align> = columns.iter().map(|(_, align)| *align).collect();
        grid.load_style(NOTHING)
            .set_header(columns.iter().map(|(heading, align)| cell((*heading).to_owned(), *align)));
        for column in grid.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self { grid, align }
    }

    /// Adds a row with as many cells as there are columns.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cells = cells.iter().zip(&self.align).map(|(text, align)| cell(plain(text), *align));
        self.grid.add_row(cells.collect::<Vec<_>>());
    }

    /// The headings, then one line per row.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.grid.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// All lines.
    pub(crate) fn text(&self) -> String {
        let mut text = self.lines().join("\n");
        text.push('\n');
        text
    }
}

fn cell(text: String, align: Align) -> Cell {
    Cell::new_owned(text).set_alignment(match align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    })
}
