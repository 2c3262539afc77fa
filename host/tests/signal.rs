//! Signals by handler, as in a program that has reserved none.

#![allow(clippy::unwrap_used, reason = "tests")]

mod logged;
mod main_thread;

use std::{
    io, ptr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use logged::logged;
use loophost::{Error, Event, EventKind, HandleId, RepeatCallback, signal};
use main_thread::{eventually, next};
use nix::{
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction},
    unistd::getpid,
};

main_thread_tests![
    every_subscriber_is_told_in_order,
    the_sender_is_told,
    the_kernel_s_own_signals_are_marked,
    the_handler_restarts_calls_and_uses_the_alternate_stack,
    ten_thousand_arrivals_may_be_merged,
    what_came_before_is_not_told,
    the_previous_handler_is_called_and_comes_back,
    ignored_before_is_ignored_again,
    a_foreign_handler_is_never_overwritten,
    a_foreign_handler_is_noticed_on_use,
    a_foreign_handler_that_calls_ours_ends,
    unsubscribed_from_inside_it_is_dropped_afterwards,
    a_callback_may_subscribe_and_end_others,
    unsubscribe_waits_for_the_callback,
    an_error_or_a_panic_stops_nobody,
];

const SIGNAL: Signal = Signal::SIGUSR1;

fn raise() {
    kill(getpid(), SIGNAL).unwrap();
}

fn subscribe(f: impl FnMut(&Event) -> Result<(), Error> + Send + 'static) -> HandleId {
    signal::subscribe(SIGNAL as i32, RepeatCallback::new(f)).unwrap()
}

/// A subscription that sends `what` each time.
fn sending<T: Clone + Send + 'static>(sender: &Sender<T>, what: T) -> HandleId {
    let sender = sender.clone();
    subscribe(move |_| {
        sender.send(what.clone()).unwrap();
        Ok(())
    })
}

fn unsubscribe(id: HandleId) {
    assert!(signal::unsubscribe(id).unwrap());
    assert!(!signal::unsubscribe(id).unwrap());
}

fn nothing_more<T>(receiver: &Receiver<T>) {
    assert!(receiver.try_recv().is_err());
}

static FOREIGN_CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn foreign(_: i32) {
    FOREIGN_CALLS.fetch_add(1, SeqCst);
}

/// Sets a disposition and gives the old one.
fn set(handler: SigHandler) -> SigAction {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handlers of these tests only touch atomics.
    unsafe { sigaction(SIGNAL, &action) }.unwrap()
}

fn current() -> libc::sigaction {
    // SAFETY: zeroes are a valid sigaction; asking changes nothing.
    let mut current = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::sigaction(SIGNAL as i32, ptr::null(), &mut current) }, 0);
    current
}

/// Sets the default disposition and gives the address of the handler that was there.
fn end() -> usize {
    let address = current().sa_sigaction;
    set(SigHandler::SigDfl);
    address
}

fn every_subscriber_is_told_in_order() {
    let (sender, told) = mpsc::channel();
    let (event_sender, events) = mpsc::channel();
    let ids = [sending(&sender, 1), sending(&sender, 2), sending(&sender, 3)];
    let last = subscribe(move |event| {
        let thread = thread::current().name().unwrap().to_owned();
        event_sender.send((event.kind(), event.result, thread)).unwrap();
        Ok(())
    });
    raise();
    assert_eq!([next(&told), next(&told), next(&told)], [1, 2, 3]);
    assert_eq!(next(&events), (EventKind::SIGNAL, SIGNAL as i64, "loophost-signal".into()));
    unsubscribe(ids[1]);
    raise();
    assert_eq!([next(&told), next(&told)], [1, 3]);
    next(&events);
    [ids[0], ids[2], last].into_iter().for_each(unsubscribe);
    assert_eq!(current().sa_sigaction, libc::SIG_DFL);
    nothing_more(&told);
}

fn the_sender_is_told() {
    let (sender, told) = mpsc::channel();
    let id = subscribe(move |event| {
        sender.send((event.flags, event.aux)).unwrap();
        Ok(())
    });
    raise();
    assert_eq!(next(&told), (0, getpid().as_raw() as u64));
    unsubscribe(id);
}

