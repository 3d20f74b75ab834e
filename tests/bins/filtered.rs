//! Runs a program under a seccomp filter that rejects one system call or one socket option:
//! `filtered <call> <errno> <program> <args…>`. If the errno is `KILL`, the kernel kills the
//! process that makes the call.
//!
//! `rt_sigprocmask` filters only the call that sets the whole mask, as after a clone.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::{env, io};

use nix::errno::Errno;
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

/// `SO_PASSRIGHTS`. The libc crate does not define it yet.
const PASSRIGHTS: u64 = 83;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [call, errno, program, rest @ ..] = args.as_slice() else {
        eprintln!("usage: filtered <call> <errno> <program> <args…>");
        return ExitCode::FAILURE;
    };
    let error = match refuse(call, errno) {
        Ok(()) => Command::new(program).args(rest).exec(),
        Err(error) => error,
    };
    eprintln!("filtered: {error}");
    ExitCode::FAILURE
}

fn refuse(call: &str, errno: &str) -> io::Result<()> {
    let mut rules = Vec::new();
    let call = match call {
        "SO_PASSRIGHTS" => {
            rules.push(socket_option(PASSRIGHTS)?);
            libc::SYS_setsockopt
        }
        "SO_REUSEPORT" => {
            let option = u64::from(libc::SO_REUSEPORT.unsigned_abs());
            rules.push(socket_option(option)?);
            libc::SYS_setsockopt
        }
        "SO_ATTACH_REUSEPORT_CBPF" => {
            let option = u64::from(libc::SO_ATTACH_REUSEPORT_CBPF.unsigned_abs());
            rules.push(socket_option(option)?);
            libc::SYS_setsockopt
        }
        "sched_getaffinity" => libc::SYS_sched_getaffinity,
        "sched_setaffinity" => libc::SYS_sched_setaffinity,
        "sched_setaffinity_by_id" => {
            // 0 is the calling thread.
            let by_id = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0);
            let by_id = by_id.map_err(io::Error::other)?;
            rules.push(SeccompRule::new(vec![by_id]).map_err(io::Error::other)?);
            libc::SYS_sched_setaffinity
        }
        "pidfd_open" => libc::SYS_pidfd_open,
        "pidfd_send_signal" => libc::SYS_pidfd_send_signal,
        "waitid" => libc::SYS_waitid,
        "close_range" => libc::SYS_close_range,
        "execveat" => libc::SYS_execveat,
        "epoll_create1" => libc::SYS_epoll_create1,
        "clone" => libc::SYS_clone,
        "clone_beside" => {
            // A clone that shares the memory of its parent and does not suspend the parent.
            let shared = u64::from(libc::CLONE_VM.unsigned_abs());
            let mask = shared | u64::from((libc::CLONE_VFORK | libc::CLONE_THREAD).unsigned_abs());
            let condition = SeccompCondition::new(
                0,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::MaskedEq(mask),
                shared,
            );
            let condition = condition.map_err(io::Error::other)?;
            rules.push(SeccompRule::new(vec![condition]).map_err(io::Error::other)?);
            libc::SYS_clone
        }
        "parent_death" => {
            let option = u64::from(libc::PR_SET_PDEATHSIG.unsigned_abs());
            rules.push(SeccompRule::new(vec![equals(0, option)?]).map_err(io::Error::other)?);
            libc::SYS_prctl
        }
        "eventfd2" => libc::SYS_eventfd2,
        "setsockopt" => libc::SYS_setsockopt,
        "rt_sigprocmask" => {
            // A program cannot start without the other operations on the mask.
            let set = u64::from(libc::SIG_SETMASK.cast_unsigned());
            rules.push(SeccompRule::new(vec![equals(0, set)?]).map_err(io::Error::other)?);
            libc::SYS_rt_sigprocmask
        }
        // `SIG_BLOCK` alone. The standard library sets the whole mask before it executes a
        // program.
        "rt_sigprocmask_block" => {
            let block = u64::from(libc::SIG_BLOCK.unsigned_abs());
            rules.push(SeccompRule::new(vec![equals(0, block)?]).map_err(io::Error::other)?);
            libc::SYS_rt_sigprocmask
        }
        _ => return Err(io::Error::other(format!("unknown call {call}"))),
    };
    let fails = |errno: Errno| SeccompAction::Errno((errno as i32).cast_unsigned());
    let action = match errno {
        "ENOSYS" => fails(Errno::ENOSYS),
        "EPERM" => fails(Errno::EPERM),
        "EAGAIN" => fails(Errno::EAGAIN),
        "EINVAL" => fails(Errno::EINVAL),
        "ENOPROTOOPT" => fails(Errno::ENOPROTOOPT),
        "KILL" => SeccompAction::KillProcess,
        _ => return Err(io::Error::other(format!("unknown error {errno}"))),
    };
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, rules)]),
        SeccompAction::Allow,
        action,
        env::consts::ARCH.try_into().map_err(io::Error::other)?,
    );
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)?;
    apply_filter(&program).map_err(io::Error::other)
}

/// A call of `setsockopt(2)` with this option of `SOL_SOCKET`.
fn socket_option(option: u64) -> io::Result<SeccompRule> {
    let level = u64::from(libc::SOL_SOCKET.unsigned_abs());
    let conditions = vec![equals(1, level)?, equals(2, option)?];
    SeccompRule::new(conditions).map_err(io::Error::other)
}

fn equals(argument: u8, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
        .map_err(io::Error::other)
}
