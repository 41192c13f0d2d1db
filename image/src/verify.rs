//! Reads an image back and holds it against its manifest, its checksums and our own writers.
//!
//! The writers are deterministic, so a sound image is one that they would make again: every volume
//! is read, made anew from what was read, and compared byte for byte. What differs is named by the
//! structure or the file that it belongs to.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use clawdie_tree::{Content, ContentFile, Tree, hex};
use serde::Serialize;

use crate::bmap::{BadRange, Bmap};
use crate::disk::{self, DiskPlan, PartitionPlan};
use crate::error::{ErrorKind, Result, ResultExt};
use crate::lint::{self, Subject};
use crate::manifest::{self, FileSystem, Manifest, Partition};
use crate::outputs::MANIFEST;
use crate::progress::Progress;
use crate::recipe::Role;
use crate::{bmap, fat, root};

/// More faults of one check than this say nothing new.
const MOST: usize = 20;

/// What came of a verification.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What was looked at, in order.
    pub checked: Vec<String>,
    /// What could not be looked at, and why.
    pub skipped: Vec<String>,
    /// What is wrong, and where.
    pub faults: Vec<String>,
}

impl Report {
    fn check(&mut self, name: &str, faults: impl IntoIterator<Item = String>) {
        let before = self.faults.len();
        let mut faults = faults.into_iter();
        self.faults.extend(
            faults
                .by_ref()
                .take(MOST)
                .map(|fault| format!("{name}: {fault}")),
        );
        let more = faults.count();
        if more > 0 {
            self.faults.push(format!("{name}: and {more} more"));
        }
        let verdict = if self.faults.len() == before {
            "ok"
        } else {
            "FAULTY"
        };
        self.checked.push(format!("{name}: {verdict}"));
    }
}

/// Verifies the image at `path` with whatever lies beside it.
///
/// # Errors
/// When the image cannot be read at all; faults are no error but stand in the report.
pub fn verify(path: &Path, progress: &dyn Progress) -> Result<Report> {
    let mut report = Report::default();
    let image = ContentFile::open(path).or_error(ErrorKind::Missing, || {
        format!("`{}` cannot be opened", path.display())
    })?;
    companions(path, image.file(), &mut report, progress)?;

    let (plan, faults) = disk::check_table(image.file())?;
    report.check("partition table", faults.iter().map(ToString::to_string));
    let Some(plan) = plan else {
        report
            .skipped
            .push("everything in the partitions: without a table they are not found".into());
        return Ok(report);
    };
    let task = progress.begin("read the volumes", None);
    task.note("root");
    let Some((root, manifest)) = whole_root(&image, &plan, &mut report)? else {
        return Ok(report);
    };
    let beside = path.with_file_name(MANIFEST);
    if let Ok(text) = std::fs::read(&beside) {
        let inside = root
            .get(&manifest::path())
            .and_then(|node| node.content())
            .map(Content::read);
        let same = inside.transpose()?.is_some_and(|inside| inside == text);
        let fault = "differs from the one inside the image".to_owned();
        report.check(
            &format!("`{MANIFEST}` beside the image"),
            (!same).then_some(fault),
        );
    }
    report.check(
        "partition table against the manifest",
        table_faults(&plan, &manifest),
    );
    for part in &manifest.partitions {
        let Some(place) = plan.partition(&part.name) else {
            continue;
        };
        task.note(&part.name);
        match part.role {
            Role::Root => {
                report.check(
                    &format!("files of `{}`", part.name),
                    file_faults(part, &root),
                );
            }
            Role::Seed | Role::Esp => fat_volume(image.file(), part, place, &mut report)?,
            Role::BiosBoot => {
                let sha256 = region_sha256(&image, place)?;
                let fault = (part.sha256.as_deref() != Some(&sha256))
                    .then(|| format!("byte {:#x} and on: not what was built", place.offset()));
                report.check(&format!("boot code in `{}`", part.name), fault);
            }
        }
    }
    let subject = Subject {
        flavour: manifest.flavour,
        tree: &root,
        base: None,
        layer: None,
    };
    report.check(
        "lints",
        lint::run(&subject)?.iter().map(ToString::to_string),
    );
    Ok(report)
}

