//! The filter that selects the socket of a group by CPU (`SO_ATTACH_REUSEPORT_CBPF`, socket(7)).
//!
//! The kernel runs it for the first packet of a connection, on the CPU that handles this packet.
//! Its result is the index of a socket in the group: sockets have the order of their `listen`. If
//! the result is not an index, the kernel selects a socket by a hash.

use std::io;
use std::os::fd::BorrowedFd;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};
use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};

/// A program of classic BPF: from the CPU to the index of a socket.
pub(crate) struct CpuFilter(Vec<sock_filter>);

/// The result for other CPUs: the index of no socket.
const NONE: u32 = u32::MAX;

/// The longest program that the kernel accepts, in instructions (`BPF_MAXINSNS`).
const MAX_INSTRUCTIONS: usize = 4096;

impl CpuFilter {
    /// The largest number of CPUs: two instructions for each, one before and one after them.
    pub(crate) const MAX_CPUS: usize = (MAX_INSTRUCTIONS - 2) / 2;

    /// Creates the filter: from CPU *i* of this list to socket *i* modulo `sockets`.
    ///
    /// `None` if there are more than [`MAX_CPUS`](Self::MAX_CPUS), or no sockets.
    pub(crate) fn new(cpus: &[usize], sockets: usize) -> Option<Self> {
        if cpus.len() > Self::MAX_CPUS || sockets == 0 {
            return None;
        }
        let cpu = (libc::SKF_AD_OFF + libc::SKF_AD_CPU).cast_unsigned();
        let mut program = vec![instruction(BPF_LD | BPF_W | BPF_ABS, cpu, 0)];
        for (index, &cpu) in cpus.iter().enumerate() {
            let (cpu, socket) = (u32::try_from(cpu), u32::try_from(index % sockets));
            // If the CPU is another one, skip the next instruction.
            program.push(instruction(BPF_JMP | BPF_JEQ | BPF_K, cpu.ok()?, 1));
            program.push(instruction(BPF_RET | BPF_K, socket.ok()?, 0));
        }
        program.push(instruction(BPF_RET | BPF_K, NONE, 0));
        Some(Self(program))
    }

    /// Attaches the filter to the group of this socket.
    ///
    /// Call this once per group: without the fix of CVE-2026-52910 (Linux 7.1), a second call frees
    /// the first program while the kernel may still run it.
    ///
    /// # Errors
    /// `EPERM`: a seccomp filter rejects the call. `ENOMEM`: the program is longer than
    /// `net.core.optmem_max`. `EINVAL`: the socket is in no group.
    pub(crate) fn attach(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let program = sock_fprog {
            len: u16::try_from(self.0.len()).map_err(io::Error::other)?,
            // The kernel copies the program, and writes nothing.
            filter: self.0.as_ptr().cast_mut(),
        };
        Ok(setsockopt(&socket, AttachReusePortCbpf, &program)?)
    }
}

/// `unequal` is the number of instructions that a jump skips if the values differ.
fn instruction(code: u32, k: u32, unequal: u8) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt: 0,
        jf: unequal,
        k,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// Runs the program as the kernel does, on this CPU.
    fn run(filter: &CpuFilter, cpu: u32) -> u32 {
        const LOAD_CPU: u32 = BPF_LD | BPF_W | BPF_ABS;
        const JUMP_IF_EQUAL: u32 = BPF_JMP | BPF_JEQ | BPF_K;
        const RETURN: u32 = BPF_RET | BPF_K;
        let (mut accumulator, mut next) = (0, 0);
        loop {
            let instruction = filter.0[next];
            next += 1;
            match u32::from(instruction.code) {
                LOAD_CPU => {
                    assert_eq!(instruction.k.cast_signed(), -0x1000 + 36);
                    accumulator = cpu;
                }
                JUMP_IF_EQUAL => {
                    let is_equal = accumulator == instruction.k;
                    let skipped = if is_equal {
                        instruction.jt
                    } else {
                        instruction.jf
                    };
                    next += usize::from(skipped);
                }
                RETURN => return instruction.k,
                other => panic!("code {other:#x}"),
            }
        }
    }

    fn expected(cpus: &[usize], sockets: usize, cpu: usize) -> u32 {
        let index = cpus.iter().position(|&usable| usable == cpu);
        index.map_or(NONE, |index| u32::try_from(index % sockets).expect("small"))
    }

    #[test]
    fn each_usable_cpu_selects_its_socket_and_every_other_one_none() {
        let all: Vec<usize> = (0..1024).collect();
        let even: Vec<usize> = (0..1100).step_by(2).collect();
        let lists: [&[usize]; 6] = [&[0, 1], &[0, 4, 7], &[3], &[511, 1099], &all, &even];
        for cpus in lists {
            for sockets in [2, 3, cpus.len()] {
                let filter = CpuFilter::new(cpus, sockets).expect("it is short enough");
                for cpu in 0..1100 {
                    let result = run(&filter, u32::try_from(cpu).expect("small"));
                    assert_eq!(result, expected(cpus, sockets, cpu), "{cpu} of {cpus:?}");
                }
            }
        }
    }

    #[test]
    fn a_program_is_never_longer_than_the_kernel_accepts() {
        let cpus: Vec<usize> = (0..=CpuFilter::MAX_CPUS).collect();
        let filter = CpuFilter::new(&cpus[1..], 2).expect("it is short enough");
        assert_eq!(filter.0.len(), MAX_INSTRUCTIONS);
        assert!(CpuFilter::new(&cpus, 2).is_none());
        assert!(CpuFilter::new(&[0], 0).is_none());
    }

    #[test]
    fn the_kernel_accepts_the_program_for_a_group_only() {
        let socket = |is_shared| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let socket = socket.expect("free descriptors");
            socket.set_reuse_port(is_shared).expect("Linux has it");
            socket
        };
        let filter = CpuFilter::new(&[0, 4, 7], 2).expect("it is short enough");
        filter.attach(socket(true).as_fd()).expect("it has a group");
        let error = filter.attach(socket(false).as_fd()).expect_err("no group");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
