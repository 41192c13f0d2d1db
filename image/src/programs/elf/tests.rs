//! Programs made by hand, byte by byte, each wrong in one way.

use super::*;

/// What is put into a file of headers and nothing else.
struct Made {
    class: u8,
    os_abi: u8,
    kind: u16,
    machine: u16,
    interpreter: Option<&'static str>,
    note: Option<(&'static [u8], u32, Vec<u8>)>,
    /// Tag of the dynamic section, and the string that it speaks of.
    dynamic: Vec<(u64, &'static str)>,
    text: &'static str,
}

impl Made {
    fn sound() -> Self {
        Self {
            class: 2,
            os_abi: 9,
            kind: 3,
            machine: 62,
            interpreter: Some("/libexec/ld-elf.so.1"),
            note: Some((b"FreeBSD\0", 1, 1_500_068_u32.to_le_bytes().into())),
            dynamic: vec![(1, "libc.so.7"), (1, "libthr.so.3")],
            text: "/clawdie-iso/firstboot/src/main.rs",
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut dynamic = Vec::new();
        let mut entry = |tag: u64, value: u64| {
            dynamic.extend(tag.to_le_bytes());
            dynamic.extend(value.to_le_bytes());
        };
        for (tag, name) in &self.dynamic {
            entry(*tag, strings.len() as u64);
            strings.extend(name.as_bytes());
            strings.push(0);
        }
        let mut note = Vec::new();
        if let Some((name, kind, desc)) = &self.note {
            for number in [name.len() as u32, desc.len() as u32, *kind] {
                note.extend(number.to_le_bytes());
            }
            note.extend(*name);
            note.extend(desc);
        }
        let interpreter: Vec<u8> = self
            .interpreter
            .map(|path| [path.as_bytes(), b"\0"].concat())
            .unwrap_or_default();

        const SEGMENTS: usize = 4;
        let strings_at = 64 + 56 * SEGMENTS;
        // Not where it lies in the file: addresses must be translated.
        const LOADED_AT: u64 = 0x20_0000;
        entry(5, LOADED_AT + strings_at as u64);
        entry(10, strings.len() as u64);
        entry(0, 0);
        let mut body = strings;
        let mut place = |part: &[u8]| {
            body.resize(body.len().next_multiple_of(8), 0);
            let at = strings_at + body.len();
            body.extend(part);
            (at as u64, part.len() as u64)
        };
        let interpreter_at = place(&interpreter);
        let note_at = place(&note);
        let dynamic_at = place(&dynamic);
        place(self.text.as_bytes());
        let len = (strings_at + body.len()) as u64;

        let mut file = vec![0x7f, b'E', b'L', b'F', self.class, 1, 1, self.os_abi];
        file.resize(16, 0);
        file.extend(self.kind.to_le_bytes());
        file.extend(self.machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        for word in [0_u64, 64, 0] {
            file.extend(word.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        for half in [64, 56, SEGMENTS as u16, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        let unless = |absent: bool, kind: u32| if absent { 0 } else { kind };
        for (kind, (at, size), address) in [
            (1, (0, len), LOADED_AT),
            (
                unless(self.interpreter.is_none(), 3),
                interpreter_at,
                LOADED_AT,
            ),
            (unless(self.note.is_none(), 4), note_at, LOADED_AT),
            (2, dynamic_at, LOADED_AT),
        ] {
            file.extend(u32::to_le_bytes(kind));
            file.extend(4_u32.to_le_bytes());
            for word in [at, address + at, address + at, size, size, 4] {
                file.extend(u64::to_le_bytes(word));
            }
        }
        file.extend(body);
        file
    }
}

fn rules() -> Rules {
    Rules {
        major: 15,
        folders: ["/", "/root", "/home/ada", "/home/ada/clawdie-iso"]
            .map(PathBuf::from)
            .into(),
    }
}

fn faults_of(change: impl FnOnce(&mut Made)) -> Vec<Fault> {
    let mut made = Made::sound();
    change(&mut made);
    faults(&made.bytes(), &rules())
}

#[test]
fn a_sound_program_has_no_faults() {
    assert_eq!(faults_of(|_| {}), []);
    // Some linkers leave the header's field alone.
    assert_eq!(faults_of(|made| made.os_abi = 0), []);
    assert_eq!(
        faults_of(|made| made.note = Some((b"FreeBSD\0", 1, 1_400_097_u32.to_le_bytes().into()))),
        []
    );
}

#[test]
fn what_is_no_program_is_told() {
    for bytes in [
        b"".to_vec(),
        b"#!/bin/sh\n".to_vec(),
        Made {
            class: 1,
            ..Made::sound()
        }
        .bytes(),
        Made::sound().bytes()[..200].to_vec(),
    ] {
        assert!(
            matches!(faults(&bytes, &rules())[..], [Fault::Unreadable(_)]),
            "{} bytes",
            bytes.len()
        );
    }
}

#[test]
fn other_processors_and_systems_are_told() {
    assert_eq!(
        faults_of(|made| made.machine = 183),
        [Fault::Machine(183)],
        "aarch64"
    );
    assert_eq!(faults_of(|made| made.os_abi = 3), [Fault::OsAbi(3)]);
    assert_eq!(faults_of(|made| made.note = None), [Fault::NoAbiNote]);
    let gnu = Some((b"GNU\0".as_slice(), 1, vec![0; 16]));
    assert_eq!(faults_of(|made| made.note = gnu), [Fault::NoAbiNote]);
    let other_type = Some((b"FreeBSD\0".as_slice(), 4, vec![0; 4]));
    assert_eq!(faults_of(|made| made.note = other_type), [Fault::NoAbiNote]);
    let later = Some((
        b"FreeBSD\0".as_slice(),
        1,
        1_600_004_u32.to_le_bytes().into(),
    ));
    assert_eq!(faults_of(|made| made.note = later), [Fault::TooNew(16)]);
}

#[test]
fn fixed_addresses_and_other_loaders_are_told() {
    assert_eq!(faults_of(|made| made.kind = 2), [Fault::NotPie(2)]);
    assert_eq!(
        faults_of(|made| made.interpreter = None),
        [Fault::NoInterpreter]
    );
    let linux = "/lib64/ld-linux-x86-64.so.2";
    assert_eq!(
        faults_of(|made| made.interpreter = Some(linux)),
        [Fault::Interpreter(linux.into())]
    );
}

#[test]
fn libraries_outside_the_base_are_told() {
    assert_eq!(
        faults_of(|made| made
            .dynamic
            .extend([(1, "libssl.so.30"), (1, "libutil.so.9")])),
        [
            Fault::Library("libssl.so.30".into()),
            Fault::Library("libutil.so.9".into())
        ]
    );
    for tag in [15, 29] {
        assert_eq!(
            faults_of(|made| made.dynamic.push((tag, "/usr/local/lib"))),
            [Fault::SearchPath("/usr/local/lib".into())]
        );
    }
}

#[test]
fn an_unreadable_name_is_no_library_of_the_base() {
    let mut bytes = Made::sound().bytes();
    // The entry of the dynamic section that says where the names are.
    let at = memmem::find(&bytes, &5_u64.to_le_bytes()).unwrap();
    bytes[at..at + 8].copy_from_slice(&6_u64.to_le_bytes());
    assert_eq!(
        faults(&bytes, &rules()),
        [
            Fault::Library("(unreadable)".into()),
            Fault::Library("(unreadable)".into())
        ]
    );
}

#[test]
fn folders_of_the_build_machine_are_told_unless_every_host_has_them() {
    assert_eq!(
        faults_of(|made| made.text = "/home/ada/.cargo/registry/src/x/lib.rs"),
        [Fault::BuildPath("/home/ada".into())]
    );
    assert_eq!(
        faults_of(|made| made.text = "/home/ada/clawdie-iso/target"),
        [
            Fault::BuildPath("/home/ada".into()),
            Fault::BuildPath("/home/ada/clawdie-iso".into())
        ]
    );
    assert_eq!(
        faults_of(|made| made.text = "/root/.ssh/authorized_keys"),
        []
    );
}

#[test]
fn the_program_that_runs_this_test_is_refused_on_linux() {
    if cfg!(target_os = "linux") {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let found = faults(&own, &rules());
        assert!(found.contains(&Fault::NoAbiNote), "{found:?}");
        assert!(
            found
                .iter()
                .any(|fault| matches!(fault, Fault::Interpreter(_))),
            "{found:?}"
        );
    }
}
