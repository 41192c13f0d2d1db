//! BSD file flags by name, as tar archives carry them in `SCHILY.fflags`.
//!
//! Names are those of FreeBSD's `strtofflags(3)` (`lib/libc/gen/strtofflags.c`), numbers those of
//! `sys/sys/stat.h`.

/// A flag: its names, the one that archives use first, and its bit.
struct Flag {
    names: &'static [&'static str],
    bit: u32,
}

const FLAGS: &[Flag] = &[
    flag(&["sappnd", "sappend"], 0x0004_0000),
    flag(&["arch", "archived"], 0x0001_0000),
    flag(&["schg", "schange", "simmutable"], 0x0002_0000),
    flag(&["sunlnk", "sunlink"], 0x0010_0000),
    flag(&["uappnd", "uappend"], 0x0000_0004),
    flag(&["uarch", "uarchive"], 0x0000_0800),
    flag(&["hidden", "uhidden"], 0x0000_8000),
    flag(&["uchg", "uchange", "uimmutable"], 0x0000_0002),
    flag(&["nodump"], 0x0000_0001),
    flag(&["uunlnk", "uunlink"], 0x0000_0010),
    flag(&["offline", "uoffline"], 0x0000_0200),
    flag(&["opaque"], 0x0000_0008),
    flag(&["rdonly", "urdonly", "readonly", "ureadonly"], 0x0000_1000),
    flag(&["reparse", "ureparse"], 0x0000_0400),
    flag(&["sparse", "usparse"], 0x0000_0100),
    flag(&["system", "usystem"], 0x0000_0080),
];

const fn flag(names: &'static [&'static str], bit: u32) -> Flag {
    Flag { names, bit }
}

/// What one word does to the flags: the bit, and whether it is set.
fn word(word: &str) -> Option<(u32, bool)> {
    let find = |name: &str| {
        FLAGS
            .iter()
            .find(|flag| flag.names.contains(&name))
            .map(|flag| flag.bit)
    };
    if word == "dump" {
        return find("nodump").map(|bit| (bit, false));
    }
    find(word).map(|bit| (bit, true)).or_else(|| {
        // `noschg` takes away what `schg` gives; `nodump` has its own opposite.
        let bare = word.strip_prefix("no")?;
        let bit = find(bare).filter(|_| bare != "nodump")?;
        Some((bit, false))
    })
}

/// Reads a list such as `schg,uarch,nodump`.
///
/// `snapshot` is no word here: no archive can make a snapshot of a file system.
///
/// # Errors
/// The first word that is not the name of a flag.
pub fn parse(text: &str) -> Result<u32, &str> {
    let mut set = 0;
    let mut cleared = 0;
    for name in text.split([',', ' ', '\t']).filter(|name| !name.is_empty()) {
        match word(name).ok_or(name)? {
            (bit, true) => set |= bit,
            (bit, false) => cleared |= bit,
        }
    }
    Ok(set & !cleared)
}

/// The list that [`parse`] reads as `flags`, as `fflagstostr(3)` writes it; bits without a name
/// stand at its end as a number.
pub fn names(flags: u32) -> String {
    let mut list = Vec::new();
    let mut rest = flags;
    for Flag { names, bit } in FLAGS {
        if flags & bit != 0 {
            list.extend(names.first().map(|name| (*name).to_owned()));
            rest &= !bit;
        }
    }
    if rest != 0 {
        list.push(format!("{rest:#x}"));
    }
    list.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_of_sets_read() {
        assert_eq!(parse(""), Ok(0));
        assert_eq!(parse("schg"), Ok(0x20000));
        assert_eq!(parse("schg,uarch,nodump"), Ok(0x20801));
        assert_eq!(parse("sunlnk, uchg\tarch"), Ok(0x11_0002));
        assert_eq!(parse("noschg,dump"), Ok(0));
        assert_eq!(parse("schg,noschg"), Ok(0));
    }

    #[test]
    fn a_bit_without_a_name_stays_visible() {
        assert_eq!(names(0), "");
        assert_eq!(names(0x20801), "schg,uarch,nodump");
        assert_eq!(names(0x4020_0002), "uchg,0x40200000");
    }

    #[test]
    fn foreign_names_are_named() {
        for wrong in [
            "snapshot", "noatime", "no", "SCHG", "nonodump", "schg;", "nodumps",
        ] {
            assert_eq!(parse(&format!("uarch,{wrong},schg")), Err(wrong));
        }
    }

    proptest! {
        #[test]
        fn every_spelling_of_every_flag_is_its_bit(
            picks in proptest::collection::vec((0..FLAGS.len(), 0..4usize), 0..12),
        ) {
            let mut text = String::new();
            let mut expected = 0;
            for (flag, name) in picks {
                let Flag { names, bit } = &FLAGS[flag];
                text.push_str(names[name % names.len()]);
                text.push(',');
                expected |= bit;
            }
            prop_assert_eq!(parse(&text), Ok(expected));
        }

        #[test]
        fn what_is_written_is_read(picks in proptest::collection::vec(0..FLAGS.len(), 0..20)) {
            let flags = picks.iter().fold(0, |flags, &pick| flags | FLAGS[pick].bit);
            let text = names(flags);
            prop_assert_eq!(parse(&text), Ok(flags));
        }

        #[test]
        fn what_is_taken_away_is_not_there(flag in 0..FLAGS.len(), rest in 0..FLAGS.len()) {
            let name = FLAGS[flag].names[0];
            let without = name.strip_prefix("no").map_or(format!("no{name}"), str::to_owned);
            let text = format!("{},{without},{name}", FLAGS[rest].names[0]);
            prop_assert_eq!(parse(&text).unwrap() & FLAGS[flag].bit, 0);
        }

        #[test]
        fn any_text_reads_or_names_a_word_of_it(text in ".{0,60}") {
            if let Err(word) = parse(&text) {
                prop_assert!(text.contains(word) && !word.is_empty());
            }
        }
    }
}
