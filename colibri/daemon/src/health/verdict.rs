//! What was seen, judged together: of what is broken, one line says so, and what only suffers from
//! it says which line that is.

use std::fmt::Display;
use std::io::ErrorKind;
use std::time::Duration;

use colibri_protocol::place::{RESTART_SERVICE, SHOW_HOLDERS, SHOW_LOG};
use colibri_protocol::{Check, ServiceCheck, TenantStatus};
use colibri_store::Fault;

use super::{Disk, LIMIT, PROBLEMS, PanesSeen, READ, Seen, Trouble, Write};
use crate::answer::PAGE_BYTES;
use crate::board::Step;

/// The age from which the last beat means that the loop hangs.
const MISSED: Duration = Duration::from_secs(5);

/// Time beyond two ticks that a round of the scheduler may take.
const SLACK: Duration = Duration::from_secs(5);

/// How long the writer gets a lock that only its own program wants.
const BRIEF: Duration = Duration::from_secs(1);

/// Below this the database may soon not grow any more.
const LEAST_FREE: u64 = 32 * 1024 * 1024;

const MIB: u64 = 1024 * 1024;

/// What is to be said of one part.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is well; this was seen.
    Well(String),
    /// It is broken: what, where, and what to do.
    Broken(String),
    /// Something else is broken, so that nobody can tell; where to look.
    Unknown(String),
}

impl Verdict {
    fn is_well(&self) -> bool {
        matches!(self, Self::Well(_))
    }

    /// The same as long as `cause` is well; else what it says of itself may come from there.
    fn unless(self, cause: &Self, name: &str) -> Self {
        match self {
            Self::Broken(text) if !cause.is_well() => {
                Self::Unknown(format!("{text}; see `{name}`"))
            }
            other => other,
        }
    }

    fn into_check(self, name: &str) -> Check {
        let (ok, unknown, detail) = match self {
            Self::Well(detail) => (true, false, detail),
            Self::Broken(detail) => (false, false, detail),
            Self::Unknown(detail) => (false, true, detail),
        };
        Check {
            name: name.to_owned(),
            ok,
            unknown,
            detail,
        }
    }
}

/// Each part with its verdict, in the order of [`ServiceCheck::PARTS`].
pub(super) fn judge(seen: Seen) -> ServiceCheck {
    let disk = disk(&seen);
    let database = database(&seen, &disk);
    let writer = writer(&seen, &disk);
    let wal = wal(&seen);
    let scheduler = scheduler(&seen, &database);
    let intake = intake(&seen)
        .unless(&database, "database")
        .unless(&scheduler, "scheduler");
    let helper = helper(&seen);
    let tenants = tenants(&seen)
        .unless(&database, "database")
        .unless(&helper, "helper");
    let verdicts = [
        seen.socket,
        database,
        wal,
        writer,
        disk,
        pulse(seen.beat),
        scheduler,
        intake,
        snapshot(&seen.panes),
        helper,
        tenants,
    ];
    let checks: Vec<Check> = ServiceCheck::PARTS
        .into_iter()
        .zip(verdicts)
        .map(|(name, verdict)| verdict.into_check(name))
        .collect();
    ServiceCheck {
        healthy: checks.iter().all(|check| check.ok),
        checks,
    }
}

fn disk(seen: &Seen) -> Verdict {
    match &seen.disk {
        Disk::Free(folder, free) => {
            let text = format!("{} MiB free for {}", free / MIB, folder.display());
            if *free >= LEAST_FREE {
                Verdict::Well(text)
            } else {
                Verdict::Broken(format!("{text}: free some space there"))
            }
        }
        Disk::Refused(folder, error) => {
            let folder = folder.display();
            Verdict::Broken(match error.kind() {
                ErrorKind::ReadOnlyFilesystem => format!(
                    "{folder} is on a read-only file system: `dmesg` may say what made it so; \
                     mount it writable again"
                ),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    format!("{folder} is on a full file system: free some space there")
                }
                ErrorKind::PermissionDenied => format!(
                    "in {folder} nothing can be written ({error}): it must belong to the account \
                     of the daemon"
                ),
                _ => format!(
                    "in {folder} nothing can be written ({error}): `dmesg` may say what is wrong \
                     with the disk"
                ),
            })
        }
        Disk::Late => Verdict::Broken(format!(
            "no file can be written beside {} within {LIMIT:?}: `dmesg` may say why the disk is stuck",
            seen.database.display()
        )),
    }
}

