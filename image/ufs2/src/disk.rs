//! A file system as it lies in an image that is not trusted: whatever an address, a length or a
//! count in it says is checked against the size of the image before it is used.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::bytes::Fields;
use crate::checksum;
use crate::cylinder::header_size;
use crate::directory::CHUNK;
use crate::geometry::{
    BLOCK, CLUSTERS, FRAG, FRAGS, GROUP, Geometry, HEADER, INODE, INODES, INODES_PER_BLOCK,
    SUPER_AT, SUPER_COPY,
};
use crate::indirect::{ADDRESSES, DIRECT, LEVELS, first, span};
use crate::inode::{self, AREA, AREA_AT};
use crate::superblock::{self, HASH_AT, MAGIC, MAGIC_AT, OWN_PLACE_AT};

/// The part of an image that is the file system.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub(crate) file: &'a File,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl<'a> Window<'a> {
    /// The `len` bytes from `offset` on, or as many of them as there are: sizes that the file system
    /// claims are measured by that.
    pub(crate) fn new(file: &'a File, offset: u64, len: u64) -> io::Result<Self> {
        let metadata = file.metadata()?;
        // Of a device, only the caller knows the length.
        let end = if metadata.is_file() {
            metadata.len()
        } else {
            u64::MAX
        };
        let len = len.min(end.saturating_sub(offset));
        Ok(Self { file, offset, len })
    }

    /// Reads bytes that must be there.
    pub(crate) fn read_into(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let end = at.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(bytes, self.offset + at)
    }

    /// Reads bytes that must be there.
    pub(crate) fn read(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.read_into(&mut bytes, at)?;
        Ok(bytes)
    }
}

/// A file system whose superblock makes sense.
pub(crate) struct Volume<'a> {
    pub(crate) window: Window<'a>,
    pub(crate) geometry: Geometry,
    /// The superblock.
    pub(crate) raw: Vec<u8>,
}

impl<'a> Volume<'a> {
    /// Reads the superblock; else says why nothing else can be read.
    pub(crate) fn open(window: Window<'a>) -> io::Result<Result<Self, String>> {
        if window.len < SUPER_AT + superblock::SIZE {
            return Ok(Err("there is no room for one".into()));
        }
        let raw = window.read(SUPER_AT, superblock::SIZE)?;
        if raw.get32(MAGIC_AT) != MAGIC {
            return Ok(Err(format!(
                "byte {MAGIC_AT}: the magic number is {:#x}, not {MAGIC:#x}",
                raw.get32(MAGIC_AT)
            )));
        }
        // What all places follow from.
        for (name, at, wanted) in [
            ("fs_bsize", 48, BLOCK),
            ("fs_fsize", 52, FRAG),
            ("fs_fpg", 188, GROUP),
        ] {
            let is = raw.get32(at);
            if u64::from(is) != wanted {
                return Ok(Err(format!(
                    "byte {at}: {name} is {is}, and only {wanted} is understood"
                )));
            }
        }
        let geometry = Geometry {
            frags: raw.get64(1080),
            groups: raw.get32(44).into(),
            inodes_per_group: raw.get32(184).into(),
        };
        let Geometry {
            frags,
            groups,
            inodes_per_group,
        } = geometry;
        let fault = if frags > window.len / FRAG {
            format!("fs_size is {frags} fragments, more than the image has")
        } else if groups == 0 || frags.div_ceil(GROUP) != groups {
            format!("fs_ncg is {groups} for {frags} fragments")
        } else if inodes_per_group == 0
            || !inodes_per_group.is_multiple_of(INODES_PER_BLOCK)
            || geometry.header_len() > BLOCK
            || geometry.data() >= geometry.group_len(groups - 1)
            || inodes_per_group * groups > 1 << 32
        {
            format!("fs_ipg is {inodes_per_group}, which cannot be")
        } else {
            return Ok(Ok(Self {
                window,
                geometry,
                raw,
            }));
        };
        Ok(Err(fault))
    }

