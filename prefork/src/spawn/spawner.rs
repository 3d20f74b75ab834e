//! Performs the starts of children, one after another, always on the same thread: the parent-death
//! signal of a child depends on the thread that started it (`prctl(2)`).

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{ChildCommand, CommandHook, Program};
use crate::sys::affinity::CpuMask;
use crate::sys::clone::{ExecSpec, ExecTimeout, Executable, SpawnStage, Spawned, Stack, spawn};

/// The input of one start.
#[derive(Debug)]
pub(crate) struct SpawnRequest<'a> {
    pub(crate) slot: usize,
    /// The program, unless the `child_producer` function names another one.
    pub(crate) program: &'a Program,
    /// The descriptors of the child, from 3 on, in this order.
    pub(crate) fds: Vec<BorrowedFd<'a>>,
    /// The stderr of the child. `None`: that of the master.
    pub(crate) stderr: Option<BorrowedFd<'a>>,
    /// The variables that are set for the child. They replace variables of the same names.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// The variables that are removed and not set.
    pub(crate) removed: &'a [&'static str],
    /// The CPU that the child runs on. `None`: those of the master.
    pub(crate) cpu: Option<usize>,
}

/// The reason why no child was started.
#[derive(Debug)]
pub(crate) enum SpawnError {
    /// The `child_producer` function returned an error or panicked.
    CommandHook(Box<dyn std::error::Error + Send + Sync>),
    /// A system call failed.
    System {
        program: String,
        call: &'static str,
        source: io::Error,
    },
    /// The signal mask could not be restored: this thread receives no signals.
    SignalMask(io::Error),
}

/// A child that was started.
#[derive(Debug)]
pub(crate) struct SpawnedChild {
    pub(crate) process: Spawned,
    /// The child runs another program than the master, which may not know the protocol.
    pub(crate) is_foreign: bool,
}

/// Starts the children of a master.
pub(crate) struct Spawner {
    stack: Stack,
    null: File,
    producer: Option<CommandHook>,
}

/// Signals that a terminal sends to the whole process group.
///
/// The master decides what to do.
const BLOCKED: [Signal; 3] = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

impl Spawner {
    /// The time limit of an exec. It takes milliseconds unless the file system does not respond.
    pub(crate) const EXEC_TIMEOUT: Duration = Duration::from_secs(5);

    /// # Errors
    /// The failed stage, as the end of the sentence 'the master cannot …', and the cause.
    pub(crate) fn new(producer: Option<CommandHook>) -> Result<Self, (&'static str, io::Error)> {
        let at = |stage| move |source| (stage, source);
        Ok(Self {
            stack: Stack::new().map_err(at(
                "allocate a stack for the start of workers (mmap, mprotect)",
            ))?,
            null: File::open("/dev/null").map_err(at("open /dev/null, the stdin of workers"))?,
            producer,
        })
    }

    /// Starts a child and returns after the exec of its program.
    ///
    /// If the exec takes longer than [`EXEC_TIMEOUT`](Self::EXEC_TIMEOUT), or if something is urgent
    /// meanwhile, the child is killed and returned as hung.
    ///
    /// # Errors
    /// The child does not exist then.
    pub(crate) fn spawn(
        &mut self,
        order: SpawnRequest<'_>,
        is_urgent: &dyn Fn() -> bool,
    ) -> Result<SpawnedChild, SpawnError> {
        let mut command = ChildCommand::new(order.slot);
        if let Some(produce) = &mut self.producer {
            produce(&mut command).map_err(SpawnError::CommandHook)?;
        }
        let program = match &command.program {
            Some(path) => path.display().to_string(),
            None => order.program.path(),
        };
        let spawn_error = |call, source| SpawnError::System {
            program,
            call,
            source,
        };
        if command.program.is_none()
            && let Err(source) = order.program.check()
        {
            return Err(spawn_error("execveat", source));
        }
        for name in order.removed {
            command.env_remove(name);
        }
        for (name, value) in order.variables {
            command.env(name, value);
        }
        let is_foreign = command.program.is_some();
        let (image, args, env) = match to_cstrings(command, order.program) {
            Ok(texts) => texts,
            Err(source) => return Err(spawn_error("execve", source)),
        };
        let exec = ExecSpec {
            image: match &image {
                Some(path) => Executable::Path(path),
                None => Executable::Open(order.program.as_fd()),
            },
            args,
            env,
            fds: order.fds,
            stdin: self.null.as_fd(),
            stderr: order.stderr,
            blocked: &BLOCKED,
            // A worker of this program clears it when its monitor thread runs, so that it can
            // finish its requests. Before that it has none.
            parent_death: Signal::SIGTERM,
            // Before the exec: so it holds for every thread, and for programs without prefork. A
            // wrapper such as `taskset` can still replace it.
            cpu: order.cpu.map(CpuMask::of),
        };
        let timeout = ExecTimeout {
            limit: Self::EXEC_TIMEOUT,
            is_urgent,
        };
        match spawn(&mut self.stack, &exec, &timeout) {
            Ok(process) => Ok(SpawnedChild {
                process,
                is_foreign,
            }),
            Err(failure) if failure.stage == SpawnStage::RestoreMask => {
                Err(SpawnError::SignalMask(failure.source))
            }
            Err(failure) => Err(spawn_error(failure.stage.call(), failure.source)),
        }
    }
}

