//! Who gets which task: a decision without a clock, a database or chance.

use std::collections::BTreeSet;

use colibri_protocol::{Agent, AgentStatus, Capability};
use colibri_store::Waiting;
use uuid::Uuid;

/// Agents named in a reason; a longer list helps nobody.
const NAMED: usize = 5;

/// Finds an agent for each task, in the order in which the tasks are given, as long as there are
/// agents with a free slot. A task goes to an agent that has all it needs; among those to one that
/// is idle, then to the one with the fewest abilities to spare, then to the one that holds least,
/// then by name.
pub(crate) fn decide(waiting: &[Waiting], agents: &[Agent]) -> Vec<(Uuid, Uuid)> {
    let mut agents: Vec<(&Agent, u32)> = agents
        .iter()
        .filter(|agent| agent.status != AgentStatus::Offline)
        .map(|agent| (agent, agent.holds))
        .collect();
    let mut decided = Vec::new();
    for task in waiting {
        let best = agents
            .iter_mut()
            .filter(|(agent, holds)| *holds < agent.slots && can_do(agent, &task.needs))
            .min_by_key(|(agent, holds)| {
                let spare = agent.capabilities.len() - task.needs.len();
                (*holds > 0, spare, *holds, &agent.name)
            });
        if let Some((agent, holds)) = best {
            decided.push((task.id, agent.id));
            *holds += 1;
        }
    }
    decided
}

/// Free slots of all agents together.
pub(crate) fn free_slots(agents: &[Agent]) -> u32 {
    agents
        .iter()
        .filter(|agent| agent.status != AgentStatus::Offline)
        .map(|agent| agent.slots.saturating_sub(agent.holds))
        .sum()
}

pub(crate) fn can_do(agent: &Agent, needs: &BTreeSet<Capability>) -> bool {
    needs.is_subset(&agent.capabilities)
}

/// Why a task with these needs cannot be given to anybody now; nothing when it can.
pub(crate) fn why_parked(needs: &BTreeSet<Capability>, agents: &[Agent]) -> Option<String> {
    if agents.is_empty() {
        return Some("no agent is registered".to_owned());
    }
    let mut takers = agents.iter().filter(|agent| agent.slots > 0).peekable();
    if takers.peek().is_none() {
        return Some("no agent takes tasks".to_owned());
    }
    let able: Vec<&Agent> = takers.filter(|agent| can_do(agent, needs)).collect();
    if able.is_empty() {
        let needs: Vec<String> = needs.iter().map(|one| format!("`{one}`")).collect();
        let all = if needs.len() > 1 { "all of " } else { "" };
        return Some(format!("no agent has {all}{}", needs.join(", ")));
    }
    let (there, gone): (Vec<&Agent>, Vec<&Agent>) = able
        .into_iter()
        .partition(|agent| agent.status != AgentStatus::Offline);
    if there.is_empty() {
        return Some(format!(
            "every agent that can do it is offline: {}",
            named(&gone)
        ));
    }
    if there.iter().all(|agent| agent.holds >= agent.slots) {
        return Some(format!(
            "every agent that can do it is busy: {}",
            named(&there)
        ));
    }
    None
}

