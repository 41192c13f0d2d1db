//! What lies in the folder of skills: those that can be used, and everything that is out of place.

use std::ffi::{OsStr, OsString};
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use colibri_protocol::{Name, RegisterSkill, SkillFinding};
use nix::fcntl::OFlag;

use super::front;

/// The file that makes a folder a skill.
const FILE: &str = "SKILL.md";

/// Most bytes of it; an agent reads it whole, and pays for it.
const MAX_BYTES: u64 = 256 * 1024;

/// Most entries of the folder, and most of each skill's.
const MAX_ENTRIES: usize = 1000;

/// Most findings; the rest is counted.
const MAX_FINDINGS: usize = 100;

/// What came of a look through the folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// By name.
    pub(crate) skills: Vec<RegisterSkill>,
    pub(crate) findings: Vec<SkillFinding>,
}

/// Where a skill's file lies.
pub(crate) fn file_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).join(FILE)
}

/// Looks through the whole folder. One that is not there has no skills. What begins with a dot is
/// some other program's, such as `.git`.
///
/// # Errors
/// Why it cannot be looked through; nothing is known about its skills then.
pub(crate) fn look_through(folder: &Path) -> Result<Found, SkillFinding> {
    let failed = |error: io::Error| finding(folder, cannot_read(&error));
    let base = match folder.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
        base => base.map_err(failed)?,
    };
    let mut look = Look {
        folder,
        base,
        found: Found::default(),
        left_out: 0,
    };
    for entry in look.entries(folder).map_err(failed)? {
        look.at(&entry);
    }
    Ok(look.end())
}

/// A look that is under way.
struct Look<'a> {
    folder: &'a Path,
    /// The folder without links; whatever counts lies below it.
    base: PathBuf,
    found: Found,
    /// Findings beyond the most.
    left_out: usize,
}

