//! The global logging backend of the program: a `tracing` subscriber or a logger of the `log`
//! crate, each behind the feature of its name.
//!
//! The only file that knows either crate. Both are called on the master's thread, which waits for
//! them: the backend decides how long a line takes.
//!
//! Feature `log` could also be the feature of the same name of `tracing`. That was tried and
//! rejected, because a logger would lose what it gets here:
//!
//! - It gets no key-value pairs. `tracing` appends the fields to the text, as in
//!   `… was killed by SIGKILL after 5s slot=0 pid=12 signal="SIGKILL"`.
//! - It gets no lines any more as soon as a subscriber was set on any thread of the process. With
//!   `log-always` it gets the lines of a subscriber a second time.
//! - The feature applies to the whole program: the events of all other crates become records too.

use super::LogLine;

/// A backend that accepts log lines. Without both features there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    #[cfg(feature = "tracing")]
    Tracing,
    #[cfg(feature = "log")]
    Log,
}

impl Backend {
    /// The backend that is active on this thread. `tracing` comes first: programs that use it
    /// install a logger for `log` only for other crates. Such a logger often forwards to `tracing`,
    /// which would then log each line twice.
    pub(super) fn installed() -> Option<Self> {
        #[cfg(feature = "tracing")]
        if tracing::is_installed() {
            return Some(Self::Tracing);
        }
        #[cfg(feature = "log")]
        if log::is_installed() {
            return Some(Self::Log);
        }
        None
    }

    /// The name in the line that reports its panic.
    pub(super) fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "tracing")]
            Self::Tracing => "the tracing subscriber",
            #[cfg(feature = "log")]
            Self::Log => "the logger of the log crate",
        }
    }

    #[cfg_attr(
        not(any(feature = "tracing", feature = "log")),
        expect(unused_variables, reason = "no backend without a feature")
    )]
    pub(super) fn emit(self, line: &LogLine) {
        match self {
            #[cfg(feature = "tracing")]
            Self::Tracing => tracing::emit(line),
            #[cfg(feature = "log")]
            Self::Log => log::emit(line),
        }
    }
}

#[cfg(any(feature = "tracing", feature = "log"))]
const TARGET: &str = "prefork";

#[cfg(any(feature = "tracing", feature = "log"))]
fn age_ms(line: &LogLine) -> Option<u64> {
    let age = line.age()?;
    Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(feature = "tracing")]
mod tracing {
    use ::tracing::dispatcher::get_default;
    use ::tracing::subscriber::NoSubscriber;
    use ::tracing::{Level as Grade, event};

    use super::super::{Level, LogLine};
    use super::{TARGET, age_ms};

    /// Whether a subscriber is set for this thread.
    ///
    /// One that is set for another thread only does not get the lines of the master.
    pub(super) fn is_installed() -> bool {
        get_default(|dispatch| !dispatch.is::<NoSubscriber>())
    }

    pub(super) fn emit(line: &LogLine) {
        // The level is part of the static metadata of an event, so each level needs its own event.
        macro_rules! emit {
            ($level:expr) => {
                event!(
                    target: TARGET,
                    $level,
                    slot = line.slot(),
                    pid = line.pid(),
                    status = line.exit_status(),
                    signal = line.signal_name().as_deref(),
                    age_ms = age_ms(line),
                    sender = line.sender(),
                    reason = line.reason(),
                    "{line}"
                )
            };
        }
        match line.level() {
            Level::Info => emit!(Grade::INFO),
            Level::Warn => emit!(Grade::WARN),
            Level::Error => emit!(Grade::ERROR),
        }
    }
}

#[cfg(feature = "log")]
mod log {
    use ::log::kv::Value;
    use ::log::{Level as Grade, LevelFilter, Record};

    use super::super::{Level, LogLine};
    use super::{TARGET, age_ms};

    /// A program that installs a logger also sets the maximum level.
    ///
    /// The default is off.
    pub(super) fn is_installed() -> bool {
        ::log::max_level() != LevelFilter::Off
    }

