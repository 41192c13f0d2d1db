//! Tables: some columns of a fixed width, one that takes the rest, one line that is selected.

use clawdie_terminal::{BOLD, Look, REVERSED};
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::widgets::{Cell, Row, Table as Widget, TableState};

use crate::text::{cut, width};

/// The mark in front of the selected line.
const POINTER: &str = "> ";

/// A column.
pub(super) struct Column {
    head: &'static str,
    /// `None`: whatever is left.
    width: Option<u16>,
    is_right: bool,
}

impl Column {
    pub(super) fn left(head: &'static str, width: u16) -> Self {
        Self {
            head,
            width: Some(width),
            is_right: false,
        }
    }

    pub(super) fn right(head: &'static str, width: u16) -> Self {
        Self {
            is_right: true,
            ..Self::left(head, width)
        }
    }

    pub(super) fn rest(head: &'static str) -> Self {
        Self {
            width: None,
            ..Self::left(head, 0)
        }
    }
}

/// A table.
pub(super) struct Table {
    pub(super) title: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<(Vec<String>, Style)>,
    pub(super) total: Option<Vec<String>>,
    pub(super) selected: usize,
}

impl Table {
    /// Draws it, and says where its rows stand and which of them is the first.
    pub(super) fn draw(self, frame: &mut Frame<'_>, area: Rect, look: Look) -> (Rect, usize) {
        let fixed = self.columns.iter().filter_map(|column| column.width);
        let gaps = self.columns.len().saturating_sub(1);
        // The frame takes two columns.
        let taken = fixed.map(usize::from).sum::<usize>() + gaps + POINTER.len() + 2;
        let rest = usize::from(area.width).saturating_sub(taken).max(4);
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|column| (column, column.width.map_or(rest, usize::from)))
            .collect();
        let row = |cells: &[String]| {
            let cells = cells.iter().zip(&columns).map(|(text, (column, wide))| {
                let text = cut(text, *wide);
                let gap = if column.is_right {
                    wide.saturating_sub(width(&text))
                } else {
                    0
                };
                Cell::from(format!("{}{text}", " ".repeat(gap)))
            });
            Row::new(cells.collect::<Vec<_>>())
        };
        let heads: Vec<_> = columns
            .iter()
            .map(|(column, _)| column.head.to_owned())
            .collect();
        let rows = self
            .rows
            .iter()
            .map(|(cells, style)| row(cells).style(*style));
        let widths = columns
            .iter()
            .map(|(_, wide)| Constraint::Length(super::lines(*wide)));
        let mut widget = Widget::new(rows.collect::<Vec<_>>(), widths.collect::<Vec<_>>())
            .header(row(&heads).style(BOLD))
            .block(look.block().title(self.title))
            .highlight_symbol(POINTER)
            .row_highlight_style(REVERSED);
        if let Some(total) = &self.total {
            widget = widget.footer(row(total).style(BOLD));
        }
        let mut state = TableState::new().with_selected(self.selected);
        frame.render_stateful_widget(widget, area, &mut state);
        let first = state.offset();
        // The frame and the heading lie above, the frame and perhaps the total below.
        let around = 3 + u16::from(self.total.is_some());
        let room = area.height.saturating_sub(around);
        let height = room.min(super::lines(self.rows.len().saturating_sub(first)));
        let place = Rect::new(area.x, area.y.saturating_add(2), area.width, height);
        (place, first)
    }
}
