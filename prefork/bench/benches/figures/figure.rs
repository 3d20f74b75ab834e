//! A row of the table: a figure, its baseline and its goal.

use std::time::Duration;

use crate::machine;
use crate::samples::{Compared, median};

/// One figure.
pub(crate) struct Row {
    pub(crate) what: String,
    baseline: String,
    prefork: String,
    ratio: String,
    goal: String,
    verdict: Verdict,
}

enum Verdict {
    Reached,
    Missed,
    /// An absolute time, which depends on the machine as much as on prefork.
    Reported,
    Skipped,
}

impl Row {
    /// A row that compares times or rates with those of the baseline.
    ///
    /// `goal` is the largest allowed ratio for times, and the smallest for rates.
    pub(crate) fn ratio(what: &str, compared: &Compared, unit: Unit, goal: Goal) -> Self {
        let (ratio, spread) = (compared.ratio(), compared.spread());
        let is_reached = match goal {
            Goal::AtMost(most) => ratio <= most * (1.0 + spread),
            Goal::AtLeast(least) => ratio >= least / (1.0 + spread),
        };
        Self {
            what: what.to_owned(),
            baseline: unit.show(compared.baseline()),
            prefork: unit.show(compared.prefork()),
            ratio: format!("{ratio:.2} ± {spread:.2}"),
            goal: goal.to_string(),
            verdict: if is_reached {
                Verdict::Reached
            } else {
                Verdict::Missed
            },
        }
    }

    /// A row with a count or a size that must not exceed `most`.
    pub(crate) fn count(what: &str, count: f64, unit: Unit, most: f64) -> Self {
        Self {
            verdict: if count <= most {
                Verdict::Reached
            } else {
                Verdict::Missed
            },
            ..Self::without_baseline(what, unit.show(count), format!("≤ {}", unit.show(most)))
        }
    }

    /// A row with two counts that must be equal.
    pub(crate) fn equal(what: &str, baseline: f64, prefork: f64) -> Self {
        let unit = Unit::Fraction;
        let is_equal = (prefork - baseline).abs() < 0.05;
        Self {
            baseline: unit.show(baseline),
            verdict: if is_equal {
                Verdict::Reached
            } else {
                Verdict::Missed
            },
            ..Self::without_baseline(what, unit.show(prefork), "equal".to_owned())
        }
    }

    /// A row with times that have no baseline. The goal is printed and not checked.
    pub(crate) fn time(what: &str, samples: &[f64], unit: Unit, goal: &str) -> Self {
        Self::without_baseline(what, unit.show(median(samples)), goal.to_owned())
    }

    /// A row for a figure that this machine cannot measure.
    pub(crate) fn skipped(what: &str, needs: &str) -> Self {
        Self {
            verdict: Verdict::Skipped,
            ..Self::without_baseline(what, format!("skipped: needs {needs}"), String::new())
        }
    }

    fn without_baseline(what: &str, prefork: String, goal: String) -> Self {
        Self {
            what: what.to_owned(),
            baseline: String::new(),
            prefork,
            ratio: String::new(),
            goal,
            verdict: Verdict::Reported,
        }
    }

    pub(crate) fn is_missed(&self) -> bool {
        matches!(self.verdict, Verdict::Missed)
    }
}

/// The limit for a ratio.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most:.2}"),
            Self::AtLeast(least) => write!(f, "≥ {least:.2}"),
        }
    }
}

/// The unit that a number is printed in.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Milliseconds,
    Microseconds,
    Seconds,
    PerSecond,
    Kibibytes,
    Number,
    Fraction,
}

impl Unit {
    /// Formats a value. Times are in seconds.
    fn show(self, value: f64) -> String {
        match self {
            Self::Milliseconds => format!("{:.2} ms", value * 1e3),
            Self::Microseconds => format!("{:.2} µs", value * 1e6),
            Self::Seconds => format!("{value:.1} s"),
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Kibibytes if value < 10.0 => format!("{value:.1} KiB"),
            Self::Kibibytes => format!("{value:.0} KiB"),
            Self::Number => format!("{value:.0}"),
            Self::Fraction => format!("{value:.2}"),
        }
    }
}

/// Converts a duration to a sample in seconds.
pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Prints the rows as a Markdown table for the README.
pub(crate) fn print_table(rows: &[Row]) {
    println!("{}\n", machine::describe());
    println!("| figure | baseline | prefork | ratio ± spread | goal | |");
    println!("|---|--:|--:|--:|--:|---|");
    for row in rows {
        let Row {
            what,
            baseline,
            prefork,
            ratio,
            goal,
            verdict,
        } = row;
        let verdict = match verdict {
            Verdict::Reached => "reached",
            Verdict::Missed => "**missed**",
            Verdict::Reported => "reported",
            Verdict::Skipped => "skipped",
        };
        println!("| {what} | {baseline} | {prefork} | {ratio} | {goal} | {verdict} |");
    }
}
