//! Each system call of a master, and of a worker, fails once.
//!
//! strace lists the calls of one run from start to stop. Then each call fails in a separate run
//! (`strace --inject`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;
use std::{fmt, fs, thread};

use prefork_testkit::{RunningServer, Server, Signal, TIMEOUT, reserve_addr};
use prefork_tests::client::{get, slot_and_pid};
use prefork_tests::proc;

use crate::random::Random;
use crate::{is_long, new_seed, requested_seed};

const SERVER: &str = env!("CARGO_BIN_EXE_failing_worker");

/// How many servers run at the same time.
const LANES: usize = 3;

/// How many calls fail in the short form.
const SAMPLE: usize = 8;

/// Calls that cannot fail, end the process or return from a handler, and `close`, which Linux
/// executes even if it fails.
const LEFT_OUT: [&str; 14] = [
    "brk",
    "close",
    "execve",
    "exit",
    "exit_group",
    "getpid",
    "getppid",
    "getrandom",
    "gettid",
    "munmap",
    "restart_syscall",
    "rt_sigreturn",
    "sched_yield",
    "set_robust_list",
];

/// The statuses that the documentation of `Error::exit_code` lists, and success.
const DOCUMENTED: [i32; 10] = [0, 68, 69, 70, 71, 72, 74, 75, 76, 78];

/// The errors that a call may return.
fn errors(call: &str) -> &'static [&'static str] {
    match call {
        "accept4" => &["EMFILE", "ENOMEM", "EINTR", "EPERM"],
        "bind" => &["EADDRINUSE", "EACCES"],
        "clone" | "clone3" => &["EAGAIN", "ENOMEM", "EPERM"],
        "epoll_wait" | "futex" | "poll" | "ppoll" | "waitid" => &["EINTR"],
        "eventfd2" | "epoll_create1" | "memfd_create" | "openat" | "pidfd_open" | "socket"
        | "socketpair" => &["EMFILE", "ENOMEM", "EPERM"],
        "fcntl" | "epoll_ctl" => &["ENOMEM", "EPERM"],
        "mmap" | "mprotect" => &["ENOMEM"],
        // The call writes to an eventfd. EAGAIN would mean that the reader is awake.
        "write" => &["EINTR", "ENOMEM"],
        "read" | "recvfrom" | "recvmsg" | "sendto" | "sendmsg" => &["EAGAIN", "EINTR", "ENOMEM"],
        _ => &["EPERM", "ENOMEM"],
    }
}

/// The process in which a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Master,
    /// The first worker, in each of its threads.
    Worker,
}

/// The n-th call of this name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    name: String,
    number: usize,
}

#[derive(Debug, Clone)]
struct Fault {
    target: Target,
    call: Call,
    error: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { name, number } = &self.call;
        write!(
            f,
            "{:?}: {name} #{number} fails with {}",
            self.target, self.error
        )
    }
}

/// A command that traces. With `-D`, strace is not the parent of the traced process.
fn strace(program: &Path, output: &Path, target: Target, fault: Option<&Fault>) -> Vec<String> {
    let mut args = vec![
        program.display().to_string(),
        "-D".to_owned(),
        "-o".to_owned(),
        output.display().to_string(),
    ];
    if target == Target::Worker {
        args.push("-f".to_owned());
    }
    if let Some(Fault { call, error, .. }) = fault {
        let Call { name, number } = call;
        // strace stops the process at this call only.
        args.push(format!("--trace={name}"));
        args.push(format!("--inject={name}:error={error}:when={number}"));
    }
    args
}

/// How one run ended.
#[derive(Debug)]
struct Run {
    /// The step that took longer than [`TIMEOUT`].
    hang: Option<&'static str>,
    code: Option<i32>,
    signal: Option<i32>,
    orphans: Vec<i32>,
    log: Vec<String>,
}

