//! Carrying out starts, one after another, always from the same thread: a foreign program's
//! parent-death signal is tied to the thread that started it (`prctl(2)`).

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{ChildCommand, Producer, Program};
use crate::sys::clone::{Exec, Image, Patience, Spawned, Stack, Stage, spawn};

/// One start.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) slot: usize,
    /// Placed at 3, 4, … in this order.
    pub(crate) fds: Vec<BorrowedFd<'a>>,
    /// What the child is told by its environment. These names are taken out of the inherited one.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Names that are taken out and not set.
    pub(crate) removed: &'a [&'static str],
}

/// Why there is no child.
#[derive(Debug)]
pub(crate) enum SpawnError {
    /// The producer said so.
    Producer(Box<dyn std::error::Error + Send + Sync>),
    /// A system call failed.
    System {
        program: String,
        call: &'static str,
        source: io::Error,
    },
    /// The signal mask of this thread could not be restored: it receives no signal any more.
    SignalMask(io::Error),
}

/// A child that was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) process: Spawned,
    /// It runs another program than the master, and may know nothing of us.
    pub(crate) is_foreign: bool,
}

/// What all starts of a master need from the system.
pub(crate) struct Tools {
    program: Program,
    stack: Stack,
    null: File,
}

impl Tools {
    /// The stage of the program, in the words of an error.
    pub(crate) const PROGRAM: &'static str = "open its own program (/proc/self/exe)";

    /// Whether this process's own program can be started as a worker.
    ///
    /// # Errors
    /// The stage and the reason, as of [`new`](Self::new).
    pub(crate) fn check_program(&self) -> Result<(), (&'static str, io::Error)> {
        let checked = self.program.check();
        checked.map_err(|source| ("start its own program as a worker", source))
    }

    /// # Errors
    /// The stage that failed, as the end of the sentence 'the master cannot …', and why.
    pub(crate) fn new() -> Result<Self, (&'static str, io::Error)> {
        let at = |stage| move |source| (stage, source);
        Ok(Self {
            program: Program::current().map_err(at(Self::PROGRAM))?,
            stack: Stack::new().map_err(at(
                "allocate the stack on which it starts workers (mmap, mprotect)",
            ))?,
            null: File::open("/dev/null").map_err(at("open /dev/null, the stdin of workers"))?,
        })
    }
}

/// What all starts of a master share.
pub(crate) struct Spawner {
    tools: Tools,
    producer: Option<Producer>,
}

/// A terminal sends these to the whole group; the master decides what they mean.
const BLOCKED: [Signal; 3] = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

impl Spawner {
    /// The time in which a program must have been executed. A file system that answers needs milliseconds.
    pub(crate) const EXEC_PATIENCE: Duration = Duration::from_secs(5);

    pub(crate) fn new(tools: Tools, producer: Option<Producer>) -> Self {
        Self { tools, producer }
    }

    pub(crate) fn take_producer(&mut self) -> Option<Producer> {
        self.producer.take()
    }

    /// Starts a child and returns when its program runs, or when the exec takes too long: longer than
    /// [`EXEC_PATIENCE`](Self::EXEC_PATIENCE), or something is more urgent.
    ///
    /// # Errors
    /// Nothing is left of the child then.
    pub(crate) fn spawn(
        &mut self,
        order: Order<'_>,
        is_urgent: &dyn Fn() -> bool,
    ) -> Result<Started, SpawnError> {
        let mut command = ChildCommand::new(order.slot);
        if let Some(produce) = &mut self.producer {
            produce(&mut command).map_err(SpawnError::Producer)?;
        }
        let program = match &command.program {
            Some(path) => path.display().to_string(),
            None => self.tools.program.path(),
        };
        let refuse = |call, source| SpawnError::System {
            program,
            call,
            source,
        };
        if command.program.is_none() {
            let checked = self.tools.program.check();
            if let Err(source) = checked {
                return Err(refuse("execveat", source));
            }
        }
        for name in order.removed {
            command.env_remove(name);
        }
        for (name, value) in order.variables {
            command.env(name, value);
        }
        let is_foreign = command.program.is_some();
        let (image, args, env) = match texts(command, &self.tools.program) {
            Ok(texts) => texts,
            Err(source) => return Err(refuse("execve", source)),
        };
        let exec = Exec {
            image: match &image {
                Some(path) => Image::Path(path),
                None => Image::Held(self.tools.program.as_fd()),
            },
            args,
            env,
            fds: order.fds,
            stdin: self.tools.null.as_fd(),
            blocked: &BLOCKED,
            // A child of our own takes this back when its monitoring thread runs, which lets it finish what it has.
            // Until then it has nothing to finish.
            parent_death: Signal::SIGTERM,
        };
        let patience = Patience {
            limit: Self::EXEC_PATIENCE,
            is_over: is_urgent,
        };
        match spawn(&mut self.tools.stack, &exec, &patience) {
            Ok(process) => Ok(Started {
                process,
                is_foreign,
            }),
            Err(failure) if failure.stage == Stage::RestoreMask => {
                Err(SpawnError::SignalMask(failure.source))
            }
            Err(failure) => Err(refuse(failure.stage.call(), failure.source)),
        }
    }
}

/// What to execute by path, if not the held program; arguments; environment.
type Texts = (Option<CString>, Vec<CString>, Vec<CString>);