fn the_kernel_s_own_signals_are_marked() {
    let (sender, told) = mpsc::channel();
    let callback = RepeatCallback::new(move |event| {
        sender.send((event.flags, event.aux)).unwrap();
        Ok(())
    });
    let id = signal::subscribe(libc::SIGALRM, callback).unwrap();
    main_thread::alarm();
    assert_eq!(next(&told), (Event::FROM_KERNEL, 0));
    unsubscribe(id);
}

fn the_handler_restarts_calls_and_uses_the_alternate_stack() {
    let id = subscribe(|_| Ok(()));
    let wanted = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_SIGINFO;
    assert_eq!(current().sa_flags & wanted, wanted);
    // SAFETY: errno of this thread.
    let errno = unsafe { &mut *libc::__errno_location() };
    *errno = 77;
    // SAFETY: raises the signal in this thread, so its handler has run when the call returns.
    unsafe { libc::raise(SIGNAL as i32) };
    assert_eq!(io::Error::last_os_error().raw_os_error(), Some(77));
    unsubscribe(id);
}

fn ten_thousand_arrivals_may_be_merged() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let id = subscribe(move |_| {
        counted.fetch_add(1, SeqCst);
        Ok(())
    });
    (0..10_000).for_each(|_| raise());
    eventually("one delivery", || count.load(SeqCst) >= 1);
    let before = count.load(SeqCst);
    raise();
    eventually("one after the last", || count.load(SeqCst) > before);
    unsubscribe(id);
    assert!(count.load(SeqCst) <= 10_001);
}

fn what_came_before_is_not_told() {
    let (began, begun) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let callback = RepeatCallback::new(move |_| {
        began.send(()).unwrap();
        next(&goes_on);
        Ok(())
    });
    let holding = signal::subscribe(libc::SIGUSR2, callback).unwrap();
    let hold = || {
        kill(getpid(), Signal::SIGUSR2).unwrap();
        next(&begun);
    };
    // The thread that tells is held up while the signal comes, and its subscriber goes.
    let gone = subscribe(|_| Ok(()));
    hold();
    raise();
    unsubscribe(gone);
    let (sender, told) = mpsc::channel();
    let id = sending(&sender, "what came before");
    go_on.send(()).unwrap();
    // Its next turn takes all there is.
    hold();
    go_on.send(()).unwrap();
    unsubscribe(id);
    nothing_more(&told);
    unsubscribe(holding);
}

fn the_previous_handler_is_called_and_comes_back() {
    FOREIGN_CALLS.store(0, SeqCst);
    set(SigHandler::Handler(foreign));
    let (sender, told) = mpsc::channel();
    let id = sending(&sender, ());
    raise();
    next(&told);
    eventually("the previous handler", || FOREIGN_CALLS.load(SeqCst) == 1);
    unsubscribe(id);
    raise();
    eventually("the previous handler alone", || FOREIGN_CALLS.load(SeqCst) == 2);
    nothing_more(&told);
    assert_eq!(end(), foreign as *const () as usize);
}

fn ignored_before_is_ignored_again() {
    set(SigHandler::SigIgn);
    let (sender, told) = mpsc::channel();
    let id = sending(&sender, ());
    raise();
    next(&told);
    unsubscribe(id);
    assert_eq!(end(), libc::SIG_IGN);
}

fn a_foreign_handler_is_never_overwritten() {
    FOREIGN_CALLS.store(0, SeqCst);
    let (sender, told) = mpsc::channel();
    let id = sending(&sender, ());
    set(SigHandler::Handler(foreign));
    let ((), log) = logged(|| unsubscribe(id));
    assert!(log.contains("other code has replaced the handler of SIGUSR1; it stays in place"), "{log}");
    raise();
    eventually("the foreign handler", || FOREIGN_CALLS.load(SeqCst) == 1);
    nothing_more(&told);
    assert_eq!(end(), foreign as *const () as usize);
}

fn a_foreign_handler_is_noticed_on_use() {
    FOREIGN_CALLS.store(0, SeqCst);
    let (sender, told) = mpsc::channel();
    let first = sending(&sender, 1);
    set(SigHandler::Handler(foreign));
    let (second, log) = logged(|| sending(&sender, 2));
    assert!(log.contains("other code had replaced the handler of SIGUSR1"), "{log}");
    raise();
    assert_eq!([next(&told), next(&told)], [1, 2]);
    eventually("the foreign handler as well", || FOREIGN_CALLS.load(SeqCst) == 1);
    unsubscribe(first);
    unsubscribe(second);
    assert_eq!(end(), foreign as *const () as usize);
}

