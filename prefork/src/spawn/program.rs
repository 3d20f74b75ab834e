//! An executable file held open, so that it can be started again whatever becomes of its path.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::sys::image::{Image, main_program};

/// The program that this process runs, by descriptor.
#[derive(Debug)]
pub(crate) struct Program {
    file: File,
    path: PathBuf,
    /// Why it cannot be started as this process was.
    refusal: Option<String>,
}

/// The file that the kernel executed for this process.
const OWN: &str = "/proc/self/exe";

impl Program {
    /// Opens the file that this process was started from: not its path, which may lead to a newer
    /// one by now.
    ///
    /// If the process was started by way of a loader (`ld.so program`), the kernel executed the loader. Then the program
    /// is opened by its path, and checked to be the same file; see [`check`](Self::check).
    ///
    /// # Errors
    /// `/proc` is not mounted, or no descriptors are left.
    pub(crate) fn current() -> io::Result<Self> {
        let file = open(OWN)?;
        let path = std::fs::read_link(OWN)?;
        let executed = std::fs::metadata(OWN)?.ino();
        let loaded = main_program()
            .filter(|image| image.path != path.as_os_str() && image.inode != executed);
        let Some(image) = loaded else {
            return Ok(Self {
                file,
                path,
                refusal: None,
            });
        };
        Ok(match behind_loader(&image) {
            Ok(file) => Self {
                file,
                path: image.path.into(),
                refusal: None,
            },
            Err(reason) => Self {
                file,
                refusal: Some(format!(
                    "this process was started through the loader {}, and workers cannot be: {reason}",
                    path.display()
                )),
                path: image.path.into(),
            },
        })
    }

    /// Whether workers can be started from it.
    ///
    /// # Errors
    /// The process was started through a loader in a way that cannot be repeated for workers.
    pub(crate) fn check(&self) -> io::Result<()> {
        match &self.refusal {
            None => Ok(()),
            Some(refusal) => Err(io::Error::new(io::ErrorKind::Unsupported, refusal.as_str())),
        }
    }

    /// A path by which other processes can execute it for as long as this one lives: the
    /// descriptor is close-on-exec, but a wrapper reaches it through its owner (`proc_pid_fd(5)`).
    pub(super) fn name_for_others(&self) -> PathBuf {
        let number = self.file.as_fd().as_raw_fd();
        format!("/proc/{}/fd/{number}", std::process::id()).into()
    }

    /// Where it was when it was opened, for messages.
    pub(crate) fn path(&self) -> String {
        self.path.display().to_string()
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// `O_PATH`: executing needs no permission to read (open(2)).
fn open(path: impl AsRef<Path>) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
}

/// Opens the program that a loader runs in this process, if the kernel would run it by that loader too.
///
/// # Errors
/// Why a direct start would not be the same.
fn behind_loader(image: &Image) -> Result<File, String> {
    let program = Path::new(&image.path).display();
    let Some(interpreter) = &image.interpreter else {
        return Err(format!("{program} names no loader"));
    };
    let id = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    if id(Path::new(interpreter)) != id(Path::new(OWN)) {
        let interpreter = Path::new(interpreter).display();
        return Err(format!("{program} names another loader, {interpreter}"));
    }
    let options = loader_options().ok_or("the arguments of the loader are not known")?;
    if !options.is_empty() {
        let options = options.join(" ");
        return Err(format!("the loader was given options ({options})"));
    }
    let file = open(&image.path).map_err(|error| format!("cannot open {program}: {error}"))?;
    if !file.metadata().is_ok_and(|now| now.ino() == image.inode) {
        return Err(format!("{program} was replaced"));
    }
    let held = format!("/proc/self/fd/{}", file.as_raw_fd());
    access(held.as_str(), AccessFlags::X_OK).map_err(|_| format!("{program} is not executable"))?;
    Ok(file)
}

/// What stands between the loader and the program on the command line.
fn loader_options() -> Option<Vec<String>> {
    let line = std::fs::read("/proc/self/cmdline").ok()?;
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
    let own: Vec<Vec<u8>> = std::env::args_os().map(OsStringExt::into_vec).collect();
    // The loader takes its own name and its options away before the program sees its arguments.
    let before = words.len().checked_sub(own.len())?;
    let options = words.get(1..before)?;
    let text = |word: &&[u8]| String::from_utf8_lossy(word).into_owned();
    Some(options.iter().map(text).collect())
}
