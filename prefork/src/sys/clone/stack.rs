//! The stack of a child between clone and exec.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// A stack for children between clone and exec.
///
/// All starts use one stack: they run one after another. If a child does not leave the stack, the
/// next start maps a new one.
#[derive(Debug)]
pub(crate) struct Stack {
    mapping: Option<Mapping>,
}

impl Stack {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new() -> io::Result<Self> {
        let mapping = Some(Mapping::new()?);
        Ok(Self { mapping })
    }

    /// Returns the stack. Maps a new one if the last one was left to a child.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn mapping(&mut self) -> io::Result<&Mapping> {
        match &mut self.mapping {
            Some(mapping) => Ok(mapping),
            missing => Ok(missing.insert(Mapping::new()?)),
        }
    }

    /// Leaves the stack to its child: it is never used again, and never unmapped.
    pub(super) fn abandon(&mut self) {
        std::mem::forget(self.mapping.take());
    }
}

#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<c_void>,
}

// SAFETY: only this value owns the mapping, and the mapping does not depend on a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    const SIZE: usize = 64 * 1024;
    const GUARD: usize = 64 * 1024;
    /// Bytes above the stack, for the word.
    const ABOVE: usize = 64;

    /// Maps the stack, with inaccessible pages below it.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn new() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping, at an address that the kernel chooses, changes no existing memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Self::GUARD + Self::SIZE,
                libc::PROT_NONE,
                flags,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Self { base };
        // SAFETY: the offset is inside the new mapping.
        let usable = unsafe { base.as_ptr().byte_add(Self::GUARD) };
        // SAFETY: the range is inside the new mapping, which no other code uses.
        let result =
            unsafe { libc::mprotect(usable, Self::SIZE, libc::PROT_READ | libc::PROT_WRITE) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(mapping)
    }

    /// The initial stack pointer.
    ///
    /// Stacks grow down on every machine that both Linux and Rust's standard library support.
    pub(super) fn top(&self) -> *mut c_void {
        const { assert!(Self::ABOVE.is_multiple_of(16)) };
        let top = Self::GUARD + Self::SIZE - Self::ABOVE;
        // SAFETY: inside the mapping; 16-byte aligned, because all three sizes are.
        unsafe { self.base.as_ptr().byte_add(top) }
    }

    /// The word that the kernel clears when the child leaves this memory.
    ///
    /// It is part of the mapping, so that it exists as long as the stack.
    pub(super) fn word(&self) -> &AtomicU32 {
        // SAFETY: inside the mapping, above the stack, and aligned; zero is a valid value.
        unsafe { &*self.top().cast::<AtomicU32>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` created the mapping, and no child uses it: a mapping that was left to a
        // child is not dropped.
        unsafe { libc::munmap(self.base.as_ptr(), Self::GUARD + Self::SIZE) };
    }
}