    /// Where the summary of the groups lies: `growfs` moves it.
    pub(crate) fn summary_at(&self) -> u64 {
        self.raw.get64(1096)
    }

    /// Inodes that there are.
    pub(crate) fn inodes(&self) -> u64 {
        self.geometry.groups * self.geometry.inodes_per_group
    }

    /// The most bytes that a directory can have: what `fsck_ffs` takes (`MAXDIRSIZE`), and not more
    /// than a great many names in a file system of this size.
    pub(crate) fn most_directory(&self) -> u64 {
        (self.most_names() * CHUNK as u64).min((1 << 31) - 1)
    }

    /// More names than anybody gives. Inodes do not limit them: each may have thousands.
    pub(crate) fn most_names(&self) -> u64 {
        self.inodes() + self.geometry.frags * 32 + 65536
    }

    /// Where a group's copy of the superblock lies, in bytes.
    pub(crate) fn copy_at(&self, group: u64) -> u64 {
        (self.geometry.group_start(group) + SUPER_COPY) * FRAG
    }

    /// A group's header and maps.
    pub(crate) fn header(&self, group: u64) -> io::Result<Vec<u8>> {
        let at = (self.geometry.group_start(group) + HEADER) * FRAG;
        self.window.read(at, header_size(&self.geometry))
    }

    /// Where an inode lies, in bytes.
    pub(crate) fn inode_at(&self, number: u64) -> u64 {
        let per_group = self.geometry.inodes_per_group;
        let start = self.geometry.group_start(number / per_group);
        (start + INODES) * FRAG + number % per_group * INODE
    }

    /// An inode.
    pub(crate) fn inode(&self, number: u64) -> io::Result<RawInode> {
        let mut raw = [0; INODE as usize];
        self.window.read_into(&mut raw, self.inode_at(number))?;
        Ok(RawInode(raw))
    }

