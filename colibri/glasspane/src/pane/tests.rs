use colibri_protocol::MAX_LINE;
use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn pane(runtime: Runtime) -> Pane {
    Pane::new("s-1", "anna", runtime, START)
}

fn states(changes: &[Change]) -> Vec<PaneState> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::State { to, .. } => Some(*to),
            _ => None,
        })
        .collect()
}

#[test]
fn a_working_agent_is_stalled_after_the_silence_and_told_so_once() {
    let mut pane = pane(Runtime::Local).with_stall_after(Duration::from_secs(60));
    assert_eq!(pane.wakes_at(), None);
    pane.feed(b"{\"type\":\"agent_start\"}\n", START);
    assert_eq!(pane.wakes_at(), Some(at(60)));
    assert_eq!(pane.tick(at(59)), []);
    assert!(!pane.snapshot(at(59)).stalled);
    assert!(pane.snapshot(at(60)).needs_attention());
    assert_eq!(pane.tick(at(60)), [Change::Stalled]);
    assert_eq!(pane.tick(at(61)), []);
    assert_eq!(pane.wakes_at(), None);
    // A clock that was set back does not.
    assert!(!pane.snapshot(at(-3600)).stalled);

    pane.feed(b"{\"type\":\"turn_start\"}\n", at(100));
    assert!(!pane.snapshot(at(100)).stalled);
    assert_eq!(pane.wakes_at(), Some(at(160)));
    pane.feed(b"{\"type\":\"agent_end\"}\n", at(101));
    assert!(!pane.snapshot(at(999)).stalled);
}

#[test]
fn the_end_of_a_long_run_is_seen_though_its_line_is_too_long() {
    let mut pane = pane(Runtime::Pi);
    pane.feed(
        b"{\"type\":\"agent_start\"}\n{\"type\":\"agent_end\",\"messages\":[\"",
        START,
    );
    for _ in 0..3 {
        pane.feed(&vec![b'x'; MAX_LINE], START);
    }
    assert_eq!(pane.feed(b"\"]}\n", at(1)), []);
    assert_eq!(pane.snapshot(at(1)).malformed, 1);
    // Whether it goes on stood in what was not kept.
    assert_eq!(pane.state(), PaneState::Working);
    assert_eq!(pane.wakes_at(), Some(at(6)));
    let changes = pane.tick(at(6));
    assert_eq!(changes[0], Change::Finished);
    assert_eq!(states(&changes), [PaneState::Done]);
    assert_eq!(pane.wakes_at(), None);
}

#[test]
fn an_agent_that_is_left_alone_needs_attention_and_says_why() {
    let mut pane = pane(Runtime::Local);
    pane.feed(b"{\"type\":\"agent_start\"}\n", START);
    pane.ended(End::Code(0), at(1));
    pane.left_alone("it failed ten times", at(2));
    let seen = pane.snapshot(at(2));
    assert_eq!((seen.state, seen.pid), (PaneState::Error, None));
    assert_eq!(
        seen.reason.as_deref(),
        Some("left alone: it failed ten times")
    );
    // One that was well until then changes its state, too.
    let mut well = self::pane(Runtime::Local);
    assert_eq!(states(&well.left_alone("gone", at(2))), [PaneState::Error]);
}

#[test]
fn a_question_blocks_until_it_is_answered_or_its_time_is_over() {
    let ask = br#"{"type":"extension_ui_request","id":"q-1","method":"confirm","title":"Go on?"}
"#;
    let mut pane = pane(Runtime::Pi);
    pane.feed(b"{\"type\":\"turn_start\"}\n", START);
    let changes = pane.feed(ask, START);
    assert!(matches!(&changes[0], Change::Asked { id, .. } if id == "q-1"));
    assert_eq!(pane.state(), PaneState::Blocked);
    let seen = pane.snapshot(START);
    assert_eq!(seen.reason.as_deref(), Some("Go on?"));
    assert!(seen.needs_attention());
    assert_eq!(pane.answered("q-2", START), []);
    assert_eq!(states(&pane.answered("q-1", START)), [PaneState::Working]);

    let ask = br#"{"type":"extension_ui_request","id":"q-2","method":"input","timeout":3000}
"#;
    pane.feed(ask, START);
    assert_eq!(pane.wakes_at(), Some(at(3)));
    assert_eq!(states(&pane.tick(at(2))), []);
    assert_eq!(states(&pane.tick(at(3))), [PaneState::Working]);
}

