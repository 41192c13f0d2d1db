//! Skills that lie on disk, as `NAME/SKILL.md` in a folder below the daemon's data.
//!
//! The folder is looked through ([`folder`]) when the daemon starts and whenever somebody begins to
//! list skills, and the catalogue is made to agree with it. Each time anew: it is a handful of small
//! files, and whoever goes by their times is sometimes wrong.

mod folder;
mod front;

use std::path::PathBuf;

use colibri_protocol::{ErrorKind, ReplyError, Skill, SkillFinding};
use jiff::Timestamp;
use tokio::sync::Mutex;

use self::folder::Found;
use crate::board::Board;
use crate::place;

/// In whose name the catalogue is changed.
const ACTOR: &str = "daemon";

/// The folder of skills.
#[derive(Debug)]
pub(crate) struct Skills {
    folder: PathBuf,
    /// One look at a time: an older one must not come to the catalogue after a newer one.
    turn: Mutex<()>,
}

impl Skills {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            turn: Mutex::new(()),
        }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Makes the folder, so that people find it, and looks through it for the first time. A daemon
    /// that cannot do so works all the same.
    pub(crate) async fn begin(&self, board: &Board) {
        if let Err(failure) = place::make_directory(&self.folder) {
            tracing::warn!("skills: {failure}");
        }
        match self.index(board).await {
            Ok(findings) => {
                for SkillFinding { path, problem } in findings {
                    tracing::warn!("skills: {path:?} {problem}");
                }
            }
            Err(error) => tracing::error!("skills: {error}"),
        }
    }

    /// Brings the catalogue up to date, and says what is wrong in the folder.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn index(&self, board: &Board) -> Result<Vec<SkillFinding>, ReplyError> {
        let _turn = self.turn.lock().await;
        let folder = self.folder.clone();
        let looked = tokio::task::spawn_blocking(move || folder::look_through(&folder)).await;
        let looked = looked.map_err(|error| {
            tracing::error!("looking for skills: {error}");
            ReplyError::new(
                ErrorKind::Internal,
                "looking for skills failed; the daemon's log has the reason",
            )
        })?;
        let Found {
            skills,
            mut findings,
        } = match looked {
            Ok(found) => found,
            // Nobody knows what is there, so nothing is taken out of the catalogue.
            Err(finding) => return Ok(vec![finding]),
        };
        let folder = self.folder.to_string_lossy().into_owned();
        let others = board
            .change(move |batch| batch.index_skills(&folder, &skills, ACTOR, Timestamp::now()))
            .await?;
        findings.extend(others.iter().map(|other| self.has_another(other)));
        Ok(findings)
    }

    /// The finding for a skill of the folder whose name somebody has registered for another.
    fn has_another(&self, other: &Skill) -> SkillFinding {
        let file = folder::file_of(&self.folder, other.name.as_str());
        let whose = match &other.path {
            Some(path) => format!("the skill at {path}"),
            None => "a skill without a file".to_owned(),
        };
        SkillFinding {
            problem: format!(
                "is not in the catalogue: `{}` was registered for {whose}; register it with this \
                 path to have this one instead",
                other.name
            ),
            path: file.to_string_lossy().into_owned(),
        }
    }
}
