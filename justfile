# `just` lists these; all of them are thin over `cargo xtask`.

_list:
    @just --list

# Build an image
iso *args:
    cargo xtask iso {{args}}

# Boot the newest image in QEMU
boot *args:
    cargo xtask boot {{args}}

# Everything that CI runs
test:
    cargo xtask test

# What this machine lacks
doctor:
    cargo xtask doctor

# Format and lint: what to run before a commit
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# The tests that need no image, in seconds
quick:
    cargo nextest run --workspace --exclude clawdie-tests
