//! A thread for one small loop, as light as the system makes them.
//!
//! **The reasoning.** A thread of the standard library allocates before it runs anything: a stack for the handler of
//! stack overflows, its name, and with the first of these the C library maps a second heap of 128 MiB of addresses
//! (`mallopt(3)`, `M_ARENA_MAX`). Every worker has such a thread from its first moment on, so that this would be a part
//! of what each start costs: ten system calls and half a dozen page faults.
//!
//! **The price.** A stack overflow in it is a plain SIGSEGV, and what it allocates later makes that heap after all.

use std::ffi::{CStr, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Runs the function on a thread that nobody waits for. A panic that leaves the function aborts the process.
///
/// # Errors
/// The limit of threads, or no memory.
pub(crate) fn start<F>(name: &'static CStr, stack_size: usize, run: F) -> io::Result<()>
where
    F: FnOnce() + Send + 'static,
{
    let attributes = Attributes::new(stack_size)?;
    let life = Box::into_raw(Box::new(Life { name, run }));
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the attributes were initialised; the thread becomes the owner of the box, whose type the entry knows.
    let result = unsafe {
        libc::pthread_create(
            thread.as_mut_ptr(),
            &raw const attributes.0,
            entry::<F>,
            life.cast(),
        )
    };
    if result != 0 {
        // SAFETY: no thread was made, so that the box is still ours.
        drop(unsafe { Box::from_raw(life) });
        return Err(io::Error::from_raw_os_error(result));
    }
    Ok(())
}

struct Life<F> {
    name: &'static CStr,
    run: F,
}

extern "C" fn entry<F: FnOnce()>(life: *mut c_void) -> *mut c_void {
    // SAFETY: `start` passed a box of this type and forgot it.
    let life = unsafe { Box::from_raw(life.cast::<Life<F>>()) };
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    let _ = nix::sys::prctl::set_name(life.name);
    // Called where it lies: freeing the box first would be the first call into the heap.
    (life.run)();
    ptr::null_mut()
}

struct Attributes(libc::pthread_attr_t);

impl Attributes {
    fn new(stack_size: usize) -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: a place for attributes, which the call fills.
        check(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: the call before has succeeded.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        let pointer = &raw mut attributes.0;
        // SAFETY: initialised attributes and a number.
        check(unsafe { libc::pthread_attr_setstacksize(pointer, stack_size) })?;
        let detached = libc::PTHREAD_CREATE_DETACHED;
        // SAFETY: as above.
        check(unsafe { libc::pthread_attr_setdetachstate(pointer, detached) })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used afterwards.
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
    fn it_runs_the_function_under_its_name() {
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
