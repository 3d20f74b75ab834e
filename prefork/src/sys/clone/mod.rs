//! Starting a program: one `clone(2)` and one `execveat(2)`, and in between a handful of system
//! calls that put everything where the program expects it.
//!
//! **The reasoning.** The child shares the master's memory (`CLONE_VM`) until it has executed or
//! ended, so that the cost does not grow with the master's memory: `fork` copies page tables, 35 ms
//! for a master of 1 GiB. `posix_spawn(3)` does the same, but it can give neither a descriptor of the process without a
//! race, nor `LISTEN_PID` (nobody knows it earlier than the child), nor close strays, and its
//! `dup2` actions overwrite sources that lie on targets.
//!
//! **The price.** Between clone and exec the child runs on the master's memory beside its other
//! threads. It may call the kernel and nothing else: no allocation, no lock, no panic. Everything
//! that it needs is made before; it runs with all signals blocked until its handlers are reset, on
//! a stack of its own; its errors come back through the shared memory.
//!
//! **The wait.** The master waits until the child has left its memory: the kernel clears a word then
//! and wakes who waits for it (`CLONE_CHILD_CLEARTID`, `futex(2)`). `vfork(2)` would suspend the
//! master for as long as the exec takes, and no signal but SIGKILL is heard meanwhile: a network file
//! system that does not answer, a debugger or SIGSTOP can hold an exec for ever. So the wait has a
//! limit, after which the child is killed. It runs no instruction of its own any more then; the stack
//! and the word are left to it if the kernel keeps it.

mod child;
mod exec;
mod stack;

pub(crate) use exec::{Exec, Image, Patience, Spawned, Stage, spawn};
pub(crate) use stack::Stack;
