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
    },
    /// The child serves, for the first time or again.
    Ready,
    /// The child took back its readiness: it accepts no connections until `Ready`.
    Unready,
    /// The child accepts no more connections.
    Closed,
    /// The message and location of a panic.
    Panic(String),
    /// The `main` of the child has ended; its process may still run.
    Ended(MainEnd),
    /// The beginning or the end of a shortage of descriptors or memory in accept.
    Shortage(Shortage),
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
    Welcome {
        /// The time in which the child may drain if its master dies.
        grace: Duration,
        /// The number of threads of the async runtime. The frame omits it if it is 1.
        threads: NonZeroUsize,
        /// Whether the child accepts no connection before `Serve`. The frame omits it if not.
        is_gated: bool,
    },
    /// Opens the gate of a successor: from now on it accepts connections.
    Serve,
    /// A stop was requested. The child serves on until `Drain`.
    Stopping,
    /// Asks the child to finish its work within the budget.
    Drain {
        /// The time until the child is killed.
        budget: Duration,
    },
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
                format!("hello protocol={protocol} ready={ready} listeners={listeners}{options}")
            }
            Self::Ready => "ready".to_owned(),
            Self::Unready => "unready".to_owned(),
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
            },
            "ready" => Self::Ready,
            "unready" => Self::Unready,
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
            _ => return None,
        })
    }
}

impl FromMaster {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome {
                grace,
                threads,
                is_gated,
            } => {
                let threads = match threads.get() {
                    1 => String::new(),
                    more => format!(" threads={more}"),
                };
                let gate = if *is_gated { " gate=closed" } else { "" };
                format!("welcome grace_ms={}{threads}{gate}", grace.as_millis())
            }
            Self::Serve => "serve".to_owned(),
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
            "welcome" => Self::Welcome {
                grace: milliseconds(rest, "grace_ms")?,
                threads: match value(rest, "threads") {
                    Some(number) => number.parse().ok()?,
                    None => NonZeroUsize::MIN,
                },
                is_gated: value(rest, "gate") == Some("closed"),
            },
            "serve" => Self::Serve,
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

    /// An old master starts new programs: these bytes do not change within a protocol.
    #[test]
    fn the_bytes_of_protocol_1_are_pinned() {
        assert_eq!(crate::channel::PROTOCOL, 1);
        let hello = FromChild::Hello {
            protocol: 1,
            announces_ready: true,
            listeners: vec!["http".to_owned(), "admin".to_owned()],
            options: vec!["workers:0000abcd".to_owned(), "listen:1".to_owned()],
        };
        let ended = FromChild::Ended;
        let from_child: [(FromChild, &str); 10] = [
            (
                hello,
                "hello protocol=1 ready=announced listeners=http,admin \
                 options=workers:0000abcd,listen:1",
            ),
            (
                FromChild::Hello {
                    protocol: 1,
                    announces_ready: false,
                    listeners: Vec::new(),
                    options: Vec::new(),
                },
                "hello protocol=1 ready=unseen listeners=",
            ),
            (FromChild::Ready, "ready"),
            (FromChild::Unready, "unready"),
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
        let budget = Duration::from_millis(1500);
        let welcome = |threads, is_gated| FromMaster::Welcome {
            grace: budget,
            threads: NonZeroUsize::new(threads).expect("not zero"),
            is_gated,
        };
        let from_master: [(FromMaster, &str); 7] = [
            (welcome(1, false), "welcome grace_ms=1500"),
            (welcome(4, false), "welcome grace_ms=1500 threads=4"),
            (welcome(1, true), "welcome grace_ms=1500 gate=closed"),
            (
                welcome(4, true),
                "welcome grace_ms=1500 threads=4 gate=closed",
            ),
            (FromMaster::Serve, "serve"),
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
            Some(FromMaster::Welcome {
                is_gated: false,
                ..
            })
        ));
        assert_eq!(FromMaster::decode(b"serve slot=1"), Some(FromMaster::Serve));
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
