//! What a keeper does with its agent's work when it does not go as planned.

use colibri_protocol::client::ClientError;
use colibri_protocol::{
    Answer, AnswerAgent, Command, ErrorKind, PaneSnapshot, PaneState, RetryTask, Runtime,
    SpawnAgent, Task, TaskStatus, TransitionTask,
};
use nix::sys::signal::Signal;

use crate::agents::{
    cancel, create, pane, prompt, refusal, spawn, spawning, stands, stop, wait, works,
};
use crate::board::details;
use crate::harness::{Home, LONG};

/// What the test agent says that one run took, in tokens of input.
const ONE_RUN: u64 = 100;

#[test]
fn what_a_task_took_is_kept_though_it_is_called_off_or_the_daemon_is_killed() {
    let home = Home::new();
    let mut daemon = home.start(&[]);
    // It says what it took two seconds before its end, and again when it is called off.
    let slow = ["--rpc", "--step-ms", "1000", "--emit-usage"];
    spawn(&home, spawning("ada", &slow)).unwrap();
    let called_off = create(&home, "Task 1");
    stands(&home, &called_off, TaskStatus::Started, LONG);
    works(&home, "ada");
    cancel(&home, &called_off);
    let booked = |task: &Task| {
        wait("its cost", LONG, || {
            let task = details(&home, task.id).task;
            (task.usage.input > 0).then_some(task)
        })
    };
    let task = booked(&called_off);
    assert_eq!(
        (task.status, task.usage.input),
        (TaskStatus::Cancelled, ONE_RUN)
    );

    let cut_off = create(&home, "Task 2");
    let task = booked(&cut_off);
    assert_eq!(
        (task.status, task.usage.input),
        (TaskStatus::Started, ONE_RUN)
    );
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    let _daemon = home.start(&[]);
    let task = details(&home, cut_off.id).task;
    assert_eq!(
        (task.status, task.usage.input),
        (TaskStatus::Queued, ONE_RUN)
    );

    // Not a second time at the end.
    spawn(&home, spawning("ada", &["--rpc", "--step-ms", "1"])).unwrap();
    let done = stands(&home, &cut_off, TaskStatus::Done, LONG).task;
    assert_eq!(done.usage.input, ONE_RUN);
}

#[test]
fn an_agent_stops_when_an_operator_moves_its_task_and_does_it_again_only_when_told() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    // Longer than the test: it ends only when it is called off.
    let slow = ["--rpc", "--step-ms", "600000"];
    spawn(&home, spawning("ada", &slow)).unwrap();
    let operator = |task: &Task, status| {
        let to = TransitionTask::to(task.id, status, None);
        let _: Task = home.client().ask(Command::TransitionTask(to)).unwrap();
    };

    let failed = create(&home, "Task 1");
    stands(&home, &failed, TaskStatus::Started, LONG);
    works(&home, "ada");
    operator(&failed, TaskStatus::Failed);
    wait("its end", LONG, || {
        (pane(&home, "ada").state == PaneState::Idle).then_some(())
    });

    let back = create(&home, "Task 2");
    stands(&home, &back, TaskStatus::Started, LONG);
    works(&home, "ada");
    operator(&back, TaskStatus::Queued);
    // It is free, and so is the task.
    let again = wait("the second attempt", LONG, || {
        let task = details(&home, back.id).task;
        (task.attempts == 2 && task.status == TaskStatus::Started).then_some(task)
    });
    assert_eq!(again.error, None);
    works(&home, "ada");
    assert_eq!(details(&home, failed.id).task.status, TaskStatus::Failed);
}

