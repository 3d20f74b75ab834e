#[prefork::main(
    Network = "tcp4",
    Reuseport = true,
    RecoverThreshold = 8,
    recoverInterval = "1s",
    ShutdownGracePeriod = "5s",
    OnChildSpawn = |child| drop(child),
    OnMasterReady = |master| drop(master),
    OnChildRecover = |child| drop(child),
    OnMasterDeath = || (),
    CommandProducer = |command| drop(command),
    Logger = |line| drop(line),
)]
fn main() {}
