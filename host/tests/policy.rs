//! The policy functions and the default policy, row by row of `semantics.md` 1.1.
//!
//! They run in the main thread, because the default policy makes a loop by itself there only.

#![allow(clippy::unwrap_used, reason = "tests")]

mod logged;
mod main_thread;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use logged::logged;
use loophost::{
    Callback, ChildWatcher, Error, ErrorCode, LoopHandle, Options, Policy, PolicyHandle, WatcherHandle,
    builtin::{
        self,
        watchers::{MultiLoopChildWatcher, SafeChildWatcher},
    },
    policy::{self, DefaultEventLoopPolicy, Deprecation, Profile},
};
use main_thread::next;

main_thread_tests![
    the_policy_is_made_once,
    set_none_makes_a_fresh_default,
    the_running_loop_comes_first,
    no_loop_runs_here,
    the_main_thread_gets_a_loop_by_itself,
    an_implicit_loop_is_deprecated_with_the_caller_s_place,
    an_implicit_loop_goes_through_the_overrides,
    after_none_there_is_no_loop,
    a_rejected_set_ends_the_automatic_creation,
    other_threads_get_no_loop_by_themselves,
    a_thread_s_end_drops_its_loop,
    a_policy_s_end_drops_its_loops,
    a_constructor_may_ask_for_the_policy,
    one_loop_for_all_threads,
    the_default_watcher_is_made_once,
    the_default_watcher_of_3_7_is_attached,
    watcher_functions_are_deprecated_in_3_12_only,
    watchers_on_sigchld_are_deprecated_in_3_12_only,
    the_profiles_are_those_of_asyncio,
    the_main_thread_attaches_the_watcher,
    a_failed_attach_changes_nothing,
    another_thread_leaves_the_watcher_alone,
    replacing_the_watcher_closes_the_previous_one,
    the_same_watcher_again_changes_nothing,
];

/// A new default policy that is the process's policy, and nothing else is left of earlier tests.
fn fresh() -> PolicyHandle {
    policy::set_profile(Profile::V3_12);
    policy::set_event_loop_policy(None);
    policy::get_event_loop_policy()
}

fn in_a_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    thread::Builder::new().name("worker".into()).spawn(f).unwrap().join().unwrap()
}

fn new_loop() -> LoopHandle {
    builtin::loops::new("selector", &Options::new()).unwrap()
}

/// A loop that counts how many of its kind are alive.
fn counted_loop(alive: &Arc<AtomicUsize>) -> LoopHandle {
    struct Counted(LoopHandle, Arc<AtomicUsize>);
    impl loophost::EventLoop for Counted {
        fn base(&self) -> Option<LoopHandle> {
            Some(self.0.clone())
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_sub(1, SeqCst);
        }
    }
    alive.fetch_add(1, SeqCst);
    LoopHandle::new(Counted(new_loop(), alive.clone()))
}

/// A watcher that writes down what is done to it.
#[derive(Clone, Default)]
struct Recorder {
    calls: Arc<Mutex<Vec<&'static str>>>,
    attach_fails: Arc<AtomicBool>,
}

impl Recorder {
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

impl ChildWatcher for Recorder {
    fn add_child_handler(&self, _: i64, _: i64, _: Callback) -> Result<(), Error> {
        Err(Error::not_supported("add_child_handler"))
    }

    fn attach_loop(&self, event_loop: Option<LoopHandle>) -> Result<(), Error> {
        self.calls.lock().unwrap().push(if event_loop.is_some() { "attach" } else { "detach" });
        match self.attach_fails.load(SeqCst) {
            true => Err(Error::new(ErrorCode::OTHER, "will not")),
            false => Ok(()),
        }
    }

