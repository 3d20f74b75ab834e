//! What a load has seen: answers, failures and latencies.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

use super::failure::{FailedRequest, Failure};
use super::latencies::Latencies;

/// A request counts as late if it began so much later than it was due.
pub(super) const LATE: Duration = Duration::from_millis(10);

/// How many failures a panic and the text of a report show in full.
const SHOWN: usize = 10;

/// The results of a load, returned by [`RunningLoad::stop`](super::RunningLoad::stop).
///
/// Its `Display` is a summary of a few lines. The panics of its assertions contain it.
#[derive(Debug, Clone)]
#[must_use = "only its assertions fail a test"]
pub struct LoadReport {
    /// Describes the load.
    title: String,
    start: Instant,
    end: Option<Instant>,
    answered: u64,
    pids: BTreeMap<i32, u64>,
    latencies: Latencies,
    counts: BTreeMap<Failure, u64>,
    failures: Vec<FailedRequest>,
    max_failures: usize,
    opened: u64,
    closed_idle: u64,
    late: u64,
    max_delay: Duration,
    not_begun: u64,
    has_given_up: bool,
}

impl LoadReport {
    pub(super) fn new(title: String, start: Instant, max_failures: usize) -> Self {
        Self {
            title,
            start,
            end: None,
            answered: 0,
            pids: BTreeMap::new(),
            latencies: Latencies::default(),
            counts: BTreeMap::new(),
            failures: Vec::new(),
            max_failures,
            opened: 0,
            closed_idle: 0,
            late: 0,
            max_delay: Duration::ZERO,
            not_begun: 0,
            has_given_up: false,
        }
    }

    pub(super) fn record_answer(&mut self, pid: Option<i32>, latency: Duration) {
        self.answered += 1;
        self.latencies.record(latency);
        if let Some(pid) = pid {
            *self.pids.entry(pid).or_default() += 1;
        }
    }

    pub(super) fn record_failure(&mut self, failed: FailedRequest) {
        *self.counts.entry(failed.failure).or_default() += 1;
        if self.failures.len() < self.max_failures {
            self.failures.push(failed);
        }
    }

    pub(super) fn record_connection(&mut self) {
        self.opened += 1;
    }

    pub(super) fn record_idle_close(&mut self) {
        self.closed_idle += 1;
    }

    pub(super) fn record_delay(&mut self, delay: Duration) {
        if delay > LATE {
            self.late += 1;
            self.max_delay = self.max_delay.max(delay);
        }
    }

    pub(super) fn give_up(&mut self) {
        self.has_given_up = true;
    }

    /// Records that all clients have ended.
    pub(super) fn record_end(&mut self) {
        self.end = Some(Instant::now());
    }

    pub(super) fn finish(&mut self, due: u64) {
        self.end.get_or_insert_with(Instant::now);
        self.failures.sort_by_key(|failed| failed.ended);
        self.not_begun = due.saturating_sub(self.answered + self.failed());
    }

