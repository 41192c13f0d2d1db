//! The wizard as an operator meets it: the program in a terminal (tmux), keys pressed, the screen read.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clawdie_terminal::tmux::Tmux;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clawdie-firstboot");
const TOKEN: &str = "7712345678:AACANARYx9Y8z7W6v5x9Y8z7W6v5abcdefg";
const BAD: &str = "OPENROUTER_API_KEY=sk-or-v1-CANARY0123456789abcdef0123456789abcdef\r\n\
                   TELEGRAM_BOT_TOKEN=<paste your bot's token here>\r\n\
                   TELEGRAM_ADMIN_ID=123456789\r\n\
                   ASSISTANT_NAME=Zoë\r\n\
                   # the one in the cellar\r\n";

/// Runs a shell command line in a terminal of 80 by 25; `$PROGRAM` and `$FILE` are set.
fn run(folder: &TempDir, setup: Option<&str>, command: &str) -> Tmux {
    let file = file(folder);
    if let Some(setup) = setup {
        std::fs::write(&file, setup).expect("written");
    }
    let variables = [("PROGRAM", Path::new(PROGRAM)), ("FILE", file.as_path())];
    let socket = folder.path().join("tmux");
    Tmux::run(socket, (80, 25), &variables, command)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("setup.txt")
}

/// Goes to the way out, and to the button beside it.
fn push_save(terminal: &Tmux) {
    terminal.press(&["Escape"]);
    // Esc and an arrow at once would be one key.
    terminal.wait_for(&["Nothing is saved yet"]);
    terminal.press(&["Left"]);
    terminal.wait_for(&[">[ Save ]<"]);
    terminal.press(&["Enter"]);
}

/// Text without line breaks, frames and repeated blanks.
fn flat(text: &str) -> String {
    let words = text.split(|letter: char| letter.is_whitespace() || "|│".contains(letter));
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn check(file: &Path) -> String {
    let output = Command::new(PROGRAM)
        .arg("check")
        .arg(file)
        .output()
        .expect("the program");
    let text = String::from_utf8(output.stdout).expect("text");
    format!("{text}exit {}", output.status.code().expect("a code"))
}

#[test]
fn a_wrong_token_is_refused_with_its_reason_and_a_right_one_accepted() {
    let folder = folder();
    let terminal = run(&folder, Some(BAD), "$PROGRAM wizard --file $FILE");
    let screen = terminal.wait_for(&["To fill in or correct: 1 setting."]);
    assert!(screen.contains("ASSISTANT_NAME     [Zoë"), "{screen}");
    assert!(!screen.contains("CANARY"), "{screen}");

    // Down to the token, and a wrong one.
    terminal.press(&["Down", "Down", "Down"]);
    terminal.wait_for(&["> TELEGRAM_BOT_TOKEN"]);
    terminal.type_text("7712345678:short");
    terminal.press(&["Enter"]);
    terminal.wait_for(&["> TELEGRAM_ADMIN_ID"]);
    // Save leads back to it.
    push_save(&terminal);
    terminal.wait_for(&["> TELEGRAM_BOT_TOKEN"]);
    let screen = terminal.wait_for(&["! `TELEGRAM_BOT_TOKEN`"]);

    // In the very words of the check.
    let wrong = folder.path().join("wrong.txt");
    let text = BAD.replace("<paste your bot's token here>", "7712345678:short");
    std::fs::write(&wrong, text).expect("written");
    let said = check(&wrong);
    let line = |start: &str| {
        let line = said
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(start));
        flat(line.unwrap_or_else(|| panic!("no {start} in {said}")))
    };
    for start in ["error: ", "rule: ", "remedy: "] {
        let words = line(start);
        assert!(flat(&screen).contains(&words), "{words}\n{screen}");
    }

    // The right one, seen for a moment.
    terminal.press(&["C-u"]);
    terminal.type_text(TOKEN);
    terminal.wait_for(&["Everything that is needed is there"]);
    terminal.press(&["C-r"]);
    terminal.wait_for(&[TOKEN]);
    terminal.press(&["C-r"]);
    push_save(&terminal);
    let screen = terminal.wait_for(&["ENDED 0"]);
    assert!(screen.contains("setup.old.txt"), "{screen}");
    assert!(screen.contains("all good"), "{screen}");
    assert!(!screen.contains("CANARY"), "{screen}");

    let file = file(&folder);
    let said = check(&file);
    assert!(
        said.contains("all good") && said.ends_with("exit 0"),
        "{said}"
    );
    let new = std::fs::read_to_string(&file).expect("the file");
    for line in [
        &format!("TELEGRAM_BOT_TOKEN={TOKEN}\r\n"),
        "ASSISTANT_NAME=Zoë\r\n",
    ] {
        assert!(new.contains(line), "no {line} in {new}");
    }
    let old = std::fs::read_to_string(file.with_file_name("setup.old.txt")).expect("the old file");
    assert_eq!(old, BAD);
}

