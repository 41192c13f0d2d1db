//! Sessions on a real disk: crashes, damage, a thousand turns.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use colibri_protocol::{CostMode, Trigger, Usage};
use colibri_session::{Action, Finding, Limits, NewSession, Session, SessionError};
use proptest::prelude::*;
use uuid::Uuid;

const PREFIX: &str = "You are an agent.\nGrüße.\n";

fn new(cost_mode: CostMode) -> NewSession {
    NewSession {
        session: Uuid::nil(),
        agent: "pi".into(),
        cost_mode,
        prefix: PREFIX.into(),
    }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("session.jsonl")
    }

    fn create(&self, mode: CostMode) -> Session {
        Session::create(&self.path(), new(mode)).unwrap()
    }

    fn holding(bytes: impl AsRef<[u8]>) -> Self {
        let place = Self::new();
        fs::write(place.path(), bytes).unwrap();
        place
    }
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::read_to_string(path.join(name)).unwrap()
}

fn small(budget: u64, turns: u32) -> Limits {
    let mut limits = Limits::default();
    limits.fast.session_bytes = budget;
    limits.fast.turns = turns;
    limits.smart.session_bytes = 2 * budget;
    limits.max.session_bytes = 4 * budget;
    limits
}

/// A small generator, so that a thousand turns are the same on every machine.
struct Sizes(u64);

impl Sizes {
    fn next(&mut self, below: u64) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from((self.0 >> 33) % below).unwrap()
    }
}

#[test]
fn version_1_reads_as_it_always_did() {
    let place = Place::holding(fixture("v1.jsonl"));
    let limits = Limits::default();
    let session = Session::open(&place.path()).unwrap();
    let snapshot = serde_json::to_value(session.snapshot(&limits)).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&fixture("v1.snapshot.json")).unwrap();
    assert_eq!(snapshot, expected);
    let prompt = session.prompt(&[], &limits).unwrap();
    assert_eq!(prompt.text, fixture("v1.prompt.txt"));
    // Reading changes nothing.
    drop(session);
    assert_eq!(
        fs::read_to_string(place.path()).unwrap(),
        fixture("v1.jsonl")
    );
}

