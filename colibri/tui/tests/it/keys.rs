//! No sequence of keys, messages and sizes makes it panic.

use clawdie_terminal::Look;
use colibri_protocol::{Change, Snapshot, TaskPage};
use colibri_tui::model::{Heard, Model, Press};
use proptest::prelude::*;

use crate::board::{full, grant, lose, now};
use crate::screens::buffer;

#[derive(Debug, Clone)]
enum Step {
    Press(Press),
    /// The panes that are left, by number.
    Panes(Vec<usize>),
    /// As many tasks as these.
    Tasks(usize),
    NoAgents,
    Lost,
    Back,
    Refused(u64),
    Done(u64),
    Later(i64),
    Size(u16, u16),
}

fn any_press() -> impl Strategy<Value = Press> {
    let named = vec![
        Press::Enter,
        Press::Escape,
        Press::Tab,
        Press::BackTab,
        Press::Up,
        Press::Down,
        Press::Left,
        Press::Right,
        Press::PageUp,
        Press::PageDown,
        Press::Home,
        Press::End,
        Press::Backspace,
        Press::Delete,
        Press::Clear,
        Press::Quit,
    ];
    prop_oneof![
        3 => proptest::sample::select(named),
        4 => proptest::sample::select("qjkgGnNRrm?12345spxldactfF/+yY ".chars().collect::<Vec<_>>())
            .prop_map(Press::Char),
        1 => any::<char>().prop_map(Press::Char),
        2 => (0u16..160, 0u16..50).prop_map(|(column, row)| Press::Click { column, row }),
        1 => "[a-zž漢\n\t /]{0,200}".prop_map(Press::Paste),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_press().prop_map(Step::Press),
        1 => proptest::collection::vec(0usize..6, 0..8).prop_map(Step::Panes),
        1 => (0usize..9).prop_map(Step::Tasks),
        1 => Just(Step::NoAgents),
        1 => Just(Step::Lost),
        1 => Just(Step::Back),
        1 => (0u64..4).prop_map(Step::Refused),
        1 => (0u64..4).prop_map(Step::Done),
        1 => (-100_000i64..100_000).prop_map(Step::Later),
        1 => (1u16..160, 1u16..50).prop_map(|(columns, rows)| Step::Size(columns, rows)),
    ]
}

fn take(model: &mut Model, step: Step) {
    let wishes = match step {
        Step::Press(press) => model.press(press),
        Step::Panes(which) => {
            let all = crate::board::snapshot().panes;
            let panes = which.into_iter().map(|at| all[at].clone()).collect();
            model.hear(Heard::Panes(Snapshot {
                at: now(),
                panes,
                attention: 0,
            }))
        }
        Step::Tasks(count) => {
            let which = colibri_protocol::ListTasks {
                limit: Some(100),
                ..Default::default()
            };
            let mut tasks = crate::board::tasks().tasks;
            tasks.truncate(count);
            let page = TaskPage { tasks, next: None };
            model.hear(Heard::Tasks { which, page })
        }
        Step::NoAgents => model.hear(Heard::Agents(Vec::new())),
        Step::Lost => {
            lose(model);
            Vec::new()
        }
        Step::Back => model.hear(Heard::Change(Change::Subscribed)),
        Step::Refused(ticket) => model.hear(Heard::Done {
            ticket,
            outcome: Err("`name` is taken".to_owned()),
        }),
        Step::Done(ticket) => model.hear(Heard::Done {
            ticket,
            outcome: Ok("Done.".to_owned()),
        }),
        Step::Later(seconds) => {
            let then = model.now().as_second() + seconds;
            model.tick(jiff::Timestamp::from_second(then).expect("a time"))
        }
        Step::Size(..) => Vec::new(),
    };
    grant(model, wishes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_makes_it_panic(steps in proptest::collection::vec(any_step(), 0..60)) {
        let mut model = full();
        let mut size = (80, 24);
        for (number, step) in steps.into_iter().enumerate() {
            if let Step::Size(columns, rows) = step {
                size = (columns, rows);
            }
            take(&mut model, step);
            // Drawing is what takes time where nothing is optimised.
            if number % 5 == 0 {
                buffer(&model, size, Look::PLAIN);
            }
        }
        buffer(&model, size, Look::PLAIN);
    }
}
