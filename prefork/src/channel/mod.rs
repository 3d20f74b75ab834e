//! All that a master and a child say to each other, on one `SOCK_SEQPACKET` pair per child.
//!
//! Knows the frames, their bytes and their limits; does not know what either side does about them.

mod endpoint;
mod message;
mod rate;
mod role;

pub(crate) use endpoint::{Endpoint, Received};
pub(crate) use message::{FromChild, FromMaster, Queue};
pub(crate) use rate::Rate;
pub(crate) use role::{ROLE_VARIABLE, Role};

/// The version of the frames and of the variables that announce them. Pinned: an old master starts
/// new programs, and a new one talks to old children.
pub(crate) const PROTOCOL: u32 = 1;
