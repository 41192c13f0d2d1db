//! What was set for good, and not by flag or environment; and the mark by which the daemon sees
//! whether it can still write.

use colibri_protocol::{Change, CostMode};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde_json::json;

use crate::error::While;
use crate::row::parsed_if_any;
use crate::{Batch, Reader, Result};

const COST_MODE: &str = "cost-mode";
const MARK: &str = "mark";

impl Reader {
    /// The cost mode that was set to last.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn cost_mode(&self) -> Result<Option<CostMode>> {
        parsed_if_any(COST_MODE, self.setting(COST_MODE)?)
    }

    /// The mark that was written last.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn mark(&self) -> Result<Option<String>> {
        self.setting(MARK)
    }

    fn setting(&self, name: &str) -> Result<Option<String>> {
        self.connection
            .query_row(
                "SELECT value FROM settings WHERE name = ?1",
                [name],
                |row| row.get(0),
            )
            .optional()
            .while_trying_to("read a setting")
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
            self.keep_setting(COST_MODE, mode.as_str())?;
        }
        let detail = json!({ "mode": mode, "kept": keep });
        self.record(now, actor, "cost-mode-set", None, &detail)?;
        self.tell(Change::CostMode { mode });
        Ok(())
    }

    /// Leaves a mark in the place of the one before. One row, as durable as every change, and no
    /// event: it only shows that changes can be made.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn mark(&mut self, mark: &str) -> Result<()> {
        self.keep_setting(MARK, mark)
    }

    pub(crate) fn keep_setting(&self, name: &str, value: &str) -> Result<()> {
        self.transaction
            .execute(
                "INSERT INTO settings (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                params![name, value],
            )
            .while_trying_to("keep a setting")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Fault, Store};
    use rusqlite::{Connection, TransactionBehavior};

    #[test]
    fn a_mark_is_read_by_whoever_opens_the_file_afresh() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("colibri.sqlite");
        let mut store = Store::open(&path).unwrap();
        let reader = store.reader().unwrap();
        assert_eq!(reader.mark().unwrap(), None);
        for mark in ["one", "two"] {
            store.change(|batch| batch.mark(mark)).unwrap();
        }
        let mark = || reader.afresh().and_then(|fresh| fresh.mark());
        assert_eq!(mark().unwrap().as_deref(), Some("two"));
        assert_eq!(reader.cost_mode().unwrap(), None);

        let aside = dir.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        assert_eq!(mark().unwrap_err().fault(), Fault::Moved);
        std::fs::copy(&aside, &path).unwrap();
        let error = mark().unwrap_err();
        assert_eq!(error.fault(), Fault::Moved);
        assert!(error.to_string().contains("another file"), "{error}");
        std::fs::rename(&aside, &path).unwrap();
        assert_eq!(mark().unwrap().as_deref(), Some("two"));
    }

    #[test]
    fn a_lock_of_another_connection_is_told_from_a_full_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("colibri.sqlite");
        let mut store = Store::open(&path).unwrap();
        store
            .connection
            .busy_timeout(std::time::Duration::ZERO)
            .unwrap();
        let mut other = Connection::open(&path).unwrap();
        let lock = other
            .transaction_with_behavior(TransactionBehavior::Exclusive)
            .unwrap();
        let error = store.change(|batch| batch.mark("m")).unwrap_err();
        assert_eq!(error.fault(), Fault::Locked, "{error}");
        drop(lock);
        store.change(|batch| batch.mark("m")).unwrap();

        let pages = |most: i64| {
            store
                .connection
                .pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))
        };
        pages(1).unwrap(); // SQLite takes this as "no more than there are"
        let error = store
            .change(|batch| batch.mark(&"x".repeat(100_000)))
            .unwrap_err();
        assert_eq!(error.fault(), Fault::Full, "{error}");
    }
}