#[test]
fn version_1_is_what_is_written() {
    let place = Place::new();
    let limits = Limits::default();
    let mut session = place.create(CostMode::Fast);
    session.ask("Back up the vault").unwrap();
    session.call_tool("shell", r#"{"command":"ls"}"#).unwrap();
    session
        .tool_result("shell", &"x".repeat(9000), &limits)
        .unwrap();
    session.answer("Done", Some(Usage::default())).unwrap();
    session.ask("And again").unwrap();
    let done = session.compact(&small(1000, 2), None).unwrap();
    assert_eq!(done.entries, 4);
    session.set_mode(CostMode::Max).unwrap();
    session.answer("Done again", None).unwrap();
    drop(session);
    // The same lines with the same fields as the fixture has, whatever their values.
    fn fields(line: &str) -> (Option<String>, Vec<String>) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let object = value.as_object().unwrap();
        let kind = object.get("kind").map(ToString::to_string);
        (kind, object.keys().cloned().collect())
    }
    let known: Vec<_> = fixture("v1.jsonl").lines().map(fields).collect();
    let written = fs::read_to_string(place.path()).unwrap();
    for line in written.lines() {
        assert!(known.contains(&fields(line)), "{line}");
    }
    assert_eq!(fs::metadata(place.path()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_crash_at_any_byte_leaves_every_whole_entry() {
    let whole = fixture("v1.jsonl").into_bytes();
    let header = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for end in 0..whole.len() {
        let place = Place::holding(&whole[..end]);
        let session = Session::open(&place.path());
        if end < header {
            let error = session.unwrap_err();
            assert!(matches!(error, SessionError::NoHeader { .. }), "{error}");
            continue;
        }
        let mut session = session.unwrap();
        let lines = whole[..end].iter().filter(|&&byte| byte == b'\n').count();
        let kept = whole[..end]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .unwrap()
            + 1;
        let torn = (end - kept) as u64;
        let expected = (torn > 0).then_some(Finding::Torn { bytes: torn });
        assert_eq!(session.findings(), expected.as_slice());
        assert_eq!(fs::read(place.path()).unwrap(), whole[..kept]);
        // And it goes on from there; a sync for each byte would take long.
        if end % 16 != 0 {
            continue;
        }
        session.ask("go on").unwrap();
        assert_eq!(session.log().last().unwrap().line, lines as u64 + 1);
        drop(session);
        assert!(Session::open(&place.path()).unwrap().findings().is_empty());
    }
}

#[test]
fn damage_in_the_middle_is_named_and_the_rest_is_read() {
    let text = fixture("v1.jsonl");
    let mut lines: Vec<_> = text.lines().collect();
    lines[2] = r#"{"line":3,"at":"2026-06-27T10:00:02Z","kind":"to"#;
    let damaged = lines.join("\n") + "\n";
    let place = Place::holding(&damaged);
    let mut session = Session::open(&place.path()).unwrap();
    assert!(
        matches!(session.findings(), [Finding::Damaged { line: 3, .. }]),
        "{:?}",
        session.findings()
    );
    let said = &session.snapshot(&Limits::default()).findings[0];
    assert!(said.contains("line 3 cannot be read"), "{said}");
    assert_eq!(session.mode(), CostMode::Max);
    session.ask("go on").unwrap();
    drop(session);
    // It stays in the file, and is named every time.
    assert!(
        fs::read_to_string(place.path())
            .unwrap()
            .starts_with(&damaged)
    );
    assert_eq!(Session::open(&place.path()).unwrap().findings().len(), 1);
}

#[test]
fn a_lost_line_is_noticed() {
    let text = fixture("v1.jsonl");
    let without: Vec<_> = text
        .lines()
        .enumerate()
        .filter(|(at, _)| *at != 6)
        .collect();
    let without: String = without
        .iter()
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    let place = Place::holding(without);
    let mut session = Session::open(&place.path()).unwrap();
    assert_eq!(session.findings(), [Finding::Lost { from: 7, to: 7 }]);
    // What is there is read, and numbers go on after the last.
    assert_eq!(session.mode(), CostMode::Max);
    session.ask("go on").unwrap();
    assert_eq!(session.log().last().unwrap().line, 11);
}

#[test]
fn what_is_no_session_of_ours_is_refused() {
    let refused = |text: &str| Session::open(&Place::holding(text).path()).unwrap_err();
    let text = fixture("v1.jsonl");
    assert!(matches!(
        refused(&text.replace("session.v1", "session.v2")),
        SessionError::Version { found, .. } if found == "clawdie.colibri-session.v2"
    ));
    assert!(matches!(
        refused(&text.replace("Grüße", "Grusse")),
        SessionError::Prefix { .. }
    ));
    assert!(matches!(refused("hello\n"), SessionError::NoHeader { .. }));
    assert!(matches!(refused(""), SessionError::NoHeader { .. }));
    assert!(Session::open(Path::new("/nowhere/x")).is_err());
}

#[test]
fn one_writer_and_no_session_is_replaced() {
    let place = Place::new();
    let session = place.create(CostMode::Smart);
    assert!(matches!(
        Session::open(&place.path()),
        Err(SessionError::InUse { .. })
    ));
    assert!(Session::create(&place.path(), new(CostMode::Fast)).is_err());
    drop(session);
    assert!(Session::create(&place.path(), new(CostMode::Fast)).is_err());
    assert_eq!(
        Session::open(&place.path()).unwrap().mode(),
        CostMode::Smart
    );
    assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 1);
}

#[test]
fn a_thousand_turns_leave_the_prefix_as_it_was() {
    let place = Place::new();
    let limits = small(20_000, 5);
    let mut session = place.create(CostMode::Fast);
    let header = fs::read(place.path()).unwrap();
    let mut sizes = Sizes(42);
    let mut escalated = Vec::new();
    for turn in 0..1000 {
        session
            .ask(format!("{turn} {}", "q".repeat(sizes.next(400))))
            .unwrap();
        if sizes.next(3) == 0 {
            session.call_tool("shell", turn.to_string()).unwrap();
            session
                .tool_result("shell", &"ü".repeat(sizes.next(6000)), &limits)
                .unwrap();
        }
        session.answer("a".repeat(sizes.next(3000)), None).unwrap();
        for action in session.keep_within(&limits).unwrap() {
            if let Action::Escalated(step) = action {
                escalated.push(step);
            }
        }
        let scratch = "s".repeat(sizes.next(30_000));
        let prompt = session.prompt(&[&scratch], &limits).unwrap();
        assert_eq!(prompt.text.as_bytes()[..PREFIX.len()], *PREFIX.as_bytes());
        assert_eq!(prompt.prefix_bytes, PREFIX.len());
        assert!(prompt.text.len() as u64 <= limits.of(session.mode()).session_bytes);
        assert_eq!(prompt.dropped_log, 0, "turn {turn}");
        assert!(
            prompt
                .text
                .contains(&format!("{{\"role\":\"user\",\"text\":\"{turn} "))
        );
        if turn % 100 == 99 {
            drop(session);
            session = Session::open(&place.path()).unwrap();
            assert_eq!(session.prefix(), PREFIX);
            assert!(session.findings().is_empty());
            assert!(fs::read(place.path()).unwrap().starts_with(&header));
        }
    }
    let before = session.snapshot(&limits);
    assert!(before.compactions > 50);
    assert_eq!(before.escalations, escalated);
    drop(session);
    let session = Session::open(&place.path()).unwrap();
    assert_eq!(session.snapshot(&limits), before);
    assert_eq!(session.prefix(), PREFIX);
}

#[test]
fn escalation_goes_up_step_by_step_is_logged_and_stays() {
    let place = Place::new();
    let limits = small(1000, 5);
    let mut session = place.create(CostMode::Fast);
    // One turn that nothing can shorten.
    session.ask("x".repeat(1500)).unwrap();
    let actions = session.keep_within(&limits).unwrap();
    assert!(matches!(&actions[..], [Action::Escalated(step)]
        if step.trigger == Trigger::BudgetExceeded && step.to == CostMode::Smart));
    // Two turns, of which the newer alone is too long.
    session.answer("y".repeat(100), None).unwrap();
    session.ask("z".repeat(2500)).unwrap();
    let actions = session.keep_within(&limits).unwrap();
    assert!(
        matches!(&actions[..], [Action::Compacted(_), Action::Escalated(step)]
        if step.trigger == Trigger::CompactionInsufficient && step.to == CostMode::Max),
        "{actions:?}"
    );
    // There is nothing dearer.
    session.ask("w".repeat(9000)).unwrap();
    let actions = session.keep_within(&limits).unwrap();
    assert!(
        matches!(&actions[..], [Action::Compacted(_), Action::AtCeiling(_)]),
        "{actions:?}"
    );
    let prompt = session.prompt(&[], &limits).unwrap();
    assert!(prompt.text.len() <= 4000 && prompt.dropped_log > 0);
    drop(session);
    let mut session = Session::open(&place.path()).unwrap();
    assert_eq!(session.mode(), CostMode::Max);
    assert_eq!(session.snapshot(&limits).escalations.len(), 2);
    session.set_mode(CostMode::Fast).unwrap();
    drop(session);
    assert_eq!(Session::open(&place.path()).unwrap().mode(), CostMode::Fast);
}

#[test]
fn a_prefix_over_the_budget_is_an_error_that_says_so() {
    let session = Place::new().create(CostMode::Fast);
    let error = session.prompt(&["s"], &small(10, 5)).unwrap_err();
    assert!(
        error.to_string().contains("27 bytes and the budget is 10"),
        "{error}"
    );
}

#[test]
fn more_turns_than_the_mode_keeps_are_compacted_and_no_mode_changes() {
    let mut session = Place::new().create(CostMode::Fast);
    let limits = Limits::default();
    for turn in 0..5 {
        session.ask(format!("question {turn}")).unwrap();
        session.answer("answer", None).unwrap();
        assert_eq!(session.keep_within(&limits).unwrap(), []);
    }
    session.ask("question 5").unwrap();
    let actions = session.keep_within(&limits).unwrap();
    assert!(
        matches!(&actions[..], [Action::Compacted(done)] if done.entries == 8),
        "{actions:?}"
    );
    assert_eq!(session.size().turns, 2);
    let prompt = session.prompt(&[], &limits).unwrap().text;
    assert!(prompt.contains("asked: question 0") && prompt.contains("question 5"));
    let own = session
        .compact(&limits, Some("in my words".into()))
        .unwrap();
    assert_eq!(own.entries, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn what_is_opened_again_is_what_was_closed(
        steps in proptest::collection::vec((0u8..6, "[a-zä\\n\"]{0,300}"), 0..40),
    ) {
        let place = Place::new();
        let limits = small(1500, 3);
        let mut session = place.create(CostMode::Fast);
        for (step, text) in steps {
            match step {
                0 => session.ask(text).unwrap(),
                1 => session.answer(text, Some(Usage { input: 1, ..Usage::default() })).unwrap(),
                2 => session.call_tool("t", text).unwrap(),
                3 => session.tool_result("t", &text, &limits).unwrap(),
                4 => { session.keep_within(&limits).unwrap(); }
                _ => { session.compact(&limits, Some(text)).unwrap(); }
            }
        }
        let before = (session.snapshot(&limits), session.prompt(&[], &limits));
        drop(session);
        let session = Session::open(&place.path()).unwrap();
        prop_assert_eq!((session.snapshot(&limits), session.prompt(&[], &limits)), before);
    }
}