#[test]
fn what_failed_for_now_is_tried_again_after_a_pause_and_what_failed_when_an_operator_says_so() {
    let home = Home::new();
    // The pause is over before the next tick would be.
    let _daemon = home.start(&["--tick-seconds", "3600"]);
    let once = ["--rpc", "--step-ms", "1", "--outages", "1"];
    spawn(&home, spawning("ada", &once)).unwrap();
    let task = create(&home, "Task 1");
    let pausing = wait("the pause", LONG, || {
        let task = details(&home, task.id).task;
        task.not_before.is_some().then_some(task)
    });
    assert_eq!((pausing.status, pausing.attempts), (TaskStatus::Queued, 1));
    let parked = pausing.parked.unwrap();
    assert!(parked.contains("tried again at"), "{parked}");
    let error = pausing.error.unwrap();
    assert!(error.starts_with("attempt 1 of 3: 503"), "{error}");
    let done = stands(&home, &task, TaskStatus::Done, LONG);
    assert_eq!((done.task.attempts, done.task.error), (2, None));
    let again = done
        .events
        .iter()
        .rfind(|event| event.kind == "task-claimed");
    assert!(again.unwrap().at >= pausing.not_before.unwrap());
    stop(&home, "ada");

    spawn(
        &home,
        spawning("bob", &["--rpc", "--step-ms", "1", "--fail"]),
    )
    .unwrap();
    let task = create(&home, "Task 2");
    let failed = stands(&home, &task, TaskStatus::Failed, LONG).task;
    assert_eq!((failed.attempts, failed.not_before), (1, None));
    stop(&home, "bob");
    let retry = Command::RetryTask(RetryTask { task_id: task.id });
    let back: Task = home.client().ask(retry).unwrap();
    assert_eq!((back.status, back.attempts), (TaskStatus::Queued, 0));
    spawn(&home, spawning("eve", &["--rpc", "--step-ms", "1"])).unwrap();
    stands(&home, &task, TaskStatus::Done, LONG);
}

#[test]
fn a_blocked_agent_is_answered_and_works_on() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    let asking = ["--rpc", "--step-ms", "1", "--block"];
    spawn(&home, spawning("ada", &asking)).unwrap();
    let answer = |question: Option<&str>| -> Result<PaneSnapshot, ClientError> {
        let given = AnswerAgent {
            agent: "ada".parse().unwrap(),
            question: question.map(str::to_owned),
            answer: Answer::Confirmed(true),
        };
        home.client().ask(Command::AnswerAgent(given))
    };
    let refused = |question: Option<&str>| {
        let (kind, text) = refusal(answer(question));
        assert_eq!(kind, ErrorKind::Conflict);
        assert!(text.contains("does not wait"), "{text}");
    };
    refused(None);
    for question in [None, Some("q-1")] {
        let task = create(&home, "Look around");
        let blocked = wait("the question", LONG, || {
            Some(pane(&home, "ada")).filter(|pane| pane.state == PaneState::Blocked)
        });
        assert_eq!(blocked.question.as_deref(), Some("q-1"));
        assert_eq!(blocked.reason.as_deref(), Some("May I look?"));
        refused(Some("q-2"));
        assert_eq!(details(&home, task.id).task.status, TaskStatus::Started);
        let answered = answer(question).unwrap();
        assert_eq!(answered.question, None);
        stands(&home, &task, TaskStatus::Done, LONG);
    }
}

#[test]
fn a_pi_that_does_not_listen_gets_an_end_of_input_and_no_tasks() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    // As `pi --mode json` does, it begins when its input has ended.
    let deaf = SpawnAgent {
        runtime: Runtime::Pi,
        ..spawning(
            "ada",
            &["--until-eof", "--step-ms", "1", "--hold-secs", "600"],
        )
    };
    spawn(&home, deaf).unwrap();
    wait("its end", LONG, || {
        (pane(&home, "ada").state == PaneState::Done).then_some(())
    });
    let task = create(&home, "Read the note");
    let waits = details(&home, task.id).task;
    assert_eq!(waits.parked.as_deref(), Some("no agent takes tasks"));
    let (kind, _) = refusal(prompt(&home, "ada", "Hello"));
    assert_eq!(kind, ErrorKind::Conflict);
    spawn(&home, spawning("bob", &["--rpc", "--step-ms", "1"])).unwrap();
    let done = stands(&home, &task, TaskStatus::Done, LONG).task;
    assert_eq!(done.attempts, 1);
}

#[test]
fn an_agent_that_began_something_by_itself_gets_its_task_afterwards() {
    let home = Home::new();
    let _daemon = home.start(&[]);
    // Without --rpc it works at once, though nobody has asked it, and listens then.
    let eager = ["--step-ms", "200", "--hold-secs", "600", "--emit-usage"];
    spawn(&home, spawning("ada", &eager)).unwrap();
    works(&home, "ada");
    let task = create(&home, "Read the note");
    let done = stands(&home, &task, TaskStatus::Done, LONG).task;
    // Two runs, of which the second one is the task's.
    assert_eq!(pane(&home, "ada").usage.input, 2 * ONE_RUN);
    assert_eq!((done.usage.input, done.attempts), (ONE_RUN, 1));
}
