//! The catalogue of skills.

use colibri_protocol::{Change, RegisterSkill, Skill, SkillPage};
use jiff::Timestamp;
use rusqlite::{Row, params};
use serde_json::json;

use crate::error::While;
use crate::row::{get, parsed, time_text};
use crate::{Batch, Reader, Result};

fn skill(row: &Row<'_>) -> Result<Skill> {
    Ok(Skill {
        name: parsed("name", &get::<String>(row, 0)?)?,
        description: get(row, 1)?,
        path: get(row, 2)?,
        registered_at: parsed("registered_at", &get::<String>(row, 3)?)?,
        updated_at: parsed("updated_at", &get::<String>(row, 4)?)?,
    })
}

impl Reader {
    /// One page of skills by name, whose JSON stays below `budget` bytes.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn skills(&self, after: Option<&str>, limit: u32, budget: usize) -> Result<SkillPage> {
        let sql = "SELECT name, description, path, registered_at, updated_at
                   FROM skills WHERE name > ?1 ORDER BY name";
        let (skills, next) = self.named_page(sql, after, limit, budget, skill)?;
        Ok(SkillPage { skills, next })
    }
}

impl Batch<'_> {
    /// Makes a skill known, or updates the one of this name.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn register_skill(
        &mut self,
        new: &RegisterSkill,
        actor: &str,
        now: Timestamp,
    ) -> Result<Skill> {
        const WHAT: &str = "register a skill";
        let kept = self
            .transaction
            .prepare_cached(
                "INSERT INTO skills (name, description, path, registered_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?4)
                 ON CONFLICT (name) DO UPDATE SET description = excluded.description,
                    path = excluded.path, updated_at = excluded.updated_at
                 RETURNING name, description, path, registered_at, updated_at",
            )
            .while_trying_to(WHAT)?
            .query_row(
                params![new.name.as_str(), new.description, new.path, time_text(now)],
                |row| Ok(skill(row)),
            )
            .while_trying_to(WHAT)??;
        let detail = json!({ "name": new.name });
        self.record(now, actor, "skill-registered", None, &detail)?;
        self.tell(Change::Skill {
            name: new.name.clone(),
        });
        Ok(kept)
    }
}
