//! The image is as small as its content; the root grows to the whole stick.

use super::{Context, Step, StepError, Wanted};
use crate::host::{GrowMove, HostError, RootDisk};

/// Room behind the partition that is not worth a write: the backup partition table and the rounding of its start.
const PARTITION_SLACK: u64 = 4 << 20;

pub(super) struct GrowRoot;

/// The moves that are left, judged from the disk alone, so that a cut between any two of them does no harm.
fn moves(root: &RootDisk) -> Vec<GrowMove> {
    let end = root.start + root.table_bytes;
    let has_room = root.last && root.disk_bytes.saturating_sub(end) > PARTITION_SLACK;
    let mut moves = Vec::new();
    if has_room {
        moves.push(GrowMove::Partition);
    }
    if has_room || root.kernel_bytes < root.table_bytes {
        moves.push(GrowMove::Kernel);
    }
    if !moves.is_empty()
        || root.kernel_bytes.saturating_sub(root.file_system_bytes) > root.unused_bytes
    {
        moves.push(GrowMove::FileSystem);
    }
    moves
}

impl Step for GrowRoot {
    fn name(&self) -> &'static str {
        "grow-root"
    }

    fn title(&self) -> &'static str {
        "Use the whole disk"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        if cx.intake.is_adopted() {
            return Ok(Wanted::Nothing("this host keeps its own partitions".into()));
        }
        Ok(match cx.host.root_disk()? {
            None => Wanted::Nothing(
                "the root is not on a partition that can grow; it stays as it is".into(),
            ),
            Some(root) if !root.last && moves(&root).is_empty() => Wanted::Nothing(format!(
                "another partition lies behind {}; it stays as it is",
                root.partition
            )),
            Some(root) => Wanted::Work(format!("{} fills {}", root.partition, root.disk)),
        })
    }

    fn check(&self, cx: &Context, _wanted: &Wanted) -> Result<bool, StepError> {
        Ok(cx
            .host
            .root_disk()?
            .is_some_and(|root| moves(&root).is_empty()))
    }

    fn act(&self, cx: &Context, _wanted: &Wanted) -> Result<(), StepError> {
        // Looked at anew after each move; three kinds of move, so three are always enough.
        for _ in 0..3 {
            let Some(root) = cx.host.root_disk()? else {
                break;
            };
            let Some(next) = moves(&root).into_iter().next() else {
                break;
            };
            cx.host.grow(&root, next)?;
            if let Some(after) = cx.host.root_disk()?
                && moves(&after).first() == Some(&next)
            {
                return Err(StepError::Host(HostError::Unexpected {
                    what: root.disk,
                    detail: format!("growing {} changed nothing ({next:?})", root.partition),
                }));
            }
        }
        Ok(())
    }

    fn result(&self, cx: &Context, wanted: &Wanted) -> String {
        match cx.host.root_disk() {
            Ok(Some(root)) => {
                format!(
                    "{}, {:.1} GiB",
                    wanted.describe(),
                    root.file_system_bytes as f64 / f64::from(1 << 30)
                )
            }
            _ => wanted.describe(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use GrowMove::{FileSystem, Kernel, Partition};

    const MIB: u64 = 1 << 20;

    /// A 700 MiB image on a 4 GiB stick.
    fn fresh() -> RootDisk {
        RootDisk {
            disk: "/dev/sda".into(),
            partition: "/dev/sda4".into(),
            number: 4,
            last: true,
            disk_bytes: 4096 * MIB,
            start: 100 * MIB,
            table_bytes: 600 * MIB,
            kernel_bytes: 600 * MIB,
            file_system_bytes: 600 * MIB,
            unused_bytes: 16 * MIB,
        }
    }

    #[test]
    fn each_cut_leaves_the_rest_to_be_done() {
        let fresh = fresh();
        assert_eq!(moves(&fresh), [Partition, Kernel, FileSystem]);
        let stretched = RootDisk {
            table_bytes: 3995 * MIB,
            ..fresh
        };
        assert_eq!(moves(&stretched), [Kernel, FileSystem]);
        // A reboot in between tells the kernel by itself.
        let known = RootDisk {
            kernel_bytes: 3995 * MIB,
            ..stretched
        };
        assert_eq!(moves(&known), [FileSystem]);
        let whole = RootDisk {
            file_system_bytes: 3994 * MIB,
            ..known
        };
        assert_eq!(moves(&whole), []);
    }

    #[test]
    fn a_disk_of_the_image_s_own_size_is_left_alone() {
        let exact = RootDisk {
            disk_bytes: 701 * MIB,
            ..fresh()
        };
        assert_eq!(moves(&exact), []);
    }

    #[test]
    fn a_partition_with_another_behind_it_is_left_alone() {
        let boxed_in = RootDisk {
            last: false,
            ..fresh()
        };
        assert_eq!(moves(&boxed_in), []);
    }
}
