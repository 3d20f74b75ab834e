//! The frames between the master and its children, on one `SOCK_SEQPACKET` pair per child.
//!
//! Knows the frames, their bytes and their limits; does not know what either side does with them.

#[expect(
    clippy::module_inception,
    reason = "one noun per file, and this noun names the folder"
)]
mod channel;
mod child_role;
mod message;
mod rate_limit;

pub(crate) use channel::{Channel, ReceivedFrame};
pub(crate) use child_role::{ChildRole, ROLE_VARIABLE};
pub(crate) use message::{FromChild, FromMaster, MainEnd, Welcome};
pub(crate) use rate_limit::RateLimit;

/// The version of the frames and of the variables that announce them.
///
/// It is pinned by a test: an old master starts new programs, and a new master talks to old
/// children.
pub(crate) const PROTOCOL: u32 = 1;
