//! Starts a program with `clone(2)` and `execveat(2)`.
//!
//! A few system calls in between set up the descriptors, the signals and the environment of the
//! program.
//!
//! **The reasoning.** The child shares the memory of the master (`CLONE_VM`) until it has executed
//! the program or exited. Therefore the cost does not grow with the memory of the master. `fork`
//! copies page tables, which takes 35 ms for a master of 1 GiB. `posix_spawn(3)` does not copy them either,
//! but:
//!
//! - it cannot return a process descriptor without a race;
//! - it cannot set `LISTEN_PID`, because only the child knows its process id in time;
//! - it cannot close all other descriptors;
//! - its `dup2` actions overwrite a source that is the target of an earlier action.
//!
//! **The price.** Between clone and exec, the child runs in the memory of the master, at the same
//! time as its other threads. It may only call the kernel: it must not allocate, lock or panic. All
//! memory that it needs is prepared before. It runs on its own stack, with all signals blocked
//! until it has reset its handlers. It returns errors through the shared memory.
//!
//! **The wait.** The master waits until the child has left its memory: the kernel then clears a word
//! and wakes the waiting thread (`CLONE_CHILD_CLEARTID`, `futex(2)`). `vfork(2)` would suspend the
//! master for as long as the exec takes, and deliver no signal but SIGKILL meanwhile. An
//! unresponsive network file system, a debugger or SIGSTOP can hold an exec for ever. So the wait has
//! a limit, and the child is killed after it. A killed child executes no more of this memory. If the
//! kernel keeps it nevertheless, its stack and the word are never used again.

mod child;
mod parent;
mod spec;
mod stack;

pub(crate) use parent::{ExecTimeout, Spawned, spawn};
pub(crate) use spec::{ExecSpec, Executable, SpawnStage};
pub(crate) use stack::Stack;
