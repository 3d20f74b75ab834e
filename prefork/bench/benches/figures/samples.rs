//! Samples and their statistics.

/// The median.
pub(crate) fn median(samples: &[f64]) -> f64 {
    assert!(!samples.is_empty(), "a median needs samples");
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        return sorted[middle];
    }
    f64::midpoint(sorted[middle - 1], sorted[middle])
}

/// The 99th percentile.
pub(crate) fn percentile_99(samples: &[f64]) -> f64 {
    assert!(!samples.is_empty(), "a percentile needs samples");
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * 99).div_ceil(100) - 1]
}

/// Samples of prefork and of the baseline. The baseline has two independent sets of samples.
#[derive(Default)]
pub(crate) struct Compared {
    baseline: Vec<f64>,
    again: Vec<f64>,
    prefork: Vec<f64>,
}

impl Compared {
    /// Measures all three in turn and rotates their order from round to round.
    ///
    /// The first round warms up and is not counted. One measurement may return several figures.
    pub(crate) fn in_turn<const N: usize>(
        rounds: usize,
        mut baseline: impl FnMut() -> [f64; N],
        mut again: impl FnMut() -> [f64; N],
        mut prefork: impl FnMut() -> [f64; N],
    ) -> [Self; N] {
        let mut compared = [(); N].map(|()| Self::default());
        for round in 0..=rounds {
            for turn in 0..3 {
                let (samples, list): (_, fn(&mut Self) -> &mut Vec<f64>) = match (round + turn) % 3
                {
                    0 => (baseline(), |compared| &mut compared.baseline),
                    1 => (again(), |compared| &mut compared.again),
                    _ => (prefork(), |compared| &mut compared.prefork),
                };
                if round > 0 {
                    for (compared, sample) in compared.iter_mut().zip(samples) {
                        list(compared).push(sample);
                    }
                }
            }
        }
        compared
    }

    pub(crate) fn baseline(&self) -> f64 {
        median(&[&self.baseline[..], &self.again].concat())
    }

    pub(crate) fn prefork(&self) -> f64 {
        median(&self.prefork)
    }

    pub(crate) fn ratio(&self) -> f64 {
        self.prefork() / self.baseline()
    }

    /// The relative difference of the baseline from itself.
    ///
    /// This is the larger of two values: the difference between the two measured sets, and the 95th
    /// percentile of the differences between random halves of all samples.
    pub(crate) fn spread(&self) -> f64 {
        const SPLITS: usize = 1000;
        let as_measured = difference(&self.baseline, &self.again);
        let mut all = [&self.baseline[..], &self.again].concat();
        let mut random = Random(1);
        let mut differences: Vec<f64> = (0..SPLITS)
            .map(|_| {
                random.shuffle(&mut all);
                let (left, right) = all.split_at(all.len() / 2);
                difference(left, right)
            })
            .collect();
        differences.sort_by(f64::total_cmp);
        as_measured.max(differences[SPLITS * 19 / 20])
    }
}

fn difference(left: &[f64], right: &[f64]) -> f64 {
    let (left, right) = (median(left), median(right));
    left.max(right) / left.min(right) - 1.0
}

/// Marsaglia's xorshift (2003). The same samples always give the same halves.
struct Random(u64);

impl Random {
    /// Shuffles the items (Fisher and Yates).
    fn shuffle(&mut self, items: &mut [f64]) {
        for last in (1..items.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let other = usize::try_from(self.0 % (last as u64 + 1)).unwrap_or(0);
            items.swap(last, other);
        }
    }
}