fn run(strace: &[String], target: Target) -> Run {
    let reserved = reserve_addr();
    let server = Server::new(SERVER)
        .listen(format!("listener={reserved}"))
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "2s")
        .env("PREFORK_READY_TIMEOUT", "5s");
    let server = match target {
        Target::Master => server.wrapper(strace),
        Target::Worker => server.env("STORM_WRAPPER", strace.join(" ")),
    };
    let mut server = server.spawn();
    let hang = live(&server, reserved.addr(), target).err();
    if hang.is_some() {
        server.signal(Signal::SIGKILL);
    }
    let status = server.wait();
    let orphans = within(|| server.processes().is_empty())
        .map_or_else(|| server.processes(), |()| Vec::new());
    let log = if orphans.is_empty() {
        server.final_log()
    } else {
        server.log()
    };
    Run {
        hang,
        code: status.code(),
        signal: status.signal(),
        orphans,
        log,
    }
}

/// Starts, serves, recovers and stops.
///
/// # Errors
/// The step that took longer than [`TIMEOUT`].
fn live(server: &RunningServer, addr: SocketAddr, target: Target) -> Result<(), &'static str> {
    let master = server.master_pid();
    let has_ended = || !proc::is_alive(master);
    let serves_by_other_than = |pid: i32| {
        let body = get(addr, "/").ok();
        body.and_then(|body| slot_and_pid(&body))
            .is_some_and(|(_, other)| other != pid)
    };
    within(|| has_ended() || serves_by_other_than(0)).ok_or("the first answer")?;
    if target == Target::Master
        && let Some(killed) = server.child(0)
    {
        server.kill_child(0);
        within(|| has_ended() || serves_by_other_than(killed.pid))
            .ok_or("an answer of a replacement")?;
    }
    server.signal(Signal::SIGTERM);
    within(has_ended).ok_or("the end of the master")
}

fn within(mut holds: impl FnMut() -> bool) -> Option<()> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > TIMEOUT {
            return None;
        }
        thread::sleep(std::time::Duration::from_millis(5));
    }
    Some(())
}

/// The calls after the start of Rust's runtime.
fn calls(trace: &str) -> BTreeSet<Call> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut early: BTreeMap<&str, usize> = BTreeMap::new();
    let mut main_thread = None;
    let mut is_started = false;
    let mut calls = BTreeSet::new();
    for line in trace.lines() {
        // With `-f` each line begins with the thread.
        let (thread, line) = match line.split_once(' ') {
            Some((thread, rest)) if thread.bytes().all(|byte| byte.is_ascii_digit()) => {
                (thread, rest.trim_start())
            }
            _ => ("", line),
        };
        let main_thread = *main_thread.get_or_insert(thread);
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            continue;
        }
        let count = counts.entry((thread, name)).or_default();
        *count += 1;
        let count = *count;
        // The n-th call fails in each thread. Calls of the loader and the runtime must not fail.
        let is_early =
            thread != main_thread && early.get(name).is_some_and(|early| count <= *early);
        if is_started && !is_early && !LEFT_OUT.contains(&name) {
            calls.insert(Call {
                name: name.to_owned(),
                number: count,
            });
        }
        if !is_started && thread == main_thread {
            early.insert(name, count);
            // The runtime's last step: handlers of stack overflows.
            is_started = line.starts_with("rt_sigaction(SIGBUS, {");
        }
    }
    calls
}

impl Run {
    /// The defect of this run, if it has one.
    fn defect(&self, fault: &Fault) -> Option<String> {
        if let Some(hang) = self.hang {
            return Some(format!("waited {TIMEOUT:?} for {hang}"));
        }
        if !self.orphans.is_empty() {
            return Some(format!("{:?} are left", self.orphans));
        }
        if self.log.iter().any(|line| line.contains("panicked at")) {
            return Some("a panic".to_owned());
        }
        if self
            .log
            .iter()
            .any(|line| line.contains("master process died"))
        {
            return Some("a worker that lost a living master".to_owned());
        }
        let Some(code) = self.code else {
            return Some(format!("signal {:?} ended the master", self.signal));
        };
        if !DOCUMENTED.contains(&code) {
            return Some(format!("status {code}"));
        }
        let name = &fault.call.name;
        (code != 0 && !self.log.iter().any(|line| names(line, name)))
            .then(|| format!("status {code} without a line that names {name}"))
    }