    fn close(&self) -> Result<(), Error> {
        self.calls.lock().unwrap().push("close");
        Ok(())
    }
}

fn the_policy_is_made_once() {
    let policy = fresh();
    assert!(policy::get_event_loop_policy().same(&policy));
    assert!(in_a_thread(policy::get_event_loop_policy).same(&policy));
    let (sender, policies) = mpsc::channel();
    policy::set_event_loop_policy(None);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let sender = sender.clone();
            thread::spawn(move || sender.send(policy::get_event_loop_policy()).unwrap())
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let only = next(&policies);
    assert!((1..4).all(|_| next(&policies).same(&only)));
}

fn set_none_makes_a_fresh_default() {
    let first = fresh();
    let event_loop = new_loop();
    policy::set_event_loop(Some(event_loop.clone())).unwrap();
    let second = fresh();
    assert!(!second.same(&first));
    assert!(!policy::get_event_loop().unwrap().same(&event_loop), "the old policy's loops are forgotten");
    assert!(first.get_event_loop().unwrap().same(&event_loop), "but the old policy is left as it was");
}

fn the_running_loop_comes_first() {
    /// Has nothing at all.
    struct Empty;
    impl Policy for Empty {}

    policy::set_event_loop_policy(Some(PolicyHandle::new(Empty)));
    let error = policy::get_event_loop().unwrap_err();
    assert_eq!(error.code(), ErrorCode::NOT_SUPPORTED, "a policy's own error passes through");
    let event_loop = new_loop();
    let (sender, found) = mpsc::channel();
    let stop = event_loop.clone();
    event_loop
        .call_soon(Callback::new(move |_| {
            sender.send((policy::get_event_loop(), policy::get_running_loop())).unwrap();
            stop.stop()
        }))
        .unwrap();
    event_loop.run_forever().unwrap();
    let (current, running) = next(&found);
    assert!(current.unwrap().same(&event_loop) && running.unwrap().same(&event_loop));
}

fn no_loop_runs_here() {
    fresh();
    let error = policy::get_running_loop().unwrap_err();
    assert_eq!(error.code(), ErrorCode::NO_RUNNING_LOOP);
}

fn the_main_thread_gets_a_loop_by_itself() {
    fresh();
    let event_loop = policy::get_event_loop().unwrap();
    assert!(policy::get_event_loop().unwrap().same(&event_loop), "and keeps it");
    assert!(!policy::new_event_loop().unwrap().same(&event_loop));
    assert!(policy::get_event_loop().unwrap().same(&event_loop), "a new loop is not the current one");
}

fn an_implicit_loop_is_deprecated_with_the_caller_s_place() {
    fresh();
    let (line, (_, log)) = (line!(), logged(|| policy::get_event_loop().unwrap()));
    assert!(log.contains("loophost::deprecated"), "{log}");
    assert!(log.contains("code=\"implicit_event_loop\""), "{log}");
    assert!(log.contains(&format!("policy.rs:{line}:")), "{log}");
    assert_eq!(logged(|| policy::get_event_loop().unwrap()).1, "", "the second call makes none");

    let policy = fresh();
    let (_, log) = logged(|| policy.get_event_loop().unwrap());
    assert!(
        log.contains("implicit_event_loop") && !log.contains("caller"),
        "a handle carries no place: {log}"
    );

    for profile in [Profile::V3_7, Profile::V3_8, Profile::V3_9] {
        policy::set_profile(profile);
        policy::set_event_loop_policy(None);
        assert_eq!(logged(|| policy::get_event_loop().unwrap()).1, "");
    }
}

fn an_implicit_loop_goes_through_the_overrides() {
    struct Counting {
        base: PolicyHandle,
        calls: Arc<Mutex<Vec<&'static str>>>,
    }
    impl Policy for Counting {
        fn base(&self) -> Option<PolicyHandle> {
            Some(self.base.clone())
        }

        fn new_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, Error> {
            self.calls.lock().unwrap().push("new");
            self.base.new_event_loop_as(this)
        }

        fn set_event_loop(&self, this: &PolicyHandle, event_loop: Option<LoopHandle>) -> Result<(), Error> {
            self.calls.lock().unwrap().push("set");
            self.base.set_event_loop_as(this, event_loop)
        }
    }

    let calls = Arc::new(Mutex::new(Vec::new()));
    let base = PolicyHandle::new(DefaultEventLoopPolicy::new());
    policy::set_event_loop_policy(Some(PolicyHandle::new(Counting { base, calls: calls.clone() })));
    let event_loop = policy::get_event_loop().unwrap();
    assert_eq!(*calls.lock().unwrap(), ["new", "set"]);
    assert!(policy::get_event_loop().unwrap().same(&event_loop));
    assert_eq!(calls.lock().unwrap().len(), 2);
}

fn after_none_there_is_no_loop() {
    fresh();
    policy::set_event_loop(None).unwrap();
    let error = policy::get_event_loop().unwrap_err();
    assert_eq!(error.code(), ErrorCode::NO_CURRENT_LOOP);
    assert_eq!(
        error.message(),
        "there is no current event loop in thread `main`: call set_event_loop there first"
    );
}

fn a_rejected_set_ends_the_automatic_creation() {
    let policy = fresh();
    let watcher = Recorder::default();
    watcher.attach_fails.store(true, SeqCst);
    policy.set_child_watcher(Some(WatcherHandle::new(watcher))).unwrap();
    policy::set_event_loop(Some(new_loop())).unwrap_err();
    assert_eq!(policy::get_event_loop().unwrap_err().code(), ErrorCode::NO_CURRENT_LOOP);
}

fn other_threads_get_no_loop_by_themselves() {
    fresh();
    let error = in_a_thread(policy::get_event_loop).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NO_CURRENT_LOOP);
    assert!(error.message().contains("`worker`"), "{error}");
    in_a_thread(|| {
        let mine = new_loop();
        policy::set_event_loop(Some(mine.clone())).unwrap();
        assert!(policy::get_event_loop().unwrap().same(&mine));
    });
    assert!(policy::get_event_loop().is_ok(), "the main thread still may");
}

