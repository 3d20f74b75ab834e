//! The frames, as text: a verb, then `key=value` pairs, so that `strace` shows them.
//!
//! Both sides skip unknown verbs and unknown keys, so that a later version can send more. A free
//! text (a panic or an error) comes last.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::error::{Shortage, ShortageStage};

/// A frame from a child to the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromChild {
    /// The first frame: the protocol, and what the program declares.
    Hello {
        /// The protocol version of the child.
        protocol: u32,
        /// Whether `Ready` follows, at the first accept or by a call.
        announces_ready: bool,
        /// The names of the listeners that its `main` takes.
        listeners: Vec<String>,
        /// The options that its program sets, as `name:digest`. Programs that set none and earlier
        /// versions omit the key.
        options: Vec<String>,
        /// Whether it accepts nothing while its gate is closed. The frame omits it if not.
        has_gate: bool,
        /// Whether it can accept from the sockets of other slots. The frame omits it if not.
        can_adopt: bool,
    },
    /// The child serves, for the first time or again.
    Ready,
    /// The child took back its readiness: it accepts no connections until `Ready`.
    Unready,
    /// The child cannot accept from a socket of another slot.
    AdoptionFailed {
        /// Whether the descriptor was lost, because the child has too many. Otherwise the child does
        /// not have the listener.
        is_short: bool,
    },
    /// The child accepts no more connections.
    Closed,
    /// The message and location of a panic.
    Panic(String),
    /// The `main` of the child has ended; its process may still run.
    Ended(MainEnd),
    /// The beginning or the end of a shortage of descriptors or memory in accept.
    Shortage(Shortage),
    /// The child was promoted, and cannot run on the CPU of its slot.
    Unpinned {
        /// Zero if the cause has no number.
        errno: i32,
    },
}

/// How the `main` of a worker ended. `Display` is the reason in log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MainEnd {
    /// It returned: no error, or one without a description.
    Returned,
    /// It returned an error; its `Debug` text.
    Failed(String),
    /// It panicked; the message and location.
    Panicked(String),
    /// The worker cannot continue.
    ///
    /// It could not start, an argument could not be created, or no listener accepts any more.
    Unable(String),
}

impl MainEnd {
    fn encode(&self) -> String {
        let (how, text) = match self {
            Self::Returned => return "ended how=returned".to_owned(),
            Self::Failed(error) => ("error", error),
            Self::Panicked(panic) => ("panic", panic),
            Self::Unable(error) => ("unable", error),
        };
        format!("ended how={how} {}", truncate(text))
    }

    fn decode(rest: &str) -> Option<Self> {
        let (how, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let text = text.to_owned();
        Some(match how.strip_prefix("how=")? {
            "error" => Self::Failed(text),
            "panic" => Self::Panicked(text),
            "unable" => Self::Unable(text),
            // An unknown value of a later version: the fact that `main` ended matters most.
            _ => Self::Returned,
        })
    }
}

impl fmt::Display for MainEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned => f.write_str("main returned"),
            Self::Failed(error) => write!(f, "main returned an error: {error}"),
            Self::Panicked(panic) if panic.is_empty() => f.write_str("main panicked"),
            Self::Panicked(panic) => write!(f, "main {panic}"),
            Self::Unable(error) => f.write_str(error),
        }
    }
}