/// The checksum file and the block map beside the image.
fn companions(
    path: &Path,
    image: &File,
    report: &mut Report,
    progress: &dyn Progress,
) -> Result<()> {
    let task = progress.begin("checksums", None);
    let sums = path.with_extension("sha256");
    match std::fs::read_to_string(&sums) {
        Err(_) => report.skipped.push(format!(
            "checksums: no `{}` beside the image",
            sums.display()
        )),
        Ok(text) => {
            let mut faults = Vec::new();
            for line in text.lines() {
                let Some((wanted, name)) = line.split_once("  ") else {
                    faults.push(format!(
                        "`{}` has a line that is no checksum",
                        sums.display()
                    ));
                    continue;
                };
                let file = path.with_file_name(name);
                task.note(name);
                if !file.exists() {
                    report
                        .skipped
                        .push(format!("`{name}`: it is not beside the image"));
                    continue;
                }
                if hex(Content::file(&file)?.sha256()) != wanted {
                    faults.push(format!("`{name}` has been changed"));
                }
            }
            report.check("checksums", faults);
        }
    }
    let map = path.with_extension("img.bmap");
    if map.exists() {
        task.note("block map");
        let bad = Bmap::open(&map).and_then(|map| bmap::check(image, &map, &mut |_| {}));
        let range = |bad: &BadRange| {
            format!(
                "something changed in bytes {:#x} to {:#x}",
                bad.bytes.start, bad.bytes.end
            )
        };
        match bad {
            Ok(bad) => report.check("block map", bad.iter().map(range)),
            Err(error) => report.check("block map", [error.to_string()]),
        }
    }
    Ok(())
}

/// Reads the root, makes it again, and takes the manifest out of it.
fn whole_root(
    image: &std::sync::Arc<ContentFile>,
    plan: &DiskPlan,
    report: &mut Report,
) -> Result<Option<(Tree, Manifest)>> {
    let Some(place) = plan.partitions.last() else {
        return Ok(None);
    };
    let name = format!("root file system in `{}`", place.name);
    let mut faults = root::check(image.file(), place)?;
    let found = match root::read(image, place) {
        Ok(found) => found,
        Err(fault) => {
            faults.push(fault);
            report.check(&name, faults);
            return Ok(None);
        }
    };
    faults.extend(found.faults(image.file(), place)?);
    report.check(&name, faults);
    let Some(content) = found
        .tree
        .get(&manifest::path())
        .and_then(|node| node.content())
    else {
        report.check(
            "manifest inside the image",
            [format!("`/{}` is missing", manifest::PATH)],
        );
        return Ok(None);
    };
    match Manifest::from_json(&content.read()?) {
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            report.check(
                "manifest inside the image",
                [format!("{error}{}", cause.unwrap_or_default())],
            );
            Ok(None)
        }
        Ok(manifest) => {
            let described = manifest
                .partition(Role::Root)
                .and_then(|part| part.file_system.as_ref());
            let fault = found
                .foreign_id(described)
                .map(|id| format!("the root's identifier is {id}, the manifest says another"));
            report.check("manifest inside the image", fault);
            Ok(Some((found.tree, manifest)))
        }
    }
}

