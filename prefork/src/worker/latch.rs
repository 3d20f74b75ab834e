//! Which role this process was started in, read once.

use std::sync::OnceLock;

use crate::channel::{Marker, ROLE_VARIABLE};
use crate::listen::VARIABLES;
use crate::sys;

/// The variables that a master set for this process.
#[derive(Debug)]
pub(crate) struct Latched {
    /// A handful, looked through: every worker reads them on its way to its first answer.
    variables: Vec<(&'static str, String)>,
}

impl Latched {
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let mut variables = self.variables.iter();
        let (_, value) = variables.find(|(known, _)| *known == name)?;
        Some(value.clone())
    }
}

/// What the environment says about the role.
#[derive(Debug)]
enum Latch {
    /// Nothing: no master started this process.
    Unset,
    /// The variables are those of another process, which this one or one before it inherited them from.
    OfAnother {
        pid: String,
    },
    Child(Latched),
}

/// The role, if a master started this process.
///
/// The first call reads the variables and takes them out of the environment, so that programs
/// which this one starts do not think that they are children; the answer stays, whatever becomes of
/// the environment.
pub(crate) fn latched() -> Option<&'static Latched> {
    match latch() {
        Latch::Child(latched) => Some(latched),
        Latch::Unset | Latch::OfAnother { .. } => None,
    }
}

/// What a start reports about variables of a role that are not for this process.
pub(crate) fn role_warning() -> Option<String> {
    match latch() {
        Latch::OfAnother { pid } => Some(format!(
            "ignoring {ROLE_VARIABLE}: it is meant for another process (LISTEN_PID is {pid}, this is pid {})",
            std::process::id()
        )),
        Latch::Unset | Latch::Child(_) => None,
    }
}

fn latch() -> &'static Latch {
    static LATCH: OnceLock<Latch> = OnceLock::new();
    LATCH.get_or_init(read)
}

fn read() -> Latch {
    if std::env::var_os(ROLE_VARIABLE).is_none() {
        return Latch::Unset;
    }
    let all = || VARIABLES.into_iter().chain([ROLE_VARIABLE]);
    let value = |name| Some((name, std::env::var_os(name)?.to_string_lossy().into_owned()));
    let variables = all().filter_map(value).collect();
    // Where a variable cannot be removed it stays, and says nothing to others: its LISTEN_PID is not theirs.
    let _removed = sys::env::remove_all(all());
    let latched = Latched { variables };
    match latched.get("LISTEN_PID") {
        Some(pid) if is_of_another(&pid, &latched) => Latch::OfAnother { pid },
        _ => Latch::Child(latched),
    }
}

/// Whether the role is that of another process: `LISTEN_PID` is not this one (`sd_listen_fds(3)`).
///
/// A wrapper that forks, and does not execute the program in its own place, looks alike. It must not become a master:
/// each of its workers would be started by the wrapper again, without end. It is known by its descriptors, which no worker
/// passes on, or by an ancestor that was meant and is no worker.
fn is_of_another(pid: &str, latched: &Latched) -> bool {
    let Ok(pid) = pid.parse::<u32>() else {
        return false;
    };
    if pid == std::process::id() {
        return false;
    }
    let marker = latched.get(ROLE_VARIABLE);
    let Some(marker) = marker.and_then(|marker| Marker::decode(&marker).ok()) else {
        return true;
    };
    let has_channel = sys::fds::is_seqpacket(marker.channel);
    !has_channel && !is_waiting_ancestor(pid, marker.slot)
}

/// Whether an ancestor with this id is no worker of that slot, and so started this process in its place.
fn is_waiting_ancestor(pid: u32, slot: usize) -> bool {
    // Chains of wrappers are short; the first process of a system is an ancestor of all.
    const MOST: usize = 16;
    let mut ancestor = std::process::id();
    for _ in 0..MOST {
        let Some(parent) = parent_of(ancestor).filter(|&parent| parent > 1) else {
            return false;
        };
        if parent == pid {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            // As `name_after_role` calls it.
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
