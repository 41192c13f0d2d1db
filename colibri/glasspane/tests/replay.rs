//! Transcripts of agents, and what a pane makes of them.
//!
//! A case is two files of `transcripts/`: `RUNTIME-NAME.jsonl`, what the agent
//! printed, and `RUNTIME-NAME.txt`, what changed. Those of pi were recorded from
//! the versions that they name; those with `overflow` and `dialog`, and zot's, are
//! written after the agents' own documentation. A new case is two new files:
//! `COLIBRI_BLESS=1 cargo nextest run -p colibri-glasspane --test replay`
//! writes the second one, to be read before it is believed.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::fmt::Write as _;
use std::path::Path;

use colibri_glasspane::{Change, End, Pane};
use colibri_protocol::{Runtime, Usage};
use jiff::{SignedDuration, Timestamp};

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn usage(usage: &Usage) -> String {
    format!(
        "{} in, {} out, {} + {} cached, {}",
        usage.input, usage.output, usage.cache_read, usage.cache_write, usage.cost_usd
    )
}

fn told(changes: &[Change], out: &mut String) {
    for change in changes {
        let line = match change {
            // The text is in the end; the rest of a session has a test of its own, beside the pane.
            Change::Said(_) | Change::Called { .. } | Change::Returned { .. } => continue,
            Change::State { from, to } => format!("{from} -> {to}"),
            Change::Used(used) => format!("used {}", usage(used)),
            Change::Asked { id, question } => format!("asked {id}: {question}"),
            Change::Stalled => "stalled".to_owned(),
            Change::Finished => "finished".to_owned(),
            Change::Failed {
                why,
                may_pass: false,
            } => format!("failed: {why}"),
            Change::Failed {
                why,
                may_pass: true,
            } => format!("failed for now: {why}"),
            Change::Compacted => "compacted".to_owned(),
            Change::Aborted => "aborted".to_owned(),
            Change::Refused { id, why } => format!("refused {id:?}: {why}"),
        };
        writeln!(out, "{line}").unwrap();
    }
}

/// What a pane says of a transcript that comes in pieces of `size` bytes.
fn replayed(runtime: Runtime, transcript: &[u8], size: usize) -> String {
    let mut pane = Pane::new("s-1", "anna", runtime, START);
    let mut out = String::new();
    for piece in transcript.chunks(size) {
        told(&pane.feed(piece, START), &mut out);
    }
    // What time alone decides. Nothing here is silent for hours.
    if let Some(wakes) = pane.wakes_at()
        && wakes.duration_since(START) < SignedDuration::from_mins(1)
    {
        writeln!(out, "({} later)", wakes.duration_since(START)).unwrap();
        told(&pane.tick(wakes), &mut out);
    }
    let seen = pane.snapshot(START);
    writeln!(
        out,
        "--\n{}, {} turns, {} events, {} malformed, tool {:?}\n{}\nreason {:?}\ntext {:?}",
        seen.state,
        seen.turns,
        seen.events,
        seen.malformed,
        seen.tool,
        usage(&seen.usage),
        seen.reason,
        seen.text
    )
    .unwrap();
    let at_the_end = pane.ended(End::Code(0), START);
    if !at_the_end.is_empty() {
        writeln!(out, "-- its process ends").unwrap();
        told(&at_the_end, &mut out);
    }
    out
}

#[test]
fn every_transcript_means_what_stands_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let bless = std::env::var_os("COLIBRI_BLESS").is_some();
    let (mut cases, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        cases += 1;
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let runtime: Runtime = name.split('-').next().unwrap().parse().unwrap();
        let transcript = std::fs::read(&path).unwrap();
        let said = replayed(runtime, &transcript, transcript.len());
        for size in [1, 7, 1000] {
            assert_eq!(replayed(runtime, &transcript, size), said, "{name}, {size}");
        }
        let beside = path.with_extension("txt");
        if bless {
            std::fs::write(&beside, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if said != expected {
            wrong.push(format!("{name}:\n{said}\nexpected:\n{expected}"));
        }
    }
    assert!(cases >= 15, "only {cases} transcripts");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