impl Look<'_> {
    /// Something that lies directly in the folder.
    fn at(&mut self, entry: &OsStr) {
        let path = self.folder.join(entry);
        match self.what_is(&path) {
            Err(problem) => self.report(&path, problem),
            Ok(meta) if meta.is_dir() => self.skill(entry, &path),
            Ok(_) if entry == FILE => self.report(
                &path,
                "is in the wrong place; it belongs into a folder of the skill's name: \
                 NAME/SKILL.md",
            ),
            Ok(_) => self.report(
                &path,
                "is in the wrong place; here are only folders of skills, each with a SKILL.md",
            ),
        }
    }

    /// A folder that should be a skill.
    fn skill(&mut self, entry: &OsStr, folder: &Path) {
        let name: Name = match entry.to_string_lossy().parse() {
            Ok(name) => name,
            Err(problem) => return self.report(folder, problem),
        };
        let inside = match self.entries(folder) {
            Ok(inside) => inside,
            Err(error) => return self.report(folder, cannot_read(&error)),
        };
        let mut explained = false;
        for entry in &inside {
            let path = folder.join(entry);
            if entry == FILE {
                explained = true;
                self.file(&name, &path);
            } else if entry.eq_ignore_ascii_case(FILE) {
                explained = true;
                self.report(
                    &path,
                    "must be called SKILL.md, in capital letters but the end",
                );
            } else if path.join(FILE).symlink_metadata().is_ok() {
                explained = true;
                self.report(
                    &path.join(FILE),
                    "lies too deep; a skill is one folder, directly in the folder of skills",
                );
            }
        }
        if !explained {
            self.report(folder, "has no SKILL.md, and so is no skill");
        }
    }

    /// A skill's file.
    fn file(&mut self, folder: &Name, path: &Path) {
        let text = match self.read(path) {
            Ok(text) => text,
            Err(problem) => return self.report(path, problem),
        };
        let front = match front::parse(&text) {
            Ok(front) => front,
            Err(fault) => return self.report(path, fault.to_string()),
        };
        for note in front.notes {
            self.report(path, note.to_string());
        }
        if front.name != folder.as_str() {
            let shown: String = front.name.chars().take(64).collect();
            return self.report(
                path,
                format!(
                    "calls the skill {shown:?}, and its folder is called `{folder}`: rename one"
                ),
            );
        }
        let skill = RegisterSkill {
            name: folder.clone(),
            description: front.description,
            path: Some(path.to_string_lossy().into_owned()),
        };
        match skill.check() {
            Ok(()) => self.found.skills.push(skill),
            Err(error) => self.report(path, error.message),
        }
    }

    /// # Errors
    /// Why it cannot be a skill's file.
    fn read(&self, path: &Path) -> Result<String, String> {
        let meta = self.what_is(path)?;
        if !meta.is_file() {
            return Err("is no file".to_owned());
        }
        let mut bytes = Vec::new();
        // Not waiting: what was a file a moment ago may be a pipe now.
        OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| cannot_read(&error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!(
                "is too large: {} bytes, and the most is {MAX_BYTES}; what an agent needs only \
                 now and then can lie in other files beside it",
                meta.len()
            ));
        }
        String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let lines = error.as_bytes().iter().take(good);
            let line = 1 + lines.filter(|byte| **byte == b'\n').count();
            format!("is not UTF-8 (line {line}); save it as UTF-8")
        })
    }

    /// What lies there, links followed.
    ///
    /// # Errors
    /// It cannot be looked at, or lies elsewhere.
    fn what_is(&self, path: &Path) -> Result<Metadata, String> {
        let real = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "is a link that leads nowhere".to_owned(),
            _ => cannot_read(&error),
        })?;
        if !real.starts_with(&self.base) {
            return Err(
                "is a link that leads out of the folder of skills; put what it leads to here \
                 instead"
                    .to_owned(),
            );
        }
        real.symlink_metadata().map_err(|error| cannot_read(&error))
    }

    /// The names in a folder, sorted.
    fn entries(&mut self, folder: &Path) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in folder.read_dir()? {
            let name = entry?.file_name();
            if !name.as_bytes().starts_with(b".") {
                names.push(name);
            }
        }
        names.sort();
        if names.len() > MAX_ENTRIES {
            let problem = format!(
                "has {} entries; only the first {MAX_ENTRIES} are looked at",
                names.len()
            );
            self.report(folder, problem);
            names.truncate(MAX_ENTRIES);
        }
        Ok(names)
    }

    fn report(&mut self, path: &Path, problem: impl Into<String>) {
        if self.found.findings.len() < MAX_FINDINGS {
            self.found.findings.push(finding(path, problem));
        } else {
            self.left_out += 1;
        }
    }

    fn end(mut self) -> Found {
        if self.left_out > 0 {
            let problem = format!("has {} more faults; mend these first", self.left_out);
            self.found.findings.push(finding(self.folder, problem));
        }
        self.found
    }
}

fn finding(path: &Path, problem: impl Into<String>) -> SkillFinding {
    SkillFinding {
        path: path.to_string_lossy().into_owned(),
        problem: problem.into(),
    }
}