fn a_thread_s_end_drops_its_loop() {
    fresh();
    let alive = Arc::new(AtomicUsize::new(0));
    let there = alive.clone();
    in_a_thread(move || policy::set_event_loop(Some(counted_loop(&there))).unwrap());
    assert_eq!(alive.load(SeqCst), 0);
}

fn a_policy_s_end_drops_its_loops() {
    let alive = Arc::new(AtomicUsize::new(0));
    let policy = PolicyHandle::new(DefaultEventLoopPolicy::new());
    policy.set_event_loop(Some(counted_loop(&alive))).unwrap();
    policy.set_event_loop(Some(counted_loop(&alive))).unwrap();
    assert_eq!(alive.load(SeqCst), 1, "a loop that is replaced goes");
    drop(policy);
    assert_eq!(alive.load(SeqCst), 0);
}

fn a_constructor_may_ask_for_the_policy() {
    /// Stands in front of whatever was the policy before.
    struct Wrapper(PolicyHandle);
    impl Wrapper {
        fn new() -> Self {
            let previous = policy::get_event_loop_policy();
            policy::get_event_loop().unwrap();
            Self(previous)
        }
    }
    impl Policy for Wrapper {
        fn base(&self) -> Option<PolicyHandle> {
            Some(self.0.clone())
        }

        fn new_event_loop(&self, this: &PolicyHandle) -> Result<LoopHandle, Error> {
            assert!(policy::get_event_loop_policy().same(this));
            self.0.new_event_loop_as(this)
        }
    }
    impl Drop for Wrapper {
        fn drop(&mut self) {
            policy::get_event_loop_policy();
        }
    }

    fresh();
    policy::set_event_loop_policy(Some(PolicyHandle::new(Wrapper::new())));
    policy::new_event_loop().unwrap();
    policy::set_event_loop_policy(None);
}

