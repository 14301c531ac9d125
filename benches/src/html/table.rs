//! Tables.

use maud::{Markup, html};

/// A table with a heading for each column. The first column names the rows.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// What stands in one place of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Words, aligned to the left.
    Text(String),
    /// A figure, aligned to the right, with something less important behind it (or nothing).
    Number { figure: String, aside: String },
    /// Whether something is as it should be, in words and in colour.
    Verdict { is_good: bool, words: String },
}

impl Cell {
    /// A figure alone.
    pub(crate) fn number(figure: impl Into<String>) -> Self {
        Self::Number { figure: figure.into(), aside: String::new() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row below the others; places behind its end stay empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether a column holds figures, so that its heading stands above them.
    fn is_numeric(&self, column: usize) -> bool {
        self.rows.iter().any(|row| matches!(row.get(column), Some(Cell::Number { .. })))
    }

    pub(super) fn to_markup(&self) -> Markup {
        html! {
            div class="wide" {
                table {
                    thead {
                        tr {
                            @for (column, name) in self.head.iter().enumerate() {
                                th scope="col" class=[self.is_numeric(column).then_some("number")] { (name) }
                            }
                        }
                    }
                    tbody { @for row in &self.rows { tr { @for cell in row { (markup_of(cell)) } } } }
                }
            }
        }
    }
}

fn markup_of(cell: &Cell) -> Markup {
    html! {
        @match cell {
            Cell::Text(text) => td { (text) },
            Cell::Number { figure, aside } => td class="number" { (figure) @if !aside.is_empty() { " " small { (aside) } } },
            Cell::Verdict { is_good, words } => td class=(if *is_good { "good" } else { "bad" }) { (words) },
        }
    }
}