#[test]
fn a_question_has_its_choices_as_they_were_written_or_none() {
    let mut pane = pane(Runtime::Pi);
    let mut asked = |options: &[&str]| {
        let ask = serde_json::json!({
            "type": "extension_ui_request", "id": "q-1", "method": "select", "title": "Which?",
            "options": options,
        });
        pane.feed(format!("{ask}\n").as_bytes(), START);
        let seen = pane.snapshot(START);
        assert_eq!(seen.reason.as_deref(), Some("Which?"));
        pane.answered("q-1", START);
        assert_eq!(pane.snapshot(START).choices, [""; 0]);
        seen.choices
    };
    assert_eq!(asked(&["a | b", " c\td"]), ["a | b", " c\td"]);
    assert_eq!(asked(&["x"; MOST]), ["x"; MOST]);
    assert_eq!(asked(&["x"; MOST + 1]), [""; 0]);
    let long = "x".repeat(LONGEST_CHOICES);
    assert_eq!(asked(&[&long]), [long.as_str()]);
    assert_eq!(asked(&[&long, "y"]), [""; 0]);
}

#[test]
fn a_process_that_ends_in_its_work_has_failed_at_it() {
    let ended = |fed: &[u8], end| {
        let mut pane = pane(Runtime::Local);
        pane.started_as(7);
        pane.feed(fed, START);
        let changes = pane.ended(end, START);
        assert_eq!(pane.snapshot(START).pid, None);
        (changes, pane.state())
    };
    let work = b"{\"type\":\"agent_start\"}\n";
    let (changes, state) = ended(work, End::Code(0));
    assert_eq!(
        changes[0],
        Change::Failed {
            why: "the agent ended in the middle of its work".into(),
            may_pass: false
        }
    );
    assert_eq!(state, PaneState::Error);
    let (changes, _) = ended(work, End::Signal(9));
    assert_eq!(
        changes[0],
        Change::Failed {
            why: "the agent was ended by signal 9 in the middle of its work".into(),
            may_pass: false
        }
    );
    assert_eq!(
        ended(work, End::Asked).0[0],
        Change::Aborted,
        "no fault of its own"
    );
    // The last line may lack its newline.
    let done = b"{\"type\":\"agent_start\"}\n{\"type\":\"agent_end\"}";
    assert_eq!(ended(done, End::Code(0)).0[0], Change::Finished);
    // It never worked.
    assert_eq!(ended(b"", End::Code(0)), (vec![], PaneState::Idle));
    let (changes, state) = ended(b"", End::Code(1));
    assert!(matches!(&changes[0], Change::Failed { why, .. } if why.contains("exit code 1")));
    assert_eq!(state, PaneState::Error);
}

#[test]
fn a_retry_that_is_given_up_is_a_failure() {
    let mut pane = pane(Runtime::Pi);
    pane.feed(
        br#"{"type":"agent_start"}
{"type":"agent_end","messages":[],"willRetry":true}
{"type":"auto_retry_start","attempt":1,"maxAttempts":3,"delayMs":2000,"errorMessage":"529"}
"#,
        START,
    );
    assert_eq!(pane.state(), PaneState::Working);
    assert_eq!(
        pane.snapshot(START).reason.as_deref(),
        Some("tries again: 529")
    );
    // However long the pause is.
    assert_eq!(pane.tick(at(600)), []);
    let changes = pane.feed(
        br#"{"type":"auto_retry_end","success":false,"attempt":3,"finalError":"529 overloaded"}
"#,
        at(601),
    );
    assert_eq!(
        changes[0],
        Change::Failed {
            why: "529 overloaded".into(),
            may_pass: true
        }
    );
    assert_eq!(states(&changes), [PaneState::Error]);
    // The next prompt is a new beginning.
    let changes = pane.feed(b"{\"type\":\"agent_start\"}\n", at(602));
    assert_eq!(states(&changes), [PaneState::Working]);
    assert_eq!(pane.snapshot(at(602)).reason, None);
}

#[test]
fn the_newest_running_tool_is_shown() {
    let mut pane = pane(Runtime::Local);
    let tool = |pane: &Pane| pane.snapshot(START).tool;
    pane.feed(
        br#"{"type":"tool_execution_start","id":"1","tool":"bash"}
{"type":"tool_execution_start","id":"2","tool":"read"}
"#,
        START,
    );
    assert_eq!(tool(&pane).as_deref(), Some("read"));
    pane.feed(b"{\"type\":\"tool_execution_end\",\"id\":\"2\"}\n", START);
    assert_eq!(tool(&pane).as_deref(), Some("bash"));
    pane.feed(b"{\"type\":\"agent_end\"}\n", START);
    assert_eq!(tool(&pane), None);
}

