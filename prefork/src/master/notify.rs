//! Reports readiness to programs: through `PREFORK_NOTIFY_FD` and the `NOTIFY_SOCKET` of systemd.
//!
//! A consumer of notices. No report waits for its reader: one that cannot be sent at once is
//! dropped with a warning, and its target gets no further ones. A message has the form of
//! `sd_notify(3)`, one `NAME=value` per line; on the descriptor an empty line ends it.

use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, UnixAddr, sendto};
use prefork_options::{duration, one_line};

use super::notice::{Notice, NotifyFailure};
use crate::config::{NOTIFY_FD, NOTIFY_SOCKET};
use crate::listen::ListenerInfo;
use crate::sys;
use crate::sys::seqpacket::NOSIGNAL;
use crate::sys::write_now::{MAX_MESSAGE, is_pipe_or_socket, write_whole};

/// The readers of this process's messages. A process has one service manager.
static TARGETS: Mutex<Targets> = Mutex::new(Targets {
    fd: None,
    socket: None,
});

struct Targets {
    fd: Option<OwnedFd>,
    /// An unconnected socket, and the address of the service manager.
    socket: Option<(UnixDatagram, UnixAddr)>,
}

/// Whether this process is the service, or only contains a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotifyScope {
    Service,
    /// Its service manager gets the messages that the program itself sends.
    Embedded,
}

/// Takes the targets from the environment. Programs that this process starts do not inherit the
/// descriptor.
///
/// Later calls find no descriptor any more. Returns warnings about unusable values.
pub(crate) fn claim(scope: NotifyScope) -> Vec<String> {
    let mut warnings = Vec::new();
    // The environment of a program with more privileges than the user who started it is not
    // trusted. Reading the options logs this.
    if sys::env::is_secure() {
        return warnings;
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let mut targets = TARGETS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = variable(NOTIFY_FD) {
        let _ = sys::env::remove_all([NOTIFY_FD]);
        let value = value.to_string_lossy();
        match take_fd(&value) {
            Ok(fd) => targets.fd = Some(fd),
            Err(reason) => {
                let shown = prefork_options::quote(&value);
                warnings.push(format!("ignoring {NOTIFY_FD}={shown}: {reason}"));
            }
        }
    }
    if let (Some(value), NotifyScope::Service) = (variable(NOTIFY_SOCKET), scope) {
        match take_socket(value.as_bytes()) {
            Ok(socket) => targets.socket = Some(socket),
            Err(error) => {
                let shown = prefork_options::quote(&value.to_string_lossy());
                warnings.push(format!("ignoring {NOTIFY_SOCKET}={shown}: {error}"));
            }
        }
    }
    warnings
}

/// # Errors
/// What is wrong with the value.
fn take_fd(value: &str) -> Result<OwnedFd, &'static str> {
    let number = value.parse();
    let number = number.map_err(|_| "not the number of a descriptor")?;
    if number < sys::fds::FIRST_FD {
        return Err("stdin, stdout and stderr cannot be used");
    }
    let fd = sys::fds::adopt(number).map_err(|_| "the descriptor is not open")?;
    if is_pipe_or_socket(&fd) {
        return Ok(fd);
    }
    // Only a mistake passes such a descriptor, and a write to it could wait or do damage.
    Err("the descriptor is neither a pipe nor a socket")
}

fn take_socket(value: &[u8]) -> io::Result<(UnixDatagram, UnixAddr)> {
    let address = match value {
        [b'/', ..] => UnixAddr::new(value)?,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
        _ => return Err(io::Error::other("not the address of a Unix socket")),
    };
    Ok((UnixDatagram::unbound()?, address))
}

/// Sends the message about this notice, if it has one.
///
/// Returns the targets that failed. They get no further messages.
pub(crate) fn send(notice: &Notice<'_>) -> Vec<NotifyFailure> {
    let mut failures = Vec::new();
    let Some(message) = message(notice) else {
        return failures;
    };
    let mut targets = TARGETS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(fd) = targets.fd.take() {
        match write_whole(fd.as_fd(), format!("{message}\n").as_bytes()) {
            Ok(()) => targets.fd = Some(fd),
            Err(error) => failures.push(NotifyFailure {
                variable: NOTIFY_FD,
                error,
            }),
        }
    }
    if let Some((socket, address)) = targets.socket.take() {
        let flags = MsgFlags::MSG_DONTWAIT | NOSIGNAL;
        match sendto(socket.as_raw_fd(), message.as_bytes(), &address, flags) {
            Ok(_) => targets.socket = Some((socket, address)),
            Err(error) => failures.push(NotifyFailure {
                variable: NOTIFY_SOCKET,
                error: error.into(),
            }),
        }
    }
    failures
}

/// The longest status in bytes. It is one line, and a message fits into a pipe.
const MAX_STATUS: usize = 1024;

