//! Help texts for errors of the operating system, by failed call and errno.

use std::io;

/// Help for a process limit, a file system that is not mounted, or a security policy.
///
/// `doing` is what the process tried to do, as in [`Error::Master`](super::Error::Master).
pub(super) fn system(doing: &str, source: &io::Error) -> &'static str {
    if let Some(hint) = common(source) {
        return hint;
    }
    match (source.kind(), source.raw_os_error()) {
        (io::ErrorKind::Unsupported, None) => THROUGH_LOADER,
        (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, _) => {
            if doing.contains("/dev/null") {
                "Mount /dev, or create the device (`mknod -m 666 /dev/null c 1 3`)."
            } else {
                "Mount /proc (`mount -t proc proc /proc`)."
            }
        }
        _ => "Check the limits of this process (open files, threads and processes, memory).",
    }
}

/// The master was started through a loader, so the program cannot be started as a worker.
const THROUGH_LOADER: &str = "Start the program itself, not its loader (`patchelf --set-interpreter` sets another loader, \
                              LD_LIBRARY_PATH another library path), or serve without workers (workers = 0).";

/// Help if a program could not be started.
pub(super) fn start(call: &str, source: &io::Error) -> &'static str {
    let is_exec = call.starts_with("exec");
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) if is_exec => {
            "Check that the program exists and that its interpreter exists (the `#!` line of a script, \
             the loader of a binary)."
        }
        Some(libc::EACCES) if is_exec => {
            "Check that the file is executable, that its directories are searchable, and that its file \
             system is not mounted with noexec."
        }
        Some(libc::ENOEXEC) if is_exec => {
            "The file is not a program for this machine, or a script without a `#!` line."
        }
        Some(libc::ETXTBSY) if is_exec => {
            "The file is open for writing: replace a program by renaming a new file to its path."
        }
        Some(libc::E2BIG) if is_exec => "Pass fewer or shorter arguments and variables.",
        None if source.kind() == io::ErrorKind::Unsupported => THROUGH_LOADER,
        None if is_exec => "Correct the values that child_producer sets.",
        _ => common(source)
            .unwrap_or("Check the limits of this process (open files, processes, memory)."),
    }
}

/// Help if an address could not be bound. `call` is a verb, as in
/// [`Error::Listen`](super::Error::Listen).
pub(super) fn listen(address: &str, call: &str, source: &io::Error) -> &'static str {
    if OwnSocketError::of(source).is_some() {
        return "Close that socket before the start, or listen on another address.";
    }
    if call == "run on_socket for" {
        return "Correct the on_socket function.";
    }
    let without_scheme = address.rsplit("://").next().unwrap_or(address);
    if without_scheme.starts_with("unix") {
        return unix_socket(call, source);
    }
    if without_scheme.starts_with("fd:") {
        return "The process that starts this program must pass the socket under this number.";
    }
    let is_privileged = |port: u16| (1..1024).contains(&port);
    let port = address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    match source.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) if call == "bind" && port.is_some_and(is_privileged) => {
            "Ports below 1024 need root or CAP_NET_BIND_SERVICE: grant the capability or choose \
             another port."
        }
        Some(libc::EAFNOSUPPORT) if address.starts_with('[') => {
            "This machine has no IPv6: choose an IPv4 address."
        }
        _ => match source.kind() {
            io::ErrorKind::AddrInUse => {
                "Another process listens on that address (`ss -ltnp` shows it): stop it or choose \
                 another port."
            }
            io::ErrorKind::AddrNotAvailable => "This machine does not have that address.",
            _ => common(source).unwrap_or("Check the address."),
        },
    }
}

/// Help if a unix socket could not be bound. The cause names the file or the directory.
fn unix_socket(call: &str, source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied if call == "set the owner of" => {
            "Only root can give a file to another user, or to a group that it does not belong to."
        }
        io::ErrorKind::AddrInUse => {
            "Another process serves at that path (`ss -lxp` shows it): stop it or choose another path."
        }
        io::ErrorKind::PermissionDenied => {
            "Grant this process write access to the directory, or choose another directory."
        }
        io::ErrorKind::NotFound => "Create the directory (RuntimeDirectory= of systemd does).",
        _ => common(source).unwrap_or("Choose another path, or remove the file."),
    }
}

/// Help for an errno that has the same meaning for all calls.
fn common(source: &io::Error) -> Option<&'static str> {
    let hint = match source.raw_os_error()? {
        libc::EMFILE => "Raise the limit of open files (`ulimit -n`, LimitNOFILE of systemd).",
        libc::ENFILE => "Raise the limit of open files of the whole system (`sysctl fs.file-max`).",
        libc::EAGAIN => {
            "Raise the limit of processes and threads (`ulimit -u`, TasksMax of systemd, the limit \
             of the container)."
        }
        libc::ENOMEM | libc::ENOBUFS => {
            "Free memory, or raise the memory limit (`ulimit -v`, the limit of the container)."
        }
        libc::EPERM | libc::EACCES | libc::ENOSYS => {
            "A security policy rejects this call (a seccomp filter, SELinux, AppArmor, missing \
             capabilities): allow it."
        }
        _ => return None,
    };
    Some(hint)
}

/// The address is already in use by a socket of this process.
#[derive(Debug)]
pub(crate) struct OwnSocketError {
    pub(crate) fd: std::os::fd::RawFd,
}

impl OwnSocketError {
    fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl std::fmt::Display for OwnSocketError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "address in use by fd {} of this process", self.fd)
    }
}

impl std::error::Error for OwnSocketError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    #[test]
    fn each_stage_of_a_master_names_what_it_lacks() {
        let proc = system("open its own program (/proc/self/exe)", &os(libc::ENOENT));
        assert!(proc.contains("/proc"), "{proc}");
        let null = system("open /dev/null, the stdin of workers", &os(libc::ENOENT));
        assert!(null.contains("/dev") && !null.contains("/proc"), "{null}");
        assert!(
            system(
                "create an epoll instance (epoll_create1)",
                &os(libc::EMFILE)
            )
            .contains("ulimit -n")
        );
        assert!(
            system(
                "create an epoll instance (epoll_create1)",
                &os(libc::ENOSYS)
            )
            .contains("seccomp")
        );
    }

    #[test]
    fn privileged_ports_are_named_for_bind_alone() {
        let names = |address, call, errno| listen(address, call, &os(errno)).contains("below 1024");
        assert!(names("0.0.0.0:80", "bind", libc::EACCES));
        assert!(names("[::]:443", "bind", libc::EACCES));
        assert!(!names("0.0.0.0:8080", "bind", libc::EACCES));
        assert!(!names("0.0.0.0:0", "bind", libc::EACCES));
        assert!(!names("0.0.0.0:80", "set SO_REUSEADDR for", libc::EPERM));
        assert!(!names("0.0.0.0:80", "open a socket for", libc::EPERM));
    }

    #[test]
    fn the_help_for_a_program_that_cannot_be_executed_follows_its_errno() {
        assert!(start("execve", &os(libc::EACCES)).contains("noexec"));
        assert!(start("execve", &os(libc::ENOEXEC)).contains("#!"));
        assert!(start("clone", &os(libc::EAGAIN)).contains("ulimit -u"));
        assert!(start("rt_sigprocmask", &os(libc::EPERM)).contains("seccomp"));
    }
}