    /// What is wrong with an address of `len` fragments; none where data may be.
    pub(crate) fn address_fault(&self, at: u64, len: u64) -> Option<&'static str> {
        let end = at.checked_add(len);
        if end.is_none_or(|end| end > self.geometry.frags) {
            return Some("lies outside of the file system");
        }
        if at % FRAGS + len > FRAGS {
            return Some("does not lie within one block");
        }
        let group = at / GROUP;
        let first = at - self.geometry.group_start(group);
        let fixed = if group == 0 { 0 } else { SUPER_COPY }..self.geometry.data();
        if first < fixed.end && first + len > fixed.start {
            return Some("lies in the file system's own structures");
        }
        None
    }

    /// Shows the addresses of a file of `size` bytes in the order of its blocks. `visit` says of a
    /// block of addresses whether to read it; it must not say so twice of the same one.
    pub(crate) fn addresses(
        &self,
        size: u64,
        area: &[u8; AREA],
        visit: &mut dyn FnMut(Address) -> io::Result<bool>,
    ) -> io::Result<()> {
        let blocks = size.div_ceil(BLOCK);
        for block in 0..DIRECT {
            let at = area.get64(block as usize * 8);
            if block >= blocks {
                if at != 0 {
                    visit(Address::Beyond { at })?;
                }
            } else if at != 0 {
                let len = if blocks <= DIRECT && block + 1 == blocks {
                    (size - block * BLOCK).div_ceil(FRAG)
                } else {
                    FRAGS
                };
                visit(Address::Data { block, at, len })?;
            }
        }
        for level in 0..LEVELS {
            let at = area.get64((DIRECT as usize + level) * 8);
            self.addresses_below(level, first(level), blocks, at, visit)?;
        }
        Ok(())
    }

    fn addresses_below(
        &self,
        level: usize,
        first: u64,
        blocks: u64,
        at: u64,
        visit: &mut dyn FnMut(Address) -> io::Result<bool>,
    ) -> io::Result<()> {
        if at == 0 {
            return Ok(());
        }
        if first >= blocks {
            visit(Address::Beyond { at })?;
            return Ok(());
        }
        if !visit(Address::Addresses { at })? {
            return Ok(());
        }
        let list = self.window.read(at * FRAG, BLOCK)?;
        for n in 0..ADDRESSES {
            let at = list.get64(n as usize * 8);
            match level.checked_sub(1) {
                Some(below) => {
                    self.addresses_below(below, first + n * span(below), blocks, at, visit)?;
                }
                None if at == 0 => {}
                None if first + n >= blocks => {
                    visit(Address::Beyond { at })?;
                }
                None => {
                    visit(Address::Data {
                        block: first + n,
                        at,
                        len: FRAGS,
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// An address in an inode or in a block of addresses; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Address {
    /// A file's block, or the `len` fragments that it ends in.
    Data { block: u64, at: u64, len: u64 },
    /// A block of addresses.
    Addresses { at: u64 },
    /// Where no address may be, for the file is shorter.
    Beyond { at: u64 },
}

/// An inode's bytes.
pub(crate) struct RawInode(pub(crate) [u8; INODE as usize]);

impl RawInode {
    pub(crate) fn mode(&self) -> u16 {
        self.0.get16(0)
    }

    /// The top four bits of the mode.
    pub(crate) fn kind(&self) -> u16 {
        self.mode() >> 12
    }

    pub(crate) fn links(&self) -> u16 {
        self.0.get16(2)
    }

    pub(crate) fn uid(&self) -> u32 {
        self.0.get32(4)
    }

    pub(crate) fn gid(&self) -> u32 {
        self.0.get32(8)
    }

    pub(crate) fn size(&self) -> u64 {
        self.0.get64(16)
    }

    pub(crate) fn sectors(&self) -> u64 {
        self.0.get64(24)
    }

    pub(crate) fn mtime(&self) -> i64 {
        self.0.get64(40) as i64
    }

    pub(crate) fn flags(&self) -> u32 {
        self.0.get32(88)
    }

    pub(crate) fn attributes_len(&self) -> u64 {
        self.0.get32(92).into()
    }

    pub(crate) fn attributes_at(&self) -> [u64; 2] {
        [self.0.get64(96), self.0.get64(104)]
    }

    pub(crate) fn area(&self) -> [u8; AREA] {
        self.0.array(AREA_AT)
    }

    pub(crate) fn device(&self) -> (u32, u32) {
        inode::device_parts(self.area().get64(0))
    }

    /// Whether it is a symbolic link whose target stands in the inode.
    pub(crate) fn is_short_link(&self) -> bool {
        self.kind() == 10 && self.size() < AREA as u64
    }

    /// Whether its area holds addresses.
    pub(crate) fn has_addresses(&self) -> bool {
        matches!(self.kind(), 4 | 8 | 10) && !self.is_short_link()
    }

    /// Where its extended attributes lie: the start and how many fragments.
    pub(crate) fn attribute_runs(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        let len = self.attributes_len();
        (0..)
            .zip(self.attributes_at())
            .map(move |(block, at)| {
                let left = len.saturating_sub(block * BLOCK).min(BLOCK);
                (at, left.div_ceil(FRAG))
            })
            .filter(|(_, frags)| *frags > 0)
    }

    pub(crate) fn hash_is_right(&self) -> bool {
        checksum::hash(&self.0, inode::HASH_AT) == self.0.get32(inode::HASH_AT)
    }
}

/// What is wrong with a superblock that should lie `place` bytes from the file system's start, apart
/// from counts: the questions of `validate_sblock()` in `sys/ufs/ffs/ffs_subr.c`, and a few of newfs.
pub(crate) fn superblock_faults(raw: &[u8], geometry: &Geometry, place: u64) -> Vec<String> {
    let mut faults = Vec::new();
    let narrow: [(&str, usize, u64); 33] = [
        ("fs_sblkno", 8, SUPER_COPY),
        ("fs_cblkno", 12, HEADER),
        ("fs_iblkno", 16, INODES),
        ("fs_dblkno", 20, geometry.data()),
        ("fs_old_cgoffset", 24, 0),
        ("fs_ncg", 44, geometry.groups),
        ("fs_bsize", 48, BLOCK),
        ("fs_fsize", 52, FRAG),
        ("fs_frag", 56, FRAGS),
        ("fs_bmask", 72, (!(BLOCK as u32 - 1)).into()),
        ("fs_fmask", 76, (!(FRAG as u32 - 1)).into()),
        ("fs_bshift", 80, BLOCK.trailing_zeros().into()),
        ("fs_fshift", 84, FRAG.trailing_zeros().into()),
        ("fs_fragshift", 96, FRAGS.trailing_zeros().into()),
        ("fs_fsbtodb", 100, (FRAG / 512).trailing_zeros().into()),
        ("fs_sbsize", 104, superblock::SIZE),
        ("fs_nindir", 116, ADDRESSES),
        ("fs_inopb", 120, INODES_PER_BLOCK),
        ("fs_cssize", 156, geometry.summary() * FRAG),
        ("fs_cgsize", 160, header_size(geometry)),
        ("fs_old_cpg", 180, 0),
        ("fs_ipg", 184, geometry.inodes_per_group),
        ("fs_fpg", 188, GROUP),
        ("fs_maxbsize", 860, BLOCK),
        ("fs_pendinginodes", 1112, 0),
        ("fs_metackhash", 1308, superblock::HASHED.into()),
        ("fs_contigsumsize", 1316, CLUSTERS),
        ("fs_maxsymlinklen", 1320, AREA as u64),
        ("fs_qbmask", 1336, BLOCK - 1),
        ("fs_qbmask's upper half", 1340, 0),
        ("fs_qfmask", 1344, FRAG - 1),
        ("fs_qfmask's upper half", 1348, 0),
        ("fs_magic", MAGIC_AT, MAGIC.into()),
    ];
    let wide = [
        ("fs_sblockactualloc", OWN_PLACE_AT, place),
        ("fs_sblockloc", 1000, SUPER_AT),
        ("fs_size", 1080, geometry.frags),
        ("fs_pendingblocks", 1104, 0),
        // The kernel takes less, but then longer files are damaged.
        ("fs_maxfilesize", 1328, superblock::most_bytes()),
    ];
    let narrow = narrow.map(|(name, at, wanted)| (name, at, u64::from(raw.get32(at)), wanted));
    let wide = wide.map(|(name, at, wanted)| (name, at, raw.get64(at), wanted));
    for (name, at, is, wanted) in narrow.into_iter().chain(wide) {
        if is != wanted {
            faults.push(format!("byte {at}: {name} is {is}, not {wanted}"));
        }
    }
    let most: [(&str, usize, u64, u64); 4] = [
        ("fs_minfree", 60, raw.get32(60).into(), 99),
        ("fs_optim", 128, raw.get32(128).into(), 1),
        ("fs_metaspace", 880, raw.get64(880), GROUP / 2),
        ("fs_maxcontig", 88, raw.get32(88).into(), 256),
    ];
    for (name, at, is, most) in most {
        if is > most {
            faults.push(format!("byte {at}: {name} is {is}, more than {most}"));
        }
    }
    // The kernel replaces a zero here before it looks at the check hash, which then is wrong.
    for (name, at) in [("fs_avgfilesize", 1196), ("fs_avgfpdir", 1200)] {
        if raw.get32(at) == 0 {
            faults.push(format!("byte {at}: {name} is 0"));
        }
    }
    if raw.get32(88) < CLUSTERS as u32 {
        faults.push(format!(
            "byte 88: fs_maxcontig is {}, less than fs_contigsumsize",
            raw.get32(88)
        ));
    }
    if checksum::hash(raw, HASH_AT) != raw.get32(HASH_AT) {
        faults.push(format!(
            "byte {HASH_AT}: the check hash is {:#010x}, but its bytes make {:#010x}",
            raw.get32(HASH_AT),
            checksum::hash(raw, HASH_AT)
        ));
    }
    faults
}