fn database(seen: &Seen, disk: &Verdict) -> Verdict {
    let path = seen.database.display();
    let read = match &seen.read {
        Some(Ok(read)) => read,
        Some(Err(trouble)) => return cannot("read", &path, trouble).unless(disk, "disk"),
        None => {
            let text = format!("{path} cannot be read within {READ:?}: `{SHOW_LOG}` may say why");
            return Verdict::Broken(text).unless(disk, "disk");
        }
    };
    match &seen.write {
        Write::Done(mark, took) if is_later(read.mark.as_deref(), mark) => Verdict::Well(format!(
            "{path}, schema {}, {} bytes, written and read back in {} ms",
            read.status.schema_version,
            read.status.size_bytes,
            took.as_millis()
        )),
        Write::Done(..) => Verdict::Broken(format!(
            "{path} does not have what was just written into it: `{SHOW_LOG}` may say why, \
             `{RESTART_SERVICE}` may help; compare with a backup"
        )),
        Write::Failed(trouble) => cannot("write", &path, trouble).unless(disk, "disk"),
        Write::Late(Step::Locking, waits) if *waits >= BRIEF => locked(&path),
        Write::Late(..) | Write::Ended => {
            Verdict::Unknown("can be read, and could not be written; see `writer`".to_owned())
        }
    }
}

/// Whether a mark was written by this daemon, and not before this one.
fn is_later(found: Option<&str>, mark: &str) -> bool {
    match (
        found.and_then(|found| found.split_once(' ')),
        mark.split_once(' '),
    ) {
        (Some((found_by, found)), Some((by, number))) => found_by == by && found >= number,
        _ => false,
    }
}

fn cannot(what: &str, path: &impl Display, trouble: &Trouble) -> Verdict {
    let Trouble { fault, text } = trouble;
    let advice = match fault {
        Fault::Locked => return locked(path),
        Fault::Full => "free some space there".to_owned(),
        Fault::ReadOnly => {
            "make it writable for the account of the daemon, and its file system too".to_owned()
        }
        Fault::CannotOpen => "it must be readable for the account of the daemon".to_owned(),
        Fault::Moved => {
            "what is written goes into the file that was moved or removed; move it back, or stop \
             the service and put a backup in its place"
                .to_owned()
        }
        Fault::Damaged => "stop the service and put a backup in its place".to_owned(),
        Fault::Io => "`dmesg` may say what is wrong with the disk".to_owned(),
        Fault::Other => format!("`{SHOW_LOG}` may say more"),
    };
    Verdict::Broken(format!("cannot {what} {path} ({text}): {advice}"))
}

fn locked(path: &impl Display) -> Verdict {
    Verdict::Broken(format!(
        "{path} is locked by another program, and nothing can be written: end that program; \
         `{SHOW_HOLDERS}` shows which it is"
    ))
}

fn wal(seen: &Seen) -> Verdict {
    let Some(Ok(read)) = &seen.read else {
        let text = "not looked at: the database cannot be read; see `database`";
        return Verdict::Unknown(text.to_owned());
    };
    let (mode, bytes) = (&read.status.journal_mode, read.status.wal_bytes);
    if mode != "wal" {
        return Verdict::Broken(format!(
            "journal mode is {mode} and should be wal: `{RESTART_SERVICE}`"
        ));
    }
    // What was just written is in there, or was.
    if bytes == 0 && matches!(seen.write, Write::Done(..)) {
        return Verdict::Broken(format!(
            "{}-wal is gone or empty, and so is what was written last: `{RESTART_SERVICE}`, and \
             compare with a backup",
            seen.database.display()
        ));
    }
    Verdict::Well(format!("journal mode wal, log of {bytes} bytes"))
}

fn writer(seen: &Seen, disk: &Verdict) -> Verdict {
    let (step, time) = match &seen.write {
        Write::Done(_, took) => {
            return Verdict::Well(format!("answers in {} ms", took.as_millis()));
        }
        // What it says is the database's concern.
        Write::Failed(_) => return Verdict::Well("answers".to_owned()),
        Write::Ended => {
            return Verdict::Broken(format!(
                "has ended: `{SHOW_LOG}` says why, `{RESTART_SERVICE}` starts it again"
            ));
        }
        Write::Late(step, time) => (step, time),
    };
    let doing = match step {
        Step::Locking if *time >= BRIEF => {
            let text = "waits for the lock of the database; see `database`";
            return Verdict::Unknown(text.to_owned());
        }
        Step::Waiting | Step::Locking => "does not come round".to_owned(),
        Step::Changing => format!("has been at one batch of changes for {} s", time.as_secs()),
        Step::Committing => format!("has been writing one batch for {} s", time.as_secs()),
    };
    Verdict::Broken(format!(
        "no answer within {LIMIT:?}, it {doing}: `{SHOW_LOG}` may say why, `{RESTART_SERVICE}` \
         may help"
    ))
    .unless(disk, "disk")
}

