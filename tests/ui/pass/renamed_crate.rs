//! The crate under another name, and re-exported.

pub mod reexport {
    pub use ::prefork as server;
}

#[reexport::server::main(crate = crate::reexport::server, workers = 0)]
async fn main(_worker: reexport::server::Worker) {}

#[reexport::server::main(crate = "reexport::server")]
#[must_use]
pub fn other() {}
