//! The partitions of an image: which tree each holds, how big each gets, and their writing.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use clawdie_tree::{Content, Node, Tree, hex};
use sha2::Digest;

use crate::base::{Base, sets};
use crate::disk::{self, DiskPlan, PartitionKind, PartitionSize, freebsd, grub};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::generated::{self, tree_path};
use crate::identity::Identity;
use crate::manifest::{self, FileSystem, Input, Manifest};
use crate::order::Order;
use crate::progress::Task;
use crate::recipe::{Base as BaseRecipe, Boot, Flavour, Partition, Recipe, Role};
use crate::{fat, npm, root};

const MIB: u64 = 1 << 20;

/// What fills one partition.
enum Filling {
    Fat {
        tree: Tree,
        options: Box<fat::Options>,
    },
    Raw(Vec<u8>),
    Root(root::Layout),
}

/// A disk, ready to be written.
pub struct Volumes {
    /// Where the partitions lie.
    pub disk: DiskPlan,
    /// The manifest as it lies in the image.
    pub manifest: String,
    boot_code: [u8; 440],
    fillings: Vec<Filling>,
}

/// Decides sizes, GUIDs and the manifest.
///
/// # Errors
/// When something does not fit into its partition, or a boot file is missing.
pub fn plan(order: &Order<'_>, base: &Base, tree: Tree, identity: &Identity) -> Result<Volumes> {
    let recipe = order.recipe;
    let esp = esp_tree(order, base, identity)?;
    // The manifest lies in the root and names the root's size. So the root is laid out twice: once
    // with a stand-in of the manifest's length for the size, once with the manifest.
    let draft = describe(
        order,
        base,
        identity,
        &layout(recipe, identity, MIB)?,
        &tree,
        &esp,
    )?;
    let stand_in = vec![b' '; draft.to_json()?.len() + 64];
    let measured = root::Layout::new(
        order,
        identity,
        &with_manifest(order, &tree, &stand_in)?,
        None,
    )?
    .len();
    let mut disk = layout(recipe, identity, measured)?;
    let (boot_code, bios) = bios_boot(recipe, base, &disk)?;

    let mut manifest = describe(order, base, identity, &disk, &tree, &esp)?;
    for part in &mut manifest.partitions {
        if part.role == Role::BiosBoot {
            part.sha256 = Some(hex(padded_sha256(&bios, part.bytes)));
        }
    }
    let manifest = manifest.to_json()?;
    let root_layout = root::Layout::new(
        order,
        identity,
        &with_manifest(order, &tree, manifest.as_bytes())?,
        Some(measured),
    )?;
    let mut fillings = Vec::new();
    for (part, place) in recipe.partitions.iter().zip(&mut disk.partitions) {
        let fat = |tree: &Tree| -> Result<Filling> {
            let options = fat_options(order, identity, part, place.first_lba, place.len)?;
            Ok(Filling::Fat {
                tree: tree.clone(),
                options: Box::new(options),
            })
        };
        fillings.push(match part.role {
            Role::Seed => fat(&order.seed)?,
            Role::Esp => fat(&esp)?,
            Role::BiosBoot => Filling::Raw(bios.clone()),
            Role::Root => continue,
        });
    }
    // The recipe's rules put the root last.
    fillings.push(Filling::Root(root_layout));
    Ok(Volumes {
        disk,
        manifest,
        boot_code,
        fillings,
    })
}

fn layout(recipe: &Recipe, identity: &Identity, root: u64) -> Result<DiskPlan> {
    let sizes: Vec<_> = recipe
        .partitions
        .iter()
        .map(|part| PartitionSize {
            name: part.name.clone(),
            kind: match (part.role, recipe.flavour) {
                (Role::Seed, _) => PartitionKind::BasicData,
                (Role::Esp, _) => PartitionKind::EfiSystem,
                (Role::BiosBoot, Flavour::Debian) => PartitionKind::BiosBoot,
                (Role::BiosBoot, Flavour::Freebsd) => PartitionKind::FreebsdBoot,
                (Role::Root, Flavour::Debian) => PartitionKind::LinuxRootX86_64,
                (Role::Root, Flavour::Freebsd) => PartitionKind::FreebsdUfs,
            },
            len: part.bytes().unwrap_or(root),
        })
        .collect();
    DiskPlan::layout(identity.seed(), &sizes)
}