fn a_foreign_handler_that_calls_ours_ends() {
    static OURS: OnceLock<SigHandler> = OnceLock::new();
    static CALLS: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn chaining(signum: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        CALLS.fetch_add(1, SeqCst);
        if let Some(SigHandler::SigAction(ours)) = OURS.get() {
            ours(signum, info, context);
        }
    }

    let (sender, told) = mpsc::channel();
    let first = sending(&sender, ());
    let ours = set(SigHandler::SigDfl).handler();
    OURS.set(ours).unwrap();
    let action = SigAction::new(SigHandler::SigAction(chaining), SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: it touches atomics and calls our handler.
    unsafe { sigaction(SIGNAL, &action) }.unwrap();
    let second = sending(&sender, ());
    // SAFETY: raises the signal in this thread, so its handlers have run when the call returns.
    unsafe { libc::raise(SIGNAL as i32) };
    assert_eq!(CALLS.load(SeqCst), 1);
    next(&told);
    next(&told);
    unsubscribe(first);
    unsubscribe(second);
    set(SigHandler::SigDfl);
}

fn unsubscribed_from_inside_it_is_dropped_afterwards() {
    /// Says when it is dropped.
    struct Dropped(Sender<&'static str>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }

    let (sender, told) = mpsc::channel();
    let (dropped, own) = (Dropped(sender.clone()), Arc::new(Mutex::new(None)));
    let id = own.clone();
    let subscribed = subscribe(move |_| {
        let _keep = &dropped;
        let me = id.lock().unwrap().take().unwrap();
        assert!(signal::unsubscribe(me).unwrap());
        sender.send("returns").unwrap();
        Ok(())
    });
    *own.lock().unwrap() = Some(subscribed);
    raise();
    assert_eq!([next(&told), next(&told)], ["returns", "dropped"]);
    assert!(!signal::unsubscribe(subscribed).unwrap());
    assert_eq!(current().sa_sigaction, libc::SIG_DFL);
}

fn a_callback_may_subscribe_and_end_others() {
    let (sender, told) = mpsc::channel();
    let (made_sender, made) = mpsc::channel();
    let victim = Arc::new(Mutex::new(None));
    let (other, tell) = (victim.clone(), sender.clone());
    let first = subscribe(move |_| {
        if let Some(other) = other.lock().unwrap().take() {
            unsubscribe(other);
            made_sender.send(sending(&tell, "made")).unwrap();
        }
        Ok(())
    });
    *victim.lock().unwrap() = Some(sending(&sender, "ended"));
    raise();
    let made = next(&made);
    raise();
    assert_eq!(next(&told), "made", "what was ended is not called any more");
    unsubscribe(first);
    unsubscribe(made);
}

fn unsubscribe_waits_for_the_callback() {
    let (inside_sender, inside) = mpsc::channel();
    let (go, go_on) = mpsc::channel();
    let finished = Arc::new(AtomicBool::new(false));
    let finish = finished.clone();
    let id = subscribe(move |_| {
        inside_sender.send(()).unwrap();
        next(&go_on);
        finish.store(true, SeqCst);
        Ok(())
    });
    raise();
    next(&inside);
    let (asked_sender, asked) = mpsc::channel();
    let ending = thread::spawn(move || {
        asked_sender.send(()).unwrap();
        let was_subscribed = signal::unsubscribe(id).unwrap();
        (was_subscribed, finished.load(SeqCst))
    });
    next(&asked);
    go.send(()).unwrap();
    assert_eq!(ending.join().unwrap(), (true, true));
}

fn an_error_or_a_panic_stops_nobody() {
    let (sender, told) = mpsc::channel();
    let ids = [
        subscribe(|_| Err(Error::invalid_argument("on purpose"))),
        subscribe(|_| panic!("on purpose")),
        sending(&sender, ()),
    ];
    for _ in 0..2 {
        raise();
        next(&told);
    }
    ids.into_iter().for_each(unsubscribe);
}
