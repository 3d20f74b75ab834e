//! A sealed file in memory, for data that is too long or too secret for a variable.
//!
//! A master passes such a file to its children. The seals make it safe to share one file between
//! all of them (`memfd_create(2)`, "File-sealing"): a child cannot change the bytes that the next
//! child reads, or truncate the file during a read. This module does not know the meaning of the
//! bytes.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use nix::sys::uio::pread;

/// The largest file that is written or read, in bytes.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// With these seals, neither the bytes nor their number nor the seals can change.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_WRITE)
    .union(SealFlag::F_SEAL_SEAL);

/// Creates a sealed file with these bytes, close-on-exec.
///
/// The name is only shown, in `/proc/<pid>/fd`.
///
/// # Errors
/// More bytes than [`MAX_BYTES`], or than this process may write; no descriptors or no memory left.
pub(crate) fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    if bytes.len() > MAX_BYTES {
        return Err(invalid(format!("{} bytes are too many", bytes.len())));
    }
    check_limit(bytes.len())?;
    let mut file = File::from(create(name)?);
    file.write_all(bytes)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
    Ok(file.into())
}

/// Reads all bytes of a sealed file.
///
/// All children share the offset of the file, so this neither uses nor moves it.
///
/// # Errors
/// Another kind of descriptor, a file without all seals, or more bytes than [`MAX_BYTES`].
pub(crate) fn read(fd: impl AsFd) -> io::Result<Vec<u8>> {
    let fd = fd.as_fd();
    check_seals(fd)?;
    // A size is never negative, and a size that does not fit is too large anyway.
    let size = usize::try_from(fstat(fd)?.st_size).unwrap_or(usize::MAX);
    if size > MAX_BYTES {
        return Err(invalid(format!(
            "a memory file of {size} bytes is too large"
        )));
    }
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        let offset = filled.try_into().map_err(io::Error::other)?;
        match pread(fd, &mut bytes[filled..], offset) {
            // A sealed file cannot become shorter, but this loop must end with any file.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(bytes)
}

/// Creates a file that is not executable.
///
/// If `vm.memfd_noexec` is 2, the kernel creates no other files. Kernels before 6.3 reject the
/// flag.
fn create(name: &str) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let no_exec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create(name, flags | no_exec) {
        Err(Errno::EINVAL) => Ok(memfd_create(name, flags)?),
        created => Ok(created?),
    }
}

/// Checks the limit of file sizes (`RLIMIT_FSIZE` in getrlimit(2)).
///
/// The limit applies to memory files. If a write exceeds the limit, the kernel sends SIGXFSZ, which
/// ends a process without a handler.
fn check_limit(size: usize) -> io::Result<()> {
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    if u64::try_from(size).is_ok_and(|size| size <= limit) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("{size} bytes exceed the limit of file sizes ({limit} bytes, `ulimit -f`)"),
    ))
}

fn check_seals(fd: BorrowedFd<'_>) -> io::Result<()> {
    let bits = match fcntl(fd, FcntlArg::F_GET_SEALS) {
        // For a file that does not support seals (`F_GET_SEALS` in fcntl(2)).
        Err(Errno::EINVAL) => return Err(invalid("not a memory file")),
        bits => bits?,
    };
    if SealFlag::from_bits_truncate(bits).contains(SEALS) {
        Ok(())
    } else {
        Err(invalid("a memory file that is not sealed"))
    }
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};
    use std::net::UdpSocket;

    use super::*;

    fn rejection(fd: impl AsFd) -> String {
        read(fd).expect_err("it is not sealed").to_string()
    }

    #[test]
    fn a_sealed_file_can_be_read_many_times() {
        let long = vec![7; 300_000];
        for bytes in [b"".as_slice(), b"key", &long] {
            let fd = sealed("prefork test", bytes).expect("a memory file");
            assert_eq!(read(&fd).expect("sealed"), bytes);
            assert_eq!(read(&fd).expect("sealed"), bytes);
        }
    }

    #[test]
    fn a_read_neither_uses_nor_moves_the_shared_offset() {
        let fd = sealed("prefork test", b"0123456789").expect("a memory file");
        let mut other = File::from(fd.try_clone().expect("a descriptor"));
        other.seek(SeekFrom::Start(4)).expect("a file");
        assert_eq!(read(&fd).expect("sealed"), b"0123456789");
        let mut rest = String::new();
        other.read_to_string(&mut rest).expect("readable");
        assert_eq!(rest, "456789");
    }

    #[test]
    fn a_sealed_file_cannot_be_changed() {
        let fd = sealed("prefork test", b"key").expect("a memory file");
        let mut file = File::from(fd);
        file.seek(SeekFrom::Start(0)).expect("a file");
        assert!(file.write(b"x").is_err());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(9).is_err());
        let more = FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE);
        assert_eq!(fcntl(&file, more), Err(Errno::EPERM));
        assert_eq!(read(&file).expect("sealed"), b"key");
    }

    #[test]
    fn a_sealed_file_is_close_on_exec() {
        let fd = sealed("prefork test", b"key").expect("a memory file");
        let flags = fcntl(&fd, FcntlArg::F_GETFD).expect("a descriptor");
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }

    #[test]
    fn other_kinds_of_descriptors_are_rejected() {
        let file = File::open("/proc/self/status").expect("a file");
        assert_eq!(rejection(&file), "not a memory file");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        assert_eq!(rejection(&socket), "not a memory file");
        let (reader, _writer) = io::pipe().expect("a pipe");
        assert_eq!(rejection(&reader), "not a memory file");
        let directory = File::open("/proc").expect("a directory");
        assert_eq!(rejection(&directory), "not a memory file");
    }

    #[test]
    fn a_file_without_one_of_the_seals_is_rejected() {
        let every = [
            SealFlag::F_SEAL_SHRINK,
            SealFlag::F_SEAL_GROW,
            SealFlag::F_SEAL_WRITE,
            SealFlag::F_SEAL_SEAL,
        ];
        for missing in every {
            let fd = create("prefork test").expect("a memory file");
            fcntl(&fd, FcntlArg::F_ADD_SEALS(SEALS.difference(missing))).expect("seals");
            assert_eq!(rejection(&fd), "a memory file that is not sealed");
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_neither_created_nor_read() {
        assert!(sealed("prefork test", &vec![0; MAX_BYTES + 1]).is_err());
        let file = File::from(create("prefork test").expect("a memory file"));
        // A sparse file takes no memory; a read of it would.
        file.set_len(1 << 40).expect("a length");
        fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS)).expect("seals");
        assert!(rejection(&file).contains("too large"));
    }
}
