//! How jobs are ended before they have ended by themselves.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use loophost::Error;

use super::Runner;
use crate::{
    batch::{groups, job::Job, state::Stage},
    exit_status::Outcome,
};

/// Signals that come so soon after the first one are the same wish to end: systemd sends TERM and HUP, and timeout(1) one
/// TERM to the process and one to its group.
const SAME_BREATH: Duration = Duration::from_millis(500);
/// How often the groups that ended jobs have left are looked at.
const GLANCE: Duration = Duration::from_millis(50);

impl Runner {
    pub(super) fn on_timeout(self: &Rc<Self>, seq: u64) -> Result<(), Error> {
        if let Some(job) = self.state().running.get_mut(&seq) {
            job.time_out();
        }
        let grace = self.state().plan.grace;
        self.call_later_for(seq, grace, |this, seq| {
            this.kill(seq)?;
            this.pump()
        })
    }

    /// The first signal ends the jobs, a second one kills them; not a hang-up, which whoever sends something else sends
    /// too.
    pub(super) fn on_signal(self: &Rc<Self>, signum: i32) -> Result<(), Error> {
        let mut state = self.state();
        state.end(Outcome::Exited(-signum));
        let first = *state.interrupted.get_or_insert_with(Instant::now);
        let insists = signum != libc::SIGHUP && first.elapsed() >= SAME_BREATH;
        drop(state);
        if insists {
            self.kill_jobs()?;
        } else {
            self.end_jobs()?;
        }
        self.pump()
    }

    /// Kills a job; one that has exited already, and left something behind, is over with that.
    fn kill(self: &Rc<Self>, seq: u64) -> Result<(), Error> {
        let exited = self.state().running.get_mut(&seq).and_then(|job| {
            job.kill();
            job.exited()
        });
        exited.map_or(Ok(()), |(returncode, exit)| self.finish(seq, returncode, exit))
    }

    /// Ends all jobs, once; those that are still there after a while are killed.
    pub(super) fn end_jobs(self: &Rc<Self>) -> Result<(), Error> {
        let mut state = self.state();
        if state.stage != Stage::Running {
            return Ok(());
        }
        state.stage = Stage::Ending;
        state.running.values_mut().for_each(Job::end);
        let grace = state.plan.grace;
        drop(state);
        let kill = self.once(|this, _| {
            this.kill_jobs()?;
            this.pump()
        });
        self.event_loop.call_later(grace, kill).map(drop)
    }

    pub(super) fn kill_jobs(self: &Rc<Self>) -> Result<(), Error> {
        let mut state = self.state();
        if state.stage == Stage::Killed {
            return Ok(());
        }
        state.stage = Stage::Killed;
        let all: Vec<_> = state.running.keys().copied().collect();
        drop(state);
        all.into_iter().try_for_each(|seq| self.kill(seq))
    }

    /// Finishes the jobs that have exited and whose groups are empty by now.
    pub(super) fn look_at_groups(self: &Rc<Self>) -> Result<(), Error> {
        if self.state().looks_at_groups {
            return Ok(());
        }
        let living = groups::living();
        let is_empty = |group| living.as_ref().is_some_and(|living| !living.contains(&group));
        let (mut over, mut is_left) = (Vec::new(), false);
        for (seq, job) in &self.state().running {
            match (job.group_left(), job.exited()) {
                (Some(group), Some((returncode, exit))) if is_empty(group) => {
                    over.push((*seq, returncode, exit))
                }
                (Some(_), _) => is_left = true,
                (None, _) => {}
            }
        }
        for (seq, returncode, exit) in over {
            self.finish(seq, returncode, exit)?;
        }
        if is_left {
            self.state().looks_at_groups = true;
            let again = self.once(|this, _| {
                this.state().looks_at_groups = false;
                this.look_at_groups()
            });
            self.event_loop.call_later(GLANCE, again)?;
        }
        self.pump()
    }
}
