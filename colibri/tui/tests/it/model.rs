//! What keys, messages and the clock lead to.

use colibri_protocol::{
    Answer, Change, Command, DismissPane, ListTasks, RemoveJob, RetryTask, Snapshot, StopAgent,
    TaskPage, TaskStatus,
};
use colibri_tui::model::{Ask, Heard, Link, Model, Over, Part, Press, Question, View, Wish};
use jiff::{SignedDuration, Timestamp};

use crate::board::{self, full, lose, now, press};

fn loads(wishes: &[Wish]) -> Vec<Part> {
    let part = |wish: &Wish| match wish {
        Wish::Ask(Ask::Load(part)) => Some(part.clone()),
        _ => None,
    };
    wishes.iter().filter_map(part).collect()
}

fn deeds(wishes: &[Wish]) -> Vec<Command> {
    let deed = |wish: &Wish| match wish {
        Wish::Ask(Ask::Do(deed)) => Some(deed.command.clone()),
        _ => None,
    };
    wishes.iter().filter_map(deed).collect()
}

fn agent(model: &Model) -> &str {
    model.pane().map_or("", |pane| pane.agent.as_str())
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

#[test]
fn the_selection_stays_with_its_line_wherever_that_goes() {
    let mut model = full();
    press(&mut model, "jj");
    assert_eq!(agent(&model), "berta");
    let hear = |model: &mut Model, from: usize| {
        let panes = board::snapshot().panes.split_off(from);
        model.hear(Heard::Panes(Snapshot {
            at: now(),
            panes,
            attention: 0,
        }));
    };
    hear(&mut model, 2);
    assert_eq!((agent(&model), model.selected()), ("berta", 0));
    // It is gone: what took its place is selected.
    hear(&mut model, 4);
    assert_eq!(agent(&model), "dora");
    hear(&mut model, 6);
    assert_eq!(model.pane(), None);
}

#[test]
fn n_goes_round_all_that_need_somebody_and_comes_from_any_view() {
    let mut model = full();
    let mut seen = Vec::new();
    for _ in 0..4 {
        press(&mut model, "n");
        seen.push(agent(&model).to_owned());
    }
    assert_eq!(seen, ["anna", "berta", "carl", "anna"]);
    press(&mut model, "N");
    assert_eq!(agent(&model), "carl");
    // From another view the one that is selected counts, too.
    press(&mut model, "5n");
    assert_eq!((model.view(), agent(&model)), (View::Panes, "carl"));
    let calm = board::snapshot().panes.split_off(4);
    model.hear(Heard::Panes(Snapshot {
        at: now(),
        panes: calm,
        attention: 0,
    }));
    press(&mut model, "5n");
    assert_eq!(model.view(), View::Cost);
    assert_eq!(model.note(), Some("No pane needs attention."));
}

#[test]
fn a_change_asks_for_its_list_and_a_strange_one_for_nothing() {
    let mut model = full();
    let pane = Change::Pane {
        agent: "ada".parse().unwrap(),
        state: colibri_protocol::PaneState::Done,
    };
    assert_eq!(loads(&model.hear(Heard::Change(pane))), [Part::Panes]);
    assert!(model.hear(Heard::Change(Change::Unknown)).is_empty());
    let lagged = Change::Lagged { missed: 3 };
    assert_eq!(loads(&model.hear(Heard::Change(lagged))).len(), 6);
    assert_eq!(loads(&press(&mut model, "R")).len(), 6);
    let task = |id| Change::Task {
        task_id: id,
        title: "t".to_owned(),
        status: TaskStatus::Done,
        agent_id: None,
    };
    let shown = board::details().task.id;
    press(&mut model, "2jj<enter>");
    let wishes = loads(&model.hear(Heard::Change(task(shown))));
    assert!(wishes.contains(&Part::Task(shown)), "{wishes:?}");
    let other = board::tasks().tasks[0].id;
    let wishes = loads(&model.hear(Heard::Change(task(other))));
    assert!(!wishes.contains(&Part::Task(shown)), "{wishes:?}");
}

#[test]
fn tasks_of_an_older_filter_are_not_shown() {
    let mut model = full();
    model.press(Press::Char('2'));
    let wishes = model.press(Press::Char('f'));
    let asked = &loads(&wishes)[0];
    assert!(model.tasks().is_empty() && !model.is_loaded());
    let which = ListTasks {
        limit: Some(100),
        ..ListTasks::default()
    };
    let page = board::tasks();
    model.hear(Heard::Tasks { which, page });
    assert!(model.tasks().is_empty(), "they are of before");
    let Part::Tasks(which) = asked.clone() else {
        panic!("{asked:?}")
    };
    assert_eq!(which.status, Some(TaskStatus::Queued));
    let page = board::page(&which);
    model.hear(Heard::Tasks { which, page });
    assert_eq!(model.tasks().len(), 3);
    press(&mut model, "/JAILS");
    assert_eq!(model.tasks().len(), 1);
    press(&mut model, "<esc>");
    assert_eq!(model.tasks().len(), 3);
    press(&mut model, "<esc>");
    assert_eq!((model.tasks().len(), model.task_status()), (8, None));
}

#[test]
fn more_tasks_are_asked_for_until_there_may_be_no_more() {
    let mut model = full();
    press(&mut model, "2");
    let mut limits = Vec::new();
    for _ in 0..4 {
        if let Some(Part::Tasks(which)) = loads(&press(&mut model, "+")).first() {
            limits.extend(which.limit);
        }
    }
    assert_eq!(limits, [200, 400, 500, 500]);
}

#[test]
fn a_form_stays_until_the_daemon_has_agreed() {
    let mut model = full();
    let wishes = press(&mut model, "pHello<enter>");
    assert!(
        matches!(&deeds(&wishes)[..], [Command::SendPrompt(prompt)] if prompt.message == "Hello")
    );
    // It waits; nothing is sent twice.
    assert!(press(&mut model, "!<enter>").is_empty());
    let refuse = |model: &mut Model, ticket| {
        let outcome = Err("it is not running".to_owned());
        model.hear(Heard::Done { ticket, outcome });
    };
    // Of something else: not this form's answer.
    refuse(&mut model, 77);
    assert_eq!(model.note(), Some("Not done: it is not running"));
    refuse(&mut model, 1);
    let Over::Form(form) = model.over() else {
        panic!("{:?}", model.over())
    };
    assert_eq!(form.fields()[0].text(), "Hello");
    assert_eq!(form.fault.as_deref(), Some("it is not running"));
    assert_eq!(deeds(&press(&mut model, "?<enter>")).len(), 1);
    model.hear(Heard::Done {
        ticket: 2,
        outcome: Ok("ada is asked.".to_owned()),
    });
    assert_eq!(model.over(), &Over::Nothing);
    assert_eq!(model.note(), Some("ada is asked."));
}

#[test]
fn whatever_is_wrong_is_not_sent() {
    let mut model = full();
    assert!(press(&mut model, "p<enter>").is_empty());
    assert!(press(&mut model, "<esc>s<enter>").is_empty());
    assert!(matches!(model.over(), Over::Form(form) if form.fault.is_some()));
    // `q` is a letter there.
    assert!(press(&mut model, "q").is_empty());
    assert_eq!(model.press(Press::Quit), [Wish::Quit]);
}

#[test]
fn an_agent_is_stopped_only_by_a_yes() {
    let mut model = full();
    assert!(press(&mut model, "x<enter> q").is_empty());
    assert!(matches!(model.over(), Over::Question(Question::Stop(_))));
    assert!(press(&mut model, "n").is_empty());
    assert_eq!(model.over(), &Over::Nothing);
    let agent = "ada".parse().unwrap();
    assert_eq!(
        deeds(&press(&mut model, "xy")),
        [Command::StopAgent(StopAgent { agent })]
    );
}

#[test]
fn a_pane_is_dismissed_only_by_a_yes_and_only_when_its_agent_has_ended() {
    let mut model = full();
    assert!(press(&mut model, "d").is_empty());
    assert_eq!(model.note(), Some("Its agent runs; x stops it."));
    assert_eq!(model.over(), &Over::Nothing);
    assert!(press(&mut model, "nd<enter> ").is_empty());
    assert!(matches!(model.over(), Over::Question(Question::Dismiss(_))));
    let agent = "anna".parse().unwrap();
    assert_eq!(
        deeds(&press(&mut model, "y")),
        [Command::DismissPane(DismissPane { agent })]
    );
    let agent = "anna".parse().unwrap();
    let gone = Change::PaneDismissed { agent };
    assert_eq!(loads(&model.hear(Heard::Change(gone))), [Part::Panes]);
}

#[test]
fn a_blocked_agent_is_answered_to_the_question_that_was_shown() {
    let mut model = full();
    assert!(press(&mut model, "r").is_empty());
    assert_eq!(model.note(), Some("ada asks nothing; p asks it something."));
    let given = |wishes: &[Wish]| match &deeds(wishes)[..] {
        [Command::AnswerAgent(given)] => {
            let question = given.question.as_deref();
            assert_eq!((given.agent.as_str(), question), ("berta", Some("q-7")));
            given.answer.clone()
        }
        other => panic!("{other:?}"),
    };
    assert!(press(&mut model, "nnr<enter>").is_empty(), "out of habit");
    let typed = given(&press(&mut model, "Yes, today<enter>"));
    assert_eq!(typed, Answer::Text("Yes, today".to_owned()));
    model.hear(Heard::Done {
        ticket: 1,
        outcome: Err("agent berta does not wait for the answer to that".to_owned()),
    });
    assert!(matches!(model.over(), Over::Form(form) if form.fault.is_some()));
    // Letters are none of the choices.
    let chosen = given(&press(&mut model, "<esc>r<right>x<right><enter>"));
    assert_eq!(chosen, Answer::Text("Always".to_owned()));
    model.hear(Heard::Done {
        ticket: 2,
        outcome: Ok("berta is answered.".to_owned()),
    });
    assert_eq!(model.over(), &Over::Nothing);
    let none = given(&press(&mut model, "<enter>r<left><enter>"));
    assert_eq!(none, Answer::Cancelled, "from its details, too");
}

#[test]
fn a_task_is_tried_again_only_by_a_yes_and_only_when_it_has_ended_or_waits() {
    let mut model = full();
    let retry = |at: usize| {
        let task_id = board::tasks().tasks[at].id;
        [Command::RetryTask(RetryTask { task_id })]
    };
    for (keys, status) in [("2r", "queued"), ("jjr", "started"), ("<end>kr", "done")] {
        assert!(press(&mut model, keys).is_empty());
        assert_eq!(model.over(), &Over::Nothing);
        let note = model.note().unwrap();
        assert!(note.ends_with(&format!("is {status}.")), "{note}");
    }
    assert!(press(&mut model, "kr<enter> ").is_empty());
    assert!(matches!(
        model.over(),
        Over::Question(Question::Retry { waits: false, .. })
    ));
    assert!(press(&mut model, "n").is_empty());
    assert_eq!(model.over(), &Over::Nothing);
    assert_eq!(deeds(&press(&mut model, "ry")), retry(5));
    assert_eq!(deeds(&press(&mut model, "kry")), retry(4));
    press(&mut model, "<end>r");
    assert!(matches!(
        model.over(),
        Over::Question(Question::Retry { waits: true, .. })
    ));
    assert_eq!(deeds(&press(&mut model, "y")), retry(7));
}

#[test]
fn a_click_selects_what_is_drawn_there() {
    let mut model = full();
    let drawn = |model: &Model| {
        crate::screens::buffer(model, (80, 24), clawdie_terminal::Look::PLAIN);
    };
    let click = |model: &mut Model, column, row| model.press(Press::Click { column, row });
    assert!(click(&mut model, 5, 5).is_empty());
    assert_eq!(agent(&model), "ada", "nothing is drawn yet");
    drawn(&model);
    // Above the lines are the head, the frame and the heading.
    click(&mut model, 5, 4);
    assert_eq!(agent(&model), "anna");
    click(&mut model, 5, 2);
    click(&mut model, 5, 20);
    assert_eq!((agent(&model), model.over()), ("anna", &Over::Nothing));
    click(&mut model, 5, 4);
    assert_eq!(model.over(), &Over::Details(0));
    drawn(&model);
    click(&mut model, 5, 5);
    assert_eq!(model.over(), &Over::Details(0), "details take no clicks");
    press(&mut model, "<esc>");
    drawn(&model);
    // ` atlas [1 Panes !3] 2 Tasks `
    click(&mut model, 22, 0);
    assert_eq!(model.view(), View::Tasks);
    // A list that is longer than its window has moved.
    press(&mut model, "<end>");
    crate::screens::buffer(&model, (80, 10), clawdie_terminal::Look::PLAIN);
    click(&mut model, 5, 3);
    let first = model.selected();
    assert!(first > 0 && first < 6, "{first}");
}

#[test]
fn a_log_is_followed_at_its_end_and_stands_still_further_up() {
    let log_of = |name: &str| Part::Log(name.parse().unwrap());
    let mut model = full();
    assert_eq!(loads(&press(&mut model, "nl")), [log_of("anna")]);
    assert_eq!(model.log(), Some(&board::log()));
    let wishes = loads(&model.tick(later(2)));
    assert_eq!(wishes, [Part::Panes, log_of("anna")]);
    let ended = Change::Pane {
        agent: "anna".parse().unwrap(),
        state: colibri_protocol::PaneState::Error,
    };
    let wishes = loads(&model.hear(Heard::Change(ended)));
    assert_eq!(wishes, [Part::Panes, log_of("anna")]);

    // Where it is drawn it is known how far it goes.
    crate::screens::buffer(&model, (80, 24), clawdie_terminal::Look::PLAIN);
    assert!(press(&mut model, "<up>").is_empty());
    assert_eq!(loads(&model.tick(later(4))), [Part::Panes]);
    let late = board::log().lines.split_off(30);
    model.hear(Heard::Log {
        agent: "anna".parse().unwrap(),
        log: colibri_protocol::LogLines {
            lines: late,
            ..board::log()
        },
    });
    assert_eq!(model.log(), Some(&board::log()), "it must not move");
    assert_eq!(loads(&press(&mut model, "<end>")), [log_of("anna")]);
    press(&mut model, "<esc>");
    assert_eq!((model.over(), model.log()), (&Over::Nothing, None));
    // Of another agent nothing is shown that is not its own.
    press(&mut model, "n");
    model.press(Press::Char('l'));
    assert_eq!(model.log(), None);
}

#[test]
fn a_task_is_called_off_only_by_a_yes() {
    let mut model = full();
    assert!(press(&mut model, "2jjx<enter>").is_empty());
    let wishes = press(&mut model, "<right><enter>");
    assert!(matches!(&deeds(&wishes)[..], [Command::CancelTask(_)]));
}

#[test]
fn only_what_can_be_done_is_offered() {
    let mut model = full();
    // Nobody can `gpu`.
    press(&mut model, "2t");
    assert_eq!(
        model.note(),
        Some("No agent has all capabilities that this task needs.")
    );
    press(&mut model, "jjt");
    assert!(model.note().unwrap().contains("this one is started"));
    press(&mut model, "<end>t");
    let waits = "It waits for its next attempt; r has it tried now.";
    assert_eq!(model.note(), Some(waits));
    press(&mut model, "kx");
    assert_eq!(model.note(), Some("This task has ended: it is done."));
    model.hear(Heard::Tasks {
        which: ListTasks {
            limit: Some(100),
            ..ListTasks::default()
        },
        page: TaskPage {
            tasks: Vec::new(),
            next: None,
        },
    });
    for key in ["t", "x", "r", "<enter>"] {
        assert!(press(&mut model, key).is_empty());
        assert_eq!(model.over(), &Over::Nothing, "{key}");
    }
}

#[test]
fn time_asks_for_what_no_change_tells() {
    let mut model = full();
    assert!(model.tick(later(1)).is_empty());
    assert_eq!(loads(&model.tick(later(2))), [Part::Panes]);
    assert!(model.tick(later(3)).is_empty());
    press(&mut model, "2");
    assert!(model.tick(later(20)).is_empty(), "nobody looks at panes");
    assert_eq!(loads(&model.tick(later(30))).len(), 6);
    // The clock was set back by a day.
    assert_eq!(loads(&model.tick(later(-86_400))).len(), 6);
    lose(&mut model);
    assert!(model.tick(later(900)).is_empty(), "nobody would answer");
    model.hear(Heard::Failed {
        part: Part::Panes,
        why: "x".to_owned(),
    });
    assert_eq!(model.note(), None, "that is known already");
    assert!(matches!(model.link(), Link::Lost { .. }));
}

#[test]
fn a_job_is_shown_with_its_last_result_and_removed_only_by_a_yes() {
    let mut model = full();
    press(&mut model, "4j");
    let job = model.job().expect("a job").clone();
    assert_eq!((model.view(), job.name.as_str()), (View::Jobs, "nightly"));
    let newest = model.newest_of(&job).map(|task| task.status);
    assert_eq!(newest, Some(TaskStatus::Failed));
    let never_ran = &model.jobs()[0];
    assert_eq!(model.newest_of(never_ran), None);
    // Among those of another status its newest is not to be found.
    press(&mut model, "2F4");
    assert_eq!(model.newest_of(&job), None);
    press(&mut model, "2<esc>4");
    assert!(press(&mut model, "x<enter>").is_empty());
    let name = job.name.clone();
    assert_eq!(
        deeds(&press(&mut model, "y")),
        [Command::RemoveJob(RemoveJob { name })]
    );
    let gone = Change::Job { name: job.name };
    assert_eq!(loads(&model.hear(Heard::Change(gone))), [Part::Jobs]);
    press(&mut model, "<enter>");
    assert_eq!(model.over(), &Over::Details(0));
}

#[test]
fn a_tenant_is_provisioned_at_once_and_removed_only_by_a_yes() {
    let mut model = full();
    press(&mut model, "6j");
    assert_eq!(model.view(), View::Tenants);
    let tenant_id = model.tenant().expect("a tenant").tenant_id.clone();
    assert_eq!(tenant_id.as_str(), "mila");
    let provision = Command::ProvisionTenant(colibri_protocol::OneTenant {
        tenant_id: tenant_id.clone(),
    });
    assert_eq!(deeds(&press(&mut model, "p")), [provision]);
    assert!(model.note().unwrap().contains("mila is being provisioned"));
    assert!(press(&mut model, "x<enter>").is_empty());
    assert!(press(&mut model, "n").is_empty());
    match &deeds(&press(&mut model, "xy"))[..] {
        [Command::RemoveTenant(remove)] => {
            assert_eq!(remove.tenant_id, tenant_id);
            let kept = colibri_protocol::Removal::Archive;
            assert_eq!((remove.removal, remove.dry_run), (kept, false));
        }
        other => panic!("{other:?}"),
    }
    let gone = Change::Tenant {
        tenant_id,
        status: None,
    };
    assert_eq!(loads(&model.hear(Heard::Change(gone))), [Part::Tenants]);
    model.hear(Heard::Tenants(Vec::new()));
    for key in ["p", "x", "<enter>"] {
        assert!(press(&mut model, key).is_empty());
        assert_eq!(model.over(), &Over::Nothing, "{key}");
    }
}

#[test]
fn cost_is_summed_by_agent_with_and_without_a_pane() {
    let mut model = full();
    press(&mut model, "5");
    let costs = model.costs();
    let of = |name: &str| {
        let cost = costs.iter().find(|cost| cost.agent == name).unwrap();
        (
            cost.pane.cost_usd.to_string(),
            cost.tasks.cost_usd.to_string(),
        )
    };
    assert_eq!(of("ada"), ("$0.0815".to_owned(), "$0.0211".to_owned()));
    assert_eq!(of("dora"), ("$0.0815".to_owned(), "$1.25".to_owned()));
    assert_eq!(of("emil").0, "$0.0000");
}