/// A frame from the master to a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromMaster {
    /// The first frame, which is in the channel before the child runs.
    Welcome(Welcome),
    /// Opens the gate of a successor or standby: from now on it accepts connections.
    Serve {
        /// The slot of a standby. `None` for a successor: it has its slot.
        slot: Option<usize>,
        /// The CPU of that slot, if workers are pinned (`pin_cpus`).
        cpu: Option<usize>,
    },
    /// Carries the descriptor of a socket that belongs to a slot: the child accepts from it, too.
    Adopt {
        /// The slot. A standby that is promoted gets the sockets of its own slot in this way.
        slot: usize,
        /// The index of the listener.
        listener: usize,
    },
    /// The child closes the sockets of a listener that belong to this slot.
    Release {
        /// The slot. Before its promotion, a standby has the number of its position here.
        slot: usize,
        /// The index of the listener.
        listener: usize,
    },
    /// Carries two descriptors: the stderr of the master, and the reading end of the pipe that is
    /// the stderr of this successor.
    StderrPassed,
    /// The successor has replaced a worker: the stderr of the master becomes its own.
    StderrReleased,
    /// A stop was requested. The child serves on until `Drain`.
    Stopping,
    /// Asks the child to finish its work within the budget.
    Drain {
        /// The time until the child is killed.
        budget: Duration,
    },
}

/// What a child learns from its master before it begins. The frame omits each default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// The time in which the child may drain if its master dies. The frame always contains it.
    pub(crate) grace: Duration,
    /// How long kept connections may stay open in a drain.
    pub(crate) keepalive_grace: Duration,
    /// The number of threads of the async runtime.
    pub(crate) threads: NonZeroUsize,
    /// Whether the child accepts no connection before `Serve`.
    pub(crate) is_gated: bool,
    /// Whether it is a standby: `Serve` names its slot.
    pub(crate) is_standby: bool,
}

impl Welcome {
    /// The values that the frame omits.
    pub(crate) fn new(grace: Duration) -> Self {
        Self {
            grace,
            keepalive_grace: Duration::from_secs(1),
            threads: NonZeroUsize::MIN,
            is_gated: false,
            is_standby: false,
        }
    }

    fn encode(&self) -> String {
        let default = Self::new(self.grace);
        let pair = |is_needed: bool, key: &str, value: &dyn fmt::Display| {
            is_needed.then(|| format!(" {key}={value}"))
        };
        let (threads, keepalive) = (self.threads, self.keepalive_grace);
        let pairs = [
            pair(true, "grace_ms", &self.grace.as_millis()),
            pair(threads != default.threads, "threads", &threads),
            pair(self.is_gated, "gate", &"closed"),
            pair(self.is_standby, "standby", &"yes"),
            pair(
                keepalive != default.keepalive_grace,
                "keepalive_ms",
                &keepalive.as_millis(),
            ),
        ];
        let pairs: String = pairs.into_iter().flatten().collect();
        format!("welcome{pairs}")
    }

    fn decode(pairs: &str) -> Option<Self> {
        let default = Self::new(milliseconds(pairs, "grace_ms")?);
        Some(Self {
            keepalive_grace: match value(pairs, "keepalive_ms") {
                Some(_) => milliseconds(pairs, "keepalive_ms")?,
                None => default.keepalive_grace,
            },
            threads: match value(pairs, "threads") {
                Some(number) => number.parse().ok()?,
                None => default.threads,
            },
            is_gated: value(pairs, "gate") == Some("closed"),
            is_standby: value(pairs, "standby") == Some("yes"),
            ..default
        })
    }
}

/// The longest text of a panic or an error that is sent, in bytes.
const MAX_TEXT: usize = 1024;

fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

