use std::process::Command;

use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::super::{PartitionSize, plan};
use super::*;

const MIB: u64 = 1 << 20;

/// What `tool` prints; its absence is a failure that names the package.
fn output(package: &str, tool: &str, args: &[&str]) -> String {
    let out = Command::new(tool)
        .args(args)
        .output()
        .unwrap_or_else(|error| {
            panic!("`{tool}` cannot be run ({error}): install the package `{package}`")
        });
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{tool} {args:?}:\n{text}{errors}");
    text
}

fn plan() -> DiskPlan {
    use PartitionKind::*;
    let sizes = [
        ("CLAWDIE-SEED", BasicData, 64 * MIB),
        ("bootfs", BiosBoot, MIB),
        ("efiboot0", EfiSystem, 34 * MIB),
        ("rootfs", LinuxRootX86_64, 100 * MIB + 1),
    ]
    .map(|(name, kind, len)| PartitionSize {
        name: name.to_owned(),
        kind,
        len,
    });
    DiskPlan::layout(&[42; 32], &sizes).unwrap()
}

fn image(plan: &DiskPlan) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    write_table(file.as_file(), plan, Some(&[0xEB; 440])).unwrap();
    file
}

#[test]
fn sgdisk_and_sfdisk_agree_with_the_plan() {
    let plan = plan();
    let file = image(&plan);
    let path = file.path().to_str().unwrap();
    let verdict = output("gdisk", "sgdisk", &["-v", path]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    assert!(!verdict.contains("Caution"), "{verdict}");
    output("fdisk", "sfdisk", &["--verify", path]);
    let json: serde_json::Value =
        serde_json::from_str(&output("fdisk", "sfdisk", &["--json", path])).unwrap();
    let table = &json["partitiontable"];
    assert_eq!(table["label"], "gpt");
    assert_eq!(
        table["id"],
        plan.disk_guid.to_string().to_uppercase().as_str()
    );
    let parts = table["partitions"].as_array().unwrap();
    assert_eq!(parts.len(), plan.partitions.len());
    for (found, wanted) in parts.iter().zip(&plan.partitions) {
        assert_eq!(found["name"], wanted.name.as_str());
        assert_eq!(
            found["uuid"],
            wanted.guid.to_string().to_uppercase().as_str()
        );
        assert_eq!(
            found["type"],
            wanted.kind.type_guid().to_string().to_uppercase().as_str()
        );
        assert_eq!(found["start"], wanted.first_lba);
        assert_eq!(found["size"], wanted.len / SECTOR);
        assert!(found.get("attrs").is_none(), "{found}");
    }
}

#[test]
fn what_was_written_is_read_back() {
    let plan = plan();
    let file = image(&plan);
    assert_eq!(read_table(file.as_file()).unwrap(), plan);
    assert_eq!(boot_code(file.as_file()).unwrap(), [0xEB; 440]);
    // A stick is longer than the image: the primary table still tells.
    file.as_file().set_len(plan.len + 5 * MIB).unwrap();
    assert!(read_table(file.as_file()).is_err());
    assert_eq!(read_primary(file.as_file()).unwrap(), plan);
    // And a truncated copy is noticed.
    file.as_file().set_len(plan.len - MIB).unwrap();
    assert!(read_table(file.as_file()).is_err());
}

#[test]
fn boot_code_must_fit() {
    let file = tempfile::tempfile().unwrap();
    assert!(write_table(&file, &plan(), Some(&[0; 441])).is_err());
}

#[test]
fn every_changed_byte_is_found_and_named() {
    let plan = plan();
    let file = image(&plan);
    let file = file.as_file();
    let places = encode(&plan, &[0xEB; 440]);
    for part in &places {
        let skip = if part.place == MBR { BOOT_CODE } else { 0 };
        // Every byte of the headers and of the entries in use; of the empty rest of the array, some.
        let used = plan.partitions.len() * ENTRY_LEN;
        let step = |at: usize| if at < used.max(S) { 1 } else { 509 };
        let mut byte = skip;
        while byte < part.bytes.len() {
            let at = part.at + byte as u64;
            file.write_all_at(&[part.bytes[byte] ^ 0x20], at).unwrap();
            let (found, faults) = check_table(file).unwrap();
            assert_eq!(found.as_ref(), Some(&plan), "byte {at:#x}");
            assert!(
                faults.iter().any(|f| f.place == part.place && f.at == at),
                "byte {at:#x} of {}: {faults:?}",
                part.place
            );
            file.write_all_at(&[part.bytes[byte]], at).unwrap();
            byte += step(byte);
        }
    }
    assert_eq!(check_table(file).unwrap().1, []);
}

#[test]
fn a_fault_says_structure_byte_and_field() {
    let plan = plan();
    let file = image(&plan);
    file.as_file().write_all_at(&[0], 512 + 56).unwrap();
    let message = read_table(file.as_file()).unwrap_err().to_string();
    assert!(
        message.starts_with("primary GPT header, byte 0x238: disk GUID is 0x00 instead of 0x"),
        "{message}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_layout_survives_the_disk(lens in proptest::collection::vec(1..1u64 << 32, 0..10)) {
        let sizes: Vec<_> = lens.iter().enumerate().map(|(at, &len)| PartitionSize {
            name: format!("part-{at}-ü"),
            kind: PartitionKind::FreebsdUfs,
            len,
        }).collect();
        let plan = plan::DiskPlan::layout(&[1; 32], &sizes).unwrap();
        let file = tempfile::tempfile().unwrap();
        write_table(&file, &plan, None).unwrap();
        prop_assert_eq!(read_table(&file).unwrap(), plan);
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 92), fix in any::<bool>()) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 * MIB).unwrap();
        let mut header = vec![0; S];
        header[..92].copy_from_slice(&bytes);
        if fix {
            header[..8].copy_from_slice(b"EFI PART");
            header[12..16].copy_from_slice(&92u32.to_le_bytes());
            header[24..32].copy_from_slice(&1u64.to_le_bytes());
            header[80..84].copy_from_slice(&128u32.to_le_bytes());
            header[84..88].copy_from_slice(&128u32.to_le_bytes());
            header[16..20].fill(0);
            let crc = CRC32.checksum(&header[..92]);
            header[16..20].copy_from_slice(&crc.to_le_bytes());
        }
        file.write_all_at(&header, 512).unwrap();
        prop_assert!(read_table(&file).is_err());
    }
}
