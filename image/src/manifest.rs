//! The build manifest (`clawdie.iso.build.v1`): everything that went into an image and everything
//! that came out, so that it can be checked without us. It never holds a secret, and it lies inside
//! the image as well as beside it, byte for byte the same.

use clawdie_tree::{Kind, Tree, TreePath, hex};
use serde::{Deserialize, Serialize};

use crate::base::{Package, flags};
use crate::checkout::Git;
use crate::disk::DiskPlan;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::npm;
use crate::recipe::{Flavour, Role};

/// Name and version of this format.
pub const SCHEMA: &str = "clawdie.iso.build.v1";

/// Where the manifest lies inside the image.
pub const PATH: &str = "usr/local/share/clawdie-iso/build-manifest.json";

/// Whether an image is for people or for its makers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Built from any tree.
    Dev,
    /// Built from a clean commit.
    Release,
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of the product.
    pub version: String,
    /// Flavour.
    pub flavour: Flavour,
    /// The operating system's release.
    pub release: String,
    /// Channel.
    pub channel: Channel,
    /// The commit it was built from.
    pub git: Git,
    /// The time that stands for all times of the build, seconds since 1970.
    pub source_date_epoch: i64,
    /// Files of the checkout that decided what went in, with their SHA-256; files that went in
    /// themselves stand under their partition.
    pub inputs: Vec<Input>,
    /// Every package of the base.
    pub packages: Vec<Package>,
    /// Every package of npm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub npm: Vec<npm::Package>,
    /// GUID of the disk.
    pub disk_guid: String,
    /// The partitions in order, with their files.
    pub partitions: Vec<Partition>,
}

/// A file of the checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Path in the checkout.
    pub path: String,
    /// SHA-256.
    pub sha256: String,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// GPT name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// GPT type GUID.
    pub type_guid: String,
    /// GPT partition GUID.
    pub guid: String,
    /// First sector of 512 bytes.
    pub first_lba: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// How the file system was made, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<FileSystem>,
    /// SHA-256 of the whole partition, where it has no file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The files in it, apart from this manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
}

/// What a writer was told, so that the same file system can be made again and compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum FileSystem {
    /// FAT32.
    Fat32 {
        /// Volume label.
        label: String,
        /// Serial number.
        volume_id: u32,
    },
    /// ext4.
    Ext4 {
        /// Volume name.
        label: String,
        /// UUID.
        uuid: String,
        /// Seed of the directory hash.
        hash_seed: String,
        /// Bytes of the journal.
        journal: u64,
        /// Bytes that descriptor blocks are reserved for.
        grow_to: u64,
    },
    /// UFS2.
    Ufs2 {
        /// Volume name.
        label: String,
        /// The file system's identifier (`fs_id`), hexadecimal.
        id: String,
    },
}

/// One entry of a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute path in its file system.
    pub path: String,
    /// `dir`, `file`, `symlink`, `char`, `block` or `fifo`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Permission bits, octal.
    pub mode: String,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// BSD file flags by name, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<String>,
    /// Length of a file in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where a symbolic link points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// The rows of a tree, without the manifest itself and without the root.
pub fn files(tree: &Tree) -> Vec<File> {
    tree.iter()
        .filter(|(path, _)| !path.is_root() && path.as_bytes() != PATH.as_bytes())
        .map(|(path, node)| {
            let (kind, target) = match &node.kind {
                Kind::Dir => ("dir", None),
                Kind::File { .. } => ("file", None),
                Kind::Symlink(to) => ("symlink", Some(String::from_utf8_lossy(to).into_owned())),
                Kind::CharDevice { .. } => ("char", None),
                Kind::BlockDevice { .. } => ("block", None),
                Kind::Fifo => ("fifo", None),
            };
            let content = node.content();
            File {
                path: path.to_string(),
                kind: kind.to_owned(),
                mode: format!("{:04o}", node.meta.mode),
                uid: node.meta.uid,
                gid: node.meta.gid,
                flags: (node.meta.flags != 0).then(|| flags::names(node.meta.flags)),
                size: content.map(clawdie_tree::Content::len),
                sha256: content.map(|content| hex(content.sha256())),
                target,
            }
        })
        .collect()
}

/// The partitions of a disk without their files.
pub fn partitions(plan: &DiskPlan, roles: &[Role]) -> Vec<Partition> {
    plan.partitions
        .iter()
        .zip(roles)
        .map(|(part, role)| Partition {
            name: part.name.clone(),
            role: *role,
            type_guid: part.kind.type_guid().to_string(),
            guid: part.guid.to_string(),
            first_lba: part.first_lba,
            bytes: part.len,
            file_system: None,
            sha256: None,
            files: Vec::new(),
        })
        .collect()
}