impl FromChild {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello {
                protocol,
                announces_ready,
                listeners,
                options,
                has_gate,
                can_adopt,
            } => {
                let ready = if *announces_ready {
                    "announced"
                } else {
                    "unseen"
                };
                let listeners = listeners.join(",");
                let options = match options.join(",") {
                    none if none.is_empty() => none,
                    options => format!(" options={options}"),
                };
                let gate = if *has_gate { " gate=waits" } else { "" };
                let adopt = if *can_adopt { " adopt=yes" } else { "" };
                format!(
                    "hello protocol={protocol} ready={ready} \
                     listeners={listeners}{options}{gate}{adopt}"
                )
            }
            Self::Ready => "ready".to_owned(),
            Self::Unready => "unready".to_owned(),
            Self::AdoptionFailed { is_short: true } => "adoption_failed cause=shortage".to_owned(),
            Self::AdoptionFailed { is_short: false } => "adoption_failed".to_owned(),
            Self::Closed => "closed".to_owned(),
            Self::Panic(text) => format!("panic {}", truncate(text)),
            Self::Ended(end) => end.encode(),
            Self::Shortage(Shortage { listener, stage }) => match stage {
                ShortageStage::Begins { errno, limit } => {
                    format!("shortage listener={listener} errno={errno} limit={limit}")
                }
                ShortageStage::IsOver { lasted } => {
                    let lasted = lasted.as_millis();
                    format!("shortage_over listener={listener} lasted_ms={lasted}")
                }
            },
            Self::Unpinned { errno } => format!("unpinned errno={errno}"),
        }
        .into_bytes()
    }

    /// Decodes a frame. `None` if it is unknown, for example from a later version.
    pub(crate) fn decode(frame: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(frame);
        let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
        Some(match verb {
            "hello" => Self::Hello {
                protocol: value(rest, "protocol")?.parse().ok()?,
                announces_ready: value(rest, "ready")? == "announced",
                listeners: names(value(rest, "listeners").unwrap_or("")),
                options: names(value(rest, "options").unwrap_or("")),
                has_gate: value(rest, "gate") == Some("waits"),
                can_adopt: value(rest, "adopt") == Some("yes"),
            },
            "ready" => Self::Ready,
            "unready" => Self::Unready,
            "adoption_failed" => Self::AdoptionFailed {
                is_short: value(rest, "cause") == Some("shortage"),
            },
            "closed" => Self::Closed,
            "panic" => Self::Panic(rest.to_owned()),
            "ended" => Self::Ended(MainEnd::decode(rest)?),
            "shortage" | "shortage_over" => Self::Shortage(Shortage {
                listener: value(rest, "listener")?.to_owned(),
                stage: if verb == "shortage" {
                    ShortageStage::Begins {
                        errno: value(rest, "errno")?.parse().ok()?,
                        limit: value(rest, "limit").unwrap_or("0").parse().ok()?,
                    }
                } else {
                    ShortageStage::IsOver {
                        lasted: milliseconds(rest, "lasted_ms")?,
                    }
                },
            }),
            "unpinned" => Self::Unpinned {
                errno: value(rest, "errno")?.parse().ok()?,
            },
            _ => return None,
        })
    }
}

impl FromMaster {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome(welcome) => welcome.encode(),
            Self::Serve { slot, cpu } => {
                let pair = |key: &str, value: &Option<usize>| {
                    value.map_or(String::new(), |value| format!(" {key}={value}"))
                };
                format!("serve{}{}", pair("slot", slot), pair("cpu", cpu))
            }
            Self::Adopt { slot, listener } => format!("adopt slot={slot} listener={listener}"),
            Self::Release { slot, listener } => {
                format!("release slot={slot} listener={listener}")
            }
            Self::StderrPassed => "stderr_passed".to_owned(),
            Self::StderrReleased => "stderr_released".to_owned(),
            Self::Stopping => "stopping".to_owned(),
            Self::Drain { budget } => format!("drain budget_ms={}", budget.as_millis()),
        }
        .into_bytes()
    }

    /// Decodes a frame. `None` if it is unknown, for example from a later version.
    pub(crate) fn decode(frame: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(frame);
        let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
        Some(match verb {
            "welcome" => Self::Welcome(Welcome::decode(rest)?),
            "serve" => Self::Serve {
                slot: value(rest, "slot").and_then(|slot| slot.parse().ok()),
                cpu: value(rest, "cpu").and_then(|cpu| cpu.parse().ok()),
            },
            "adopt" => Self::Adopt {
                slot: value(rest, "slot")?.parse().ok()?,
                listener: value(rest, "listener")?.parse().ok()?,
            },
            "release" => Self::Release {
                slot: value(rest, "slot")?.parse().ok()?,
                listener: value(rest, "listener")?.parse().ok()?,
            },
            "stderr_passed" => Self::StderrPassed,
            "stderr_released" => Self::StderrReleased,
            "stopping" => Self::Stopping,
            "drain" => Self::Drain {
                budget: milliseconds(rest, "budget_ms")?,
            },
            _ => return None,
        })
    }
}

