//! Jobs: kept, found when they are due, and run exactly once for each time.

use colibri_protocol::{Change, CreateJob, Job, JobPage, Name};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde_json::json;

use crate::error::While;
use crate::row::{
    as_kept, from_json, get, integer, number, parsed, parsed_if_any, time_text, to_json,
};
use crate::writer::new_id;
use crate::{Batch, Reader, Result, StoreError};

macro_rules! job_columns {
    () => {
        "name, id, schedule, missed, task, created_by, created_at, next_at, last_at, runs"
    };
}

/// The most overdue first.
pub(crate) const DUE: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM jobs WHERE next_at <= ?1 ORDER BY next_at LIMIT ?2"
);

fn job(row: &Row<'_>) -> Result<Job> {
    Ok(Job {
        name: parsed("name", &get::<String>(row, 0)?)?,
        id: parsed("id", &get::<String>(row, 1)?)?,
        schedule: from_json("schedule", &get::<String>(row, 2)?)?,
        missed: parsed("missed", &get::<String>(row, 3)?)?,
        task: from_json("task", &get::<String>(row, 4)?)?,
        created_by: get(row, 5)?,
        created_at: parsed("created_at", &get::<String>(row, 6)?)?,
        next_at: parsed_if_any("next_at", get(row, 7)?)?,
        last_at: parsed_if_any("last_at", get(row, 8)?)?,
        runs: number(row, 9)?,
    })
}

impl Reader {
    /// One page of jobs by name, whose JSON stays below `budget` bytes.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn jobs(&self, after: Option<&str>, limit: u32, budget: usize) -> Result<JobPage> {
        let sql = concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs WHERE name > ?1 ORDER BY name"
        );
        let (jobs, next) = self.named_page(sql, after, limit, budget, job)?;
        Ok(JobPage { jobs, next })
    }

    /// Jobs whose time has come, the most overdue first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn due_jobs(&self, now: Timestamp, limit: u32) -> Result<Vec<Job>> {
        const WHAT: &str = "look for jobs that are due";
        let mut statement = self.connection.prepare_cached(DUE).while_trying_to(WHAT)?;
        let mut rows = statement
            .query(params![time_text(now), limit])
            .while_trying_to(WHAT)?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next().while_trying_to(WHAT)? {
            jobs.push(job(row)?);
        }
        Ok(jobs)
    }

    /// When the next job is due, and how many are still to come at all.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn coming_jobs(&self) -> Result<(Option<Timestamp>, u64)> {
        let (next, count): (Option<String>, i64) = self
            .connection
            .prepare_cached("SELECT min(next_at), count(*) FROM jobs WHERE next_at IS NOT NULL")
            .and_then(|mut statement| statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
            .while_trying_to("look for the next job")?;
        Ok((parsed_if_any("next_at", next)?, count.unsigned_abs()))
    }
}

