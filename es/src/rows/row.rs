//! What comes out of a statement.

use std::fmt;

use chrono::{DateTime, Utc};

use super::statement::{Column, Statement};
use crate::checkpoint::{Epoch, ProjectionName};
use crate::error::StoreError;
use crate::position::Position;
use crate::projection_state::WorkerId;

/// What stands in one column of a row, if it is not null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Of a column of [`Kind::Integer`](super::Kind::Integer).
    Integer(i64),
    /// Of a column of [`Kind::Text`](super::Kind::Text).
    Text(String),
    /// Of a column of [`Kind::Flag`](super::Kind::Flag).
    Flag(bool),
    /// Of a column of [`Kind::Time`](super::Kind::Time).
    Time(DateTime<Utc>),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Integer(number) => number.fmt(f),
            Cell::Text(text) => write!(f, "{text:?}"),
            Cell::Flag(flag) => flag.fmt(f),
            Cell::Time(time) => time.fmt(f),
        }
    }
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    statement: Statement,
    cells: Vec<Option<Cell>>,
}

impl Row {
    /// Reads the columns of a row by `cell`, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`], with the words of `cell` and the name of its column.
    pub fn read<E: fmt::Display>(
        statement: Statement,
        mut cell: impl FnMut(usize, &Column) -> Result<Option<Cell>, E>,
    ) -> Result<Self, StoreError> {
        let mut row = Row { statement, cells: Vec::with_capacity(statement.columns().len()) };
        for (number, column) in statement.columns().iter().enumerate() {
            let cell = cell(number, column);
            row.cells.push(cell.map_err(|error| row.corrupt(column.name, &error))?);
        }
        Ok(row)
    }

    /// What is wrong with a column of this row.
    fn corrupt(&self, column: &str, what: &dyn fmt::Display) -> StoreError {
        let cells = self.statement.columns().iter().zip(&self.cells);
        let known = cells.filter_map(|(column, cell)| Some((column.name, cell.as_ref()?)));
        let row: Vec<String> = known.take(3).map(|(name, cell)| format!("{name} {cell}")).collect();
        let of = if row.is_empty() { String::new() } else { format!(" of {}", row.join(", ")) };
        StoreError::corrupt(format!("the column {column}{of}: {what}"))
    }

    /// The value of a column.
    pub(crate) fn get<T: FromCell>(&self, column: &str) -> Result<T, StoreError> {
        match self.get_optional(column)? {
            Some(value) => Ok(value),
            None => Err(self.corrupt(column, &"null")),
        }
    }

    /// The value of a column that may be null.
    pub(crate) fn get_optional<T: FromCell>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let columns = self.statement.columns();
        let number = columns.iter().position(|one| one.name == column);
        let cell = number.and_then(|number| self.cells.get(number));
        let cell = cell.ok_or_else(|| self.corrupt(column, &"it is not in the answer"))?;
        let Some(cell) = cell else { return Ok(None) };
        match T::from_cell(cell) {
            Some(value) => Ok(Some(value)),
            None => Err(self.corrupt(column, cell)),
        }
    }
}

/// What a cell can be read as; `None` if this library cannot have written it.
pub(crate) trait FromCell: Sized {
    fn from_cell(cell: &Cell) -> Option<Self>;
}

impl FromCell for i64 {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if let Cell::Integer(number) = cell { Some(*number) } else { None }
    }
}

impl FromCell for bool {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if let Cell::Flag(flag) = cell { Some(*flag) } else { None }
    }
}

impl FromCell for String {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if let Cell::Text(text) = cell { Some(text.clone()) } else { None }
    }
}

impl FromCell for DateTime<Utc> {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if let Cell::Time(time) = cell { Some(*time) } else { None }
    }
}

/// Numbers and names that not every number or text is one of.
macro_rules! checked {
    ($($type:ty: $of:ty => $make:expr;)*) => {
        $(impl FromCell for $type {
            fn from_cell(cell: &Cell) -> Option<Self> {
                let make: fn($of) -> Option<$type> = $make;
                make(<$of>::from_cell(cell)?)
            }
        })*
    };
}

checked! {
    u16: i64 => |number| u16::try_from(number).ok();
    u32: i64 => |number| u32::try_from(number).ok();
    u64: i64 => |number| u64::try_from(number).ok();
    Position: i64 => |number| Position::try_from(number).ok();
    Epoch: i64 => |number| Epoch::try_from(number).ok();
    ProjectionName: String => |name| ProjectionName::new(name).ok();
    WorkerId: String => |name| WorkerId::new(name).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [Option<Cell>; 3]) -> Row {
        let mut cells = cells.into_iter();
        let read = Row::read(Statement::Checkpoints, |_, _| {
            Ok::<_, String>(cells.next().expect("a cell for each column"))
        });
        read.expect("every cell can be read")
    }

    #[test]
    fn a_value_that_is_wrong_is_named_with_its_row() {
        let row = row([Some(Cell::Integer(3)), None, Some(Cell::Integer(-5))]);
        assert_eq!(row.get::<u16>("partition_index").unwrap(), 3);
        assert_eq!(row.get_optional::<u16>("partition_total").unwrap(), None);
        let null = row.get::<u16>("partition_total").unwrap_err().to_string();
        assert!(null.contains("the column partition_total of partition_index 3"), "{null}");
        let negative = row.get::<Position>("position").unwrap_err().to_string();
        assert!(negative.contains("the column position") && negative.contains("-5"), "{negative}");
        let text = row.get::<String>("position").unwrap_err();
        assert!(matches!(text, StoreError::Corrupt { .. }), "{text}");
    }

    #[test]
    fn a_value_that_cannot_be_read_is_named_with_its_row() {
        let read = Row::read(Statement::Checkpoints, |number, _| match number {
            0 => Ok(Some(Cell::Integer(3))),
            _ => Err("a float"),
        });
        let error = read.unwrap_err().to_string();
        assert!(
            error.contains("the column partition_total of partition_index 3: a float"),
            "{error}"
        );
    }
}
