//! An executable file, held open, so that workers run the same file even if its path names another
//! one by now.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::sys::image::{MainProgram, executed_path, has_mapped_loader, main_program};

/// A program, held by descriptor.
#[derive(Debug)]
pub(crate) struct Program {
    file: File,
    path: PathBuf,
    /// The reason why it cannot be started in the same way as this process.
    refusal: Option<String>,
}

/// The file that the kernel executed for this process.
const OWN: &str = "/proc/self/exe";

impl Program {
    /// Opens the file that this process was started from.
    ///
    /// It does not open its path, which may name a newer file by now.
    ///
    /// If the process was started through a loader (`ld.so program`), the kernel executed the
    /// loader. Then this opens the program by its path and checks that it is the same file; see
    /// [`check`](Self::check).
    ///
    /// # Errors
    /// `/proc` is not mounted, or the limit of open files is reached.
    pub(crate) fn current() -> io::Result<Self> {
        let file = open(OWN)?;
        let path = std::fs::read_link(OWN)?;
        let Some(image) = program_of_loader(&path)? else {
            return Ok(Self {
                file,
                path,
                refusal: None,
            });
        };
        Ok(match program_behind_loader(&image) {
            Ok(file) => Self {
                file,
                path: image.path.into(),
                refusal: None,
            },
            Err(reason) => Self {
                file,
                refusal: Some(format!(
                    "this process was started through the loader {}, but workers cannot be started through it: {reason}",
                    path.display()
                )),
                path: image.path.into(),
            },
        })
    }

    /// Opens the program that this path names now.
    ///
    /// # Errors
    /// The reason why it cannot be executed.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let file = open(path).map_err(|error| format!("cannot open {shown}: {error}"))?;
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| format!("cannot read {shown}: {error}"))?;
        if !metadata.is_file() {
            return Err(format!("{shown} is not a regular file"));
        }
        check_executable(&file, path)?;
        // A symbolic link in the path can name another program soon.
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(Self {
            path: std::fs::read_link(link).unwrap_or_else(|_| path.to_owned()),
            file,
            refusal: None,
        })
    }

    /// Returns the absolute path that a rollout opens again: the one that started this process.
    ///
    /// It can be a symbolic link to the current release. If it does not name this program any more,
    /// the path of the file itself is used. The program is that of [`current`](Self::current).
    pub(crate) fn reopen_path(&self) -> PathBuf {
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let own = self.file.metadata().ok().map(id);
        let executed = executed_path().map(PathBuf::from);
        // Such a path names a descriptor (`fexecve(3)`), so it never names another file.
        let executed =
            executed.filter(|path| !path.starts_with("/dev/fd/") && !path.starts_with("/proc/"));
        let executed = executed.and_then(|path| std::path::absolute(path).ok());
        let named = |path: &PathBuf| std::fs::metadata(path).ok().map(id) == own;
        executed.filter(named).unwrap_or_else(|| {
            let path = self.path.as_os_str().as_bytes();
            let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
            OsStr::from_bytes(path).into()
        })
    }

    /// Checks whether workers can be started from it.
    ///
    /// # Errors
    /// The process was started through a loader in a way that cannot be repeated for workers.
    pub(crate) fn check(&self) -> io::Result<()> {
        match &self.refusal {
            None => Ok(()),
            Some(refusal) => Err(io::Error::new(io::ErrorKind::Unsupported, refusal.as_str())),
        }
    }

    /// A path by which other processes can execute it while this process lives.
    ///
    /// The descriptor is close-on-exec; a wrapper reaches it through this process
    /// (`proc_pid_fd(5)`).
    pub(super) fn proc_fd_path(&self) -> PathBuf {
        let number = self.file.as_fd().as_raw_fd();
        format!("/proc/{}/fd/{number}", std::process::id()).into()
    }

    /// The path of its file when it was opened, for messages.
    pub(crate) fn path(&self) -> String {
        self.path.display().to_string()
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Opens a file with `O_PATH`: execution needs no permission to read (`open(2)`).
fn open(path: impl AsRef<Path>) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
}

/// Finds the program of this process, if the kernel executed its loader, which has this path.
///
/// # Errors
/// `/proc` is not mounted.
fn program_of_loader(executed: &Path) -> io::Result<Option<MainProgram>> {
    // The usual start. The list of mappings, which is long in some programs, is not read.
    if has_mapped_loader() {
        return Ok(None);
    }
    let inode = std::fs::metadata(OWN)?.ino();
    Ok(main_program().filter(|image| image.path != executed.as_os_str() && image.inode != inode))
}

/// Opens the program that a loader runs in this process.
///
/// The kernel must use the same loader if it starts the program directly.
///
/// # Errors
/// The reason why a direct start would differ.
fn program_behind_loader(image: &MainProgram) -> Result<File, String> {
    let program = Path::new(&image.path).display();
    let Some(interpreter) = &image.interpreter else {
        return Err(format!("{program} does not name a loader"));
    };
    let id = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    if id(Path::new(interpreter)) != id(Path::new(OWN)) {
        let interpreter = Path::new(interpreter).display();
        return Err(format!("{program} names another loader, {interpreter}"));
    }
    let options = loader_options().ok_or("the arguments of the loader cannot be read")?;
    if !options.is_empty() {
        let options = options.join(" ");
        return Err(format!("the loader was given options ({options})"));
    }
    let file = open(&image.path).map_err(|error| format!("cannot open {program}: {error}"))?;
    if !file.metadata().is_ok_and(|now| now.ino() == image.inode) {
        return Err(format!("{program} was replaced"));
    }
    check_executable(&file, Path::new(&image.path))?;
    Ok(file)
}

/// # Errors
/// The file may not be executed.
fn check_executable(file: &File, path: &Path) -> Result<(), String> {
    let held = format!("/proc/self/fd/{}", file.as_raw_fd());
    access(held.as_str(), AccessFlags::X_OK)
        .map_err(|_| format!("{} is not executable", path.display()))
}

/// The options between the loader and the program on the command line.
fn loader_options() -> Option<Vec<String>> {
    let line = std::fs::read("/proc/self/cmdline").ok()?;
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    let args: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
    let own: Vec<Vec<u8>> = std::env::args_os().map(OsStringExt::into_vec).collect();
    // The loader removes its own name and options before the program sees its arguments.
    let program_at = args.len().checked_sub(own.len())?;
    let options = args.get(1..program_at)?;
    let text = |arg: &&[u8]| String::from_utf8_lossy(arg).into_owned();
    Some(options.iter().map(text).collect())
}
