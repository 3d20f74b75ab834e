//! The only unsafe code of the crate, one file per kernel facility.
//!
//! It returns owned, safe types. It does not know masters, workers and listeners.
//!
//! Code for Linux only is behind `all(target_os = "linux", not(prefork_portable))`. With
//! `--cfg prefork_portable` the crate behaves on Linux as on other Unix systems, where no master
//! can run.
#![expect(
    unsafe_code,
    reason = "only this module has unsafe code; each block names its obligation"
)]

pub(crate) mod accept;
pub(crate) mod addr;
pub(crate) mod affinity;
pub(crate) mod background_close;
pub(crate) mod clock;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) mod clone;
pub(crate) mod env;
pub(crate) mod exit_status;
pub(crate) mod fds;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) mod image;
pub(crate) mod light_thread;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) mod memfd;
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
#[path = "memfd_unsupported.rs"]
pub(crate) mod memfd;
pub(crate) mod one_shot;
pub(crate) mod peer;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) mod pidfd;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) mod probe;
pub(crate) mod process;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) mod reuseport_filter;
pub(crate) mod seqpacket;
pub(crate) mod signals;
pub(crate) mod stderr;
pub(crate) mod waker;
pub(crate) mod write_now;