fn value<'a>(pairs: &'a str, key: &str) -> Option<&'a str> {
    pairs
        .split(' ')
        .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

fn milliseconds(pairs: &str, key: &str) -> Option<Duration> {
    Some(Duration::from_millis(value(pairs, key)?.parse().ok()?))
}

fn names(list: &str) -> Vec<String> {
    list.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An old master starts new programs: these bytes do not change within protocol 1.
    #[test]
    fn the_bytes_of_the_frames_of_a_worker_are_pinned() {
        assert_eq!(crate::channel::PROTOCOL, 1);
        let hello = FromChild::Hello {
            protocol: 1,
            announces_ready: true,
            listeners: vec!["http".to_owned(), "admin".to_owned()],
            options: vec!["workers:0000abcd".to_owned(), "listen:1".to_owned()],
            has_gate: true,
            can_adopt: true,
        };
        let ended = FromChild::Ended;
        let from_child: [(FromChild, &str); 13] = [
            (
                hello,
                "hello protocol=1 ready=announced listeners=http,admin \
                 options=workers:0000abcd,listen:1 gate=waits adopt=yes",
            ),
            (
                FromChild::Hello {
                    protocol: 1,
                    announces_ready: false,
                    listeners: Vec::new(),
                    options: Vec::new(),
                    has_gate: false,
                    can_adopt: false,
                },
                "hello protocol=1 ready=unseen listeners=",
            ),
            (FromChild::Ready, "ready"),
            (FromChild::Unready, "unready"),
            (
                FromChild::AdoptionFailed { is_short: false },
                "adoption_failed",
            ),
            (
                FromChild::AdoptionFailed { is_short: true },
                "adoption_failed cause=shortage",
            ),
            (FromChild::Closed, "closed"),
            (FromChild::Panic("a b".to_owned()), "panic a b"),
            (ended(MainEnd::Returned), "ended how=returned"),
            (
                ended(MainEnd::Failed("no how=x".to_owned())),
                "ended how=error no how=x",
            ),
            (
                ended(MainEnd::Panicked("at a b".to_owned())),
                "ended how=panic at a b",
            ),
            (
                ended(MainEnd::Unable("no".to_owned())),
                "ended how=unable no",
            ),
            (FromChild::Unpinned { errno: 22 }, "unpinned errno=22"),
        ];
        for (message, bytes) in from_child {
            assert_eq!(message.encode(), bytes.as_bytes());
            assert_eq!(FromChild::decode(bytes.as_bytes()), Some(message));
        }
        for (stage, bytes) in [
            (
                ShortageStage::Begins {
                    errno: 24,
                    limit: 1024,
                },
                "shortage listener=http errno=24 limit=1024",
            ),
            (
                ShortageStage::IsOver {
                    lasted: Duration::from_millis(1500),
                },
                "shortage_over listener=http lasted_ms=1500",
            ),
        ] {
            let message = FromChild::Shortage(Shortage {
                listener: "http".to_owned(),
                stage,
            });
            assert_eq!(message.encode(), bytes.as_bytes());
            assert_eq!(FromChild::decode(bytes.as_bytes()), Some(message));
        }
    }

    #[test]
    fn the_bytes_of_the_frames_of_a_master_are_pinned() {
        let budget = Duration::from_millis(1500);
        let welcome = |threads, is_gated| {
            let threads = NonZeroUsize::new(threads).expect("not zero");
            let default = Welcome::new(budget);
            FromMaster::Welcome(Welcome {
                threads,
                is_gated,
                ..default
            })
        };
        let standby = FromMaster::Welcome(Welcome {
            is_gated: true,
            is_standby: true,
            keepalive_grace: Duration::ZERO,
            ..Welcome::new(budget)
        });
        let serve = |slot, cpu| FromMaster::Serve { slot, cpu };
        let from_master: [(FromMaster, &str); 14] = [
            (welcome(1, false), "welcome grace_ms=1500"),
            (welcome(4, false), "welcome grace_ms=1500 threads=4"),
            (welcome(1, true), "welcome grace_ms=1500 gate=closed"),
            (
                welcome(4, true),
                "welcome grace_ms=1500 threads=4 gate=closed",
            ),
            (
                standby,
                "welcome grace_ms=1500 gate=closed standby=yes keepalive_ms=0",
            ),
            (serve(None, None), "serve"),
            (serve(Some(2), None), "serve slot=2"),
            (serve(Some(2), Some(5)), "serve slot=2 cpu=5"),
            (
                FromMaster::Adopt {
                    slot: 3,
                    listener: 1,
                },
                "adopt slot=3 listener=1",
            ),
            (
                FromMaster::Release {
                    slot: 3,
                    listener: 1,
                },
                "release slot=3 listener=1",
            ),
            (FromMaster::StderrPassed, "stderr_passed"),
            (FromMaster::StderrReleased, "stderr_released"),
            (FromMaster::Stopping, "stopping"),
            (FromMaster::Drain { budget }, "drain budget_ms=1500"),
        ];
        for (message, bytes) in from_master {
            assert_eq!(message.encode(), bytes.as_bytes());
            assert_eq!(FromMaster::decode(bytes.as_bytes()), Some(message));
        }
    }

    #[test]
    fn unknown_frames_and_keys_of_a_later_version_are_skipped() {
        assert_eq!(FromChild::decode(b"heartbeat every_ms=5"), None);
        assert_eq!(FromMaster::decode(b""), None);
        // The form in which an earlier version sent it.
        let budget = Duration::from_millis(1500);
        let drain = FromMaster::decode(b"drain budget_ms=1500 queue=serve");
        assert_eq!(drain, Some(FromMaster::Drain { budget }));
        // An unknown gate does not hold back a worker: nothing may open it.
        let welcome = FromMaster::decode(b"welcome grace_ms=1500 gate=ajar color=red");
        assert!(matches!(
            welcome,
            Some(FromMaster::Welcome(Welcome {
                is_gated: false,
                ..
            }))
        ));
        let serve = FromMaster::decode(b"serve color=red");
        let (slot, cpu) = (None, None);
        assert_eq!(serve, Some(FromMaster::Serve { slot, cpu }));
        let hello = FromChild::decode(b"hello protocol=2 color=red ready=unseen");
        assert!(matches!(hello, Some(FromChild::Hello { protocol: 2, .. })));
        let ended = FromChild::decode(b"ended how=evicted by the host");
        assert_eq!(ended, Some(FromChild::Ended(MainEnd::Returned)));
    }

    #[test]
    fn garbage_is_no_message() {
        for garbage in [
            &b"\xff\xfe"[..],
            b"hello",
            b"ended",
            b"ended early",
            b"drain",
            b"drain budget_ms=-1",
            b"adopt slot=1",
            b"release",
        ] {
            assert_eq!(FromChild::decode(garbage), None);
            assert_eq!(FromMaster::decode(garbage), None);
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        for message in [
            FromChild::Panic("ä".repeat(2000)),
            FromChild::Ended(MainEnd::Failed("ä".repeat(2000))),
        ] {
            let encoded = message.encode();
            assert!(encoded.len() <= "ended how=error ".len() + MAX_TEXT);
            assert!(String::from_utf8(encoded).is_ok());
        }
    }
}
