//! The cases of whatever a plugin offers: what its constructor and its end must not do.

use crate::{
    Case, Harness, Subject, SystemState, Verdict,
    verdict::{Passed, equal, failed, skipped},
};

/// The name of the case that makes what is offered: if it does not pass, no other one of that offer can.
pub const MADE: &str = "plugin/constructor-works";

pub(crate) const CASES: &[Case] = &[
    Case::offer(
        MADE,
        "what is offered can be made with no options, a policy makes a loop, and all of it is dropped",
        constructor_works,
    ),
    Case::offer(
        "plugin/constructor-keeps-signals",
        "making it changes neither a signal's disposition nor the mask",
        constructor_keeps_signals,
    ),
    Case::offer(
        "plugin/constructor-keeps-descriptors",
        "making it closes no descriptor of others and leaves none inheritable",
        constructor_keeps_descriptors,
    ),
    Case::offer(
        "plugin/constructor-keeps-folder",
        "making it stays in the working folder and keeps the mask for new files",
        constructor_keeps_folder,
    ),
    Case::offer(
        "plugin/destroyed-leaves-nothing",
        "made and dropped a hundred times, it leaves no descriptor, thread or process",
        destroyed_leaves_nothing,
    ),
];

/// What a case of an offer gets.
pub(crate) struct OfferBench<'a> {
    harness: &'a dyn Harness,
    subject: &'a Subject<'a>,
}

impl<'a> OfferBench<'a> {
    pub(crate) fn new(harness: &'a dyn Harness, subject: &'a Subject<'a>) -> Self {
        Self { harness, subject }
    }

    /// Makes it, looks at this process, and drops it; a policy has made a loop by then, a watcher nothing.
    fn while_made(&self) -> Verdict<(SystemState, SystemState)> {
        let before = self.harness.system_state()?;
        let during = match self.subject {
            Subject::Policy(make) => {
                let made = make()?;
                let event_loop = made.new_event_loop()?;
                let during = self.harness.system_state()?;
                event_loop.close()?;
                drop(made);
                during
            }
            Subject::ChildWatcher(make) => {
                let made = make()?;
                let during = self.harness.system_state()?;
                drop(made);
                during
            }
            Subject::EventLoop(_) | Subject::Plugin(_) => return Err(skipped("nothing is offered")),
        };
        Ok((before, during))
    }

    /// Makes it and drops it, with what it makes itself.
    fn make_and_drop(&self) -> Verdict<()> {
        match self.subject {
            Subject::Policy(make) => {
                let policy = make()?;
                let event_loop = policy.new_event_loop()?;
                event_loop.close()?;
            }
            Subject::ChildWatcher(make) => make()?.close()?,
            Subject::EventLoop(_) | Subject::Plugin(_) => return Err(skipped("nothing is offered")),
        }
        Ok(())
    }
}

fn constructor_works(bench: &OfferBench<'_>) -> Verdict {
    bench.while_made()?;
    Ok(Passed)
}

fn constructor_keeps_signals(bench: &OfferBench<'_>) -> Verdict {
    let (before, during) = bench.while_made()?;
    during.same_signals(&before)?;
    Ok(Passed)
}

fn constructor_keeps_descriptors(bench: &OfferBench<'_>) -> Verdict {
    let (before, during) = bench.while_made()?;
    for (number, target) in &before.descriptors {
        let now = during.descriptors.get(number);
        equal(&format!("descriptor {number}"), now, Some(target))?;
    }
    if let Some(number) = during.inheritable.difference(&before.inheritable).next() {
        let target = during.descriptors.get(number);
        return Err(failed(format!("descriptor {number}, {target:?}, is not close-on-exec")));
    }
    Ok(Passed)
}

fn constructor_keeps_folder(bench: &OfferBench<'_>) -> Verdict {
    let (before, during) = bench.while_made()?;
    equal("the working folder", during.working_folder, before.working_folder)?;
    equal("the mask for new files", during.umask, before.umask)?;
    Ok(Passed)
}

fn destroyed_leaves_nothing(bench: &OfferBench<'_>) -> Verdict {
    const TIMES: usize = 100;
    // The first one may leave what a process needs once.
    bench.make_and_drop()?;
    let before = bench.harness.system_state()?;
    for _ in 0..TIMES {
        bench.make_and_drop()?;
    }
    let after = bench.harness.system_state()?;
    after.same_descriptors(&before).map_err(|_| {
        failed(format!(
            "{} descriptors are open after {TIMES} times, {} were before",
            after.descriptors.len(),
            before.descriptors.len()
        ))
    })?;
    equal("the threads", after.threads, before.threads)?;
    equal("the children", after.children, before.children)?;
    Ok(Passed)
}
