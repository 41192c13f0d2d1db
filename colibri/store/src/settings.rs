//! What was set for good, and not by flag or environment.

use colibri_protocol::{Change, CostMode};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde_json::json;

use crate::error::While;
use crate::row::parsed_if_any;
use crate::{Batch, Reader, Result};

const COST_MODE: &str = "cost-mode";

impl Reader {
    /// The cost mode that was set to last.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn cost_mode(&self) -> Result<Option<CostMode>> {
        let text = self
            .connection
            .query_row(
                "SELECT value FROM settings WHERE name = ?1",
                [COST_MODE],
                |row| row.get::<_, String>(0),
            )
            .optional()
            .while_trying_to("read a setting")?;
        parsed_if_any(COST_MODE, text)
    }
}

impl Batch<'_> {
    /// Puts a cost mode on record, for good when it is to be kept.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn set_cost_mode(
        &mut self,
        mode: CostMode,
        keep: bool,
        actor: &str,
        now: Timestamp,
    ) -> Result<()> {
        if keep {
            self.transaction
                .execute(
                    "INSERT INTO settings (name, value) VALUES (?1, ?2)
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    params![COST_MODE, mode.as_str()],
                )
                .while_trying_to("keep a setting")?;
        }
        let detail = json!({ "mode": mode, "kept": keep });
        self.record(now, actor, "cost-mode-set", None, &detail)?;
        self.tell(Change::CostMode { mode });
        Ok(())
    }
}
