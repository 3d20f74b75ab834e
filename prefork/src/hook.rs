//! What hooks are told, what they may answer, and how they are called: a panic in one is an error
//! that names it.
//!
//! Knows functions of the user's; does not know when they are called.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;

/// What a hook answers with when it fails.
pub(crate) type Failure = Box<dyn StdError + Send + Sync>;

/// What a function of an option may return: nothing, or a `Result` whose error ends the master (of `init`, its process).
#[diagnostic::on_unimplemented(
    message = "the function cannot return `{Self}`",
    label = "neither `()` nor a `Result<(), E>`",
    note = "return `()`, or a `Result<(), E>` whose error is `std::error::Error`, `String` or `&str`; \
            a `;` behind the last expression drops a value that nobody needs"
)]
pub trait HookOutcome {
    /// The same as a `Result`.
    ///
    /// # Errors
    /// Those of the hook.
    fn into_result(self) -> Result<(), Box<dyn StdError + Send + Sync>>;
}

impl HookOutcome for () {
    fn into_result(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<E: Into<Failure>> HookOutcome for Result<(), E> {
    fn into_result(self) -> Result<(), Failure> {
        self.map_err(Into::into)
    }
}

/// The type of a call that does not return. Since the 2024 edition a closure that only panics has it;
/// stable Rust names it in the result of a function alone, so that it is taken from there.
type Never = <fn() -> ! as ResultOf>::Type;

/// What a function returns, by its type.
pub trait ResultOf {
    /// That.
    type Type;
}

impl<T> ResultOf for fn() -> T {
    type Type = T;
}

/// A hook that never returns: it panics, or ends the process.
impl HookOutcome for Never {
    fn into_result(self) -> Result<(), Failure> {
        self
    }
}

/// A child that was started, as [`on_child_spawn`](crate::Prefork::on_child_spawn) is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildSpawned {
    pub(crate) slot: usize,
    pub(crate) pid: i32,
}

impl ChildSpawned {
    /// The slot that it fills, from 0.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

/// The fleet after its first start, as [`on_master_ready`](crate::Prefork::on_master_ready) is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterReady {
    pub(crate) pids: Vec<i32>,
    pub(crate) addrs: Vec<(String, SocketAddr)>,
}

impl MasterReady {
    /// The first children's process ids, in slot order; one of them may have ended by now.
    pub fn pids(&self) -> &[i32] {
        &self.pids
    }

    /// The name and the address of each listener, with the real port where 0 was asked for.
    pub fn addrs(&self) -> &[(String, SocketAddr)] {
        &self.addrs
    }
}

/// A child that took another's place, as [`on_child_recover`](crate::Prefork::on_child_recover) is
/// told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildRecovered {
    pub(crate) slot: usize,
    pub(crate) old_pid: i32,
    pub(crate) old_end: String,
    pub(crate) new_pid: i32,
}

impl ChildRecovered {
    /// The slot, from 0.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// The process that ended.
    pub fn old_pid(&self) -> i32 {
        self.old_pid
    }

    /// How that process ended, as its line in the log says: `was killed by SIGSEGV`, or
    /// `exited with status 1: main returned an error: no database`. If `main` has ended and the process still runs, it is
    /// how `main` ended. If the last attempt to replace it failed, it is why. For people to read: the wording may change.
    pub fn old_end(&self) -> &str {
        &self.old_end
    }

    /// The process that took its place.
    pub fn new_pid(&self) -> i32 {
        self.new_pid
    }
}

/// Which of a family a process is, as [`init`](crate::Prefork::init) is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// It supervises; the body does not run in it.
    Master,
    /// It runs the body, and a master started it.
    #[non_exhaustive]
    Worker {
        /// The slot that it fills, from 0.
        slot: usize,
    },
    /// It runs the body, and there is no other: single mode, `workers = 0`.
    Single,
}

impl Role {
    pub(crate) fn worker(slot: usize) -> Self {
        Self::Worker { slot }
    }
}

/// As in a line of a log: `master`, `worker 2`, `single`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master"),
            Self::Worker { slot } => write!(f, "worker {slot}"),
            Self::Single => f.write_str("single"),
        }
    }
}

/// A user's function that is called with a fact.
pub(crate) type Hook<T> = Box<dyn FnMut(&T) -> Result<(), Failure> + Send>;