fn named(agents: &[&Agent]) -> String {
    let mut names: Vec<&str> = agents
        .iter()
        .take(NAMED)
        .map(|agent| agent.name.as_str())
        .collect();
    if agents.len() > NAMED {
        names.push("…");
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn set(text: &str) -> BTreeSet<Capability> {
        text.split_whitespace()
            .map(|one| one.parse().unwrap())
            .collect()
    }

    fn agent(name: &str, can: BTreeSet<Capability>, holds: u32, slots: u32) -> Agent {
        let id = name
            .bytes()
            .fold(0_u128, |id, byte| id << 8 | u128::from(byte));
        Agent {
            id: Uuid::from_u128(id),
            name: name.parse().unwrap(),
            capabilities: can,
            host: "h".parse().unwrap(),
            slots,
            status: if holds > 0 {
                AgentStatus::Active
            } else {
                AgentStatus::Idle
            },
            holds,
            registered_at: Timestamp::UNIX_EPOCH,
            last_seen: Timestamp::UNIX_EPOCH,
        }
    }

    fn task(seq: i64, needs: BTreeSet<Capability>) -> Waiting {
        Waiting {
            seq,
            id: Uuid::from_u128(u128::MAX - u128::from(seq.unsigned_abs())),
            since: Timestamp::UNIX_EPOCH,
            needs,
        }
    }

    fn chosen(needs: &str, agents: &[Agent]) -> Option<String> {
        let decided = decide(&[task(1, set(needs))], agents);
        let (_, id) = decided.first()?;
        let agent = agents.iter().find(|agent| agent.id == *id)?;
        Some(agent.name.to_string())
    }

    #[test]
    fn idle_then_best_match_then_least_loaded_then_name() {
        let busy_match = agent("a", set("gpu"), 1, 4);
        let idle_more = agent("b", set("code gpu shell"), 0, 4);
        let idle_less = agent("c", set("code gpu"), 0, 4);
        let same_as_c = agent("d", set("code gpu"), 0, 4);
        let all = [same_as_c, idle_less, idle_more, busy_match.clone()];
        assert_eq!(chosen("gpu", &all).unwrap(), "c");
        let loaded = agent("z", set("gpu"), 3, 4);
        assert_eq!(chosen("gpu", &[loaded, busy_match]).unwrap(), "a");
        // Half of it is not enough.
        assert_eq!(chosen("gpu freebsd", &all), None);
    }

    #[test]
    fn a_reason_says_what_is_missing() {
        let why = |needs: &str, agents: &[Agent]| why_parked(&set(needs), agents);
        assert_eq!(why("", &[]).unwrap(), "no agent is registered");
        let mut one = agent("a", set("gpu"), 0, 1);
        assert_eq!(why("gpu", std::slice::from_ref(&one)), None);
        assert_eq!(
            why("gpu freebsd", std::slice::from_ref(&one)).unwrap(),
            "no agent has all of `freebsd`, `gpu`"
        );
        one.slots = 0;
        let none = why("", std::slice::from_ref(&one));
        assert_eq!(none.unwrap(), "no agent takes tasks");
        one.slots = 1;
        one.holds = 1;
        assert!(
            why("gpu", std::slice::from_ref(&one))
                .unwrap()
                .contains("busy: a")
        );
        one.status = AgentStatus::Offline;
        assert!(
            why("gpu", std::slice::from_ref(&one))
                .unwrap()
                .contains("offline: a")
        );
    }

    fn any_set() -> impl Strategy<Value = BTreeSet<Capability>> {
        proptest::collection::btree_set("[a-e]", 0..4)
            .prop_map(|all| all.iter().map(|one| one.parse().unwrap()).collect())
    }

    fn any_agents() -> impl Strategy<Value = Vec<Agent>> {
        proptest::collection::vec((any_set(), 0_u32..3, 0_u32..4, any::<bool>()), 0..8).prop_map(
            |all| {
                all.into_iter()
                    .enumerate()
                    .map(|(at, (can, holds, slots, gone))| {
                        let mut agent = agent(&format!("agent-{at}"), can, holds, slots);
                        if gone {
                            agent.status = AgentStatus::Offline;
                        }
                        agent
                    })
                    .collect()
            },
        )
    }

    proptest! {
        #[test]
        fn nobody_gets_what_it_cannot_do_and_nothing_waits_that_could_be_done(
            needs in proptest::collection::vec(any_set(), 0..20),
            mut agents in any_agents(),
        ) {
            let waiting: Vec<Waiting> = needs
                .into_iter()
                .enumerate()
                .map(|(at, needs)| task(i64::try_from(at).unwrap(), needs))
                .collect();
            let decided = decide(&waiting, &agents);
            let mut given = BTreeSet::new();
            for (task_id, agent_id) in &decided {
                prop_assert!(given.insert(*task_id), "given twice");
                let task = waiting.iter().find(|task| task.id == *task_id).unwrap();
                let agent = agents.iter_mut().find(|agent| agent.id == *agent_id).unwrap();
                prop_assert!(can_do(agent, &task.needs));
                prop_assert!(agent.status != AgentStatus::Offline);
                agent.holds += 1;
                prop_assert!(agent.holds <= agent.slots);
            }
            for task in waiting.iter().filter(|task| !given.contains(&task.id)) {
                // What is left waits for a reason that can be told.
                prop_assert!(why_parked(&task.needs, &agents).is_some());
            }
        }

        #[test]
        fn the_order_of_the_agents_does_not_matter(needs in any_set(), agents in any_agents()) {
            let waiting = [task(1, needs)];
            let mut turned = agents.clone();
            turned.reverse();
            prop_assert_eq!(decide(&waiting, &agents), decide(&waiting, &turned));
        }
    }
}