fn esp_tree(order: &Order<'_>, base: &Base, identity: &Identity) -> Result<Tree> {
    let dir = order.meta(0o755);
    let mut tree = Tree::new(dir.clone());
    let mut put = |path: clawdie_tree::TreePath, content: Content| -> Result<()> {
        let parent = path.parent().unwrap_or_default();
        tree.ensure_dirs(&parent, &dir)
            .and_then(|()| tree.insert(path, Node::file(content, order.meta(0o755))))
            .map_err(|error| Error::bad_input(format!("the recipe's ESP: {error}")))
    };
    match &order.recipe.boot {
        Boot::Grub { esp, .. } => {
            for file in esp {
                put(file.path.clone(), base.boot_file(&file.from)?.clone())?;
            }
            let config = generated::grub_on_esp(order, identity)?;
            put(
                tree_path(generated::GRUB_ON_ESP_PATH)?,
                Content::bytes(config),
            )?;
        }
        Boot::Loader { .. } => {
            if let Some(loader) = sets::efi_loader(order.recipe, base)? {
                put(tree_path(freebsd::EFI_PATH)?, loader)?;
            }
        }
    }
    Ok(tree)
}

fn bios_boot(recipe: &Recipe, base: &Base, disk: &DiskPlan) -> Result<([u8; 440], Vec<u8>)> {
    let name = &recipe.partition(Role::BiosBoot)?.name;
    let place = disk
        .partition(name)
        .ok_or_else(|| Error::failed(format!("partition `{name}` was not placed")))?;
    if let Boot::Loader { .. } = &recipe.boot {
        return sets::bios_loader(recipe, base, place.len);
    }
    let boot = base.boot_file(&tree_path("boot.img")?)?.read()?;
    let core = base.boot_file(&tree_path("core.img")?)?.read()?;
    let (code, core) = grub::embed(&boot, &core, place.first_lba)?;
    if core.len() as u64 > place.len {
        return Err(Error::bad_input(format!(
            "GRUB's core image has {} bytes, but partition `{name}` only {}",
            core.len(),
            place.len
        ))
        .hint("raise its `mib` or link fewer modules"));
    }
    Ok((code, core))
}

fn padded_sha256(bytes: &[u8], len: u64) -> clawdie_tree::Sha256 {
    let mut hasher = sha2::Sha256::new();
    hasher.update(bytes);
    hasher.update(vec![
        0;
        usize::try_from(len).unwrap_or(bytes.len())
            - bytes.len()
    ]);
    hasher.finalize().into()
}

fn with_manifest(order: &Order<'_>, root: &Tree, manifest: &[u8]) -> Result<Tree> {
    let mut tree = root.clone();
    let path = manifest::path();
    let node = Node::file(Content::bytes(manifest), order.meta(0o644));
    tree.ensure_dirs(&path.parent().unwrap_or_default(), &order.meta(0o755))
        .and_then(|()| tree.insert(path, node))
        .map_err(|error| {
            Error::bad_input(format!("the manifest has no place in the image: {error}"))
        })?;
    Ok(tree)
}

fn fat_options(
    order: &Order<'_>,
    identity: &Identity,
    part: &Partition,
    first_lba: u64,
    len: u64,
) -> Result<fat::Options> {
    Ok(fat::Options {
        label: fat::Label::new(part.label.as_deref().unwrap_or(&part.name))?,
        volume_id: identity.volume_id(&part.name),
        len,
        epoch: order.checkout.epoch,
        hidden_sectors: u32::try_from(first_lba).or_error(ErrorKind::BadInput, || {
            "a FAT volume starts within 2 TiB".into()
        })?,
    })
}