fn message(notice: &Notice<'_>) -> Option<String> {
    match notice {
        Notice::SingleStarted { listeners } | Notice::AllSpawned { listeners, .. } => {
            Some(with_listeners("STATUS=starting", listeners))
        }
        Notice::AllHealthy { listeners, .. } => {
            Some(with_listeners("READY=1\nSTATUS=serving", listeners))
        }
        Notice::RolloutBegan {
            program,
            is_announced: true,
            ..
        } => {
            // The time tells messages about this reload from older ones (`sd_notify(3)`).
            let now = sys::clock::monotonic_nanos() / 1_000;
            let status = one_line(&format!("rolling out {program}"), MAX_STATUS);
            Some(format!(
                "RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS={status}\n"
            ))
        }
        Notice::RolloutEnded {
            verdict,
            is_announced: true,
        } => {
            let status = one_line(&format!("serving; {verdict}"), MAX_STATUS);
            Some(format!("READY=1\nSTATUS={status}\n"))
        }
        Notice::StopBegan { delay, .. } if delay.is_zero() => {
            Some("STOPPING=1\nSTATUS=stopping\n".to_owned())
        }
        Notice::StopBegan { delay, grace } => {
            // The limit of the service may be shorter than a delay that it does not know. Killed
            // workers need a moment to exit.
            let budget = delay.saturating_add(*grace) + Duration::from_secs(5);
            let budget = budget.as_micros();
            let delay = duration::format(*delay);
            Some(format!(
                "STOPPING=1\nSTATUS=stopping after drain_delay ({delay})\n\
                 EXTEND_TIMEOUT_USEC={budget}\n"
            ))
        }
        // A service manager needs no other events.
        _ => None,
    }
}

/// Adds the pid and the listeners. `sd_notify(3)` reserves names that begin with `X_` for programs.
///
/// Listeners that do not fit into what a pipe takes at once are omitted.
fn with_listeners(state: &str, listeners: &[ListenerInfo]) -> String {
    let mut message = format!("{state}\nMAINPID={}\n", std::process::id());
    for listener in listeners {
        let before = message.len();
        let _ = writeln!(message, "X_LISTEN={listener}");
        // One byte for the empty line.
        if message.len() >= MAX_MESSAGE {
            message.truncate(before);
            break;
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::RolloutVerdict;

    fn listener(text: &str) -> ListenerInfo {
        text.parse().expect("a listener")
    }

    #[test]
    fn a_message_names_the_process_and_each_listener() {
        let listeners = [
            listener("http=127.0.0.1:80"),
            listener("https=tls://[::1]:443"),
        ];
        let pid = std::process::id();
        let notice = Notice::AllHealthy {
            pids: vec![7],
            listeners: &listeners,
        };
        let text = format!(
            "READY=1\nSTATUS=serving\nMAINPID={pid}\nX_LISTEN=http=127.0.0.1:80\n\
             X_LISTEN=https=tls://[::1]:443\n"
        );
        assert_eq!(message(&notice), Some(text));
        let text = "STOPPING=1\nSTATUS=stopping\n".to_owned();
        let stop = |delay| Notice::StopBegan {
            delay: Duration::from_secs(delay),
            grace: Duration::from_secs(5),
        };
        assert_eq!(message(&stop(0)), Some(text));
        let text = "STOPPING=1\nSTATUS=stopping after drain_delay (10s)\n\
                    EXTEND_TIMEOUT_USEC=20000000\n";
        assert_eq!(message(&stop(10)).as_deref(), Some(text));
        assert_eq!(message(&Notice::StartWarning("READY=1")), None);
    }

    #[test]
    fn a_rollout_has_two_messages_or_none() {
        let began = |is_announced| Notice::RolloutBegan {
            program: "/opt/a\nb",
            workers: 4,
            is_announced,
        };
        let text = message(&began(true)).expect("a message");
        let lines: Vec<&str> = text.lines().collect();
        let [reloading, time, status] = lines.as_slice() else {
            panic!("{text}");
        };
        assert_eq!(*reloading, "RELOADING=1");
        assert!(time.starts_with("MONOTONIC_USEC="), "{text}");
        assert_eq!(*status, r"STATUS=rolling out /opt/a\nb");
        let verdict = &RolloutVerdict::Stopped;
        let ended = |is_announced| Notice::RolloutEnded {
            verdict,
            is_announced,
        };
        let text = message(&ended(true)).expect("a message");
        assert!(
            text.starts_with("READY=1\nSTATUS=serving; rollout "),
            "{text}"
        );
        assert_eq!(
            (message(&began(false)), message(&ended(false))),
            (None, None)
        );
    }

    #[test]
    fn a_message_fits_into_a_pipe() {
        let listeners = vec![listener("http=127.0.0.1:80"); 1_000];
        let text = with_listeners("READY=1", &listeners);
        assert!(
            text.len() < MAX_MESSAGE && text.ends_with(":80\n"),
            "{text}"
        );
    }

    #[test]
    fn values_that_name_no_target_have_a_reason() {
        for (value, reason) in [
            ("three", "not the number of a descriptor"),
            ("-1", "stdin, stdout and stderr cannot be used"),
            ("2", "stdin, stdout and stderr cannot be used"),
            ("1000000", "the descriptor is not open"),
        ] {
            assert_eq!(take_fd(value).err(), Some(reason), "{value}");
        }
        for value in ["vsock:2:1234", "notify.sock"] {
            assert!(take_socket(value.as_bytes()).is_err(), "{value}");
        }
        assert!(take_socket(&[b'/'; 200]).is_err(), "too long");
    }
}