impl Manifest {
    /// The manifest as it is written: JSON with one file a line, so that two can be compared with
    /// `diff`.
    ///
    /// # Errors
    /// Never in practice: every value can be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let failed = || "writing the manifest".to_owned();
        let mut head = self.clone();
        for part in &mut head.partitions {
            part.files.clear();
        }
        let mut text = serde_json::to_string_pretty(&head).or_error(ErrorKind::Failed, failed)?;
        // Each partition object ends where its list of files goes in.
        let mut out = String::with_capacity(
            text.len()
                + self
                    .partitions
                    .iter()
                    .map(|part| part.files.len() * 220)
                    .sum::<usize>(),
        );
        for part in &self.partitions {
            if part.files.is_empty() {
                continue;
            }
            let start = text
                .find(&format!("\"guid\": \"{}\"", part.guid))
                .ok_or_else(|| {
                    Error::failed(format!(
                        "partition `{}` is missing from its own manifest",
                        part.name
                    ))
                })?;
            let end = start + text[start..].find("\n    }").unwrap_or_default();
            out.push_str(&text[..end]);
            out.push_str(",\n      \"files\": [");
            for (index, file) in part.files.iter().enumerate() {
                out.push_str(if index == 0 {
                    "\n        "
                } else {
                    ",\n        "
                });
                out.push_str(&serde_json::to_string(file).or_error(ErrorKind::Failed, failed)?);
            }
            out.push_str("\n      ]");
            text.drain(..end);
        }
        out.push_str(&text);
        out.push('\n');
        Ok(out)
    }

    /// Reads a manifest back.
    ///
    /// # Errors
    /// When it is not one, or of a version that this toolchain does not know.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let manifest: Self = serde_json::from_slice(text)
            .or_error(ErrorKind::BadInput, || "the manifest cannot be read".into())?;
        if manifest.schema != SCHEMA {
            return Err(Error::bad_input(format!(
                "the manifest says `{}`; this toolchain reads `{SCHEMA}`",
                manifest.schema
            )));
        }
        Ok(manifest)
    }

    /// The partition with a role.
    pub fn partition(&self, role: Role) -> Option<&Partition> {
        self.partitions.iter().find(|part| part.role == role)
    }
}

/// The path of the manifest in a tree.
pub fn path() -> TreePath {
    TreePath::new(PATH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawdie_tree::{Content, Meta, Node};

    fn manifest() -> Manifest {
        let mut tree = Tree::new(Meta::root(0o755, 0));
        for name in ["a", "b"] {
            let file = Node::file(Content::bytes(name), Meta::root(0o644, 0));
            tree.insert(TreePath::new(name).unwrap(), file).unwrap();
        }
        let part = |name: &str, role, files| Partition {
            name: name.into(),
            role,
            type_guid: "t".into(),
            guid: format!("guid-{name}"),
            first_lba: 2048,
            bytes: 4096,
            file_system: None,
            sha256: None,
            files,
        };
        Manifest {
            schema: SCHEMA.into(),
            version: "0".into(),
            flavour: Flavour::Debian,
            release: "13".into(),
            channel: Channel::Dev,
            git: Git {
                commit: "c".into(),
                modified: false,
            },
            source_date_epoch: 1,
            inputs: vec![],
            packages: vec![],
            npm: vec![npm::Package {
                name: "@x/a".into(),
                version: "1".into(),
                integrity: "sha512-A".into(),
            }],
            disk_guid: "d".into(),
            partitions: vec![
                part("one", Role::Seed, files(&tree)),
                part("two", Role::BiosBoot, vec![]),
                part("three", Role::Root, files(&tree)),
            ],
        }
    }

    #[test]
    fn it_reads_back_and_has_a_line_for_each_file() {
        let text = manifest().to_json().unwrap();
        assert_eq!(Manifest::from_json(text.as_bytes()).unwrap(), manifest());
        assert_eq!(
            text.lines()
                .filter(|line| line.contains("\"path\":\"/a\""))
                .count(),
            2
        );
    }

    #[test]
    fn other_versions_are_refused() {
        let text = manifest()
            .to_json()
            .unwrap()
            .replace("build.v1", "build.v2");
        let error = Manifest::from_json(text.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("clawdie.iso.build.v2"), "{error}");
        assert!(Manifest::from_json(b"{").is_err());
    }
}
