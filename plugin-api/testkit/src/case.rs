//! One case of the suite: a name, a meaning, and what is done.

use std::{
    any::Any,
    fmt,
    panic::{self, AssertUnwindSafe},
};

use loophost_plugin_api::OfferKind;

use crate::{
    Harness, Outcome, Subject, Verdict, child_watcher::WatcherBench, event_loop::LoopBench,
    offer::OfferBench, plugin::PluginBench, policy::PolicyBench, subprocess::SubprocessBench,
};

/// One thing that a policy, an event loop, a child watcher or a plugin file must do.
///
/// Names are `SUBJECT/WHAT` and never change their meaning; a case that comes to mean something else gets a new name.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    meaning: &'static str,
    body: Body,
}

/// What a case is about, and so what it gets.
#[derive(Clone, Copy)]
enum Body {
    EventLoop(fn(&LoopBench<'_>) -> Verdict),
    ChildWatcher(fn(&WatcherBench<'_>) -> Verdict),
    Policy(fn(&PolicyBench<'_>) -> Verdict),
    Subprocess(fn(&SubprocessBench<'_>) -> Verdict),
    Offer(fn(&OfferBench<'_>) -> Verdict),
    Plugin(fn(&PluginBench<'_>) -> Verdict),
}

/// The constructors of the tables of cases, one for each kind of body.
macro_rules! constructors {
    ($($name:ident $variant:ident $bench:ident),* $(,)?) => {
        $(
            pub(crate) const fn $name(
                name: &'static str,
                meaning: &'static str,
                body: fn(&$bench<'_>) -> Verdict,
            ) -> Self {
                Self { name, meaning, body: Body::$variant(body) }
            }
        )*
    };
}

impl Case {
    constructors! {
        event_loop EventLoop LoopBench,
        child_watcher ChildWatcher WatcherBench,
        policy Policy PolicyBench,
        subprocess Subprocess SubprocessBench,
        offer Offer OfferBench,
        plugin Plugin PluginBench,
    }

    /// Its stable name, such as `loop/call-soon-order`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What must hold, in one line.
    pub fn meaning(&self) -> &'static str {
        self.meaning
    }

    /// Whether it is about a plugin as a whole, before anything is made: [`Subject::Plugin`].
    pub fn is_about_plugins(&self) -> bool {
        matches!(self.body, Body::Plugin(_))
    }

    /// Whether it is about what a plugin offers as this kind.
    pub fn is_about(&self, kind: OfferKind) -> bool {
        match self.body {
            Body::EventLoop(_) | Body::Policy(_) => kind == OfferKind::Policy,
            Body::ChildWatcher(_) => kind == OfferKind::Watcher,
            Body::Subprocess(_) | Body::Offer(_) => true,
            Body::Plugin(_) => false,
        }
    }

    /// Whether it can be run on that: a policy also gets the cases for its loops and for children.
    pub fn suits(&self, subject: &Subject<'_>) -> bool {
        match subject {
            Subject::EventLoop(_) => matches!(self.body, Body::EventLoop(_)),
            Subject::ChildWatcher(_) => self.is_about(OfferKind::Watcher),
            Subject::Policy(_) => self.is_about(OfferKind::Policy),
            Subject::Plugin(_) => self.is_about_plugins(),
        }
    }

    /// Runs it in this thread. A panic is a failure; a crash or a hang is the caller's, so `loophost plugin check` runs
    /// each case in a process of its own.
    pub fn run(&self, harness: &dyn Harness, subject: &Subject<'_>) -> Outcome {
        if !self.suits(subject) {
            return Outcome::Skipped(format!("it is not about {}", subject.kind()));
        }
        let body = AssertUnwindSafe(|| match self.body {
            Body::EventLoop(body) => body(&LoopBench::new(harness, subject)),
            Body::ChildWatcher(body) => body(&WatcherBench::new(harness, subject)),
            Body::Policy(body) => body(&PolicyBench::new(harness, subject)),
            Body::Subprocess(body) => SubprocessBench::new(harness, subject).and_then(|bench| body(&bench)),
            Body::Offer(body) => body(&OfferBench::new(harness, subject)),
            Body::Plugin(body) => body(&PluginBench::new(harness, subject)),
        });
        match panic::catch_unwind(body) {
            Ok(verdict) => verdict.into(),
            Err(payload) => Outcome::Failed(panicked(&*payload)),
        }
    }
}

fn panicked(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("a value that is not text"))
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("meaning", &self.meaning)
            .finish_non_exhaustive()
    }
}
