//! The cases of policies.

mod loops;
mod process_wide;
mod watchers;

use std::thread;

use loophost_plugin_api::{Error, ErrorCode, PolicyHandle, host};

use crate::{
    Case, Harness, Subject, Verdict,
    verdict::{failed, skipped},
};

pub(crate) fn cases() -> impl Iterator<Item = &'static [Case]> {
    [loops::CASES, watchers::CASES, process_wide::CASES].into_iter()
}

/// What a case of policies gets.
pub(crate) struct PolicyBench<'a> {
    pub(crate) harness: &'a dyn Harness,
    subject: &'a Subject<'a>,
}

impl<'a> PolicyBench<'a> {
    pub(crate) fn new(harness: &'a dyn Harness, subject: &'a Subject<'a>) -> Self {
        Self { harness, subject }
    }

    /// A fresh policy.
    pub(crate) fn policy(&self) -> Verdict<PolicyHandle> {
        match self.subject {
            Subject::Policy(make) => Ok(make()?),
            Subject::EventLoop(_) | Subject::ChildWatcher(_) | Subject::Plugin(_) => {
                Err(skipped("there is no policy"))
            }
        }
    }

    /// A fresh policy, with its watcher; skips the case if it has none.
    fn with_watcher(&self) -> Verdict<PolicyHandle> {
        let policy = self.policy()?;
        match policy.get_child_watcher() {
            Err(error) if error.code() == ErrorCode::NOT_SUPPORTED => {
                Err(skipped("the policy has no child watchers"))
            }
            other => Ok(other.map(|_| policy)?),
        }
    }

    fn requires_main_thread(&self) -> Verdict<()> {
        if self.harness.is_main_thread() {
            return Ok(());
        }
        Err(skipped("it is about the main thread, and this is another one"))
    }

    /// Skips the case if a loop that is set here is seen in other threads.
    fn requires_thread_context(&self) -> Verdict<()> {
        let policy = self.policy()?;
        let event_loop = policy.new_event_loop()?;
        policy.set_event_loop(Some(event_loop.clone()))?;
        let there = policy.clone();
        let seen = in_thread(move || Ok(there.get_event_loop().ok()))?;
        policy.set_event_loop(None)?;
        let is_seen = seen.is_some_and(|seen| seen.same(&event_loop));
        event_loop.close()?;
        if is_seen {
            return Err(skipped("the policy's context is not the thread"));
        }
        Ok(())
    }
}

/// Runs something in a fresh thread.
fn in_thread<T: Send + 'static>(f: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Verdict<T> {
    Ok(thread::spawn(f).join().map_err(|_| failed("the other thread panicked"))??)
}

/// The policy of the process, replaced until this is dropped.
pub(crate) struct Installed {
    before: PolicyHandle,
}

impl Installed {
    pub(crate) fn new(policy: Option<PolicyHandle>) -> Verdict<Self> {
        let before = host::get_event_loop_policy()?;
        host::set_event_loop_policy(policy)?;
        Ok(Self { before })
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // It cannot fail with a policy that was in place before.
        let _ = host::set_event_loop_policy(Some(self.before.clone()));
    }
}