fn one_loop_for_all_threads() {
    /// Its context is the process.
    #[derive(Default)]
    struct OneLoop(Mutex<Option<LoopHandle>>);
    impl Policy for OneLoop {
        fn get_event_loop(&self, _: &PolicyHandle) -> Result<LoopHandle, Error> {
            self.0.lock().unwrap().clone().ok_or_else(|| Error::new(ErrorCode::NO_CURRENT_LOOP, "none"))
        }

        fn set_event_loop(&self, _: &PolicyHandle, event_loop: Option<LoopHandle>) -> Result<(), Error> {
            *self.0.lock().unwrap() = event_loop;
            Ok(())
        }
    }

    policy::set_event_loop_policy(Some(PolicyHandle::new(OneLoop::default())));
    let event_loop = new_loop();
    let given = event_loop.clone();
    in_a_thread(move || policy::set_event_loop(Some(given)).unwrap());
    assert!(policy::get_event_loop().unwrap().same(&event_loop));
    assert!(in_a_thread(|| policy::get_event_loop().unwrap()).same(&event_loop));
}

fn the_default_watcher_is_made_once() {
    let policy = fresh();
    let watcher = policy.get_child_watcher().unwrap();
    assert!(policy.get_child_watcher().unwrap().same(&watcher));
    assert!(in_a_thread(move || policy.get_child_watcher().unwrap()).same(&watcher));
    for profile in [Profile::V3_8, Profile::V3_9] {
        let policy = PolicyHandle::new(DefaultEventLoopPolicy::new().with_profile(profile));
        assert!(!policy.get_child_watcher().unwrap().same(&watcher));
    }
}

/// asyncio: `test_get_child_watcher_with_mainloop_existing`, `test_get_child_watcher_thread`.
fn the_default_watcher_of_3_7_is_attached() {
    let policy = || PolicyHandle::new(DefaultEventLoopPolicy::new().with_profile(Profile::V3_7));
    let spawnable = |watcher: &WatcherHandle| {
        let token = watcher.begin_spawn();
        token.and_then(|token| watcher.end_spawn(token, 0))
    };
    let in_main = policy();
    in_main.set_event_loop(Some(new_loop())).unwrap();
    let (watcher, log) = logged(|| in_main.get_child_watcher().unwrap());
    assert_eq!((&*watcher.name(), &*log), ("SafeChildWatcher", ""));
    spawnable(&watcher).unwrap();
    in_main.set_event_loop(None).unwrap();
    assert_eq!(spawnable(&watcher).unwrap_err().code(), ErrorCode::INACTIVE);

    let elsewhere = policy();
    let watcher = in_a_thread(move || {
        elsewhere.set_event_loop(Some(new_loop())).unwrap();
        elsewhere.get_child_watcher().unwrap()
    });
    assert_eq!(spawnable(&watcher).unwrap_err().code(), ErrorCode::INACTIVE);
}

/// asyncio: `test_get_default_child_watcher`, and the tables of what changed.
fn the_profiles_are_those_of_asyncio() {
    let best = if loophost::process::PidfdProbe::get().works { "Pidfd" } else { "Threaded" };
    for (profile, watcher, on_windows, deprecates) in [
        (Profile::V3_7, "Safe", "selector", false),
        (Profile::V3_8, "Threaded", "proactor", false),
        (Profile::V3_9, "Threaded", "proactor", false),
        (Profile::V3_12, best, "proactor", true),
    ] {
        let policy = PolicyHandle::new(DefaultEventLoopPolicy::new().with_profile(profile));
        assert_eq!(policy.get_child_watcher().unwrap().name(), format!("{watcher}ChildWatcher"));
        assert_eq!(profile.default_loop_on_windows(), on_windows);
        assert!(Deprecation::ALL.iter().all(|event| profile.deprecates(*event) == deprecates));
    }
}

