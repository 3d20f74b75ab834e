//! The main program of this process: the file that it was mapped from, and its loader.

use std::ffi::{CStr, OsStr, OsString, c_int, c_void};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The main program of this process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MainProgram {
    /// The path in `/proc/self/maps`; another file may have this path now.
    pub(crate) path: OsString,
    pub(crate) inode: u64,
    /// The path of the loader (`PT_INTERP` in elf(5)); `None` for a static program.
    pub(crate) interpreter: Option<OsString>,
}

/// Whether the kernel executed the main program, and mapped its loader for it.
///
/// False if the loader was executed (`ld.so program`), and for a static program (`AT_BASE` in
/// getauxval(3)).
pub(crate) fn has_mapped_loader() -> bool {
    // SAFETY: getauxval(3) takes a number, and reads memory that the kernel wrote at the start.
    unsafe { libc::getauxval(libc::AT_BASE) != 0 }
}

/// The path by which this process was executed (`AT_EXECFN` in getauxval(3)).
pub(crate) fn executed_path() -> Option<OsString> {
    // SAFETY: getauxval(3) takes a number, and reads memory that the kernel wrote at the start.
    let address = unsafe { libc::getauxval(libc::AT_EXECFN) };
    let text = std::ptr::with_exposed_provenance(usize::try_from(address).ok()?);
    if address == 0 {
        return None;
    }
    // SAFETY: the kernel wrote a string that ends with zero; it is valid as long as the process.
    let text = unsafe { CStr::from_ptr(text) };
    Some(OsStr::from_bytes(text.to_bytes()).to_owned())
}

/// Finds the main program; `None` without `/proc`, or if it was not mapped from a file.
pub(crate) fn main_program() -> Option<MainProgram> {
    let loaded = loaded()?;
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let (path, inode) = file_at(&maps, loaded.headers)?;
    Some(MainProgram {
        path,
        inode,
        interpreter: loaded.interpreter,
    })
}

/// The main program, as the loader describes it.
#[derive(Default)]
struct LoadedImages {
    /// The address of its program headers.
    headers: usize,
    interpreter: Option<OsString>,
}

fn loaded() -> Option<LoadedImages> {
    let mut loaded = LoadedImages::default();
    // SAFETY: `note` has the type of a callback; the pointer is to a value that outlives the call,
    // and only `note` uses it.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut loaded).cast()) };
    (loaded.headers != 0).then_some(loaded)
}

/// Records the main program, for which it is called first (`dl_iterate_phdr(3)`).
///
/// The result 1 ends the iteration.
unsafe extern "C" fn note(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    loaded: *mut c_void,
) -> c_int {
    // SAFETY: the loader passes a description that is valid during this call.
    let info = unsafe { &*info };
    // SAFETY: the function `loaded` passed this pointer, and uses the value only after the
    // iteration.
    let loaded = unsafe { &mut *loaded.cast::<LoadedImages>() };
    if info.dlpi_phdr.is_null() {
        return 1;
    }
    loaded.headers = info.dlpi_phdr.addr();
    // SAFETY: the loader passes the number of headers, which stay mapped as long as the program.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let interpreter = headers
        .iter()
        .find(|header| header.p_type == libc::PT_INTERP);
    if let Some(header) = interpreter {
        let address = info.dlpi_addr.wrapping_add(header.p_vaddr);
        let text = std::ptr::with_exposed_provenance(usize::try_from(address).unwrap_or(0));
        // SAFETY: the string of `PT_INTERP` ends with zero, and is in a mapped segment of the
        // program (elf(5)).
        let text = unsafe { CStr::from_ptr(text) };
        loaded.interpreter = Some(OsStr::from_bytes(text.to_bytes()).to_owned());
    }
    1
}

/// Finds path and inode of the file that is mapped at this address.
///
/// The format of the text is that of `proc_pid_maps(5)`.
fn file_at(maps: &[u8], address: usize) -> Option<(OsString, u64)> {
    maps.split(|&byte| byte == b'\n').find_map(|line| {
        // `start-end perms offset dev inode path`, with spaces in front of the path.
        let mut fields = line.splitn(6, |&byte| byte == b' ');
        let mut field = || std::str::from_utf8(fields.next()?).ok();
        let (start, end) = field()?.split_once('-')?;
        let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16).ok());
        if !(start?..end?).contains(&address) {
            return None;
        }
        let inode = field().and(field()).and(field()).and_then(|_| field())?;
        let path = fields.next()?.trim_ascii_start();
        path.starts_with(b"/")
            .then(|| Some((unescape(path), inode.parse().ok()?)))?
    })
}

/// Replaces `\012`, which is a line break in a path.
fn unescape(path: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, remaining)) = rest.split_first() {
        let line_break = rest.strip_prefix(b"\\012");
        plain.push(if line_break.is_some() { b'\n' } else { first });
        rest = line_break.unwrap_or(remaining);
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_main_program_of_a_test_is_the_test() {
        let image = main_program().expect("/proc and a file");
        let link = std::fs::read_link("/proc/self/exe").expect("/proc");
        assert_eq!(image.path, link.as_os_str());
        let metadata = std::fs::metadata("/proc/self/exe").expect("/proc");
        assert_eq!(image.inode, metadata.ino());
    }

    #[test]
    fn the_file_at_an_address_is_found_by_its_range() {
        let maps = b"\
55d0c8a00000-55d0c8a21000 r--p 00000000 fe:00 1234                       /opt/a b\\012c (deleted)\n\
7ffd1c000000-7ffd1c021000 rw-p 00000000 00:00 0                          [stack]\n\
7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n";
        let found = file_at(maps, 0x55d0_c8a0_0040);
        assert_eq!(found, Some(("/opt/a b\nc (deleted)".into(), 1234)));
        for other in [0x7ffd_1c00_0010, 0x7f00_0000_0000, 0x55d0_c8a2_1000] {
            assert_eq!(file_at(maps, other), None);
        }
    }
}