#[test]
fn a_new_file_is_typed_in_and_only_its_owner_can_read_it() {
    // A serial line that knows neither its size nor its terminal.
    let folder = folder();
    let terminal = run(
        &folder,
        None,
        "stty rows 0 columns 0; LC_ALL= LANG= TERM=vt100 $PROGRAM wizard --file $FILE",
    );
    let screen = terminal.wait_for(&["There is no"]);
    assert!(screen.contains("+ Note ---"), "{screen}");
    // Another provider, no Telegram.
    terminal.press(&["Right"]);
    terminal.wait_for(&["DEEPSEEK_API_KEY"]);
    terminal.press(&["Tab"]);
    terminal.type_text("sk-CANARY0123456789abcdef0123456789");
    terminal.press(&["Tab", "Right"]);
    terminal.wait_for(&["< none >"]);
    terminal.press(&["Tab"]);
    terminal.type_text("Ada");
    push_save(&terminal);
    terminal.wait_for(&["ENDED 0"]);
    let said = check(&file(&folder));
    assert!(said.ends_with("exit 0"), "{said}");
    let mode = std::fs::metadata(file(&folder))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let there = std::fs::read_dir(folder.path())
        .expect("the folder")
        .count();
    assert_eq!(
        there, 2,
        "the file and tmux's socket, and no copy of nothing"
    );
}

#[test]
fn leaving_and_being_stopped_change_nothing_and_give_the_terminal_back() {
    for end in ["key", "signal"] {
        // The shell reads a line afterwards: that only works on a terminal that is not raw.
        let folder = folder();
        let terminal = run(
            &folder,
            Some(BAD),
            "sh -c 'echo $$ > $FILE.pid; exec $PROGRAM wizard --file $FILE'; read line; echo \"READ $line\"",
        );
        terminal.wait_for(&["To fill in or correct"]);
        terminal.type_text("x");
        if end == "key" {
            terminal.press(&["C-c"]);
            terminal.wait_for(&["Nothing is saved yet"]);
            terminal.press(&["Enter"]);
        } else {
            let pid = std::fs::read_to_string(folder.path().join("setup.txt.pid")).expect("its id");
            let pid = pid.trim().parse().expect("a number");
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGTERM,
            )
            .expect("sent");
        }
        terminal.wait_for(&["Nothing was saved."]);
        terminal.type_text("hello");
        terminal.press(&["Enter"]);
        terminal.wait_for(&["READ hello"]);
        assert_eq!(
            std::fs::read_to_string(file(&folder)).expect("the file"),
            BAD
        );
    }
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let output = Command::new(PROGRAM)
        .args(["wizard", "--file", "/nowhere/setup.txt"])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program");
    assert_eq!(output.status.code(), Some(1));
    let words = flat(&String::from_utf8_lossy(&output.stderr));
    assert!(
        words.contains("must be a terminal") && words.contains("an editor"),
        "{words}"
    );
}
