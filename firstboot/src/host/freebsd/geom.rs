//! Disks, partitions and labels as the kernel's GEOM tells them in `kern.geom.confxml` (`sys/geom/geom_dump.c`).
//!
//! One snapshot answers all: what `gpart list`, `glabel status` and `geom disk list` print is made from it. And only
//! here each GPT name is told: of two sticks with the same one, `/dev/gpt` shows the first alone.

use std::collections::HashMap;

use serde::Deserialize;

use super::HostError;

#[derive(Deserialize)]
struct Mesh {
    #[serde(default, rename = "class")]
    classes: Vec<Class>,
}

#[derive(Deserialize)]
struct Class {
    name: String,
    #[serde(default, rename = "geom")]
    geoms: Vec<Geom>,
}

#[derive(Deserialize)]
struct Geom {
    config: Option<TableConfig>,
    #[serde(default, rename = "consumer")]
    consumers: Vec<Consumer>,
    #[serde(default, rename = "provider")]
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
struct TableConfig {
    scheme: Option<String>,
}

#[derive(Deserialize)]
struct Consumer {
    provider: Option<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "@ref")]
    to: String,
}

#[derive(Deserialize)]
struct Provider {
    #[serde(rename = "@id")]
    id: String,
    name: String,
    #[serde(rename = "mediasize")]
    bytes: u64,
    config: Option<EntryConfig>,
}

#[derive(Deserialize)]
struct EntryConfig {
    index: Option<u32>,
    offset: Option<u64>,
    label: Option<String>,
    descr: Option<String>,
    ident: Option<String>,
}

/// A disk with its table. Names are those below `/dev`; sizes and offsets in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// What its maker calls it.
    pub(super) model: String,
    /// Its serial number, where it tells one.
    pub(super) serial: Option<String>,
    /// Scheme of the partition table, `GPT` or `MBR`.
    pub(super) scheme: Option<String>,
    pub(super) partitions: Vec<Partition>,
    /// Labels that GEOM found on the whole disk.
    pub(super) labels: Vec<Label>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) start: u64,
    pub(super) bytes: u64,
    pub(super) gpt_name: Option<String>,
    pub(super) labels: Vec<Label>,
}

/// Another name of a disk or partition, `gpt/rootfs`, with the size that it has under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// The FAT volume label among the labels of a provider.
pub(super) fn fat_label(labels: &[Label]) -> Option<&str> {
    labels
        .iter()
        .find_map(|label| label.name.strip_prefix("msdosfs/"))
}

impl Partition {
    /// Size under this name below `/dev`, if the partition has that name.
    pub(super) fn bytes_as(&self, name: &str) -> Option<u64> {
        if self.name == name {
            return Some(self.bytes);
        }
        self.labels
            .iter()
            .find(|label| label.name == name)
            .map(|label| label.bytes)
    }
}

/// Reads the kernel's snapshot.
pub(super) fn disks(xml: &str) -> Result<Vec<Disk>, HostError> {
    let unexpected = |detail: String| HostError::Unexpected {
        what: "the kernel's list of disks (sysctl kern.geom.confxml)".into(),
        detail,
    };
    // sysctl(3) strings end with a zero byte, which not every version of sysctl(8) leaves out.
    let mesh: Mesh = quick_xml::de::from_str(xml.trim_end_matches(['\0', '\n']))
        .map_err(|error| unexpected(error.to_string()))?;
    let geoms = |class: &'static str| {
        mesh.classes
            .iter()
            .filter(move |is| is.name == class)
            .flat_map(|class| &class.geoms)
    };
    let mut labels: HashMap<&str, Vec<Label>> = HashMap::new();
    for geom in geoms("LABEL") {
        if let Some(below) = below(geom) {
            labels
                .entry(below)
                .or_default()
                .extend(geom.providers.iter().map(|provider| Label {
                    name: provider.name.clone(),
                    bytes: provider.bytes,
                }));
        }
    }
    let mut tables: HashMap<&str, &Geom> = HashMap::new();
    for geom in geoms("PART") {
        if let Some(below) = below(geom) {
            tables.insert(below, geom);
        }
    }
    let mut disks = Vec::new();
    // Memory disks are there for tests and for mfsBSD-like systems.
    for provider in geoms("DISK")
        .chain(geoms("MD"))
        .flat_map(|geom| &geom.providers)
    {
        let table = tables.get(provider.id.as_str());
        let mut partitions = Vec::new();
        for entry in table.iter().flat_map(|table| &table.providers) {
            let (Some(number), Some(start)) = (
                entry.config.as_ref().and_then(|config| config.index),
                entry.config.as_ref().and_then(|config| config.offset),
            ) else {
                return Err(unexpected(format!("{} has no index or offset", entry.name)));
            };
            partitions.push(Partition {
                name: entry.name.clone(),
                number,
                start,
                bytes: entry.bytes,
                gpt_name: entry
                    .config
                    .as_ref()
                    .and_then(|config| config.label.clone()),
                labels: labels.remove(entry.id.as_str()).unwrap_or_default(),
            });
        }
        let told = |what: fn(&EntryConfig) -> &Option<String>| {
            let told = provider
                .config
                .as_ref()
                .and_then(|config| what(config).clone());
            told.filter(|text| !text.trim().is_empty())
        };
        disks.push(Disk {
            name: provider.name.clone(),
            bytes: provider.bytes,
            model: told(|config| &config.descr).unwrap_or_default(),
            serial: told(|config| &config.ident),
            scheme: table
                .and_then(|table| table.config.as_ref())
                .and_then(|config| config.scheme.clone()),
            partitions,
            labels: labels.remove(provider.id.as_str()).unwrap_or_default(),
        });
    }
    disks.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(disks)
}

/// The provider that a geom sits on.
fn below(geom: &Geom) -> Option<&str> {
    geom.consumers
        .first()
        .and_then(|consumer| consumer.provider.as_ref())
        .map(|provider| provider.to.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_machine_has_no_disks_and_nonsense_is_told() {
        assert_eq!(disks("<mesh>\n</mesh>\n\0").expect("read"), []);
        for nonsense in ["", "<mesh", "<mesh><class><geom/></class></mesh>"] {
            let error = disks(nonsense).expect_err("nonsense").to_string();
            assert!(error.contains("kern.geom.confxml"), "{error}");
        }
    }
}
