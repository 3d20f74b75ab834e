//! The memory that a child runs on until it has executed its program.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// A stack for the moment between clone and exec. Starts are one after another, and use the same
/// one, unless a child does not leave it.
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

    /// The stack, which is made where the last one was left to a child.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn mapping(&mut self) -> io::Result<&Mapping> {
        match &mut self.mapping {
            Some(mapping) => Ok(mapping),
            missing => Ok(missing.insert(Mapping::new()?)),
        }
    }

    /// Leaves the stack to the child that is on it: it is never used again, and never unmapped.
    pub(super) fn abandon(&mut self) {
        std::mem::forget(self.mapping.take());
    }
}

#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<c_void>,
}

// SAFETY: the mapping belongs to this value alone; nothing in it is tied to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    const SIZE: usize = 64 * 1024;
    const GUARD: usize = 64 * 1024;
    /// Above the stack, for the word.
    const ABOVE: usize = 64;

    /// Maps the stack, with inaccessible pages below it.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn new() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping at a place that the kernel chooses touches nothing that exists.
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
        // SAFETY: the offset lies inside the mapping made above.
        let usable = unsafe { base.as_ptr().byte_add(Self::GUARD) };
        // SAFETY: the range lies inside the mapping made above, which nobody else uses.
        let result =
            unsafe { libc::mprotect(usable, Self::SIZE, libc::PROT_READ | libc::PROT_WRITE) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(mapping)
    }

    /// Stacks grow down on every machine that Linux and Rust's standard library share.
    pub(super) fn top(&self) -> *mut c_void {
        const { assert!(Self::ABOVE.is_multiple_of(16)) };
        let top = Self::GUARD + Self::SIZE - Self::ABOVE;
        // SAFETY: inside the mapping; 16-byte aligned since all three sizes are.
        unsafe { self.base.as_ptr().byte_add(top) }
    }

    /// What the kernel clears when the child leaves this memory. It lies beside the stack, so that it lives as long.
    pub(super) fn word(&self) -> &AtomicU32 {
        // SAFETY: inside the mapping, above the stack, and aligned; zeroes are a valid value.
        unsafe { &*self.top().cast::<AtomicU32>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and no child is on it: one that a child is left on is not dropped.
        unsafe { libc::munmap(self.base.as_ptr(), Self::GUARD + Self::SIZE) };
    }
}
