//! The arguments of hooks, what they may return, and how they are called.
//!
//! A panic of a hook becomes an error that names the hook. This file does not know when a hook is
//! called; the master and the worker do.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::error::Error;
use crate::listen::ListenerInfo;

/// The error of a hook.
pub(crate) type HookError = Box<dyn StdError + Send + Sync>;

/// What a hook, `configure`, `init` or `child_producer` may return: `()` or a `Result`.
///
/// An error ends the master. There are two exceptions: an error of `init` ends the process that
/// called it, and an error of `on_master_death` is only logged.
///
/// The trait is sealed: only this crate implements it.
#[diagnostic::on_unimplemented(
    message = "the function cannot return `{Self}`",
    label = "neither `()` nor a `Result<(), E>`",
    note = "return `()`, or a `Result<(), E>` whose error is `std::error::Error`, `String` or `&str`; \
            a `;` after the last expression discards its value"
)]
pub trait IntoHookResult: Sealed {
    /// Converts the return value to a `Result`.
    ///
    /// # Errors
    /// The error that the function returned.
    fn into_result(self) -> Result<(), Box<dyn StdError + Send + Sync>>;
}

/// What a hook may return. It is public, but cannot be named outside this crate.
pub trait Sealed {}

impl Sealed for () {}
impl<E> Sealed for Result<(), E> {}
impl Sealed for Never {}

impl IntoHookResult for () {
    fn into_result(self) -> Result<(), HookError> {
        Ok(())
    }
}

impl<E: Into<HookError>> IntoHookResult for Result<(), E> {
    fn into_result(self) -> Result<(), HookError> {
        self.map_err(Into::into)
    }
}

/// The type of a call that does not return.
///
/// Since the 2024 edition a closure that only panics has this type. Stable Rust accepts `!` only as
/// the return type of a function, so the type is derived from one.
type Never = <fn() -> ! as ResultOf>::Type;

/// Return type of a function pointer.
pub trait ResultOf {
    /// The return type.
    type Type;
}

impl<T> ResultOf for fn() -> T {
    type Type = T;
}

/// A function that never returns: it panics or ends the process.
impl IntoHookResult for Never {
    fn into_result(self) -> Result<(), HookError> {
        self
    }
}

/// A child that was started: the argument of
/// [`on_child_spawn`](crate::Prefork::on_child_spawn).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildSpawned {
    pub(crate) slot: usize,
    pub(crate) pid: i32,
}

impl ChildSpawned {
    /// Returns the slot that the child fills, from 0. Of a standby: a number after those of all
    /// slots.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Returns the process id of the child.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

/// The first children and the listeners: the argument of
/// [`on_master_ready`](crate::Prefork::on_master_ready).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterReady {
    pub(crate) pids: Vec<i32>,
    pub(crate) listeners: Vec<ListenerInfo>,
}

impl MasterReady {
    /// Returns the process ids of the first children, in the order of their slots.
    ///
    /// Some of them may have exited by now.
    pub fn pids(&self) -> &[i32] {
        &self.pids
    }

    /// Returns the listeners.
    pub fn listeners(&self) -> &[ListenerInfo] {
        &self.listeners
    }
}

/// A child that is ready: the argument of [`on_child_ready`](crate::Prefork::on_child_ready).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildReady {
    pub(crate) slot: usize,
    pub(crate) pid: i32,
    pub(crate) age: Duration,
}

impl ChildReady {
    /// Returns the slot of the child, from 0. Of a standby: a number after those of all slots.
    ///
    /// In a rollout, a successor has the slot of the child that it is to replace.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Returns the process id of the child.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns the time from the start of the child until it was ready.
    pub fn age(&self) -> Duration {
        self.age
    }
}

/// The children and the listeners: the argument of
/// [`on_fleet_ready`](crate::Prefork::on_fleet_ready).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetReady {
    pub(crate) pids: Vec<i32>,
    pub(crate) listeners: Vec<ListenerInfo>,
}

impl FleetReady {
    /// Returns the process ids of the children, in the order of their slots.
    pub fn pids(&self) -> &[i32] {
        &self.pids
    }

    /// Returns the listeners.
    pub fn listeners(&self) -> &[ListenerInfo] {
        &self.listeners
    }
}

/// A child that replaced another one: the argument of
/// [`on_child_recover`](crate::Prefork::on_child_recover).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildRecovered {
    pub(crate) slot: usize,
    pub(crate) old_pid: i32,
    pub(crate) old_end: String,
    pub(crate) new_pid: i32,
}

impl ChildRecovered {
    /// Returns the slot of both children, from 0.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Returns the process id of the child that was replaced.
    pub fn old_pid(&self) -> i32 {
        self.old_pid
    }

    /// Returns how the replaced child ended, as in its log line.
    ///
    /// Examples: `was killed by SIGSEGV`, `exited with status 1: main returned an error: no
    /// database`. If its `main` has ended and its process still runs, the text describes how `main`
    /// ended. If the last attempt to replace it failed, the text is the error of that attempt. The
    /// text is for people: its wording may change.
    pub fn old_end(&self) -> &str {
        &self.old_end
    }

    /// Returns the process id of the replacement.
    pub fn new_pid(&self) -> i32 {
        self.new_pid
    }
}

/// The role of a process: the argument of [`init`](crate::Prefork::init).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The process supervises the workers; the body of `main` does not run in it.
    Master,
    /// A master started the process, and the body of `main` runs in it.
    #[non_exhaustive]
    Worker {
        /// The slot that the worker fills, from 0. Of a standby: a number after those of all slots.
        slot: usize,
    },
    /// There is no master, and the body of `main` runs in this process.
    ///
    /// This is single-process mode, `workers = 0`.
    Single,
}

