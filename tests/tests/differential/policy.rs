//! Policies: the functions of the module and the default policy.

use std::sync::Mutex;

use loophost::{
    ChildWatcher, Error, LoopHandle, Policy, PolicyHandle, WatcherHandle,
    policy::{self, DefaultEventLoopPolicy},
};
use nix::{
    sys::wait::waitpid,
    unistd::{ForkResult, fork},
};

use crate::{
    scenarios::{Scenarios, named},
    stage::{in_a_thread, inside, new_loop, not_implemented},
    trace::{listen, note, note_all, note_call, note_value},
};

pub(crate) const PLAIN: Scenarios = named![
    get_event_loop_in_the_main_thread,
    get_event_loop_after_set,
    get_event_loop_after_set_none,
    get_event_loop_in_another_thread,
    get_event_loop_in_a_callback,
    get_event_loop_of_a_failing_policy,
    automatic_loop_goes_through_overrides,
    one_loop_for_all_threads,
    new_event_loop,
    get_event_loop_policy,
    replaced_policy_keeps_its_loop,
    get_running_loop,
    running_loop_is_the_thread_s,
    forked_child,
    abstract_policy,
    set_event_loop_attaches_the_watcher,
    failed_attach,
    failed_set_ends_automatic_creation,
    set_child_watcher_again,
];

pub(crate) const ON_DEFAULT_WATCHER: Scenarios =
    named![set_child_watcher_closes_the_previous, default_watcher, default_watcher_in_another_thread,];

/// A default policy, for policies that change one thing of it.
fn default_policy() -> PolicyHandle {
    PolicyHandle::new(DefaultEventLoopPolicy::new())
}

fn set_loop(event_loop: &LoopHandle) {
    policy::set_event_loop(Some(event_loop.clone())).unwrap();
}

fn is_current(event_loop: &LoopHandle) -> bool {
    policy::get_event_loop().unwrap().same(event_loop)
}

fn note_current(event: &'static str, event_loop: &LoopHandle) {
    note_value(event, is_current(event_loop));
}

fn get_event_loop_in_the_main_thread() {
    listen();
    let first = policy::get_event_loop().unwrap();
    note("get_event_loop");
    let second = policy::get_event_loop().unwrap();
    note("get_event_loop");
    note_value("same", first.same(&second));
}

fn get_event_loop_after_set() {
    listen();
    let event_loop = new_loop();
    set_loop(&event_loop);
    note_current("same", &event_loop);
}

fn get_event_loop_after_set_none() {
    listen();
    policy::set_event_loop(None).unwrap();
    note_call("get_event_loop", policy::get_event_loop());
}

fn get_event_loop_in_another_thread() {
    listen();
    policy::set_event_loop(None).unwrap();
    in_a_thread(|| {
        note_call("get_event_loop", policy::get_event_loop());
        let event_loop = new_loop();
        set_loop(&event_loop);
        note_current("same", &event_loop);
    });
    note_call("get_event_loop", policy::get_event_loop());
}

fn get_event_loop_in_a_callback() {
    let (running, other) = (new_loop(), new_loop());
    set_loop(&other);
    let this = running.clone();
    inside(&running, move || note_current("running", &this));
    note_current("set", &other);
}

fn get_event_loop_of_a_failing_policy() {
    struct Failing(PolicyHandle);

    impl Policy for Failing {
        fn base(&self) -> Option<PolicyHandle> {
            Some(self.0.clone())
        }

        fn get_event_loop(&self, _: &PolicyHandle) -> Result<LoopHandle, Error> {
            Err(not_implemented())
        }
    }

    policy::set_event_loop_policy(Some(PolicyHandle::new(Failing(default_policy()))));
    note_call("get_event_loop", policy::get_event_loop());
    let event_loop = policy::new_event_loop().unwrap();
    let this = event_loop.clone();
    inside(&event_loop, move || note_current("running", &this));
    note_call("get_event_loop", policy::get_event_loop());
}

fn automatic_loop_goes_through_overrides() {
    struct Telling(PolicyHandle);

    impl Policy for Telling {
        fn base(&self) -> Option<PolicyHandle> {
            Some(self.0.clone())
        }

        fn new_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, Error> {
            note("new_event_loop");
            self.0.new_event_loop_as(this)
        }

        fn set_event_loop(&self, this: &PolicyHandle, event_loop: Option<LoopHandle>) -> Result<(), Error> {
            note("set_event_loop");
            self.0.set_event_loop_as(this, event_loop)
        }
    }

    policy::set_event_loop_policy(Some(PolicyHandle::new(Telling(default_policy()))));
    note_call("get_event_loop", policy::get_event_loop());
}

fn one_loop_for_all_threads() {
    struct Shared(PolicyHandle, Mutex<Option<LoopHandle>>);

    impl Policy for Shared {
        fn base(&self) -> Option<PolicyHandle> {
            Some(self.0.clone())
        }

        fn get_event_loop(&self, _: &PolicyHandle) -> Result<LoopHandle, Error> {
            Ok(self.1.lock().unwrap().clone().unwrap())
        }

        fn set_event_loop(&self, _: &PolicyHandle, event_loop: Option<LoopHandle>) -> Result<(), Error> {
            *self.1.lock().unwrap() = event_loop;
            Ok(())
        }
    }

    let shared = Shared(default_policy(), Mutex::default());
    policy::set_event_loop_policy(Some(PolicyHandle::new(shared)));
    let event_loop = policy::new_event_loop().unwrap();
    set_loop(&event_loop);
    in_a_thread(move || note_current("same", &event_loop));
}