fn table_faults(plan: &DiskPlan, manifest: &Manifest) -> Vec<String> {
    let mut faults = Vec::new();
    if plan.disk_guid.to_string() != manifest.disk_guid {
        faults.push(format!(
            "the disk is {}, not {}",
            plan.disk_guid, manifest.disk_guid
        ));
    }
    let row = |name: &str, kind: String, guid: String, lba: u64, bytes: u64| {
        format!("`{name}` (type {kind}, GUID {guid}, from sector {lba}, {bytes} bytes)")
    };
    let have: Vec<_> = plan
        .partitions
        .iter()
        .map(|part| {
            row(
                &part.name,
                part.kind.type_guid().to_string(),
                part.guid.to_string(),
                part.first_lba,
                part.len,
            )
        })
        .collect();
    let want: Vec<_> = manifest
        .partitions
        .iter()
        .map(|part| {
            row(
                &part.name,
                part.type_guid.clone(),
                part.guid.clone(),
                part.first_lba,
                part.bytes,
            )
        })
        .collect();
    if have.len() != want.len() {
        faults.push(format!(
            "{} partitions, the manifest has {}",
            have.len(),
            want.len()
        ));
    }
    faults.extend(
        have.iter()
            .zip(&want)
            .filter(|(have, want)| have != want)
            .map(|(have, want)| format!("{have} should be {want}")),
    );
    faults
}

/// A seed may hold the operator's own `setup.txt` and what `RESULT.txt` says; an ESP may not change.
fn fat_volume(
    image: &File,
    part: &Partition,
    place: &PartitionPlan,
    report: &mut Report,
) -> Result<()> {
    let name = format!("file system in `{}`", part.name);
    let check = match fat::check(image, place.offset(), place.len) {
        Ok(faults) => faults,
        Err(error) => {
            report.check(&name, [error.to_string()]);
            return Ok(());
        }
    };
    let mut faults: Vec<_> = check.iter().map(ToString::to_string).collect();
    let tree = match fat::read(image, place.offset(), place.len) {
        Ok(tree) => tree,
        Err(error) => {
            faults.push(error.to_string());
            report.check(&name, faults);
            return Ok(());
        }
    };
    let edited = part.role == Role::Seed && !file_faults(part, &tree).is_empty();
    if edited {
        report.skipped.push(format!(
            "`{}` byte for byte: its files are the operator's own now; its structure was checked",
            part.name
        ));
    } else if faults.is_empty() {
        faults.extend(
            fat::remake(image, place.offset(), place.len)?
                .iter()
                .map(ToString::to_string),
        );
    }
    report.check(&name, faults);
    if part.role == Role::Esp {
        report.check(
            &format!("files of `{}`", part.name),
            file_faults(part, &tree),
        );
    }
    Ok(())
}

/// What differs between the files that the manifest lists and those that are there.
fn file_faults(part: &Partition, tree: &Tree) -> Vec<String> {
    let fat = matches!(part.file_system, Some(FileSystem::Fat32 { .. }));
    let strip = |mut file: manifest::File| {
        if fat {
            // FAT keeps neither owners nor modes.
            (file.mode, file.uid, file.gid) = (String::new(), 0, 0);
        }
        (file.path.clone(), file)
    };
    let mut have: BTreeMap<_, _> = manifest::files(tree).into_iter().map(strip).collect();
    let mut faults = Vec::new();
    for (path, wanted) in part.files.iter().cloned().map(strip) {
        match have.remove(&path) {
            None => faults.push(format!("`{path}` is missing")),
            Some(found) if found == wanted => {}
            Some(found) if found.sha256 != wanted.sha256 => {
                faults.push(format!("`{path}` has other bytes"));
            }
            Some(found) => {
                let told = |file: &manifest::File| {
                    let manifest::File {
                        kind,
                        mode,
                        uid,
                        gid,
                        flags,
                        ..
                    } = file;
                    let flags = flags.as_deref().unwrap_or_default();
                    format!("{kind} {mode} {uid}:{gid} {flags}")
                        .trim_end()
                        .to_owned()
                };
                faults.push(format!(
                    "`{path}` is {}, not {}",
                    told(&found),
                    told(&wanted)
                ));
            }
        }
    }
    faults.extend(
        have.keys()
            .map(|path| format!("`{path}` is not in the manifest")),
    );
    faults
}

fn region_sha256(image: &std::sync::Arc<ContentFile>, place: &PartitionPlan) -> Result<String> {
    use sha2::Digest;
    let region = Content::extent(image.clone(), place.offset(), place.len, [0; 32]);
    let bytes = region.read()?;
    Ok(hex(sha2::Sha256::digest(bytes)))
}