fn pulse(age: Duration) -> Verdict {
    if age < MISSED {
        Verdict::Well(format!("last beat {} ms ago", age.as_millis()))
    } else {
        Verdict::Broken(format!(
            "last beat {} s ago, every thread is busy: `{RESTART_SERVICE}`",
            age.as_secs()
        ))
    }
}

fn scheduler(seen: &Seen, database: &Verdict) -> Verdict {
    let rounds = &seen.rounds;
    let last = match rounds.last {
        Some(age) => format!(
            "last round {} s ago, every {} s",
            age.as_secs(),
            seen.tick.as_secs_f64()
        ),
        None => "has not looked at the board yet".to_owned(),
    };
    let stuck = rounds.doing.filter(|(_, time)| *time >= SLACK);
    let problem = match (stuck, &rounds.failure) {
        (Some((what, time)), _) => format!("has been {what} for {} s", time.as_secs()),
        _ if rounds.last.unwrap_or(seen.up) < seen.tick * 2 + SLACK => return Verdict::Well(last),
        (None, Some(failure)) => format!("{last}; the next one failed: {failure}"),
        (None, None) => last,
    };
    if database.is_well() {
        Verdict::Broken(format!(
            "{problem}: `{SHOW_LOG}` may say why, `{RESTART_SERVICE}` may help"
        ))
    } else {
        Verdict::Unknown(format!(
            "{problem}; it waits for the database: see `database`"
        ))
    }
}

fn intake(seen: &Seen) -> Verdict {
    match &seen.intake {
        None => Verdict::Broken(format!("what waits could not be read within {LIMIT:?}")),
        Some(Err(error)) => Verdict::Broken(format!("what waits could not be read: {error}")),
        Some(Ok(intake)) if intake.overdue > 0 => Verdict::Broken(format!(
            "{} task(s) wait although an agent is free: `{SHOW_LOG}` may say why",
            intake.overdue
        )),
        Some(Ok(intake)) if intake.waiting > 0 => {
            Verdict::Well(format!("{} task(s) about to be given out", intake.waiting))
        }
        Some(Ok(_)) => {
            Verdict::Well("drained: nothing waits that an agent could do now".to_owned())
        }
    }
}

fn snapshot(panes: &PanesSeen) -> Verdict {
    if !panes.unkept.is_empty() {
        return Verdict::Broken(format!(
            "nobody looks after the process of {}: `{SHOW_LOG}` says why, stop it and start it again",
            panes.unkept.join(", ")
        ));
    }
    if let Some(missing) = &panes.missing {
        return Verdict::Broken(missing.clone());
    }
    if panes.bytes > PAGE_BYTES {
        return Verdict::Broken(format!(
            "{} agents make an answer of {} bytes, and {PAGE_BYTES} fit into a line: run fewer",
            panes.agents, panes.bytes
        ));
    }
    Verdict::Well(format!(
        "{} agent(s), {} of them to be looked at",
        panes.agents, panes.attention
    ))
}

fn helper(seen: &Seen) -> Verdict {
    match &seen.helper {
        None => Verdict::Well("not asked: no tenant is known that would need it".to_owned()),
        Some(Err(problem)) => Verdict::Broken(problem.clone()),
        Some(Ok(facts)) => match &facts.jails {
            Err(why) => Verdict::Broken(format!("answers, and no jail can be made: {why}")),
            Ok(()) => {
                let vault = if facts.vault { "with" } else { "without" };
                Verdict::Well(format!("answers, {vault} a vault"))
            }
        },
    }
}