    /// Returns how many requests were answered.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Returns how many requests failed.
    pub fn failed(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Returns how many requests failed in this way.
    pub fn failed_with(&self, failure: Failure) -> u64 {
        self.counts.get(&failure).copied().unwrap_or(0)
    }

    /// Returns the requests that failed, in the order in which they failed.
    ///
    /// At most as many as [`Load::max_failures`](super::Load::max_failures) sets. [`Self::failed`]
    /// counts all.
    pub fn failures(&self) -> &[FailedRequest] {
        &self.failures
    }

    /// Returns how many requests the process with this pid answered.
    pub fn answered_by(&self, pid: i32) -> u64 {
        self.pids.get(&pid).copied().unwrap_or(0)
    }

    /// Returns the pids of the processes that answered, in ascending order.
    ///
    /// An answer without a pid counts as answered and is in none of them.
    pub fn pids(&self) -> Vec<i32> {
        self.pids.keys().copied().collect()
    }

    /// Returns the latency that this percentage of the answered requests does not exceed.
    ///
    /// `latency(50.0)` is the median, `latency(99.0)` the 99th percentile. The value is at most 1 % above the exact one. It begins when
    /// the client begins to connect or, on a kept connection, to send. With a
    /// [rate](super::Load::rate), it begins when the request was due.
    ///
    /// # Panics
    /// If `percent` is not between 0 and 100, or no request was answered. The message contains the
    /// report.
    #[track_caller]
    pub fn latency(&self, percent: f64) -> Duration {
        assert!(
            (0.0..=100.0).contains(&percent),
            "{percent} is not a percentage from 0 to 100\n{self}"
        );
        assert!(self.answered > 0, "no request was answered\n{self}");
        self.latencies.percentile(percent)
    }

    /// Returns the largest latency of an answered request.
    ///
    /// # Panics
    /// If no request was answered. The message contains the report.
    #[track_caller]
    pub fn max_latency(&self) -> Duration {
        assert!(self.answered > 0, "no request was answered\n{self}");
        self.latencies.max()
    }

    /// Returns how many requests began more than 10 ms after they were due.
    ///
    /// 0 without a [rate](super::Load::rate). Requests that were due and did not begin before the
    /// end of the load count, too. If there are many, the client or the server is too slow for the
    /// rate, or there are too few connections.
    pub fn late(&self) -> u64 {
        self.late + self.not_begun
    }

    /// Returns how many connections were opened.
    pub fn connections_opened(&self) -> u64 {
        self.opened
    }

    /// Returns how many kept connections the server closed between two requests.
    ///
    /// The client opens another connection for the next request. No request fails.
    pub fn connections_closed_idle(&self) -> u64 {
        self.closed_idle
    }

    /// Returns how long the load ran.
    pub fn elapsed(&self) -> Duration {
        self.end.unwrap_or_else(Instant::now) - self.start
    }

    /// Checks that requests were answered and none failed.
    ///
    /// # Panics
    /// If a request failed, or none was answered. The message contains the report.
    #[track_caller]
    pub fn assert_no_failures(&self) {
        let failed = self.failed();
        assert!(failed == 0, "{}\n{self}", plural(failed, "request failed"));
        assert!(self.answered > 0, "no request was answered\n{self}");
    }

    /// Checks that only requests failed for which the function returns true.
    ///
    /// It does not check that requests were answered: call
    /// [`RunningLoad::wait_for_answers`](super::RunningLoad::wait_for_answers) before.
    ///
    /// # Panics
    /// If another request failed, or if not all failures are in
    /// [`failures`](Self::failures). The message contains the report.
    #[track_caller]
    pub fn assert_only(&self, mut is_allowed: impl FnMut(&FailedRequest) -> bool) {
        let others: Vec<_> = self
            .failures
            .iter()
            .filter(|failed| !is_allowed(failed))
            .collect();
        if !others.is_empty() {
            let count = plural(others.len() as u64, "request failed");
            let lines = others.iter().take(SHOWN).map(ToString::to_string);
            let lines = lines.collect::<Vec<_>>().join("\n  ");
            panic!("{count} that may not fail:\n  {lines}\n{self}");
        }
        let kept = self.failures.len();
        let unknown = self.failed() - kept as u64;
        assert!(
            unknown == 0,
            "{unknown} failures cannot be checked: the report has the first {kept} only \
             (max_failures)\n{self}"
        );
    }
}

impl Display for LoadReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (answered, failed) = (self.answered, self.failed());
        let elapsed = self.elapsed().as_secs_f64();
        writeln!(f, "load       {}", self.title)?;
        write!(f, "requests   {answered} answered, {failed} failed")?;
        #[expect(clippy::cast_precision_loss, reason = "it is shown without decimals")]
        let rate = answered as f64 / elapsed.max(0.001);
        writeln!(f, " in {elapsed:.2}s ({rate:.0} answers/s)")?;
        if self.has_given_up {
            writeln!(
                f,
                "           ended early: no request was answered any more"
            )?;
        }
        if answered > 0 {
            write!(f, "latency ")?;
            for percent in [50.0, 90.0, 99.0] {
                let latency = self.latencies.percentile(percent);
                write!(f, "   p{percent} {latency:.1?}")?;
            }
            writeln!(f, "   max {:.1?}", self.latencies.max())?;
        }
        if self.late() > 0 {
            let (late, max) = (self.late, self.max_delay);
            write!(
                f,
                "late       {late} began over {LATE:?} after they were due"
            )?;
            writeln!(f, " (at most {max:.1?}), {} did not begin", self.not_begun)?;
        }
        write!(f, "opened     {}", plural(self.opened, "connection"))?;
        match self.closed_idle {
            0 => writeln!(f)?,
            count => writeln!(f, "; the server closed {count} between requests")?,
        }
        let known: u64 = self.pids.values().sum();
        for (index, (pid, count)) in self.pids.iter().take(SHOWN).enumerate() {
            let label = if index == 0 { "answers" } else { "" };
            writeln!(f, "{label:<10} {count:>7} by pid {pid}")?;
        }
        if self.pids.len() > SHOWN {
            writeln!(f, "{:<19}and by {} more pids", "", self.pids.len() - SHOWN)?;
        }
        if answered > known {
            let label = if known == 0 { "answers" } else { "" };
            writeln!(f, "{label:<10} {:>7} without a pid", answered - known)?;
        }
        for (index, (failure, count)) in self.counts.iter().enumerate() {
            let label = if index == 0 { "failures" } else { "" };
            writeln!(f, "{label:<10} {count:>7} × {failure}")?;
        }
        for (index, failed) in self.failures.iter().take(SHOWN).enumerate() {
            let label = if index == 0 { "first" } else { "" };
            writeln!(f, "{label:<10} {failed}")?;
        }
        Ok(())
    }
}

/// A number with a noun or a phrase whose first word is the noun.
fn plural(count: u64, phrase: &str) -> String {
    let (noun, rest) = phrase.split_once(' ').unwrap_or((phrase, ""));
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending} {rest}")
        .trim_end()
        .to_owned()
}
