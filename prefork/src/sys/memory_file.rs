//! A file without a name whose bytes nobody can change any more: what a master hands to a child that is too long or too
//! secret for a variable.
//!
//! It knows nothing of what the bytes mean. The seals are what makes it safe to share one file between all children
//! (`memfd_create(2)`, "File-sealing"): a child cannot alter what the next one reads, nor shorten it under a reader.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use nix::sys::uio::pread;

/// The most that is written or read.
pub(crate) const MOST_BYTES: usize = 4 << 20;

/// Neither the bytes, nor their number, nor the seals themselves can change.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_WRITE)
    .union(SealFlag::F_SEAL_SEAL);

/// Makes a sealed file of these bytes; the name is for people, in `/proc/<pid>/fd`. It is close-on-exec.
///
/// # Errors
/// More than [`MOST_BYTES`], or than this process may write; no descriptors or no memory left.
pub(crate) fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    if bytes.len() > MOST_BYTES {
        return Err(wrong(format!("{} bytes are too many", bytes.len())));
    }
    check_limit(bytes.len())?;
    let mut file = File::from(create(name)?);
    file.write_all(bytes)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
    Ok(file.into())
}

/// Reads all bytes of a sealed file. Its offset, which all children share, is neither used nor moved.
///
/// # Errors
/// A descriptor of another kind, a file that somebody could still change, one of more than [`MOST_BYTES`].
pub(crate) fn read(fd: impl AsFd) -> io::Result<Vec<u8>> {
    let fd = fd.as_fd();
    check_seals(fd)?;
    // A size is never negative; one that does not fit is too large in any case.
    let size = usize::try_from(fstat(fd)?.st_size).unwrap_or(usize::MAX);
    if size > MOST_BYTES {
        return Err(wrong(format!("a memory file of {size} bytes is too large")));
    }
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        let offset = filled.try_into().map_err(io::Error::other)?;
        match pread(fd, &mut bytes[filled..], offset) {
            // It cannot have become shorter, but a loop that trusts a stranger's file has to end.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(bytes)
}

/// Where `vm.memfd_noexec` is 2, only files that say they will never be executed are made; kernels before 6.3 do not
/// know the flag.
fn create(name: &str) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let no_exec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create(name, flags | no_exec) {
        Err(Errno::EINVAL) => Ok(memfd_create(name, flags)?),
        created => Ok(created?),
    }
}

/// A write over the limit of file sizes is answered with SIGXFSZ, which ends a process that does not know of it
/// (`RLIMIT_FSIZE` in getrlimit(2)); memory files count.
fn check_limit(size: usize) -> io::Result<()> {
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    if u64::try_from(size).is_ok_and(|size| size <= limit) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("the limit of file sizes ({limit} bytes, `ulimit -f`) is below {size} bytes"),
    ))
}

fn check_seals(fd: BorrowedFd<'_>) -> io::Result<()> {
    let bits = match fcntl(fd, FcntlArg::F_GET_SEALS) {
        // The kernel's answer for every file that cannot be sealed (`F_GET_SEALS` in fcntl(2)).
        Err(Errno::EINVAL) => return Err(wrong("not a memory file")),
        bits => bits?,
    };
    if SealFlag::from_bits_truncate(bits).contains(SEALS) {
        Ok(())
    } else {
        Err(wrong("a memory file that is not sealed"))
    }
}

fn wrong(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};
    use std::net::UdpSocket;

    use super::*;

    fn refusal(fd: impl AsFd) -> String {
        read(fd).expect_err("it is not sealed").to_string()
    }

    #[test]
    fn what_was_sealed_is_read_as_often_as_asked() {
        let long = vec![7; 300_000];
        for bytes in [b"".as_slice(), b"key", &long] {
            let fd = sealed("prefork test", bytes).expect("a memory file");
            assert_eq!(read(&fd).expect("sealed"), bytes);
            assert_eq!(read(&fd).expect("sealed"), bytes);
        }
    }

    #[test]
    fn the_offset_that_others_share_is_neither_used_nor_moved() {
        let fd = sealed("prefork test", b"0123456789").expect("a memory file");
        let mut other = File::from(fd.try_clone().expect("a descriptor"));
        other.seek(SeekFrom::Start(4)).expect("a file");
        assert_eq!(read(&fd).expect("sealed"), b"0123456789");
        let mut rest = String::new();
        other.read_to_string(&mut rest).expect("readable");
        assert_eq!(rest, "456789");
    }

    #[test]
    fn nobody_can_change_it() {
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
    fn programs_that_are_started_do_not_get_it() {
        let fd = sealed("prefork test", b"key").expect("a memory file");
        let flags = fcntl(&fd, FcntlArg::F_GETFD).expect("a descriptor");
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }

    #[test]
    fn other_kinds_of_descriptors_are_named() {
        let file = File::open("/proc/self/status").expect("a file");
        assert_eq!(refusal(&file), "not a memory file");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        assert_eq!(refusal(&socket), "not a memory file");
        let (reader, _writer) = io::pipe().expect("a pipe");
        assert_eq!(refusal(&reader), "not a memory file");
        let directory = File::open("/proc").expect("a directory");
        assert_eq!(refusal(&directory), "not a memory file");
    }

    #[test]
    fn a_file_with_a_seal_missing_is_refused() {
        let every = [
            SealFlag::F_SEAL_SHRINK,
            SealFlag::F_SEAL_GROW,
            SealFlag::F_SEAL_WRITE,
            SealFlag::F_SEAL_SEAL,
        ];
        for missing in every {
            let fd = create("prefork test").expect("a memory file");
            fcntl(&fd, FcntlArg::F_ADD_SEALS(SEALS.difference(missing))).expect("seals");
            assert_eq!(refusal(&fd), "a memory file that is not sealed");
        }
    }

    #[test]
    fn what_is_too_large_is_neither_made_nor_read() {
        assert!(sealed("prefork test", &vec![0; MOST_BYTES + 1]).is_err());
        let file = File::from(create("prefork test").expect("a memory file"));
        // Sparse: it takes no memory, and reading it would.
        file.set_len(1 << 40).expect("a length");
        fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS)).expect("seals");
        assert!(refusal(&file).contains("too large"));
    }
}
