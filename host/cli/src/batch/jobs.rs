//! `-j`: how many jobs run at a time.

use std::{num::NonZeroUsize, str::FromStr, thread};

/// A number of jobs, or a share of the processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// That many.
    Count(NonZeroUsize),
    /// That many percent of the processors that loophost may use, one job at least.
    Percent(NonZeroUsize),
}

impl Jobs {
    /// How many that is here.
    pub(super) fn count(self) -> usize {
        match self {
            Self::Count(count) => count.get(),
            Self::Percent(percent) => {
                let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
                (processors.saturating_mul(percent.get()) / 100).max(1)
            }
        }
    }
}

impl FromStr for Jobs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, make): (_, fn(NonZeroUsize) -> Self) = match text.strip_suffix('%') {
            Some(percent) => (percent, Self::Percent),
            None => (text, Self::Count),
        };
        number.parse().map(make).map_err(|_| {
            "it must be a number from 1, or a percentage of the processors such as 50%".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_percentages_are_understood() {
        assert_eq!("8".parse::<Jobs>().unwrap().count(), 8);
        let processors = thread::available_parallelism().unwrap().get();
        assert_eq!("200%".parse::<Jobs>().unwrap().count(), 2 * processors);
        assert_eq!("1%".parse::<Jobs>().unwrap().count(), processors.div_ceil(100).max(1));
        for wrong in ["", "0", "0%", "%", "-1", "many", "1.5"] {
            assert!(wrong.parse::<Jobs>().is_err(), "{wrong}");
        }
    }
}
