//! The file of a unix socket: when it may be replaced, who owns it, and who removes it.
//!
//! A socket file outlives its socket, so a master finds the file of an earlier one that was killed.
//! It replaces the file only if no process listens on it. It knows nothing about listeners.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{AccessFlags, access};
use socket2::{Domain, SockAddr, Socket, Type};

/// The system call that failed, as a verb, and its error.
pub(super) type BindFailure = (&'static str, io::Error);

/// The permissions and the owner of a socket file. What is not set has the default of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FileOwner {
    pub(super) mode: Option<u32>,
    pub(super) user: Option<u32>,
    pub(super) group: Option<u32>,
}

/// A socket file that this process has created.
///
/// Dropping it removes the file, unless another process has replaced it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Identity,
    /// A forked process does not own the file.
    creator: u32,
}

/// Distinguishes a file from a later one at the same path. File systems use inode numbers again.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl Identity {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            created: file.created().ok(),
        }
    }
}

impl SocketFile {
    /// Binds the socket to a path, replaces a file without a server, and calls `listen`.
    ///
    /// Two masters that start together do this one after the other: otherwise the second one could
    /// take the socket of the first one, which is bound and does not listen yet, for a dead one.
    ///
    /// # Errors
    /// `AddrInUse` if a process serves at the path, `AlreadyExists` if another kind of file is
    /// there, and the errors of the system calls. No file is left.
    pub(super) fn bind(
        socket: &Socket,
        path: &Path,
        owner: FileOwner,
        listen: impl FnOnce() -> Result<(), BindFailure>,
    ) -> Result<Self, BindFailure> {
        let at = |call| move |source| (call, source);
        let addr = SockAddr::unix(path).map_err(at("bind"))?;
        let _lock = lock_directory(path);
        remove_stale(path, &addr, socket.r#type().map_err(at("bind"))?)?;
        if let Some(mode) = owner.mode {
            // The file is created with this mode, reduced by the umask (`unix_bind_bsd`).
            fchmod(socket, Mode::from_bits_truncate(mode))
                .map_err(|errno| ("set the mode of", errno.into()))?;
        }
        socket.bind(&addr).map_err(at("bind"))?;
        let file = fs::symlink_metadata(path).map_err(at("read the file of"))?;
        let file = Self {
            path: path.to_owned(),
            identity: Identity::of(&file),
            creator: std::process::id(),
        };
        if owner.user.is_some() || owner.group.is_some() {
            lchown(path, owner.user, owner.group).map_err(at("set the owner of"))?;
        }
        if let Some(mode) = owner.mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
                .map_err(at("set the mode of"))?;
        }
        listen()?;
        Ok(file)
    }

    /// Leaves the file to the process that has replaced it.
    pub(super) fn leave(mut self) {
        self.creator = 0;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_own = || {
            let file = fs::symlink_metadata(&self.path);
            file.is_ok_and(|file| Identity::of(&file) == self.identity)
        };
        if self.creator == std::process::id() && is_own() {
            // It fails if the directory became read-only. The next start replaces the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Checks whether a socket file can be created at the path. Creates and removes nothing.
///
/// # Errors
/// What is wrong with the path.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let directory = directory_of(path);
    let wrong = |kind, reason: &str| {
        let directory = directory.display();
        Err(io::Error::new(
            kind,
            format!("the directory {directory} {reason}"),
        ))
    };
    match fs::metadata(directory) {
        Ok(found) if !found.is_dir() => return wrong(io::ErrorKind::NotADirectory, "is a file"),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return wrong(error.kind(), "does not exist");
        }
        Err(error) => return Err(error),
    }
    match access(directory, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => {}
        Err(nix::Error::EROFS) => {
            return wrong(
                io::ErrorKind::ReadOnlyFilesystem,
                "is on a read-only file system",
            );
        }
        Err(errno) => {
            let error = io::Error::from(errno);
            return wrong(error.kind(), "is not writable for this process");
        }
    }
    match fs::symlink_metadata(path) {
        Ok(found) => check_is_socket(&found),
        Err(_) => Ok(()),
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn check_is_socket(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    if kind.is_socket() {
        return Ok(());
    }
    let what = match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_file() => "a regular file",
        () => "another kind of file",
    };
    let reason = format!("{what} exists at this path, remove it or choose another path");
    Err(io::Error::new(io::ErrorKind::AlreadyExists, reason))
}

/// Removes the file of a socket that no process serves any more.
fn remove_stale(path: &Path, addr: &SockAddr, kind: Type) -> Result<(), BindFailure> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(("read the file of", error)),
    };
    check_is_socket(&found).map_err(|error| ("bind", error))?;
    match connect(addr, kind) {
        // No socket is bound to the file, or it does not listen.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(("connect to", error));
        }
        // It accepts connections, its queue is full, or it is a socket of another type.
        Ok(()) | Err(_) => {
            let reason = "a running server owns this socket";
            return Err(("bind", io::Error::new(io::ErrorKind::AddrInUse, reason)));
        }
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(("remove the stale file of", error))
        }
        _ => Ok(()),
    }
}

fn connect(addr: &SockAddr, kind: Type) -> io::Result<()> {
    let client = Socket::new(Domain::UNIX, kind, None)?;
    client.set_nonblocking(true)?;
    client.connect(addr)
}

