//! macOS: `diskutil`, and of its disks only those outside the machine.
//!
//! So the system's disk cannot be named at all. What is mounted is told by `diskutil`, too; and the
//! kernel refuses to open a disk for writing while anything on it is mounted.

use std::collections::HashMap;
use std::path::Path;

use quick_xml::events::Event;

use super::{Disk, Kind, Partition, SECTOR, Use, ask};
use crate::{Error, ErrorKind, Result, ResultExt};

/// The external disks of the running system.
pub(super) fn disks() -> Result<Vec<Disk>> {
    let list = Facts::parse(&ask(
        "diskutil",
        &["list", "-plist", "external", "physical"],
    )?)?;
    let about = |name: &str| Facts::parse(&ask("diskutil", &["info", "-plist", name])?);
    list.texts("WholeDisks")
        .iter()
        .map(|name| {
            let parts = list
                .texts("AllDisks")
                .iter()
                .filter(|part| is_part_of(part, name))
                .map(|part| Ok((part.clone(), about(part)?)))
                .collect::<Result<Vec<_>>>()?;
            Ok(disk(name, &about(name)?, &parts))
        })
        .collect()
}

/// `disk2s1` of `disk2`, and not `disk21`.
fn is_part_of(part: &str, disk: &str) -> bool {
    part.strip_prefix(disk)
        .is_some_and(|rest| rest.starts_with('s'))
}

fn disk(name: &str, facts: &Facts, parts: &[(String, Facts)]) -> Disk {
    let mounted = |(name, facts): (&str, &Facts)| {
        let at = facts.text("MountPoint")?;
        Some(Use::Mounted {
            device: name.to_owned(),
            at: at.into(),
        })
    };
    let named_parts = parts.iter().map(|(name, facts)| (&**name, facts));
    Disk {
        path: Path::new("/dev").join(name),
        bytes: facts
            .number("TotalSize")
            .or(facts.number("Size"))
            .unwrap_or(0),
        model: facts
            .text("MediaName")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        kind: Kind::Portable,
        read_only: facts.text("WritableMedia") == Some("false"),
        sector: facts.number("DeviceBlockSize").unwrap_or(SECTOR),
        partitions: parts
            .iter()
            .map(|(name, facts)| Partition {
                name: name.clone(),
                bytes: facts
                    .number("TotalSize")
                    .or(facts.number("Size"))
                    .unwrap_or(0),
                label: facts.text("VolumeName").map(str::to_owned),
            })
            .collect(),
        uses: std::iter::once((name, facts))
            .chain(named_parts)
            .filter_map(mounted)
            .collect(),
    }
}

/// The top of a property list: texts, numbers and truth values by key, and lists of texts.
#[derive(Default)]
struct Facts(HashMap<String, Vec<String>>);

impl Facts {
    fn parse(xml: &str) -> Result<Self> {
        let mut facts = HashMap::<_, Vec<String>>::new();
        let mut reader = quick_xml::Reader::from_str(xml);
        // plist, dict, then a value or an array: what lies deeper is not asked for.
        let mut open: Vec<String> = Vec::new();
        let mut key = String::new();
        let mut text = String::new();
        loop {
            let event = reader.read_event().or_error(ErrorKind::Failed, || {
                "what `diskutil` says about the disks cannot be read".into()
            })?;
            match event {
                Event::Start(tag) => {
                    open.push(tag.name().as_ref().to_owned());
                    text.clear();
                }
                Event::Empty(tag) if open.len() == 2 => {
                    let truth = tag.name().as_ref().to_owned();
                    facts.entry(key.clone()).or_default().push(truth);
                }
                Event::Text(part) => text.push_str(part.as_ref()),
                Event::GeneralRef(name) => {
                    let escape = format!("&{};", name.as_ref());
                    let plain = quick_xml::escape::unescape(&escape);
                    text.push_str(plain.as_deref().unwrap_or(&escape));
                }
                Event::End(tag) => {
                    open.pop();
                    let listed = open.len() == 3 && open[2] == "array";
                    if tag.name().as_ref() == "key" && open.len() == 2 {
                        key.clone_from(&text);
                    } else if (open.len() == 2 && tag.name().as_ref() != "array") || listed {
                        facts.entry(key.clone()).or_default().push(text.clone());
                    }
                    text.clear();
                }
                Event::Eof if open.is_empty() => return Ok(Self(facts)),
                Event::Eof => {
                    return Err(Error::failed(
                        "what `diskutil` says about the disks is cut off",
                    ));
                }
                _ => {}
            }
        }
    }

    fn texts(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// A value that is there and not empty.
    fn text(&self, key: &str) -> Option<&str> {
        let value = self.texts(key).first()?;
        (!value.is_empty()).then_some(value)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>AllDisks</key>
	<array>
		<string>disk2</string>
		<string>disk2s1</string>
		<string>disk21s1</string>
	</array>
	<key>AllDisksAndPartitions</key>
	<array>
		<dict>
			<key>DeviceIdentifier</key>
			<string>disk2</string>
			<key>Partitions</key>
			<array>
				<dict>
					<key>Size</key>
					<integer>67108864</integer>
				</dict>
			</array>
		</dict>
	</array>
	<key>WholeDisks</key>
	<array>
		<string>disk2</string>
	</array>
</dict>
</plist>"#;

    fn about(facts: &str) -> Facts {
        Facts::parse(&format!(
            "<plist version=\"1.0\"><dict>{facts}</dict></plist>"
        ))
        .unwrap()
    }

    #[test]
    fn the_list_names_disks_and_partitions_and_nothing_from_deeper_down() {
        let list = Facts::parse(LIST).unwrap();
        assert_eq!(list.texts("WholeDisks"), ["disk2"]);
        let all = list.texts("AllDisks");
        let parts: Vec<_> = all
            .iter()
            .filter(|part| is_part_of(part, "disk2"))
            .collect();
        assert_eq!(parts, ["disk2s1"]);
        assert!(list.texts("Size").is_empty());
    }

    #[test]
    fn a_stick_with_a_mounted_volume_is_described() {
        let whole = about(
            "<key>MediaName</key><string>Ultra &amp; Fit</string><key>MountPoint</key><string></string>\
             <key>TotalSize</key><integer>8000000000</integer><key>WritableMedia</key><false/>\
             <key>DeviceBlockSize</key><integer>512</integer>",
        );
        let part = about(
            "<key>VolumeName</key><string>CLAWDIESEED</string><key>Size</key><integer>67108864</integer>\
             <key>MountPoint</key><string>/Volumes/CLAWDIESEED</string>",
        );
        let disk = disk("disk2", &whole, &[("disk2s1".into(), part)]);
        assert_eq!(disk.model, "Ultra & Fit");
        assert_eq!(
            (disk.bytes, disk.read_only, disk.sector),
            (8_000_000_000, true, 512)
        );
        assert_eq!(disk.partitions[0].label.as_deref(), Some("CLAWDIESEED"));
        let at = "/Volumes/CLAWDIESEED".into();
        let device = "disk2s1".into();
        assert_eq!(disk.uses, [Use::Mounted { device, at }]);
    }

    #[test]
    fn what_is_cut_off_is_told() {
        for cut in [&LIST[..LIST.len() - 12], "<plist><dict></plist>"] {
            assert!(Facts::parse(cut).is_err(), "{cut}");
        }
    }
}