/// A user's function that is called once, in a worker.
pub(crate) type LastHook = Box<dyn FnOnce() -> Result<(), Failure> + Send>;

/// A user's function that is called once, before everything else.
pub(crate) type Init = Box<dyn FnOnce(Role) -> Result<(), Failure> + Send>;

/// Calls `init`, if there is one.
///
/// # Errors
/// Its own, or its panic.
pub(crate) fn begin(init: Option<Init>, role: Role) -> Result<(), Error> {
    match init {
        None => Ok(()),
        Some(init) => contain(|| init(role)).map_err(|source| Error::Init {
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
    pub(crate) recovered: Option<Hook<ChildRecovered>>,
}

impl Hooks {
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            spawned,
            ready,
            recovered,
        } = self;
        spawned.is_none() && ready.is_none() && recovered.is_none()
    }

    /// # Errors
    /// The hook's own, or its panic.
    pub(crate) fn child_spawned(&mut self, fact: &ChildSpawned) -> Result<(), Error> {
        call("on_child_spawn", &mut self.spawned, fact)
    }

    /// # Errors
    /// The hook's own, or its panic.
    pub(crate) fn master_ready(&mut self, fact: &MasterReady) -> Result<(), Error> {
        call("on_master_ready", &mut self.ready, fact)
    }

    /// # Errors
    /// The hook's own, or its panic.
    pub(crate) fn child_recovered(&mut self, fact: &ChildRecovered) -> Result<(), Error> {
        call("on_child_recover", &mut self.recovered, fact)
    }
}

fn call<T>(name: &'static str, hook: &mut Option<Hook<T>>, fact: &T) -> Result<(), Error> {
    match hook {
        None => Ok(()),
        Some(hook) => contain(|| hook(fact)).map_err(|source| Error::Hook { hook: name, source }),
    }
}

/// Runs a user's function; its panic becomes its error.
///
/// # Errors
/// The function's own, or its panic.
pub(crate) fn contain(function: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(function))
        .unwrap_or_else(|payload| Err(Box::new(Panicked::new(&*payload))))
}

/// What a panic said.
#[derive(Debug)]
struct Panicked {
    message: String,
}

impl Panicked {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self {
            message: text.unwrap_or("without a text").to_owned(),
        }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it panicked: {}", self.message)
    }
}

impl StdError for Panicked {}

#[cfg(test)]
mod tests {
    use super::*;

    const FACT: ChildSpawned = ChildSpawned { slot: 0, pid: 7 };

    fn hooks(hook: impl FnMut(&ChildSpawned) -> Result<(), Failure> + Send + 'static) -> Hooks {
        Hooks {
            spawned: Some(Box::new(hook)),
            ..Hooks::default()
        }
    }

    #[test]
    fn a_panic_is_an_error_that_names_the_hook() {
        let mut hooks = hooks(|_| panic!("user code blew up"));
        let error = hooks.child_spawned(&FACT).expect_err("it panicked");
        let text = error.paragraph();
        assert!(text.contains("on_child_spawn"), "{text}");
        assert!(text.contains("it panicked: user code blew up"), "{text}");
    }

    #[test]
    fn an_error_comes_back_as_it_was() {
        let mut hooks = hooks(|child| Err(format!("{} rejected", child.pid()).into()));
        let error = hooks.child_spawned(&FACT).expect_err("it refused");
        let source = StdError::source(&error).expect("the hook's own");
        assert_eq!(source.to_string(), "7 rejected");
    }

    #[test]
    fn what_stops_init_names_the_process_and_has_a_status() {
        let says = |init: Init, role| begin(Some(init), role).expect_err("it refused");
        let refusal = says(Box::new(|_| Err("no disk".into())), Role::worker(2));
        let text = refusal.paragraph();
        assert!(
            text.starts_with("init failed (worker 2): no disk. "),
            "{text}"
        );
        let panic = says(Box::new(|role| panic!("I am the {role}")), Role::Master);
        assert!(panic.paragraph().contains("it panicked: I am the master"));
        assert_eq!((refusal.exit_code(), panic.exit_code()), (70, 70));
        assert!(begin(None, Role::Single).is_ok());
    }

    #[test]
    fn no_hook_is_no_failure() {
        assert!(Hooks::default().child_spawned(&FACT).is_ok());
    }
}
