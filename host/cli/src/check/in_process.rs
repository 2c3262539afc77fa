//! `--in-process`: one case after the other in this process, for debuggers and sanitizers. A crash ends it all.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use loophost::testing::HostHarness;

use super::{Each, Runner, child, job::Job, result::Ended, target::Target, under_test::UnderTest};
use crate::{args::OfferOptions, settings::Settings};

pub(super) struct InProcess<'a> {
    target: &'a Target,
    settings: &'a Settings,
    options: &'a OfferOptions,
    harness: HostHarness,
}

impl<'a> InProcess<'a> {
    pub(super) fn new(
        target: &'a Target,
        settings: &'a Settings,
        options: &'a OfferOptions,
        timeout: Duration,
    ) -> Self {
        Self { target, settings, options, harness: HostHarness::with_patience(timeout) }
    }
}

impl Runner for InProcess<'_> {
    fn run(&mut self, jobs: &[Job], each: &mut Each<'_>) -> Result<(), Box<dyn Error>> {
        let path = self.target.path.as_deref();
        let under_test = UnderTest::new(&self.harness, path, &self.settings.trust, self.options);
        jobs.iter().try_for_each(|job| {
            let start = Instant::now();
            let ended = child::run_timed(&under_test, job);
            each(job, Ended { duration: start.elapsed(), ..ended })
        })
    }
}