/// What a session is made of.
fn conversation(runtime: Runtime, lines: &[&str]) -> Vec<Change> {
    let changes = pane(runtime).feed((lines.join("\n") + "\n").as_bytes(), START);
    let is_said = |change: &Change| {
        matches!(
            change,
            Change::Said(_) | Change::Called { .. } | Change::Returned { .. } | Change::Used(_)
        )
    };
    changes.into_iter().filter(is_said).collect()
}

#[test]
fn what_is_said_called_and_returned_is_told_once_and_in_whole() {
    let called = |arguments: &str| Change::Called {
        tool: "read".to_owned(),
        arguments: arguments.to_owned(),
    };
    let returned = Change::Returned {
        tool: "read".to_owned(),
        text: "hello\n".to_owned(),
    };
    let said = Change::Said("Let me look.".to_owned());
    let zot = conversation(
        Runtime::Zot,
        &[
            r#"{"type":"turn_start"}"#,
            r#"{"type":"tool_use_start","id":"t","name":"read"}"#,
            r#"{"type":"assistant_message","content":[{"type":"text","text":"Let me look."}]}"#,
            r#"{"type":"tool_call","id":"t","name":"read","args":{"path":"n"}}"#,
            r#"{"type":"tool_result","id":"t","content":[{"type":"text","text":"hello\n"}]}"#,
        ],
    );
    let expected = [said.clone(), called(r#"{"path":"n"}"#), returned.clone()];
    assert_eq!(zot, expected);
    let pi = conversation(
        Runtime::Pi,
        &[
            r#"{"type":"agent_start"}"#,
            r#"{"type":"message_end","message":{"role":"user","content":[{"type":"text","text":"Hi"}]}}"#,
            r#"{"type":"message_end","message":{"role":"assistant","content":[{"type":"text","text":"Let me look."}]}}"#,
            r#"{"type":"tool_execution_start","toolCallId":"t","toolName":"read","args":{"path":"n"}}"#,
            r#"{"type":"tool_execution_end","toolCallId":"t","toolName":"read","result":{"content":[{"type":"text","text":"hello\n"}]}}"#,
        ],
    );
    assert_eq!(pi, expected);
    let local = conversation(
        Runtime::Local,
        &[
            r#"{"type":"tool_execution_start","id":"t","tool":"read"}"#,
            r#"{"type":"tool_execution_end","id":"t","result":"hello\n"}"#,
            r#"{"type":"tool_execution_end","id":"u","result":"of a tool nobody called"}"#,
            r#"{"type":"message_end","text":"Let me look."}"#,
        ],
    );
    assert_eq!(local, [called(""), returned, said]);
}

/// Lines that mean something, whole and broken.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    const KINDS: [&str; 28] = [
        "agent_start",
        "agent_end",
        "agent_settled",
        "turn_start",
        "turn_end",
        "message_start",
        "message_update",
        "message_end",
        "tool_execution_start",
        "tool_execution_end",
        "auto_retry_start",
        "auto_retry_end",
        "compaction_start",
        "compaction_end",
        "extension_ui_request",
        "response",
        "blocked",
        "unblocked",
        "error",
        "usage",
        "done",
        "text_delta",
        "tool_call",
        "tool_result",
        "assistant_message",
        "assistant_start",
        "session",
        "of-the-future",
    ];
    const FIELDS: [&str; 17] = [
        r#""willRetry":true"#,
        r#""willRetry":false"#,
        r#""willRetry":[]"#,
        r#""stop":"error""#,
        r#""error":"why""#,
        r#""id":"1""#,
        r#""method":"confirm","timeout":1000"#,
        r#""method":"select","options":["a","b"]"#,
        r#""toolCallId":"1","toolName":"read","name":"read""#,
        r#""delta":"so\u001b[2J""#,
        r#""message":{"role":"assistant","stopReason":"error","errorMessage":"no"}"#,
        r#""message":{"role":"assistant","stopReason":"stop","usage":{"input":3,"cost":{"total":1e300}}}"#,
        r#""input":7,"output":-1,"cost_usd":0.25"#,
        r#""command":"prompt","success":false"#,
        r#""success":false,"finalError":"no more""#,
        r#""aborted":true"#,
        r#""content":[{"type":"text","text":"ä"}]"#,
    ];
    let kind = proptest::sample::select(KINDS.to_vec());
    let fields = proptest::collection::vec(proptest::sample::select(FIELDS.to_vec()), 0..3);
    let event = (kind, fields).prop_map(|(kind, fields)| {
        let mut line = format!("{{\"type\":\"{kind}\"");
        for field in fields {
            line.push(',');
            line.push_str(field);
        }
        line.push_str("}\n");
        line.into_bytes()
    });
    prop_oneof![
        8 => event,
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

/// Whether what is kept is as short as it is promised to be.
fn is_bounded(pane: &Pane, now: Timestamp) -> bool {
    let seen = pane.snapshot(now);
    pane.tools.len() <= MOST
        && pane.questions.len() <= MOST
        && seen.text.len() <= 4096
        && seen.reason.is_none_or(|reason| reason.len() < 2000)
        && seen.choices.len() <= MOST
        && !seen.text.contains('\u{1b}')
}

proptest! {
    #[test]
    fn whatever_comes_cutting_it_elsewhere_changes_nothing(
        runtime in proptest::sample::select(Runtime::ALL.to_vec()),
        lines in proptest::collection::vec(any_line(), 0..60),
        size in 1usize..50,
    ) {
        let stream = lines.concat();
        let (mut whole, mut cut) = (pane(runtime), pane(runtime));
        let expected = whole.feed(&stream, START);
        let mut changes = Vec::new();
        for piece in stream.chunks(size) {
            changes.extend(cut.feed(piece, START));
        }
        prop_assert_eq!(changes, expected);
        prop_assert_eq!(cut.snapshot(START), whole.snapshot(START));
        prop_assert!(is_bounded(&whole, START));
        prop_assert_eq!(cut.ended(End::Asked, START), whole.ended(End::Asked, START));
    }

    #[test]
    fn the_state_is_the_sum_of_its_changes_and_waking_comes_to_an_end(
        runtime in proptest::sample::select(Runtime::ALL.to_vec()),
        lines in proptest::collection::vec((any_line(), 0i64..20), 0..60),
        end in prop_oneof![Just(End::Asked), Just(End::Code(0)), Just(End::Signal(9))],
    ) {
        let mut pane = pane(runtime);
        let (mut now, mut changes) = (0, Vec::new());
        for (line, later) in lines {
            now += later;
            changes.extend(pane.feed(&line, at(now)));
        }
        let mut wakes = 0;
        while let Some(next) = pane.wakes_at() {
            changes.extend(pane.tick(next.max(at(now))));
            wakes += 1;
            prop_assert!(wakes <= MOST + 3, "it never rests");
        }
        let (mut state, mut used) = (PaneState::Idle, Usage::default());
        for change in &changes {
            match change {
                Change::State { from, to } => {
                    prop_assert_eq!(*from, state);
                    prop_assert_ne!(from, to);
                    state = *to;
                }
                Change::Used(more) => used += *more,
                _ => {}
            }
        }
        prop_assert_eq!(state, pane.state());
        prop_assert_eq!(used, pane.snapshot(at(now)).usage);
        pane.ended(end, at(now));
        prop_assert!(matches!(
            pane.state(),
            PaneState::Idle | PaneState::Done | PaneState::Error
        ));
        prop_assert_eq!(pane.wakes_at(), None);
    }
}

#[test]
fn a_call_that_failed_for_now_is_told_from_one_that_failed_for_good() {
    let failed = |runtime, lines: &str| {
        let mut pane = pane(runtime);
        let mut changes = pane.feed(lines.as_bytes(), START);
        changes.extend(pane.tick(at(60)));
        let told = changes.into_iter().find_map(|change| match change {
            Change::Failed { may_pass, .. } => Some(may_pass),
            _ => None,
        });
        told.unwrap()
    };
    let pi = |message: &str| {
        let answer = format!(
            r#"{{"type":"message_end","message":{{"role":"assistant","content":[],"stopReason":"error","errorMessage":"{message}"}}}}"#
        );
        let lines = [
            r#"{"type":"agent_start"}"#,
            &answer,
            r#"{"type":"agent_end"}"#,
        ];
        failed(Runtime::Pi, &format!("{}\n", lines.join("\n")))
    };
    assert!(pi("503 no capacity"));
    assert!(!pi("401 no such key"));
    let local = |end: &str| {
        failed(
            Runtime::Local,
            &format!("{{\"type\":\"agent_start\"}}\n{end}\n"),
        )
    };
    assert!(local(r#"{"type":"agent_end","outage":"no model"}"#));
    // What an agent says of its work is no matter of words.
    assert!(!local(r#"{"type":"agent_end","error":"503 timeout"}"#));
}
