# shellcheck shell=sh
# What the scripts of a scenario can call: `. "$LIB"`. In their environment:
#   DISK      the disk image             SEED   its seed, as mtools name it
#   ROOT      its root, for e2fsprogs    STICK  a second stick is plugged in if this file is made
#   SETUP     setup.txt as it was put on the seed
#   RESULT, CONSOLE, ANSWERS             what came of the boot (ANSWERS: what ask.sh said)
#   FIXTURES  the fixtures of setup.txt; and each secret by its name

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# has FILE TEXT: the file must hold the text.
has() {
    grep -qF -- "$2" "$1" || fail "${1##*/} lacks: $2"
}

# lacks FILE TEXT
lacks() {
    ! grep -qF -- "$2" "$1" || fail "${1##*/} has: $2"
}

# root_file PATH: a file of the root file system.
root_file() {
    debugfs -R "cat \"$1\"" "$ROOT" 2>/dev/null
}

# root_has PATH TEXT
root_has() {
    root_file "$1" | grep -qF -- "$2" || fail "$1 lacks: $2"
}

# root_lacks_file PATH
root_lacks_file() {
    debugfs -R "stat \"$1\"" "$ROOT" 2>&1 | grep -q 'File not found' || fail "$1 is there"
}

# A host that nobody set up: no login but root's, who is locked.
nobody_is_there() {
    root_file /etc/shadow | grep -q '^root:!' || fail "root is not locked"
    ! root_file /etc/passwd | grep -q '^ada:' || fail "the operator's account is there"
    root_lacks_file /etc/colibri/provider.env
}

# make_stick FILE: a second stick with FILE as its setup.txt.
make_stick() {
    rm -f "$STICK"
    truncate -s 64M "$STICK"
    mformat -i "$STICK" -F -v CLAWDIESEED ::
    mcopy -i "$STICK" "$1" ::setup.txt
}