/// Locks the directory of a socket against other masters, for as long as the value lives.
///
/// A lock on the directory leaves no lock file behind. Some file systems have no such locks, and
/// other programs lock a directory for long (`systemd-tmpfiles`, which then does not clean it). So
/// this waits a moment at most, and a start does not fail without the lock.
fn lock_directory(path: &Path) -> Option<Flock<File>> {
    const LIMIT: Duration = Duration::from_millis(200);
    const INTERVAL: Duration = Duration::from_millis(2);

    let mut directory = File::open(directory_of(path)).ok()?;
    let give_up_at = Instant::now() + LIMIT;
    loop {
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((file, nix::Error::EWOULDBLOCK)) if Instant::now() < give_up_at => directory = file,
            Err(_) => return None,
        }
        thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    fn bind(path: &Path, owner: FileOwner) -> Result<(Socket, SocketFile), BindFailure> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("descriptors");
        let listen = || {
            let listening = socket.listen(8);
            listening.map_err(|source| ("listen on", source))
        };
        let file = SocketFile::bind(&socket, path, owner, listen)?;
        Ok((socket, file))
    }

    fn error_of(path: &Path) -> io::Error {
        bind(path, FileOwner::default()).expect_err("not free").1
    }

    #[test]
    fn a_file_has_its_mode_and_is_removed_at_the_end() {
        let directory = directory();
        let path = directory.path().join("app.sock");
        for mode in [0o600, 0o666] {
            let owner = FileOwner {
                mode: Some(mode),
                ..FileOwner::default()
            };
            let (_socket, file) = bind(&path, owner).expect("a free path");
            let found = fs::metadata(&path).expect("it exists");
            assert_eq!(found.permissions().mode() & 0o7777, mode);
            drop(file);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_stale_file_is_replaced() {
        let directory = directory();
        let path = directory.path().join("app.sock");
        drop(UnixListener::bind(&path).expect("a free path"));
        assert!(path.exists());
        let (_socket, _file) = bind(&path, FileOwner::default()).expect("no server");
        UnixStream::connect(&path).expect("it listens");
    }

    #[test]
    fn a_live_server_keeps_its_file() {
        let directory = directory();
        let path = directory.path().join("app.sock");
        let server = UnixListener::bind(&path).expect("a free path");
        assert_eq!(error_of(&path).kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).expect("it still listens");
        drop(server);
        // A datagram socket too.
        fs::remove_file(&path).expect("it exists");
        let _server = std::os::unix::net::UnixDatagram::bind(&path).expect("a free path");
        assert_eq!(error_of(&path).kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_server_with_a_full_queue_is_alive() {
        let directory = directory();
        let path = directory.path().join("app.sock");
        let server = Socket::new(Domain::UNIX, Type::STREAM, None).expect("descriptors");
        let addr = SockAddr::unix(&path).expect("a short path");
        server.bind(&addr).expect("a free path");
        server.listen(0).expect("bound");
        let _waiting = UnixStream::connect(&path).expect("the queue has space");
        assert_eq!(error_of(&path).kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn other_files_are_never_replaced() {
        let directory = directory();
        let path = directory.path().join("app.sock");
        let text = || error_of(&path).to_string();
        fs::write(&path, "data").expect("a free path");
        assert!(text().starts_with("a regular file exists"), "{}", text());
        fs::remove_file(&path).expect("it exists");
        fs::create_dir(&path).expect("a free path");
        assert!(text().starts_with("a directory exists"), "{}", text());
        fs::remove_dir(&path).expect("it exists");
        std::os::unix::fs::symlink("/nowhere", &path).expect("a free path");
        assert!(text().starts_with("a symbolic link exists"), "{}", text());
    }

    #[test]
    fn a_file_that_another_server_has_replaced_stays() {
        let directory = directory();
        let path = directory.path().join("app.sock");
        let (socket, file) = bind(&path, FileOwner::default()).expect("a free path");
        drop(socket);
        fs::remove_file(&path).expect("it exists");
        let _other = UnixListener::bind(&path).expect("a free path");
        drop(file);
        UnixStream::connect(&path).expect("the other server listens");
    }

    #[test]
    fn nothing_is_left_if_listening_fails() {
        let directory = directory();
        let path = directory.path().join("app.sock");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("descriptors");
        let listen = || Err(("listen on", io::ErrorKind::Other.into()));
        let bound = SocketFile::bind(&socket, &path, FileOwner::default(), listen);
        assert_eq!(bound.expect_err("it cannot listen").0, "listen on");
        assert!(!path.exists());
    }

    #[test]
    fn of_many_that_start_together_one_owns_the_path() {
        let directory = directory();
        let path = directory.path().join("app.sock");
        drop(UnixListener::bind(&path).expect("a free path"));
        thread::scope(|scope| {
            let start = || bind(&path, FileOwner::default());
            let starts = [(); 8].map(|()| scope.spawn(start));
            let bound = starts.map(|start| start.join().expect("no panic"));
            assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1);
            UnixStream::connect(&path).expect("the owner listens");
        });
    }

    #[test]
    fn what_is_wrong_with_a_directory_is_known_before_a_bind() {
        let directory = directory();
        let text = |path: &str| {
            let path = directory.path().join(path);
            check(&path).map_err(|error| error.to_string())
        };
        assert_eq!(text("app.sock"), Ok(()));
        let missing = text("none/app.sock").expect_err("no directory");
        assert!(missing.ends_with("/none does not exist"), "{missing}");
        fs::write(directory.path().join("file"), "").expect("a free path");
        let file = text("file/app.sock").expect_err("a file");
        assert!(file.ends_with("/file is a file"), "{file}");
        assert!(
            text("file")
                .expect_err("a file")
                .starts_with("a regular file exists")
        );
    }
}