    pub(super) fn emit(line: &LogLine) {
        let level = match line.level() {
            Level::Info => Grade::Info,
            Level::Warn => Grade::Warn,
            Level::Error => Grade::Error,
        };
        if level > ::log::max_level() {
            return;
        }
        let signal = line.signal_name();
        let fields = [
            ("slot", line.slot().map(Value::from)),
            ("pid", line.pid().map(Value::from)),
            ("status", line.exit_status().map(Value::from)),
            ("signal", signal.as_deref().map(Value::from)),
            ("age_ms", age_ms(line).map(Value::from)),
            ("sender", line.sender().map(Value::from)),
            ("reason", line.reason().map(Value::from)),
        ];
        let known = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let known: Vec<(&str, Value<'_>)> = known.collect();
        let mut record = Record::builder();
        record.level(level).target(TARGET).key_values(&known);
        ::log::logger().log(&record.args(format_args!("{line}")).build());
    }
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use std::fmt::{Debug, Write as _};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use ::tracing::field::{Field, Visit};
    use ::tracing::span::{Attributes, Id, Record};
    use ::tracing::subscriber::with_default;
    use ::tracing::{Event, Metadata, Subscriber};

    use super::super::Log;
    use super::super::notice::{EndedBy, Notice, WorkerExit, WorkerProcess, WorkerRole};
    use super::*;
    use crate::sys::exit_status::ExitStatus;

    /// Records events as `LEVEL target name=value …`, or panics.
    #[derive(Clone, Default)]
    struct Capture {
        kept: Arc<Mutex<Vec<String>>>,
        is_broken: bool,
    }

    impl Subscriber for Capture {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            assert!(!self.is_broken, "out of ink");
            let metadata = event.metadata();
            let mut text = FieldText(format!("{} {}", metadata.level(), metadata.target()));
            event.record(&mut text);
            self.kept.lock().expect("no holder panics").push(text.0);
        }
    }

    struct FieldText(String);

    impl Visit for FieldText {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }

    #[test]
    fn a_subscriber_gets_the_values_as_fields() {
        let capture = Capture::default();
        let exit = WorkerExit {
            worker: WorkerProcess {
                slot: 2,
                pid: 12,
                role: WorkerRole::Worker,
            },
            status: ExitStatus::Signal {
                number: 6,
                core_dumped: false,
            },
            age: Duration::from_millis(5510),
            ended_by: EndedBy::Nothing,
            reason: None,
        };
        with_default(capture.clone(), || {
            let mut log = Log::default();
            log.notice(&Notice::WorkerExited {
                exit: &exit,
                repeated: None,
            });
            log.notice(&Notice::StartWarning("hello"));
        });
        let kept = capture.kept.lock().expect("no holder panics");
        let expected = [
            "ERROR prefork message=worker 2 (pid 12) was killed by SIGABRT after 5.5s slot=2 pid=12 \
             signal=\"SIGABRT\" age_ms=5510",
            "WARN prefork message=hello",
        ];
        assert_eq!(*kept, expected);
    }

    #[test]
    fn a_logger_takes_precedence_over_the_subscriber() {
        let capture = Capture::default();
        with_default(capture.clone(), || {
            let mut log = Log::new(Some(Box::new(|_| {})));
            log.notice(&Notice::StartWarning("for the logger"));
        });
        assert!(capture.kept.lock().expect("no holder panics").is_empty());
    }

    #[test]
    fn a_subscriber_that_panics_is_not_called_again() {
        let capture = Capture {
            is_broken: true,
            ..Capture::default()
        };
        with_default(capture, || {
            let mut log = Log::default();
            log.notice(&Notice::StartWarning("a line for stderr"));
            log.notice(&Notice::StartWarning("another one"));
        });
    }

    #[test]
    fn without_a_subscriber_none_is_called() {
        assert_ne!(Backend::installed(), Some(Backend::Tracing));
    }
}
