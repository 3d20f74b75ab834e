//! The memory that a child runs on until it has executed its program.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

/// A stack for the moment between clone and exec, made once: starts are one after another, and
/// each returns when its child has left the stack.
#[derive(Debug)]
pub(crate) struct Stack {
    base: NonNull<c_void>,
}

// SAFETY: the mapping belongs to this value alone; nothing in it is tied to a thread.
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
        let stack = Self { base };
        // SAFETY: the offset lies inside the mapping made above.
        let usable = unsafe { base.as_ptr().byte_add(Self::GUARD) };
        // SAFETY: the range lies inside the mapping made above, which nobody else uses.
        let result =
            unsafe { libc::mprotect(usable, Self::SIZE, libc::PROT_READ | libc::PROT_WRITE) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// Stacks grow down on every machine that Linux and Rust's standard library share.
    pub(super) fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping; 16-byte aligned since both sizes are.
        unsafe { self.base.as_ptr().byte_add(Self::GUARD + Self::SIZE) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and no child is on it: `spawn` holds a borrow
        // until its child has left.
        unsafe { libc::munmap(self.base.as_ptr(), Self::GUARD + Self::SIZE) };
    }
}
