//! A lightweight detached thread.
//!
//! **The reasoning.** A thread of the standard library allocates memory before it runs its
//! function: a stack for the handler of stack overflows, and its name. With the first allocation,
//! the C library reserves a second heap of 128 MiB of addresses (`mallopt(3)`, `M_ARENA_MAX`).
//! Every worker starts such a thread at once, so each start would cost ten more system calls and
//! half a dozen page faults.
//!
//! **The price.** A stack overflow in the thread is a plain SIGSEGV. If the thread allocates, the C
//! library reserves the second heap anyway.

use std::ffi::{CStr, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Runs the function on a detached thread.
///
/// A panic that leaves the function aborts the process.
///
/// # Errors
/// The limit of threads is reached, or no memory is left.
pub(crate) fn start<F>(name: &'static CStr, stack_size: usize, run: F) -> io::Result<()>
where
    F: FnOnce() + Send + 'static,
{
    let attributes = ThreadAttributes::new(stack_size)?;
    let main = Box::into_raw(Box::new(ThreadMain { name, run }));
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the attributes are initialized; the thread becomes the owner of the box, and `entry`
    // has its type.
    let result = unsafe {
        libc::pthread_create(
            thread.as_mut_ptr(),
            &raw const attributes.0,
            entry::<F>,
            main.cast(),
        )
    };
    if result != 0 {
        // SAFETY: no thread was created, so this function still owns the box.
        drop(unsafe { Box::from_raw(main) });
        return Err(io::Error::from_raw_os_error(result));
    }
    Ok(())
}

struct ThreadMain<F> {
    name: &'static CStr,
    run: F,
}

extern "C" fn entry<F: FnOnce()>(main: *mut c_void) -> *mut c_void {
    // SAFETY: `start` passed a box of this type, and no longer owns it.
    let main = unsafe { Box::from_raw(main.cast::<ThreadMain<F>>()) };
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    let _ = nix::sys::prctl::set_name(main.name);
    // The box is freed after the call: freeing it before would be the first use of the heap.
    (main.run)();
    ptr::null_mut()
}

struct ThreadAttributes(libc::pthread_attr_t);

impl ThreadAttributes {
    fn new(stack_size: usize) -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the call initializes the attributes, which have the right size.
        check(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: the call before has succeeded.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        let pointer = &raw mut attributes.0;
        // SAFETY: initialized attributes and a number.
        check(unsafe { libc::pthread_attr_setstacksize(pointer, stack_size) })?;
        let detached = libc::PTHREAD_CREATE_DETACHED;
        // SAFETY: as above.
        check(unsafe { libc::pthread_attr_setdetachstate(pointer, detached) })?;
        Ok(attributes)
    }
}

impl Drop for ThreadAttributes {
    fn drop(&mut self) {
        // SAFETY: initialized, and not used afterwards.
        unsafe { libc::pthread_attr_destroy(&raw mut self.0) };
    }
}

fn check(result: i32) -> io::Result<()> {
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    #[test]
    fn the_function_runs_in_a_thread_with_the_name() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let run = move || {
            let comm = std::fs::read_to_string("/proc/thread-self/comm").expect("/proc");
            sender.send(comm).expect("the test waits");
        };
        start(c"prefork-test", 256 * 1024, run).expect("a thread");
        assert_eq!(receiver.recv().expect("it ran"), "prefork-test\n");
    }

    #[test]
    fn an_impossible_stack_is_an_error() {
        assert!(start(c"prefork-test", 1, || ()).is_err());
    }
}