impl Role {
    pub(crate) fn worker(slot: usize) -> Self {
        Self::Worker { slot }
    }
}

/// Writes the role as in a log line: `master`, `worker 2`, `single`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master"),
            Self::Worker { slot } => write!(f, "worker {slot}"),
            Self::Single => f.write_str("single"),
        }
    }
}

/// A hook of the master.
pub(crate) type Hook<T> = Box<dyn FnMut(&T) -> Result<(), HookError> + Send>;

/// A hook that is called once, in a worker.
pub(crate) type OnceHook = Box<dyn FnOnce() -> Result<(), HookError> + Send>;

/// The `init` function: it is called once in each process, before everything else.
pub(crate) type Init = Box<dyn FnOnce(Role) -> Result<(), HookError> + Send>;

/// Calls `init` if it is set.
///
/// # Errors
/// The function returns an error or panics.
pub(crate) fn run_init(init: Option<Init>, role: Role) -> Result<(), Error> {
    match init {
        None => Ok(()),
        Some(init) => catch(|| init(role)).map_err(|source| Error::Init {
            process: role.to_string(),
            source,
        }),
    }
}

/// The hooks of a master.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) spawned: Option<Hook<ChildSpawned>>,
    pub(crate) ready: Option<Hook<MasterReady>>,
    pub(crate) child_ready: Option<Hook<ChildReady>>,
    pub(crate) fleet_ready: Option<Hook<FleetReady>>,
    pub(crate) recovered: Option<Hook<ChildRecovered>>,
}

impl Hooks {
    /// # Errors
    /// The hook returns an error or panics.
    pub(crate) fn child_spawned(&mut self, fact: &ChildSpawned) -> Result<(), Error> {
        call("on_child_spawn", &mut self.spawned, fact)
    }

    /// # Errors
    /// The hook returns an error or panics.
    pub(crate) fn master_ready(&mut self, fact: &MasterReady) -> Result<(), Error> {
        call("on_master_ready", &mut self.ready, fact)
    }

    /// # Errors
    /// The hook returns an error or panics.
    pub(crate) fn child_ready(&mut self, fact: &ChildReady) -> Result<(), Error> {
        call("on_child_ready", &mut self.child_ready, fact)
    }

    /// # Errors
    /// The hook returns an error or panics.
    pub(crate) fn fleet_ready(&mut self, fact: &FleetReady) -> Result<(), Error> {
        call("on_fleet_ready", &mut self.fleet_ready, fact)
    }

    /// # Errors
    /// The hook returns an error or panics.
    pub(crate) fn child_recovered(&mut self, fact: &ChildRecovered) -> Result<(), Error> {
        call("on_child_recover", &mut self.recovered, fact)
    }
}

fn call<T>(name: &'static str, hook: &mut Option<Hook<T>>, fact: &T) -> Result<(), Error> {
    match hook {
        None => Ok(()),
        Some(hook) => catch(|| hook(fact)).map_err(|source| Error::Hook { hook: name, source }),
    }
}

/// Calls a function of the user and converts a panic to an error.
///
/// # Errors
/// The function returns an error or panics.
pub(crate) fn catch(function: impl FnOnce() -> Result<(), HookError>) -> Result<(), HookError> {
    catch_unwind(AssertUnwindSafe(function))
        .unwrap_or_else(|payload| Err(Box::new(HookPanic::new(&*payload))))
}

/// The message of a panic, as an error.
#[derive(Debug)]
struct HookPanic {
    message: String,
}

impl HookPanic {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self {
            message: text.unwrap_or("(no message)").to_owned(),
        }
    }
}

impl fmt::Display for HookPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message)
    }
}

impl StdError for HookPanic {}

#[cfg(test)]
mod tests {
    use super::*;

    const FACT: ChildSpawned = ChildSpawned { slot: 0, pid: 7 };

    fn hooks(hook: impl FnMut(&ChildSpawned) -> Result<(), HookError> + Send + 'static) -> Hooks {
        Hooks {
            spawned: Some(Box::new(hook)),
            ..Hooks::default()
        }
    }

    #[test]
    fn a_panic_is_an_error_that_names_the_hook() {
        let mut hooks = hooks(|_| panic!("user code blew up"));
        let error = hooks.child_spawned(&FACT).expect_err("the hook panics");
        let text = error.report();
        assert!(text.contains("on_child_spawn"), "{text}");
        assert!(text.contains(": panicked: user code blew up"), "{text}");
    }

    #[test]
    fn the_source_is_the_error_of_the_hook() {
        let mut hooks = hooks(|child| Err(format!("{} rejected", child.pid()).into()));
        let error = hooks
            .child_spawned(&FACT)
            .expect_err("the hook returns an error");
        let source = StdError::source(&error).expect("the error of the hook");
        assert_eq!(source.to_string(), "7 rejected");
    }

    #[test]
    fn an_error_of_init_names_the_process_and_has_an_exit_status() {
        let fail = |init: Init, role| run_init(Some(init), role).expect_err("init fails");
        let error = fail(Box::new(|_| Err("no disk".into())), Role::worker(2));
        let text = error.report();
        assert!(
            text.starts_with("init failed (worker 2): no disk. "),
            "{text}"
        );
        let panic = fail(Box::new(|role| panic!("I am the {role}")), Role::Master);
        assert!(panic.report().contains(": panicked: I am the master"));
        assert_eq!((error.exit_code(), panic.exit_code()), (70, 70));
        assert!(run_init(None, Role::Single).is_ok());
    }

    #[test]
    fn a_hook_that_is_not_set_is_no_error() {
        assert!(Hooks::default().child_spawned(&FACT).is_ok());
    }
}