/// The path to execute (`None`: the open program), the arguments, the environment.
type ExecStrings = (Option<CString>, Vec<CString>, Vec<CString>);

/// # Errors
/// A text contains a zero byte, which the kernel cannot represent.
fn to_cstrings(mut command: ChildCommand, held: &Program) -> io::Result<ExecStrings> {
    let text = |os: OsString| Ok::<_, io::Error>(CString::new(os.into_vec())?);
    let mut image = command.program;
    if let Some(wrapper) = command.wrapper {
        let wrapped = image.unwrap_or_else(|| held.proc_fd_path());
        let rest = command.args.split_off(1.min(command.args.len()));
        command.args = vec![wrapper.path.clone().into_os_string()];
        command.args.extend(wrapper.args);
        command.args.push(wrapped.into_os_string());
        command.args.extend(rest);
        image = Some(wrapper.path);
    }
    let image = image.map(|path| text(path.into_os_string()));
    let args = command.args.into_iter().map(text);
    let env = command.env.iter().map(|(name, value)| {
        // The capacity includes the terminating zero: one allocation per variable, of which there
        // may be a hundred.
        let mut pair = Vec::with_capacity(name.len() + 1 + value.len() + 1);
        pair.extend_from_slice(name.as_bytes());
        pair.push(b'=');
        pair.extend_from_slice(value.as_bytes());
        Ok::<_, io::Error>(CString::new(pair)?)
    });
    Ok((
        image.transpose()?,
        args.collect::<Result<_, _>>()?,
        env.collect::<Result<_, _>>()?,
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::sys::exit_status::ExitStatus;

    fn with_tools(producer: Option<CommandHook>) -> Spawner {
        Spawner::new(producer).expect("memory and /dev/null")
    }

    /// Runs a shell as a child; returns what it wrote to descriptor 3, and its status.
    fn shell(
        spawner: &mut Spawner,
        variables: Vec<(&'static str, String)>,
    ) -> (String, ExitStatus) {
        let (mut reader, writer) = UnixStream::pair().expect("free descriptors");
        let started = spawner
            .spawn(
                SpawnRequest {
                    slot: 0,
                    program: &Program::current().expect("/proc"),
                    fds: vec![writer.as_fd()],
                    stderr: None,
                    variables,
                    removed: &["LISTEN_PID"],
                    cpu: None,
                },
                &|| false,
            )
            .expect("a shell can be started");
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("a readable file");
        (
            text,
            started.process.pidfd.wait().expect("a child of this test"),
        )
    }

    fn script(text: &'static str) -> Spawner {
        let producer: CommandHook = Box::new(move |command| {
            command.program("/bin/sh").arg("-c").arg(text);
            Ok(())
        });
        with_tools(Some(producer))
    }

    #[test]
    fn a_child_has_exactly_the_requested_descriptors() {
        // A descriptor that is not close-on-exec.
        let unrelated = File::open("/dev/null").expect("/dev/null exists");
        let unrelated = nix::unistd::dup(&unrelated).expect("free descriptors");
        let mut spawner = script("exec >&3; ls /proc/$$/fd");
        let (text, _) = shell(&mut spawner, Vec::new());
        drop(unrelated);
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>(),
            ["0", "1", "2", "3"]
        );
    }

    #[test]
    fn a_child_knows_its_own_pid_and_reads_nothing_from_stdin() {
        let mut spawner = script("[ \"$LISTEN_PID\" = $$ ] && echo mine >&3; cat >&3; exit 7");
        let (text, status) = shell(&mut spawner, Vec::new());
        assert_eq!(text, "mine\n");
        assert_eq!(status, ExitStatus::Code(7));
    }

    #[test]
    fn variables_are_set_once_and_similar_names_stay() {
        let variables = vec![("PREFORK_CHILD", "1:0:1:4".to_owned())];
        let producer: CommandHook = Box::new(|command| {
            command
                .env("PREFORK_CHILD", "other")
                .env("MY_PREFORK_CHILD", "stays");
            command
                .program("/bin/sh")
                .arg("-c")
                .arg("env | grep PREFORK_CHILD | sort >&3");
            Ok(())
        });
        let mut spawner = with_tools(Some(producer));
        let (text, _) = shell(&mut spawner, variables);
        assert_eq!(text, "MY_PREFORK_CHILD=stays\nPREFORK_CHILD=1:0:1:4\n");
    }

    #[test]
    fn terminal_signals_are_blocked_and_nothing_is_ignored() {
        // No shell: some shells change the signal mask at their start.
        let producer: CommandHook = Box::new(|command| {
            command
                .program("/bin/cp")
                .arg("/proc/self/status")
                .arg("/proc/self/fd/3");
            Ok(())
        });
        let mut spawner = with_tools(Some(producer));
        let (reader, writer) = nix::unistd::pipe().expect("free descriptors");
        let started = spawner
            .spawn(
                SpawnRequest {
                    slot: 0,
                    program: &Program::current().expect("/proc"),
                    fds: vec![writer.as_fd()],
                    stderr: None,
                    variables: Vec::new(),
                    removed: &[],
                    cpu: None,
                },
                &|| false,
            )
            .expect("cp can be started");
        drop(writer);
        let mut text = String::new();
        File::from(reader)
            .read_to_string(&mut text)
            .expect("a readable file");
        started.process.pidfd.wait().expect("a child of this test");
        let value = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .expect(name);
            u64::from_str_radix(line[name.len() + 1..].trim(), 16).expect(line)
        };
        // Bit n - 1 is for signal n: HUP 1, INT 2, QUIT 3.
        assert_eq!(value("SigBlk"), 0b111);
        assert_eq!(value("SigIgn"), 0);
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error_with_its_cause() {
        let producer: CommandHook = Box::new(|command| {
            command.program("/no/such/program");
            Ok(())
        });
        let mut spawner = with_tools(Some(producer));
        let error = spawner
            .spawn(
                SpawnRequest {
                    slot: 0,
                    program: &Program::current().expect("/proc"),
                    fds: Vec::new(),
                    stderr: None,
                    variables: Vec::new(),
                    removed: &[],
                    cpu: None,
                },
                &|| false,
            )
            .expect_err("no such program");
        let SpawnError::System { call, source, .. } = error else {
            panic!("expected an error of the system");
        };
        assert_eq!((call, source.kind()), ("execve", io::ErrorKind::NotFound));
    }

    #[test]
    fn descriptors_that_overlap_their_targets_are_all_moved() {
        // The source descriptors are any free numbers; reversed, some equal the target of another
        // one.
        let pairs: Vec<_> = (0..4)
            .map(|_| UnixStream::pair().expect("free descriptors"))
            .collect();
        let mut spawner = script("for n in 3 4 5 6; do echo $n >&$n; done");
        let started = spawner
            .spawn(
                SpawnRequest {
                    slot: 0,
                    program: &Program::current().expect("/proc"),
                    fds: pairs
                        .iter()
                        .rev()
                        .map(|(_, writer)| writer.as_fd())
                        .collect(),
                    stderr: None,
                    variables: Vec::new(),
                    removed: &[],
                    cpu: None,
                },
                &|| false,
            )
            .expect("a shell can be started");
        started.process.pidfd.wait().expect("a child of this test");
        for ((mut reader, writer), expected) in pairs.into_iter().rev().zip(3..) {
            drop(writer);
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("a readable file");
            assert_eq!(text, format!("{expected}\n"));
        }
    }
}
