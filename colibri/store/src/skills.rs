//! The catalogue of skills.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use colibri_protocol::{Change, Name, RegisterSkill, Skill, SkillPage};
use jiff::Timestamp;
use rusqlite::{Row, params};
use serde_json::json;

use crate::error::While;
use crate::row::{get, parsed, time_text};
use crate::{Batch, Reader, Result};

/// Those whose names come after `?1`, in the order of their names.
const SKILLS: &str = "SELECT name, description, path, registered_at, updated_at
                      FROM skills WHERE name > ?1 ORDER BY name";

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
        let (skills, next) = self.named_page(SKILLS, after, limit, budget, skill)?;
        Ok(SkillPage {
            skills,
            next,
            ..SkillPage::default()
        })
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

    /// Makes the catalogue agree with a folder: what was `found` in it is known, and of what was
    /// known of it before, the rest goes. A skill of the same name whose path does not begin with
    /// `folder` was registered by somebody; it stays, and is given back.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn index_skills(
        &mut self,
        folder: &str,
        found: &[RegisterSkill],
        actor: &str,
        now: Timestamp,
    ) -> Result<Vec<Skill>> {
        let known = self.all_skills()?;
        let is_of_folder = |skill: &Skill| {
            let path = skill.path.as_deref().unwrap_or_default();
            Path::new(path).starts_with(folder)
        };
        let mut others = Vec::new();
        for new in found {
            match known.get(&new.name) {
                Some(other) if !is_of_folder(other) => others.push(other.clone()),
                Some(same) if same.path == new.path && same.description == new.description => {}
                _ => drop(self.register_skill(new, actor, now)?),
            }
        }
        let found: BTreeSet<&Name> = found.iter().map(|new| &new.name).collect();
        for (name, skill) in &known {
            if is_of_folder(skill) && !found.contains(name) {
                self.remove_skill(name, actor, now)?;
            }
        }
        Ok(others)
    }

    fn all_skills(&self) -> Result<BTreeMap<Name, Skill>> {
        const WHAT: &str = "list skills";
        self.transaction
            .prepare_cached(SKILLS)
            .while_trying_to(WHAT)?
            .query_map([""], |row| Ok(skill(row)))
            .while_trying_to(WHAT)?
            .map(|row| {
                let skill = row.while_trying_to(WHAT)??;
                Ok((skill.name.clone(), skill))
            })
            .collect()
    }

    fn remove_skill(&mut self, name: &Name, actor: &str, now: Timestamp) -> Result<()> {
        self.transaction
            .execute("DELETE FROM skills WHERE name = ?1", [name.as_str()])
            .while_trying_to("remove a skill")?;
        self.record(now, actor, "skill-removed", None, &json!({ "name": name }))?;
        self.tell(Change::Skill { name: name.clone() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    fn found(name: &str, description: &str) -> RegisterSkill {
        RegisterSkill {
            name: name.parse().unwrap(),
            description: description.to_owned(),
            path: Some(format!("/data/skills/{name}/SKILL.md")),
        }
    }

    #[test]
    fn the_catalogue_follows_a_folder_and_leaves_the_rest_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        let reader = store.reader().unwrap();
        let now = Timestamp::now();
        let by_hand = RegisterSkill {
            path: Some("/data/skills-of-mine/vault/SKILL.md".to_owned()),
            ..found("vault", "by hand")
        };
        store
            .change(|b| b.register_skill(&by_hand, "uid:0", now))
            .unwrap();
        let mut index = |found: &[RegisterSkill]| {
            let others = store
                .change(|b| b.index_skills("/data/skills", found, "daemon", now))
                .unwrap();
            let skills = reader.skills(None, 9, usize::MAX).unwrap().skills;
            let shown = |skill: &Skill| format!("{}: {}", skill.name, skill.description);
            (others.len(), skills.iter().map(shown).collect::<Vec<_>>())
        };
        assert_eq!(
            index(&[
                found("git", "old"),
                found("jails", "j"),
                found("vault", "v")
            ]),
            (
                1,
                vec![
                    "git: old".into(),
                    "jails: j".into(),
                    "vault: by hand".into()
                ]
            )
        );
        assert_eq!(
            index(&[found("git", "new")]),
            (0, vec!["git: new".into(), "vault: by hand".into()])
        );
        assert_eq!(index(&[]), (0, vec!["vault: by hand".into()]));
    }
}