fn describe(
    order: &Order<'_>,
    base: &Base,
    identity: &Identity,
    disk: &DiskPlan,
    tree: &Tree,
    esp: &Tree,
) -> Result<Manifest> {
    let recipe = order.recipe;
    let roles: Vec<_> = recipe.partitions.iter().map(|part| part.role).collect();
    let mut partitions = manifest::partitions(disk, &roles);
    for (part, wanted) in partitions.iter_mut().zip(&recipe.partitions) {
        let label = wanted.label.clone().unwrap_or_else(|| wanted.name.clone());
        let fat = FileSystem::Fat32 {
            label: label.clone(),
            volume_id: identity.volume_id(&wanted.name),
        };
        (part.file_system, part.files) = match wanted.role {
            Role::Seed => (Some(fat), manifest::files(&order.seed)),
            Role::Esp => (Some(fat), manifest::files(esp)),
            Role::BiosBoot => (None, Vec::new()),
            Role::Root => (
                Some(root::describe(order, identity, label)),
                manifest::files(tree),
            ),
        };
    }
    Ok(Manifest {
        schema: manifest::SCHEMA.to_owned(),
        version: order.version.to_owned(),
        flavour: recipe.flavour,
        release: recipe.release.clone(),
        channel: order.channel,
        git: order.checkout.git.clone(),
        source_date_epoch: order.checkout.epoch,
        inputs: checkout_inputs(order)?,
        packages: base.packages.clone(),
        npm: npm::packages(recipe, &order.checkout.root)?,
        disk_guid: disk.disk_guid.to_string(),
        partitions,
    })
}

/// The files that decide what goes in and do not go in themselves.
fn checkout_inputs(order: &Order<'_>) -> Result<Vec<Input>> {
    let root = &order.checkout.root;
    let mut paths = vec![Recipe::path(root, order.recipe.flavour)];
    if let BaseRecipe::Archive(archive) = &order.recipe.base {
        paths.push(root.join(&archive.packages));
    }
    if let Some(packages) = &order.recipe.packages {
        paths.push(root.join(&packages.list));
    }
    for npm in &order.recipe.npm {
        paths.extend(npm::INPUTS.map(|name| root.join(&npm.folder).join(name)));
    }
    paths.push(root.join("Cargo.lock"));
    paths
        .iter()
        .map(|path| {
            let content = Content::file(path).or_error(ErrorKind::Missing, || {
                format!("`{}` cannot be read", path.display())
            })?;
            let path = path.strip_prefix(root).unwrap_or(path);
            Ok(Input {
                path: path.display().to_string(),
                sha256: hex(content.sha256()),
            })
        })
        .collect()
}

impl Volumes {
    /// About how many bytes will be written, for a progress bar.
    pub fn payload(&self) -> u64 {
        self.fillings
            .iter()
            .map(|filling| match filling {
                Filling::Fat { tree, .. } => tree
                    .iter()
                    .filter_map(|(_, node)| node.content())
                    .map(Content::len)
                    .sum(),
                Filling::Raw(bytes) => bytes.len() as u64,
                Filling::Root(layout) => layout
                    .used()
                    .iter()
                    .map(|range| range.end - range.start)
                    .sum(),
            })
            .sum()
    }

    /// Writes the disk into `image`, a new and empty file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, image: &File, task: &dyn Task) -> Result<()> {
        image.set_len(self.disk.len)?;
        for (filling, place) in self.fillings.iter().zip(&self.disk.partitions) {
            match filling {
                Filling::Fat { tree, options } => {
                    fat::write(tree, options, image, place.offset())?;
                }
                Filling::Raw(bytes) => image.write_all_at(bytes, place.offset())?,
                Filling::Root(layout) => {
                    layout.write(image, place.offset(), &mut |bytes| task.advance(bytes))?;
                }
            }
        }
        disk::write_table(image, &self.disk, Some(&self.boot_code))?;
        Ok(())
    }

    /// The byte ranges of the image that hold something: what a block map lists.
    ///
    /// # Errors
    /// When the file system of the image does not tell.
    pub fn used(&self) -> Vec<Range<u64>> {
        let first = 0..disk::ALIGN;
        let mut used = vec![first];
        for (filling, place) in self.fillings.iter().zip(&self.disk.partitions) {
            match filling {
                Filling::Root(layout) => used.extend(
                    layout
                        .used()
                        .into_iter()
                        .map(|range| range.start + place.offset()..range.end + place.offset()),
                ),
                // Small: a stick gets the whole of them, so that nothing old shines through.
                Filling::Fat { .. } | Filling::Raw(_) => {
                    used.push(place.offset()..place.offset() + place.len);
                }
            }
        }
        used.push(self.disk.len - disk::ALIGN..self.disk.len);
        used
    }
}
