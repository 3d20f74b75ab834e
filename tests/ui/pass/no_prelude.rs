//! Generated paths start at the root.

#![no_implicit_prelude]
#![deny(warnings)]

#[::prefork::main(workers = 0)]
async fn main(_worker: ::prefork::Worker) -> ::std::io::Result<()> {
    ::std::result::Result::Ok(())
}