    /// The lines that this fault added, for the long form.
    fn remark(&self) -> String {
        let is_expected = |line: &&String| {
            [
                "listening on",
                "as requested",
                "started, replacing",
                "stopping 1 worker",
                "all workers exited",
            ]
            .iter()
            .any(|part| line.contains(part))
                || line.contains("was killed by SIGKILL after")
        };
        let lines: Vec<&str> = self
            .log
            .iter()
            .filter(|line| !is_expected(line))
            .map(String::as_str)
            .collect();
        lines.join(" / ")
    }
}

/// Whether a line names the call, or its operation on a file or an address.
fn names(line: &str, call: &str) -> bool {
    let name = match call {
        // Functions of the C library and of the standard library make these calls.
        "openat" | "readlink" | "statx" => "open ",
        "getsockname" => "read the address of ",
        "setsockopt" => "set SO_",
        _ => call,
    };
    line.contains(name) || (call == "sendto" && line.contains("send failed"))
}

/// The absolute path of strace: a wrapper of a worker is not searched in `PATH`.
fn find_strace() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join("strace"));
    paths.find(|path| path.is_file())
}

fn storm(target: Target) {
    let Some(program) = find_strace() else {
        println!("skipped: needs strace");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let list = folder.path().join("calls");
    let clean = run(&strace(&program, &list, target, None), target);
    if clean
        .log
        .iter()
        .any(|line| line.contains("PTRACE_TRACEME") || line.contains("strace: "))
    {
        println!(
            "skipped: needs strace with the right to trace: {:?}",
            clean.log
        );
        return;
    }
    assert_eq!((clean.hang, clean.code), (None, Some(0)), "{clean:#?}");
    let calls = calls(&fs::read_to_string(&list).expect("strace wrote the list"));
    let all = calls.iter().flat_map(|call| {
        let fault = |&error| Fault {
            target,
            call: call.clone(),
            error,
        };
        errors(&call.name).iter().map(fault)
    });
    let all: Vec<Fault> = all.collect();
    let seed = requested_seed().unwrap_or_else(new_seed);
    let mut random = Random::new(seed);
    let faults = if is_long() {
        all.clone()
    } else {
        let pick =
            |_| all[usize::try_from(random.below(all.len() as u64)).expect("an index")].clone();
        (0..SAMPLE).map(pick).collect()
    };
    let began = Instant::now();
    println!(
        "{target:?}: {} calls, {} faults of {}, seed {seed}",
        calls.len(),
        faults.len(),
        all.len()
    );
    let defects = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for lane in 0..LANES {
            let (program, faults, defects) = (&program, &faults, &defects);
            let output = folder.path().join(format!("lane{lane}"));
            scope.spawn(move || {
                for fault in faults.iter().skip(lane).step_by(LANES) {
                    let run = run(&strace(program, &output, target, Some(fault)), target);
                    if is_long() {
                        println!("{fault}: status {:?}: {}", run.code, run.remark());
                    }
                    if let Some(defect) = run.defect(fault) {
                        let log = run.log.join("\n  ");
                        let mut defects = defects.lock().expect("no panic");
                        defects.push(format!("{fault}: {defect}\n  {log}"));
                    }
                }
            });
        }
    });
    let defects = defects.into_inner().expect("no panic");
    println!(
        "{target:?}: {} faults in {:.1?}, {} defects",
        faults.len(),
        began.elapsed(),
        defects.len()
    );
    assert!(defects.is_empty(), "seed {seed}\n{}", defects.join("\n"));
}

#[test]
fn a_master_continues_or_names_the_call_that_failed() {
    storm(Target::Master);
}

#[test]
fn a_master_outlives_each_failing_call_of_a_worker() {
    storm(Target::Worker);
}
