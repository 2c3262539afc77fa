//! Which cases are run on which offers, and in which order.

use std::error::Error;

use glob::Pattern;
use loophost_testkit::{Case, LOADS, MADE, cases};

use super::{job::Job, target::Target};

/// The cases that `--only` names.
#[derive(Debug)]
pub(super) struct Selection(Vec<Pattern>);

impl Selection {
    /// # Errors
    /// One of them is no pattern.
    pub(super) fn new(only: &[String]) -> Result<Self, Box<dyn Error>> {
        let pattern = |text: &String| Pattern::new(text).map_err(|error| format!("--only {text}: {error}"));
        Ok(Self(only.iter().map(pattern).collect::<Result<_, _>>()?))
    }

    pub(super) fn has(&self, case: &Case) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(case.name()))
    }
}

/// All jobs of a check.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    selection: &'a Selection,
    /// Loading, and then making each offer: run even if they are not selected.
    gates: [Vec<Job>; 2],
    others: Vec<Job>,
}

impl<'a> Plan<'a> {
    /// # Errors
    /// No case is selected.
    pub(super) fn new(target: &Target, selection: &'a Selection) -> Result<Self, Box<dyn Error>> {
        let mut plan = Self { selection, gates: [Vec::new(), Vec::new()], others: Vec::new() };
        for job in jobs(target) {
            match job.case.name() {
                LOADS => plan.gates[0].push(job),
                MADE => plan.gates[1].push(job),
                _ if selection.has(job.case) => plan.others.push(job),
                _ => {}
            }
        }
        if plan.count() == 0 {
            return Err("--only: no case has such a name; --list shows them".into());
        }
        Ok(plan)
    }

    /// How many cases were asked for.
    pub(super) fn count(&self) -> usize {
        self.gates.iter().flatten().filter(|job| self.selects(job)).count() + self.others.len()
    }

    pub(super) fn selects(&self, job: &Job) -> bool {
        self.selection.has(job.case)
    }

    pub(super) fn gates(&self) -> &[Vec<Job>] {
        &self.gates
    }

    pub(super) fn others(&self) -> &[Job] {
        &self.others
    }
}

/// Each case on each offer that it suits.
fn jobs(target: &Target) -> impl Iterator<Item = Job> {
    let of_plugin = cases().filter(|case| case.is_about_plugins()).map(|case| Job { case, offer: None });
    let of_offers = target.offers.iter().flat_map(|offer| {
        let suiting = cases().filter(|case| case.is_about(offer.kind));
        suiting.map(|case| Job { case, offer: Some(offer.clone()) })
    });
    of_plugin.chain(of_offers)
}
