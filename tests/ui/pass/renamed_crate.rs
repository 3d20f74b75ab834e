//! The crate under another name, and re-exported.

pub mod door {
    pub use ::prefork as server;
}

#[door::server::main(crate = crate::door::server, workers = 0)]
async fn main(_worker: door::server::Worker) {}

#[door::server::main(crate = "door::server")]
#[must_use]
pub fn other() {}
