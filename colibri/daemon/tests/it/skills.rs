//! The folder of skills, followed by a running daemon.

use colibri_protocol::{Command, Paging, RegisterSkill, Skill, SkillPage};
use nix::sys::signal::Signal;

use crate::harness::Home;

fn put(home: &Home, path: &str, name: &str) {
    let path = home.path("data/skills").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = format!("---\nname: {name}\ndescription: About {name}\n---\n");
    std::fs::write(path, text).unwrap();
}

fn page(home: &Home, paging: Paging) -> SkillPage {
    home.client().ask(Command::ListSkills(paging)).unwrap()
}

fn names(page: &SkillPage) -> Vec<&str> {
    page.skills
        .iter()
        .map(|skill| skill.name.as_str())
        .collect()
}

#[test]
fn skills_come_and_go_with_their_files_and_faults_are_told() {
    let home = Home::new();
    put(&home, "git/SKILL.md", "git");
    put(&home, "SKILL.md", "lost");
    let daemon = home.start(&[]);
    let misplaced = home.path("data/skills/SKILL.md");
    assert!(
        home.log().contains("is in the wrong place"),
        "{}",
        home.log()
    );

    let first = page(&home, Paging::default());
    assert_eq!(names(&first), ["git"]);
    assert_eq!(first.folder, Some(home.path("data/skills")));
    assert_eq!(first.findings.len(), 1, "{:?}", first.findings);
    assert_eq!(first.findings[0].path, misplaced.to_str().unwrap());

    // As the daemon runs on, and over two pages.
    std::fs::remove_file(misplaced).unwrap();
    put(&home, "vault/SKILL.md", "vault");
    let first = page(
        &home,
        Paging {
            limit: Some(1),
            after: None,
        },
    );
    assert_eq!((names(&first), first.findings.len()), (vec!["git"], 0));
    let second = page(
        &home,
        Paging {
            limit: None,
            after: first.next,
        },
    );
    assert_eq!(names(&second), ["vault"]);

    // What somebody registered stays, and the file of that name is told of.
    let new = RegisterSkill {
        name: "git".parse().unwrap(),
        description: "By hand".to_owned(),
        path: None,
    };
    let _: Skill = home.client().ask(Command::RegisterSkill(new)).unwrap();
    std::fs::remove_dir_all(home.path("data/skills/vault")).unwrap();
    let left = page(&home, Paging::default());
    assert_eq!(names(&left), ["git"]);
    assert_eq!(left.skills[0].description, "By hand");
    let problem = &left.findings[0].problem;
    assert!(problem.starts_with("is not in the catalogue"), "{problem}");
    daemon.stop(Signal::SIGTERM);
}
