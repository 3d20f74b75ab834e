//! The role of this process, read from the environment once.

use std::sync::OnceLock;

use crate::channel::{ChildRole, ROLE_VARIABLE};
use crate::listen::VARIABLES;
use crate::sys;

/// The variables that a master set for this process.
#[derive(Debug)]
pub(crate) struct ChildEnv {
    /// A list, not a map: there are few, and reading them is part of the start-up time of a worker.
    variables: Vec<(&'static str, String)>,
}

impl ChildEnv {
    /// Returns the value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let mut variables = self.variables.iter();
        let (_, value) = variables.find(|(known, _)| *known == name)?;
        Some(value.clone())
    }
}

/// The role according to the environment.
#[derive(Debug)]
enum EnvRole {
    /// The variables are not set: no master started this process.
    Unset,
    /// The variables were set for another process, and this process inherited them.
    OfAnother {
        pid: String,
    },
    Child(ChildEnv),
}

/// Returns the variables that the master set for this process.
///
/// The first call reads the variables and removes them from the environment, so that programs which
/// this process starts do not take them for their own. Later calls return the same value.
pub(crate) fn child_env() -> Option<&'static ChildEnv> {
    match env_role() {
        EnvRole::Child(child_env) => Some(child_env),
        EnvRole::Unset | EnvRole::OfAnother { .. } => None,
    }
}

/// Returns a warning if the variables were set for another process.
pub(crate) fn role_warning() -> Option<String> {
    match env_role() {
        EnvRole::OfAnother { pid } => Some(format!(
            "ignoring {ROLE_VARIABLE}: it is meant for another process (LISTEN_PID is {pid}, this is pid {})",
            std::process::id()
        )),
        EnvRole::Unset | EnvRole::Child(_) => None,
    }
}

fn env_role() -> &'static EnvRole {
    static LATCH: OnceLock<EnvRole> = OnceLock::new();
    LATCH.get_or_init(read)
}

fn read() -> EnvRole {
    if std::env::var_os(ROLE_VARIABLE).is_none() {
        return EnvRole::Unset;
    }
    let names = || VARIABLES.into_iter().chain([ROLE_VARIABLE]);
    let value = |name| Some((name, std::env::var_os(name)?.to_string_lossy().into_owned()));
    let variables = names().filter_map(value).collect();
    // A variable that cannot be removed stays. Other processes ignore it, because LISTEN_PID is not
    // theirs.
    let _removed = sys::env::remove_all(names());
    let child_env = ChildEnv { variables };
    match child_env.get("LISTEN_PID") {
        Some(pid) if is_of_another(&pid, &child_env) => EnvRole::OfAnother { pid },
        _ => EnvRole::Child(child_env),
    }
}

/// Whether the role belongs to another process.
///
/// Then `LISTEN_PID` is not the pid of this process (`sd_listen_fds(3)`).
///
/// Below a wrapper that forks instead of executing the program in the same process, `LISTEN_PID` is
/// not this process either. Such a process must not become a master: the wrapper would start each
/// of its workers again, without end. Two facts show such a wrapper: this process has the channel,
/// which no worker passes on; or an ancestor has the pid and is not a worker.
fn is_of_another(pid: &str, child_env: &ChildEnv) -> bool {
    let Ok(pid) = pid.parse::<u32>() else {
        return false;
    };
    if pid == std::process::id() {
        return false;
    }
    let marker = child_env.get(ROLE_VARIABLE);
    let Some(marker) = marker.and_then(|marker| ChildRole::decode(&marker).ok()) else {
        return true;
    };
    let has_channel = sys::fds::is_seqpacket(marker.channel);
    !has_channel && !is_waiting_ancestor(pid, marker.slot)
}

/// Whether an ancestor with this pid is a wrapper, not a worker of this slot.
fn is_waiting_ancestor(pid: u32, slot: usize) -> bool {
    // Chains of wrappers are short. The walk stops at PID 1, the ancestor of all processes.
    const MAX_ANCESTORS: usize = 16;
    let mut ancestor = std::process::id();
    for _ in 0..MAX_ANCESTORS {
        let Some(parent) = parent_of(ancestor).filter(|&parent| parent > 1) else {
            return false;
        };
        if parent == pid {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            // The process name of a worker ends with its role and slot.
            return !name.trim_end().ends_with(&format!("worker {slot}"));
        }
        ancestor = parent;
    }
    false
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok()
}