fn new_event_loop() {
    policy::set_event_loop(None).unwrap();
    let (first, second) = (policy::new_event_loop().unwrap(), policy::new_event_loop().unwrap());
    note_value("same", first.same(&second));
    note_call("get_event_loop", policy::get_event_loop());
}

fn get_event_loop_policy() {
    let first = policy::get_event_loop_policy();
    note_value("same", policy::get_event_loop_policy().same(&first));
    let own = default_policy();
    policy::set_event_loop_policy(Some(own.clone()));
    note_value("own", policy::get_event_loop_policy().same(&own));
    let event_loop = new_loop();
    set_loop(&event_loop);
    policy::set_event_loop_policy(None);
    note_value("own", policy::get_event_loop_policy().same(&own));
    note_current("same-loop", &event_loop);
}

fn replaced_policy_keeps_its_loop() {
    let (event_loop, before) = (new_loop(), policy::get_event_loop_policy());
    set_loop(&event_loop);
    policy::set_event_loop_policy(None);
    note_value("is_closed", event_loop.is_closed());
    policy::set_event_loop_policy(Some(before));
    note_current("same", &event_loop);
}

fn get_running_loop() {
    note_call("get_running_loop", policy::get_running_loop());
    let event_loop = new_loop();
    let this = event_loop.clone();
    inside(&event_loop, move || note_value("same", policy::get_running_loop().unwrap().same(&this)));
    note_call("get_running_loop", policy::get_running_loop());
}

fn running_loop_is_the_thread_s() {
    inside(&new_loop(), || in_a_thread(|| note_call("get_running_loop", policy::get_running_loop())));
}

fn forked_child() {
    let event_loop = new_loop();
    set_loop(&event_loop);
    let this = event_loop.clone();
    inside(&event_loop, move || {
        // SAFETY: the child leaves by `_exit`, and nobody else writes to the standard output.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                note_call("get_running_loop", policy::get_running_loop());
                note_current("same", &this);
                // SAFETY: ends the child without running anything of the parent's.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => drop(waitpid(child, None).unwrap()),
        }
    });
}

fn abstract_policy() {
    struct Nothing;
    impl Policy for Nothing {}

    let policy = PolicyHandle::new(Nothing);
    note_call("get_event_loop", policy.get_event_loop());
    note_call("set_event_loop", policy.set_event_loop(None));
    note_call("new_event_loop", policy.new_event_loop());
    note_call("get_child_watcher", policy.get_child_watcher());
    note_call("set_child_watcher", policy.set_child_watcher(None));
}

/// A watcher that notes what is done to it.
struct Telling(&'static str);

impl ChildWatcher for Telling {
    fn attach_loop(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        let event = if event_loop.is_none() { "detach" } else { "attach" };
        note_all(event, serde_json::json!({ "watcher": self.0 }));
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        note_all("close", serde_json::json!({ "watcher": self.0 }));
        Ok(())
    }
}

/// A watcher that refuses every loop.
struct Refusing;

impl ChildWatcher for Refusing {
    fn attach_loop(&self, _: Option<LoopHandle>) -> Result<(), Error> {
        Err(not_implemented())
    }

    fn close(&self) -> Result<(), Error> {
        Telling("watcher").close()
    }
}

fn set_watcher(watcher: impl ChildWatcher) {
    policy::set_child_watcher(Some(WatcherHandle::new(watcher))).unwrap();
}

fn set_event_loop_attaches_the_watcher() {
    set_watcher(Telling("watcher"));
    note("watcher set");
    let event_loop = new_loop();
    set_loop(&event_loop);
    in_a_thread(move || set_loop(&event_loop));
    note("set in another thread");
    policy::set_event_loop(None).unwrap();
}

fn failed_attach() {
    let (old, new) = (new_loop(), new_loop());
    set_loop(&old);
    set_watcher(Refusing);
    note_call("set_event_loop", policy::set_event_loop(Some(new.clone())));
    note_current("changed", &new);
}

fn failed_set_ends_automatic_creation() {
    set_watcher(Refusing);
    note_call("set_event_loop", policy::set_event_loop(None));
    policy::set_child_watcher(None).unwrap();
    note_call("get_event_loop", policy::get_event_loop());
}

fn set_child_watcher_closes_the_previous() {
    set_watcher(Telling("first"));
    set_watcher(Telling("second"));
    policy::set_child_watcher(None).unwrap();
    note_value("watcher", policy::get_child_watcher().unwrap().name());
}

fn set_child_watcher_again() {
    let watcher = WatcherHandle::new(Telling("watcher"));
    policy::set_child_watcher(Some(watcher.clone())).unwrap();
    note_call("set_child_watcher", policy::set_child_watcher(Some(watcher.clone())));
    note_value("same", policy::get_child_watcher().unwrap().same(&watcher));
}

fn default_watcher() {
    listen();
    let (first, second) = (policy::get_child_watcher().unwrap(), policy::get_child_watcher().unwrap());
    note_value("watcher", first.name());
    note_value("same", first.same(&second));
    policy::set_child_watcher(None).unwrap();
}

fn default_watcher_in_another_thread() {
    in_a_thread(|| note_value("watcher", policy::get_child_watcher().unwrap().name()));
}
