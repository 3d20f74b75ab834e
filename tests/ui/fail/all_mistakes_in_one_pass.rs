//! Ten mistakes are reported in one run of the compiler.

#[prefork::main(
    worker = 4,
    listen = [":80", "no port"],
    workers = "all",
    recover_threshold = 8,
    recover_threshold = 9,
    shutdown_grace_period,
    runtime = 1,
    5,
)]
unsafe fn main<T>(_listener: impl Into<T>) {}
