//! The addresses of listeners, for `RunningServer` and `TestWorker`.

use std::net::SocketAddr;

use prefork::ListenerInfo;

/// Returns the address of the first listener.
#[track_caller]
pub(crate) fn first_addr(listeners: &[ListenerInfo]) -> SocketAddr {
    socket_addr(listeners.first().expect("there is no listener"))
}

/// Returns the address of the listener with this name.
#[track_caller]
pub(crate) fn addr_of(listeners: &[ListenerInfo], name: &str) -> SocketAddr {
    let found = listeners.iter().find(|listener| listener.name() == name);
    socket_addr(found.unwrap_or_else(|| {
        let known: Vec<String> = listeners.iter().map(ToString::to_string).collect();
        panic!(
            "no listener has the name '{name}'; listeners: {}",
            known.join(", ")
        )
    }))
}

/// Unix sockets have no IP address: tests take their path from `listeners()`.
#[track_caller]
fn socket_addr(listener: &ListenerInfo) -> SocketAddr {
    let addr = listener.socket_addr();
    addr.unwrap_or_else(|| panic!("listener '{}' has no IP address", listener.name()))
}