fn tenants(seen: &Seen) -> Verdict {
    let tenants = match &seen.tenants {
        None => return Verdict::Broken(format!("could not be read within {LIMIT:?}")),
        Some(Err(error)) => return Verdict::Broken(format!("could not be read: {error}")),
        Some(Ok(tenants)) => tenants,
    };
    let counts = tenants.counts;
    if tenants.problems.is_empty() {
        return Verdict::Well(format!(
            "{} tenant(s), {} of them active",
            counts.total(),
            counts.active
        ));
    }
    let most = usize::try_from(PROBLEMS).unwrap_or(usize::MAX);
    let problems = tenants.problems.iter().take(most).map(|problem| {
        let id = &problem.tenant_id;
        let then = match problem.status {
            TenantStatus::Failed => format!("`colibri provision-tenant {id}` tries again"),
            _ => "it is tried again by itself".to_owned(),
        };
        format!("{id} is {} ({}): {then}", problem.status, problem.reason)
    });
    let told: Vec<_> = problems.collect();
    let more = tenants.problems.len() > told.len();
    let more = if more {
        "; and more: `colibri list-tenants`"
    } else {
        ""
    };
    Verdict::Broken(format!("{}{more}", told.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::super::{Intake, ReadBack, TenantsSeen};
    use super::*;
    use crate::scheduler::RoundsSeen;
    use colibri_host::HostFacts;
    use colibri_protocol::{
        DatabaseStatus, ErrorKind as Kind, ReplyError, TenantCounts, TenantProblem,
    };
    use std::path::PathBuf;

    const SECOND: Duration = Duration::from_secs(1);

    /// All is well.
    fn well() -> Seen {
        Seen {
            socket: Verdict::Well("/s".to_owned()),
            write: Write::Done("now 7".to_owned(), SECOND),
            read: Some(Ok(ReadBack {
                status: DatabaseStatus {
                    schema_version: 2,
                    journal_mode: "wal".to_owned(),
                    size_bytes: 4096,
                    wal_bytes: 4152,
                },
                // Somebody else has had a check made meanwhile.
                mark: Some("now 8".to_owned()),
            })),
            database: PathBuf::from("/data/colibri.sqlite"),
            disk: Disk::Free(PathBuf::from("/data"), 1 << 40),
            beat: SECOND,
            rounds: RoundsSeen {
                last: Some(SECOND),
                ..RoundsSeen::default()
            },
            tick: 30 * SECOND,
            up: 3600 * SECOND,
            intake: Some(Ok(Intake {
                waiting: 1,
                overdue: 0,
            })),
            panes: PanesSeen {
                agents: 2,
                attention: 1,
                bytes: 1000,
                unkept: Vec::new(),
                missing: None,
            },
            tenants: Some(Ok(TenantsSeen {
                counts: TenantCounts {
                    active: 1,
                    failed: 1,
                    ..TenantCounts::default()
                },
                problems: Vec::new(),
            })),
            helper: Some(Ok(HostFacts {
                os: "linux".to_owned(),
                release: "6.12".to_owned(),
                jails: Ok(()),
                vault: true,
            })),
        }
    }

    /// The parts that are broken, then those of which nobody can tell.
    fn judged(seen: Seen) -> (Vec<String>, Vec<String>, String) {
        let judged = judge(seen);
        let names = |unknown| {
            let checks = judged.checks.iter();
            checks
                .filter(|check| !check.ok && check.unknown == unknown)
                .map(|check| check.name.clone())
                .collect::<Vec<_>>()
        };
        let (broken, unknown) = (names(false), names(true));
        assert_eq!(judged.healthy, broken.is_empty() && unknown.is_empty());
        let words = judged.checks.iter().map(|check| check.detail.as_str());
        (broken, unknown, words.collect::<Vec<_>>().join("\n"))
    }

    #[track_caller]
    fn tells(seen: Seen, broken: &[&str], unknown: &[&str], word: &str) {
        let (is_broken, is_unknown, words) = judged(seen);
        assert_eq!(
            (is_broken, is_unknown),
            (owned(broken), owned(unknown)),
            "{words}"
        );
        assert!(words.contains(word), "no {word:?} in:\n{words}");
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn failed(fault: Fault) -> Write {
        Write::Failed(Trouble {
            fault,
            text: "as SQLite says".to_owned(),
        })
    }

    fn refused(kind: ErrorKind) -> Disk {
        Disk::Refused(PathBuf::from("/data"), kind.into())
    }

    #[test]
    fn all_is_well_and_every_part_has_its_line() {
        tells(well(), &[], &[], "written and read back in 1000 ms");
        let names: Vec<_> = judge(well())
            .checks
            .into_iter()
            .map(|check| check.name)
            .collect();
        assert_eq!(names, ServiceCheck::PARTS);
    }

    #[test]
    fn a_tenant_that_failed_is_told_with_its_reason_and_the_helper_comes_first() {
        let seen = |problems: &[(&str, TenantStatus)], failed, helper| Seen {
            tenants: Some(Ok(TenantsSeen {
                counts: TenantCounts {
                    failed,
                    ..TenantCounts::default()
                },
                problems: problems
                    .iter()
                    .map(|(id, status)| TenantProblem {
                        tenant_id: id.parse().unwrap(),
                        status: *status,
                        reason: "no such collection".to_owned(),
                    })
                    .collect(),
            })),
            helper,
            ..well()
        };
        let facts = |jails| HostFacts {
            os: "linux".to_owned(),
            release: "6.12".to_owned(),
            jails,
            vault: false,
        };
        let failed = [("main", TenantStatus::Failed)];
        let words =
            "main is failed (no such collection): `colibri provision-tenant main` tries again";
        let well = || Some(Ok(facts(Ok(()))));
        tells(seen(&failed, 1, well()), &["tenants"], &[], words);
        let four = ["main", "nika", "mila", "vida"].map(|id| (id, TenantStatus::Failed));
        tells(seen(&four, 4, well()), &["tenants"], &[], "and more");
        let removing = [("nika", TenantStatus::Removing)];
        tells(
            seen(&removing, 0, well()),
            &["tenants"],
            &[],
            "tried again by itself",
        );
        let gone = Some(Err("nobody listens".to_owned()));
        tells(
            seen(&failed, 1, gone),
            &["helper"],
            &["tenants"],
            "nobody listens",
        );
        let unable = Some(Ok(facts(Err("no nspawn".to_owned()))));
        tells(
            seen(&[], 0, unable),
            &["helper"],
            &[],
            "no jail can be made: no nspawn",
        );
        tells(seen(&[], 0, None), &[], &[], "not asked");
    }

    #[test]
    fn a_lock_is_the_databases_and_the_scheduler_waits_for_it() {
        for write in [
            failed(Fault::Locked),
            Write::Late(Step::Locking, 3 * SECOND),
        ] {
            let is_late = matches!(write, Write::Late(..));
            let seen = Seen {
                write,
                rounds: RoundsSeen {
                    last: Some(6 * SECOND),
                    doing: Some(("taking tasks back", 6 * SECOND)),
                    failure: None,
                },
                intake: Some(Ok(Intake {
                    waiting: 1,
                    overdue: 1,
                })),
                ..well()
            };
            let unknown: &[&str] = if is_late {
                &["writer", "scheduler", "intake"]
            } else {
                &["scheduler", "intake"]
            };
            tells(seen, &["database"], unknown, "locked by another program");
        }
    }

    #[test]
    fn what_the_disk_does_not_take_is_not_held_against_the_database() {
        for (kind, fault, word) in [
            (ErrorKind::ReadOnlyFilesystem, Fault::Io, "read-only"),
            (ErrorKind::StorageFull, Fault::Full, "full file system"),
            (
                ErrorKind::PermissionDenied,
                Fault::ReadOnly,
                "belong to the account",
            ),
            (ErrorKind::Other, Fault::Io, "dmesg"),
        ] {
            let seen = Seen {
                write: failed(fault),
                disk: refused(kind),
                ..well()
            };
            tells(seen, &["disk"], &["database"], word);
        }
        let little = Seen {
            disk: Disk::Free(PathBuf::from("/data"), 5 << 20),
            ..well()
        };
        tells(little, &["disk"], &[], "5 MiB free for /data");
        let stuck = Seen {
            write: Write::Late(Step::Committing, 9 * SECOND),
            disk: Disk::Late,
            ..well()
        };
        tells(stuck, &["disk"], &["database", "writer"], "disk is stuck");
    }

    #[test]
    fn a_writer_that_is_stuck_by_itself_is_told_from_one_that_waits() {
        for (write, word) in [
            (Write::Ended, "has ended"),
            (Write::Late(Step::Changing, 9 * SECOND), "changes for 9 s"),
            (
                Write::Late(Step::Committing, 9 * SECOND),
                "writing one batch for 9 s",
            ),
            (
                Write::Late(Step::Locking, SECOND / 9),
                "does not come round",
            ),
            (
                Write::Late(Step::Waiting, 9 * SECOND),
                "does not come round",
            ),
        ] {
            let seen = Seen { write, ..well() };
            tells(seen, &["writer"], &["database"], word);
        }
    }

    #[test]
    fn a_database_that_is_damaged_replaced_or_unreadable_says_which() {
        let trouble = |fault| Trouble {
            fault,
            text: "as SQLite says".to_owned(),
        };
        for (fault, word) in [
            (Fault::Damaged, "put a backup in its place"),
            (Fault::CannotOpen, "readable for the account"),
            (Fault::Moved, "move it back"),
            (Fault::Io, "dmesg"),
            (Fault::Other, "as SQLite says"),
        ] {
            let seen = Seen {
                read: Some(Err(trouble(fault))),
                ..well()
            };
            tells(seen, &["database"], &["wal"], word);
        }
        let silent = Seen {
            read: None,
            intake: None,
            ..well()
        };
        tells(
            silent,
            &["database"],
            &["wal", "intake"],
            "cannot be read within",
        );
        for found in [None, Some("now 6"), Some("then 9")] {
            let mut seen = well();
            if let Some(Ok(read)) = &mut seen.read {
                read.mark = found.map(str::to_owned);
            }
            tells(
                seen,
                &["database"],
                &[],
                "does not have what was just written",
            );
        }
    }

    #[test]
    fn a_log_that_is_gone_or_not_used_is_told() {
        let mut seen = well();
        if let Some(Ok(read)) = &mut seen.read {
            read.status.wal_bytes = 0;
        }
        tells(seen, &["wal"], &[], "/data/colibri.sqlite-wal is gone");
        let mut seen = well();
        if let Some(Ok(read)) = &mut seen.read {
            read.status.journal_mode = "delete".to_owned();
        }
        tells(seen, &["wal"], &[], "journal mode is delete");
    }

    #[test]
    fn a_loop_or_scheduler_that_hangs_says_where() {
        let seen = Seen {
            beat: 6 * SECOND,
            ..well()
        };
        tells(seen, &["loop"], &[], "last beat 6 s ago");
        let hangs = RoundsSeen {
            last: Some(7 * SECOND),
            doing: Some(("giving tasks out", 6 * SECOND)),
            failure: None,
        };
        let seen = Seen {
            rounds: hangs.clone(),
            ..well()
        };
        tells(seen, &["scheduler"], &[], "giving tasks out for 6 s");
        let seen = Seen {
            rounds: hangs,
            intake: Some(Ok(Intake {
                waiting: 3,
                overdue: 2,
            })),
            ..well()
        };
        tells(seen, &["scheduler"], &["intake"], "2 task(s) wait");
        let fails = RoundsSeen {
            last: Some(66 * SECOND),
            doing: None,
            failure: Some("because".to_owned()),
        };
        let seen = Seen {
            rounds: fails,
            ..well()
        };
        tells(seen, &["scheduler"], &[], "the next one failed: because");
        let never = Seen {
            rounds: RoundsSeen::default(),
            ..well()
        };
        tells(
            never,
            &["scheduler"],
            &[],
            "has not looked at the board yet",
        );
        let soon = Seen {
            rounds: RoundsSeen::default(),
            up: SECOND,
            ..well()
        };
        tells(soon, &[], &[], "has not looked at the board yet");
    }

    #[test]
    fn an_intake_or_snapshot_that_fails_alone_is_told() {
        let seen = Seen {
            intake: Some(Err(ReplyError::new(Kind::Internal, "because"))),
            ..well()
        };
        tells(seen, &["intake"], &[], "could not be read: because");
        let unkept = PanesSeen {
            unkept: owned(&["ada", "eve"]),
            ..well().panes
        };
        let seen = Seen {
            panes: unkept,
            ..well()
        };
        tells(seen, &["snapshot"], &[], "the process of ada, eve");
        let keyless = PanesSeen {
            missing: Some("agent pi was not started".to_owned()),
            ..well().panes
        };
        let seen = Seen {
            panes: keyless,
            ..well()
        };
        tells(seen, &["snapshot"], &[], "agent pi was not started");
        let big = PanesSeen {
            bytes: PAGE_BYTES + 1,
            ..well().panes
        };
        let seen = Seen {
            panes: big,
            ..well()
        };
        tells(seen, &["snapshot"], &[], "fit into a line");
    }
}
