//! Files of the image that follow from the plan: they name partitions by their GUIDs.

use std::collections::BTreeSet;

use clawdie_tree::{Content, Node, Tree, TreePath};

use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::layer::Layer;
use crate::order::Order;
use crate::recipe::{Boot, Role};

/// The configuration that GRUB reads from the root file system.
const GRUB: &str = r#"# Made with the image. /vmlinuz and /initrd.img follow kernel updates by themselves.
set timeout=1
set default=0
if [ "$grub_platform" = pc ]; then
    # UEFI's own console reaches the serial line; the BIOS's does not.
    if serial --unit=0 --speed=115200; then
        terminal_input console serial
        terminal_output console serial
    fi
fi
menuentry "Clawdie" {
    linux /vmlinuz root=PARTUUID={{ root }} {{ command_line }}
    initrd /initrd.img
}
"#;

/// The configuration that the signed GRUB reads from the ESP. The root is looked for on the disk
/// that the firmware started, because every stick with the same image has the same GUIDs.
const GRUB_ON_ESP: &str = r#"# Made with the image: hands over to the configuration on the root file system.
regexp --set=1:disk '^(.*),gpt[0-9]+$' "$root"
set root="$disk,gpt{{ number }}"
if [ ! -e ($root)/boot/grub/grub.cfg ]; then
    search --no-floppy --fs-uuid --set=root {{ file_system }}
fi
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"#;

const FSTAB: &str = "# Made with the image; the first boot grows the root to the whole disk.\n\
    PARTUUID={{ root }} / ext4 rw,noatime,errors=remount-ro 0 1\n";

/// The root by the name of its partition: every stick and disk with the image has it, and `growfs`
/// finds it that way too.
const FSTAB_FREEBSD: &str = "# Made with the image; the first boot grows the root to the whole disk.\n\
    /dev/gpt/{{ root_name }}\t/\tufs\trw,noatime\t1\t1\n";

/// Where the ESP's configuration goes: the prefix that Debian signed into GRUB.
pub(crate) const GRUB_ON_ESP_PATH: &str = "EFI/debian/grub.cfg";

fn fill(template: &str, identity: &Identity, order: &Order<'_>) -> Result<String> {
    let command_line = match &order.recipe.boot {
        Boot::Grub { command_line, .. } => command_line.as_str(),
        Boot::Loader { .. } => "",
    };
    minijinja::Environment::new()
        .render_str(
            template,
            minijinja::context! {
                root => identity.root_partition().to_string(),
                root_name => &order.recipe.partition(Role::Root)?.name,
                file_system => identity.root_file_system().to_string(),
                number => order.recipe.partitions.len(),
                command_line,
            },
        )
        .map_err(|error| {
            Error::failed("a template of the boot configuration is wrong").caused_by(error)
        })
}

/// The generated files of the root.
pub(crate) fn layer(order: &Order<'_>, identity: &Identity) -> Result<Layer> {
    let dir = order.meta(0o755);
    let mut layer = Layer {
        tree: Tree::new(dir.clone()),
        owned_dirs: BTreeSet::new(),
    };
    let files: &[(&str, &str)] = match &order.recipe.boot {
        Boot::Grub { .. } => &[("boot/grub/grub.cfg", GRUB), ("etc/fstab", FSTAB)],
        // The loader's own configuration is the same for every image: the overlay has it.
        Boot::Loader { .. } => &[("etc/fstab", FSTAB_FREEBSD)],
    };
    for &(path, template) in files {
        let node = Node::file(
            Content::bytes(fill(template, identity, order)?),
            order.meta(0o644),
        );
        layer.place(tree_path(path)?, node, &dir)?;
    }
    Ok(layer)
}

/// The generated file of the ESP.
pub(crate) fn grub_on_esp(order: &Order<'_>, identity: &Identity) -> Result<String> {
    fill(GRUB_ON_ESP, identity, order)
}

pub(crate) fn tree_path(path: &str) -> Result<TreePath> {
    TreePath::new(path).map_err(|error| Error::failed(error.to_string()))
}
