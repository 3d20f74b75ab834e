//! The stack of a child between clone and exec.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

/// A stack for children between clone and exec.
///
/// All starts use one stack: they run one after another, and each returns when its child has left
/// the stack.
#[derive(Debug)]
pub(crate) struct Stack {
    base: NonNull<c_void>,
}

// SAFETY: only this value owns the mapping, and the mapping does not depend on a thread.
unsafe impl Send for Stack {}

impl Stack {
    const SIZE: usize = 64 * 1024;
    const GUARD: usize = 64 * 1024;

    /// Maps the stack, with inaccessible pages below it.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new() -> io::Result<Self> {
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
        let stack = Self { base };
        // SAFETY: the offset is inside the new mapping.
        let usable = unsafe { base.as_ptr().byte_add(Self::GUARD) };
        // SAFETY: the range is inside the new mapping, which no other code uses.
        let result =
            unsafe { libc::mprotect(usable, Self::SIZE, libc::PROT_READ | libc::PROT_WRITE) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// The initial stack pointer.
    ///
    /// Stacks grow down on every machine that both Linux and Rust's standard library support.
    pub(super) fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping; 16-byte aligned, because both sizes are.
        unsafe { self.base.as_ptr().byte_add(Self::GUARD + Self::SIZE) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: `new` created the mapping, and no child uses it: `spawn` borrows the stack until
        // its child has left it.
        unsafe { libc::munmap(self.base.as_ptr(), Self::GUARD + Self::SIZE) };
    }
}