impl Batch<'_> {
    /// Makes a job that is first due at `next_at`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken, or when SQLite refuses.
    pub fn create_job(
        &mut self,
        new: CreateJob,
        next_at: Timestamp,
        actor: &str,
        now: Timestamp,
    ) -> Result<Job> {
        let job = Job {
            id: new_id(now)?,
            name: new.name,
            schedule: new.schedule,
            missed: new.missed,
            task: new.task,
            created_by: actor.to_owned(),
            created_at: as_kept(now),
            next_at: Some(as_kept(next_at)),
            last_at: None,
            runs: 0,
        };
        let missed: &str = job.missed.into();
        let made = self
            .transaction
            .execute(
                "INSERT INTO jobs
                    (id, name, schedule, missed, task, created_by, created_at, next_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (name) DO NOTHING",
                params![
                    job.id.to_string(),
                    job.name.as_str(),
                    to_json("schedule", &job.schedule)?,
                    missed,
                    to_json("task", &job.task)?,
                    job.created_by,
                    time_text(now),
                    time_text(next_at),
                ],
            )
            .while_trying_to("make a job")?;
        if made == 0 {
            return Err(StoreError::Conflict {
                problem: format!(
                    "there is a job `{}` already; `remove-job` makes room for another",
                    job.name
                ),
            });
        }
        self.job_event(&job, "job-created", actor, now)?;
        Ok(job)
    }

    /// Removes a job; its tasks stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or when SQLite refuses.
    pub fn remove_job(&mut self, name: &Name, actor: &str, now: Timestamp) -> Result<Job> {
        const WHAT: &str = "remove a job";
        let sql = concat!(
            "DELETE FROM jobs WHERE name = ?1 RETURNING ",
            job_columns!()
        );
        let removed = self
            .transaction
            .query_row(sql, [name.as_str()], |row| Ok(job(row)))
            .optional()
            .while_trying_to(WHAT)?
            .ok_or_else(|| StoreError::NotFound {
                what: format!("job `{name}`; `list-jobs` shows them all"),
            })??;
        self.job_event(&removed, "job-removed", actor, now)?;
        Ok(removed)
    }

    /// Makes a job's tasks for these times and sets when it is due next, all or nothing. Gives back
    /// how many: none when the job was run or removed since it was read.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn run_job(
        &mut self,
        job: &Job,
        times: &[Timestamp],
        next_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<usize> {
        let taken = self
            .transaction
            .execute(
                "UPDATE jobs SET next_at = ?3, last_at = coalesce(?4, last_at), runs = runs + ?5
                 WHERE id = ?1 AND next_at = ?2",
                params![
                    job.id.to_string(),
                    job.next_at.map(time_text),
                    next_at.map(time_text),
                    times.last().copied().map(time_text),
                    integer(times.len() as u64),
                ],
            )
            .while_trying_to("run a job")?;
        if taken == 0 {
            return Ok(0);
        }
        let actor = format!("job:{}", job.name);
        for _ in times {
            self.add_task(job.task.clone(), &actor, Some(job.id), now)?;
        }
        self.tell(Change::Job {
            name: job.name.clone(),
        });
        Ok(times.len())
    }

    fn job_event(&mut self, job: &Job, kind: &str, actor: &str, now: Timestamp) -> Result<()> {
        let detail = json!({ "job": job.id, "name": job.name, "schedule": job.schedule });
        self.record(now, actor, kind, None, &detail)?;
        self.tell(Change::Job {
            name: job.name.clone(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use colibri_protocol::{CreateTask, ListTasks, Missed, Schedule};

    #[test]
    fn each_time_of_a_job_makes_its_task_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (now, then) = (at("2026-11-27T00:00:00Z"), at("2026-11-27T01:00:00Z"));
        let new = CreateJob {
            name: "nightly".parse().unwrap(),
            schedule: Schedule::Interval { seconds: 3600 },
            missed: Missed::Once,
            task: CreateTask::titled("again"),
        };
        let job = store
            .change(|b| b.create_job(new.clone(), then, "uid:0", now))
            .unwrap();
        let error = store
            .change(|b| b.create_job(new, then, "uid:0", now))
            .unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");

        let reader = store.reader().unwrap();
        assert_eq!(
            reader.jobs(None, 9, usize::MAX).unwrap().jobs,
            std::slice::from_ref(&job)
        );
        assert!(reader.due_jobs(now, 9).unwrap().is_empty());
        let due = reader.due_jobs(then, 9).unwrap().remove(0);
        let next = Some(at("2026-11-27T02:00:00Z"));
        let run = |store: &mut Store| store.change(|b| b.run_job(&due, &[then], next, then));
        assert_eq!(run(&mut store).unwrap(), 1);
        // As after a kill between the change and whatever was to follow.
        assert_eq!(run(&mut store).unwrap(), 0);
        let tasks = reader
            .tasks(&ListTasks::default(), 9, usize::MAX)
            .unwrap()
            .tasks;
        assert_eq!((tasks.len(), tasks[0].job_id), (1, Some(job.id)));
        assert_eq!(reader.coming_jobs().unwrap(), (next, 1));

        let removed = store
            .change(|b| b.remove_job(&job.name, "uid:0", then))
            .unwrap();
        assert_eq!((removed.runs, removed.last_at), (1, Some(then)));
        let gone = store.change(|b| b.remove_job(&job.name, "uid:0", then));
        assert!(matches!(gone, Err(StoreError::NotFound { .. })));
        assert_eq!(reader.task_counts().unwrap().queued, 1);
    }

    #[test]
    fn skills_and_the_cost_mode_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("colibri.sqlite")).unwrap();
        let now = Timestamp::now();
        for description in ["old", "new"] {
            let skill = colibri_protocol::RegisterSkill {
                name: "vault".parse().unwrap(),
                description: description.to_owned(),
                path: None,
            };
            store
                .change(|b| b.register_skill(&skill, "uid:0", now))
                .unwrap();
        }
        let reader = store.reader().unwrap();
        let skills = reader.skills(None, 9, usize::MAX).unwrap().skills;
        assert_eq!((skills.len(), skills[0].description.as_str()), (1, "new"));
        use colibri_protocol::CostMode::{Fast, Max};
        for (mode, keep, kept) in [
            (Max, false, None),
            (Fast, true, Some(Fast)),
            (Max, false, Some(Fast)),
        ] {
            store
                .change(|b| b.set_cost_mode(mode, keep, "uid:0", now))
                .unwrap();
            assert_eq!(reader.cost_mode().unwrap(), kept);
        }
    }
}