fn cannot_read(error: &io::Error) -> String {
    format!("cannot be read: {error}; the daemon's account must be able to")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Skills(tempfile::TempDir);

    impl Skills {
        fn new() -> Self {
            let skills = Self(tempfile::tempdir().unwrap());
            std::fs::create_dir(skills.folder()).unwrap();
            skills
        }

        fn folder(&self) -> PathBuf {
            self.0.path().join("skills")
        }

        fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
            let path = self.folder().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }

        /// Names of skills, and findings as `PATH problem` below the folder.
        fn found(&self) -> (Vec<String>, Vec<String>) {
            let found = look_through(&self.folder()).unwrap();
            let names = found.skills.iter().map(|skill| skill.name.to_string());
            let prefix = format!("{}/", self.folder().display());
            let findings = found.findings.iter().map(|finding| {
                let path = finding.path.strip_prefix(&prefix).unwrap_or(".");
                format!("{path} {}", finding.problem)
            });
            (names.collect(), findings.collect())
        }
    }

    fn text(name: &str) -> String {
        format!("---\nname: {name}\ndescription: What it is good for\n---\n# How\n")
    }

    #[test]
    fn skills_are_found_with_what_they_are_good_for() {
        let skills = Skills::new();
        skills.put("vault/SKILL.md", text("vault"));
        skills.put("vault/scripts/read.sh", "#!/bin/sh\n");
        skills.put("git/SKILL.md", text("git"));
        skills.put(".git/HEAD", "ref: refs/heads/main\n");
        symlink("vault", skills.folder().join("safe")).unwrap();
        let (names, findings) = skills.found();
        assert_eq!(names, ["git", "vault"]);
        assert_eq!(
            findings,
            [
                r#"safe/SKILL.md calls the skill "vault", and its folder is called `safe`: rename one"#
            ]
        );
        let found = look_through(&skills.folder()).unwrap();
        assert_eq!(found.skills[1].description, "What it is good for");
        assert_eq!(
            found.skills[1].path.as_deref().map(Path::new),
            Some(skills.folder().join("vault/SKILL.md").as_path())
        );
    }

    #[test]
    fn a_folder_that_is_not_there_has_none_and_one_that_is_no_folder_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("skills");
        assert_eq!(look_through(&folder), Ok(Found::default()));
        std::fs::write(&folder, "").unwrap();
        let problem = look_through(&folder).unwrap_err().problem;
        assert!(problem.starts_with("cannot be read"), "{problem}");
    }

    /// Each fault alone, and the beginning of what is said about it.
    #[test]
    fn whatever_is_out_of_place_is_told() {
        let large = format!("{}{}", text("a"), "x".repeat(256 * 1024));
        let cases: [(&str, &[u8], &str); 11] = [
            (
                "SKILL.md",
                b"",
                "SKILL.md is in the wrong place; it belongs into a folder",
            ),
            (
                "vault.md",
                b"",
                "vault.md is in the wrong place; here are only folders",
            ),
            ("a/skill.md", b"", "a/skill.md must be called SKILL.md"),
            ("a/b/SKILL.md", b"", "a/b/SKILL.md lies too deep"),
            ("a/README.md", b"", "a has no SKILL.md"),
            ("a b/SKILL.md", b"", "a b \"a b\" is no name"),
            ("a/SKILL.md/x", b"", "a/SKILL.md is no file"),
            ("a/SKILL.md", b"# A\n", "a/SKILL.md line 1: "),
            (
                "a/SKILL.md",
                b"---\n\nname: \xff\n",
                "a/SKILL.md is not UTF-8 (line 3)",
            ),
            ("a/SKILL.md", large.as_bytes(), "a/SKILL.md is too large"),
            (
                "a/SKILL.md",
                b"---\nname: a\ndescription: \"\\u0007\"\n---\n",
                "a/SKILL.md `description` must not have control characters",
            ),
        ];
        for (path, bytes, said) in cases {
            let skills = Skills::new();
            skills.put(path, bytes);
            skills.put("good/SKILL.md", text("good"));
            let (names, findings) = skills.found();
            assert_eq!(names, ["good"], "{path}: {findings:?}");
            assert_eq!(findings.len(), 1, "{path}: {findings:?}");
            assert!(findings[0].starts_with(said), "{path}: {findings:?}");
        }
    }

    #[test]
    fn links_may_not_lead_out() {
        let skills = Skills::new();
        let outside = skills.0.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join(FILE), text("a")).unwrap();
        symlink(&outside, skills.folder().join("a")).unwrap();
        std::fs::create_dir(skills.folder().join("b")).unwrap();
        symlink(outside.join(FILE), skills.folder().join("b/SKILL.md")).unwrap();
        symlink("nothing", skills.folder().join("c")).unwrap();
        let (names, findings) = skills.found();
        assert!(names.is_empty(), "{names:?}");
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[0].starts_with("a is a link that leads out"));
        assert!(findings[1].starts_with("b/SKILL.md is a link that leads out"));
        assert!(findings[2].starts_with("c is a link that leads nowhere"));
    }

    #[test]
    fn a_flood_of_faults_is_counted() {
        let skills = Skills::new();
        for number in 0..MAX_FINDINGS + 7 {
            skills.put(&format!("{number}.txt"), "");
        }
        let (_, findings) = skills.found();
        assert_eq!(findings.len(), MAX_FINDINGS + 1);
        assert_eq!(
            findings[MAX_FINDINGS],
            ". has 7 more faults; mend these first"
        );
    }
}
