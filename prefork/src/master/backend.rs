//! What a program has installed for everybody's lines: `tracing` or `log`, where our features of these names are on.
//!
//! The only file that knows either. Both are called on the master's thread, which waits for them: how long a line takes
//! there is what the program has chosen.

use super::LogLine;

/// Somebody who takes lines. With neither feature there is nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    #[cfg(feature = "tracing")]
    Tracing,
    #[cfg(feature = "log")]
    Log,
}

impl Backend {
    /// The one that hears this thread. `tracing` before `log`, which programs that use it have for the lines of others
    /// (and often hand on to it, so that both would tell everything twice).
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

    /// For the line that says that it panicked.
    pub(super) fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "tracing")]
            Self::Tracing => "the tracing subscriber",
            #[cfg(feature = "log")]
            Self::Log => "the logger of the crate log",
        }
    }

    #[cfg_attr(
        not(any(feature = "tracing", feature = "log")),
        expect(unused_variables, reason = "there is nobody to give it to")
    )]
    pub(super) fn take(self, line: &LogLine<'_>) {
        match self {
            #[cfg(feature = "tracing")]
            Self::Tracing => tracing::take(line),
            #[cfg(feature = "log")]
            Self::Log => log::take(line),
        }
    }
}

/// What both are told, under these names.
#[cfg(any(feature = "tracing", feature = "log"))]
mod fields {
    use super::LogLine;

    pub(super) const TARGET: &str = "prefork";

    pub(super) fn status(line: &LogLine<'_>) -> Option<i32> {
        line.status().and_then(|status| status.code())
    }

    pub(super) fn age_ms(line: &LogLine<'_>) -> Option<u64> {
        let age = line.age()?;
        Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(feature = "tracing")]
mod tracing {
    use ::tracing::dispatcher::get_default;
    use ::tracing::subscriber::NoSubscriber;
    use ::tracing::{Level as Grade, event};

    use super::super::{Level, LogLine};
    use super::fields::{TARGET, age_ms, status};

    /// For this thread: one that was set for another thread alone hears nothing of ours.
    pub(super) fn is_installed() -> bool {
        get_default(|dispatch| !dispatch.is::<NoSubscriber>())
    }

    pub(super) fn take(line: &LogLine<'_>) {
        // A level belongs to the place of an event, which is static: one place for each.
        macro_rules! tell {
            ($level:expr) => {
                event!(
                    target: TARGET,
                    $level,
                    slot = line.slot(),
                    pid = line.pid(),
                    status = status(line),
                    signal = line.signal_name().as_deref(),
                    age_ms = age_ms(line),
                    sender = line.sender(),
                    reason = line.reason(),
                    "{line}"
                )
            };
        }
        match line.level() {
            Level::Info => tell!(Grade::INFO),
            Level::Warn => tell!(Grade::WARN),
            Level::Error => tell!(Grade::ERROR),
        }
    }
}

#[cfg(feature = "log")]
mod log {
    use ::log::kv::Value;
    use ::log::{Level as Grade, LevelFilter, Record};

    use super::super::{Level, LogLine};
    use super::fields::{TARGET, age_ms, status};

    /// Whoever installs a logger says up to which level, or hears nothing of anybody.
    pub(super) fn is_installed() -> bool {
        ::log::max_level() != LevelFilter::Off
    }

    pub(super) fn take(line: &LogLine<'_>) {
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
            ("status", status(line).map(Value::from)),
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

    use super::super::{Level, Log};
    use super::*;
    use crate::sys::exit_status::ExitStatus;

    /// Keeps events as `LEVEL target name=value …`, or breaks.
    #[derive(Clone, Default)]
    struct Keeper {
        kept: Arc<Mutex<Vec<String>>>,
        is_broken: bool,
    }

    impl Subscriber for Keeper {
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
            let mut text = Text(format!("{} {}", metadata.level(), metadata.target()));
            event.record(&mut text);
            self.kept.lock().expect("nobody panics").push(text.0);
        }
    }

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }

    #[test]
    fn a_subscriber_is_told_the_facts_as_fields() {
        let keeper = Keeper::default();
        let status = ExitStatus::Signal {
            number: 9,
            core_dumped: false,
        };
        let age = Duration::from_millis(5510);
        let line = LogLine::of_end(Level::Error, (2, 12), status, age, "");
        with_default(keeper.clone(), || {
            let mut log = Log::default();
            log.line(&line);
            log.info("hello");
        });
        let kept = keeper.kept.lock().expect("nobody panics");
        let expected = [
            "ERROR prefork message=worker 2 (pid 12) was killed by SIGKILL at the age of 5.5 s slot=2 pid=12 \
             signal=\"SIGKILL\" age_ms=5510",
            "INFO prefork message=hello",
        ];
        assert_eq!(*kept, expected);
    }

    #[test]
    fn the_logger_of_the_program_comes_before_it() {
        let keeper = Keeper::default();
        with_default(keeper.clone(), || {
            let mut log = Log::new(Some(Box::new(|_| {})));
            log.info("for the logger");
        });
        assert!(keeper.kept.lock().expect("nobody panics").is_empty());
    }

    #[test]
    fn one_that_panics_is_not_asked_again() {
        let keeper = Keeper {
            is_broken: true,
            ..Keeper::default()
        };
        with_default(keeper, || {
            let mut log = Log::default();
            log.info("a line that goes to stderr");
            log.info("another one");
        });
    }

    #[test]
    fn nobody_installed_is_nobody_asked() {
        assert_ne!(Backend::installed(), Some(Backend::Tracing));
    }
}