/// Also the silencing, which is for good: of what no other test looks at.
fn watchers_on_sigchld_are_deprecated_in_3_12_only() {
    fresh();
    for (name, code) in [
        ("safe", "safe_child_watcher"),
        ("fast", "fast_child_watcher"),
        ("multi-loop", "multi_loop_child_watcher"),
    ] {
        let make = || drop(builtin::watchers::new(name, &Options::new()).unwrap());
        let log = logged(make).1;
        assert!(
            log.contains(&format!("code=\"{code}\"")) && log.contains("caller=host/tests/policy.rs"),
            "{log}"
        );
        policy::set_profile(Profile::V3_9);
        assert_eq!(logged(make).1, "");
        policy::set_profile(Profile::V3_12);
    }
    let (line, log) = (line!(), logged(|| drop(SafeChildWatcher::new())).1);
    assert!(log.contains(&format!("policy.rs:{line}:")), "{log}");
    "safe_child_watcher".parse::<Deprecation>().unwrap().silence();
    assert_eq!(logged(|| drop(SafeChildWatcher::new())).1, "");
    assert!(!logged(|| drop(MultiLoopChildWatcher::new())).1.is_empty());
    let error = "safe".parse::<Deprecation>().unwrap_err();
    assert!(Deprecation::ALL.iter().all(|known| error.message().contains(known.code())), "{error}");
}

fn watcher_functions_are_deprecated_in_3_12_only() {
    fresh();
    for code in ["set_child_watcher", "get_child_watcher"] {
        let (line, ((), log)) = if code == "set_child_watcher" {
            let watcher = WatcherHandle::new(Recorder::default());
            (line!(), logged(|| policy::set_child_watcher(Some(watcher)).unwrap()))
        } else {
            (line!(), logged(|| drop(policy::get_child_watcher().unwrap())))
        };
        assert!(log.contains(&format!("code=\"{code}\"")), "{log}");
        assert!(log.contains(&format!("policy.rs:{line}:")), "{log}");
    }
    let policy = policy::get_event_loop_policy();
    assert_eq!(logged(|| policy.get_child_watcher().unwrap()).1, "", "the host's own use");
    policy::set_profile(Profile::V3_9);
    assert_eq!(logged(|| policy::get_child_watcher().unwrap()).1, "");
}

/// A fresh policy with a watcher that writes down what is done to it.
fn with_recorder() -> (PolicyHandle, Recorder) {
    let policy = fresh();
    let recorder = Recorder::default();
    policy.set_child_watcher(Some(WatcherHandle::new(recorder.clone()))).unwrap();
    assert!(recorder.take().is_empty(), "setting a watcher attaches it to nothing");
    (policy, recorder)
}

fn the_main_thread_attaches_the_watcher() {
    let (policy, recorder) = with_recorder();
    policy.set_event_loop(Some(new_loop())).unwrap();
    policy.set_event_loop(None).unwrap();
    assert_eq!(recorder.take(), ["attach", "detach"]);
}

fn a_failed_attach_changes_nothing() {
    let (policy, recorder) = with_recorder();
    let event_loop = new_loop();
    policy.set_event_loop(Some(event_loop.clone())).unwrap();
    recorder.attach_fails.store(true, SeqCst);
    assert_eq!(policy.set_event_loop(Some(new_loop())).unwrap_err().message(), "will not");
    assert!(policy.get_event_loop().unwrap().same(&event_loop));
}

fn another_thread_leaves_the_watcher_alone() {
    let (policy, recorder) = with_recorder();
    in_a_thread(move || policy.set_event_loop(Some(new_loop())).unwrap());
    assert!(recorder.take().is_empty());
}

fn replacing_the_watcher_closes_the_previous_one() {
    let (policy, recorder) = with_recorder();
    let next = Recorder::default();
    policy.set_child_watcher(Some(WatcherHandle::new(next.clone()))).unwrap();
    assert_eq!(recorder.take(), ["close"]);
    policy.set_child_watcher(None).unwrap();
    assert_eq!((recorder.take(), next.take()), (vec![], vec!["close"]));
    policy.get_child_watcher().unwrap();
}

fn the_same_watcher_again_changes_nothing() {
    let (policy, recorder) = with_recorder();
    let watcher = policy.get_child_watcher().unwrap();
    policy.set_child_watcher(Some(watcher.clone())).unwrap();
    assert!(recorder.take().is_empty());
    assert!(policy.get_child_watcher().unwrap().same(&watcher));
}