/// # Errors
/// A text with a zero byte in it: the kernel could not be told.
fn texts(mut command: ChildCommand, held: &Program) -> io::Result<Texts> {
    let text = |os: OsString| Ok::<_, io::Error>(CString::new(os.into_vec())?);
    let mut image = command.program;
    if let Some(wrapper) = command.wrapper {
        let wrapped = image.unwrap_or_else(|| held.name_for_others());
        let behind = command.args.split_off(1.min(command.args.len()));
        command.args = vec![wrapper.path.clone().into_os_string()];
        command.args.extend(wrapper.args);
        command.args.push(wrapped.into_os_string());
        command.args.extend(behind);
        image = Some(wrapper.path);
    }
    let image = image.map(|path| text(path.into_os_string()));
    let args = command.args.into_iter().map(text);
    let env = command.env.iter().map(|(name, value)| {
        // With room for all of it and the zero behind: one allocation for each of what may be a hundred variables.
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

    fn with_tools(producer: Option<Producer>) -> Spawner {
        Spawner::new(Tools::new().expect("/proc and /dev/null"), producer)
    }

    /// Runs a shell as a child and returns what it wrote to descriptor 3.
    fn shell(
        spawner: &mut Spawner,
        variables: Vec<(&'static str, String)>,
    ) -> (String, ExitStatus) {
        let (mut reader, writer) = UnixStream::pair().expect("descriptors");
        let started = spawner
            .spawn(
                Order {
                    slot: 0,
                    fds: vec![writer.as_fd()],
                    variables,
                    removed: &["LISTEN_PID"],
                },
                &|| false,
            )
            .expect("a shell can be started");
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("readable");
        (text, started.process.pidfd.wait().expect("our child"))
    }

    fn script(text: &'static str) -> Spawner {
        let producer: Producer = Box::new(move |command| {
            command.program("/bin/sh").arg("-c").arg(text);
            Ok(())
        });
        with_tools(Some(producer))
    }

    #[test]
    fn a_child_has_the_descriptors_that_it_was_meant_to_have_and_no_others() {
        // A stray that is not close-on-exec.
        let stray = File::open("/dev/null").expect("it is there");
        let stray = nix::unistd::dup(&stray).expect("descriptors");
        let mut spawner = script("exec >&3; ls /proc/$$/fd");
        let (text, _) = shell(&mut spawner, Vec::new());
        drop(stray);
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
    fn variables_are_set_once_and_look_alikes_stay() {
        let variables = vec![("PREFORK_CHILD", "1:0:1:4".to_owned())];
        let producer: Producer = Box::new(|command| {
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
        // No shell: some open the mask when they begin.
        let producer: Producer = Box::new(|command| {
            command
                .program("/bin/cp")
                .arg("/proc/self/status")
                .arg("/proc/self/fd/3");
            Ok(())
        });
        let mut spawner = with_tools(Some(producer));
        let (reader, writer) = nix::unistd::pipe().expect("descriptors");
        let started = spawner
            .spawn(
                Order {
                    slot: 0,
                    fds: vec![writer.as_fd()],
                    variables: Vec::new(),
                    removed: &[],
                },
                &|| false,
            )
            .expect("cp can be started");
        drop(writer);
        let mut text = String::new();
        File::from(reader)
            .read_to_string(&mut text)
            .expect("readable");
        started.process.pidfd.wait().expect("our child");
        let value = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .expect(name);
            u64::from_str_radix(line[name.len() + 1..].trim(), 16).expect(line)
        };
        // Bit n - 1 stands for signal n: HUP 1, INT 2, QUIT 3.
        assert_eq!(value("SigBlk"), 0b111);
        assert_eq!(value("SigIgn"), 0);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_with_its_cause() {
        let producer: Producer = Box::new(|command| {
            command.program("/no/such/program");
            Ok(())
        });
        let mut spawner = with_tools(Some(producer));
        let error = spawner
            .spawn(
                Order {
                    slot: 0,
                    fds: Vec::new(),
                    variables: Vec::new(),
                    removed: &[],
                },
                &|| false,
            )
            .expect_err("no such program");
        let SpawnError::System { call, source, .. } = error else {
            panic!("the system refused");
        };
        assert_eq!((call, source.kind()), ("execve", io::ErrorKind::NotFound));
    }

    #[test]
    fn sources_that_lie_on_targets_are_all_placed() {
        // The sources are whatever numbers are free here; reversed, some lie on others' targets.
        let pairs: Vec<_> = (0..4)
            .map(|_| UnixStream::pair().expect("descriptors"))
            .collect();
        let mut spawner = script("for n in 3 4 5 6; do echo $n >&$n; done");
        let started = spawner
            .spawn(
                Order {
                    slot: 0,
                    fds: pairs
                        .iter()
                        .rev()
                        .map(|(_, writer)| writer.as_fd())
                        .collect(),
                    variables: Vec::new(),
                    removed: &[],
                },
                &|| false,
            )
            .expect("a shell can be started");
        started.process.pidfd.wait().expect("our child");
        for ((mut reader, writer), expected) in pairs.into_iter().rev().zip(3..) {
            drop(writer);
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("readable");
            assert_eq!(text, format!("{expected}\n"));
        }
    }
}
