//! A libuv loop and its user's state in one cell, and what libuv calls while it runs.

use std::{
    any::Any,
    cell::Cell,
    ffi::c_int,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr,
    sync::Arc,
};

use loophost_plugin_api::{Error, ErrorCode, Fd, Hold, Interest, LoopCell, Running};

use super::{
    handles::Handles,
    library::{HandleHead, Library, LoopHead, RUN_DEFAULT, RUN_ONCE},
    waker::Waker,
};

/// What libuv calls, in the thread that runs the loop, with nothing borrowed.
pub(crate) trait Calls {
    /// The loop is about to wait.
    fn before_wait(&self);
    /// The loop has waited, and has told all that is ready.
    fn after_wait(&self);
    /// Somebody has woken it.
    fn woken(&self);
    /// A descriptor is ready for this. `stopped`: libuv does not watch it any more, as always after an error.
    fn ready(&self, fd: Fd, ready: Interest, stopped: bool);
}

/// How far a run goes.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// One turn.
    Once,
    /// Until [`Handles::stop`].
    UntilStop,
}

/// A libuv loop, and the state that goes with it.
pub(crate) struct UvLoop<S> {
    library: Arc<Library>,
    cell: LoopCell<Inside<S>>,
}

pub(crate) struct Inside<S> {
    /// `None` when it is closed.
    handles: Option<Handles>,
    state: S,
}

impl<S: Default> UvLoop<S> {
    pub(crate) fn new(library: Arc<Library>) -> io::Result<(Self, Arc<Waker>)> {
        let handles = Handles::new(library.clone())?;
        let waker = handles.waker();
        let inside = Inside { handles: Some(handles), state: S::default() };
        Ok((Self { library, cell: LoopCell::new(inside) }, waker))
    }

    /// Uses handles and state. What `f` owns is not dropped inside if the loop is closed.
    ///
    /// # Errors
    /// `LoopClosed`, and those of [`LoopCell::with`].
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Handles, &mut S) -> R) -> Result<R, Error> {
        let mut f = Some(f);
        let result = self.cell.with(|inside| {
            let handles = inside.handles.as_mut()?;
            f.take().map(|f| f(handles, &mut inside.state))
        })?;
        result.ok_or_else(Error::loop_closed)
    }

    /// Makes this thread the owner for the time of a run; see [`LoopCell::run`].
    pub(crate) fn own(&self) -> Result<Running<'_, Inside<S>>, Error> {
        self.cell.run()
    }

    /// Keeps other threads out for the time of a method; see [`LoopCell::hold`].
    pub(crate) fn hold(&self) -> Result<Hold<'_, Inside<S>>, Error> {
        self.cell.hold()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.cell.is_running()
    }

    /// Runs libuv, which calls `calls`. A panic in there ends the run and goes on here.
    ///
    /// # Errors
    /// `LoopRunning` if it runs already, and those of [`with`](Self::with).
    pub(crate) fn run(&self, run: Run, calls: &dyn Calls) -> Result<(), Error> {
        let _hold = self.cell.hold()?;
        let event_loop = self.with(|handles, _| {
            if handles.is_entered {
                return Err(running());
            }
            handles.is_entered = true;
            Ok(handles.event_loop().as_ptr())
        })??;
        let functions = &self.library.functions;
        let frame = Frame { calls, panic: Cell::new(None), stop: functions.uv_stop };
        let mode = match run {
            Run::Once => RUN_ONCE,
            Run::UntilStop => RUN_DEFAULT,
        };
        // SAFETY: the loop is open and stays so, for `close` looks at `is_entered`; this thread holds the cell, so no
        // other uses the loop. libuv calls back from inside `uv_run` only, where the data leads to the frame.
        unsafe {
            (*event_loop).data = ptr::from_ref(&frame).cast_mut().cast();
            (functions.uv_run)(event_loop, mode);
            (*event_loop).data = ptr::null_mut();
        }
        self.with(|handles, _| handles.is_entered = false)?;
        match frame.panic.take() {
            Some(panic) => resume_unwind(panic),
            None => Ok(()),
        }
    }

    /// Closes the loop; the state is the caller's, to be dropped. The second time it is an empty one.
    ///
    /// # Errors
    /// `LoopRunning` if it runs, `Busy` if another thread is using it.
    pub(crate) fn close(&self) -> Result<S, Error> {
        let _hold = self.cell.hold()?;
        let (handles, state) = self.take()?;
        if let Some(handles) = handles {
            handles.close();
        }
        Ok(state)
    }

    /// As [`close`](Self::close) in a child of fork(2), where whatever libuv has is the parent's and is left alone.
    pub(crate) fn abandon(&self) -> Result<S, Error> {
        self.take().map(|(_, state)| state)
    }

    fn take(&self) -> Result<(Option<Handles>, S), Error> {
        self.cell.with(|inside| match &inside.handles {
            Some(handles) if handles.is_entered => Err(running()),
            _ => Ok((inside.handles.take(), std::mem::take(&mut inside.state))),
        })?
    }
}

fn running() -> Error {
    Error::new(ErrorCode::LOOP_RUNNING, "cannot run or close a running event loop: stop it first")
}

/// What the loop's data leads to while it runs.
struct Frame<'a> {
    calls: &'a dyn Calls,
    /// What is to go on when libuv has returned, for it cannot be unwound.
    panic: Cell<Option<Box<dyn Any + Send>>>,
    stop: unsafe extern "C" fn(*mut LoopHead),
}

/// Calls on from one of libuv's callbacks.
///
/// # Safety
/// libuv calls back with this handle.
unsafe fn call(handle: *mut HandleHead, f: impl FnOnce(&dyn Calls)) {
    // SAFETY: libuv gives a handle of the loop that runs, whose data leads to the frame of that run. Nothing in here is
    // borrowed mutably.
    let (event_loop, frame) = unsafe {
        let event_loop = (*handle).event_loop;
        (event_loop, &*(*event_loop).data.cast::<Frame<'_>>())
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| f(frame.calls))) {
        frame.panic.set(Some(panic));
        // SAFETY: the loop runs, in this thread.
        unsafe { (frame.stop)(event_loop) };
    }
}

pub(super) unsafe extern "C" fn call_before_wait(handle: *mut HandleHead) {
    // SAFETY: libuv calls.
    unsafe { call(handle, |calls| calls.before_wait()) }
}

pub(super) unsafe extern "C" fn call_after_wait(handle: *mut HandleHead) {
    // SAFETY: libuv calls.
    unsafe { call(handle, |calls| calls.after_wait()) }
}

pub(super) unsafe extern "C" fn call_woken(handle: *mut HandleHead) {
    // SAFETY: libuv calls.
    unsafe { call(handle, |calls| calls.woken()) }
}

pub(super) unsafe extern "C" fn call_ready(handle: *mut HandleHead, status: c_int, events: c_int) {
    // SAFETY: libuv calls with a handle of `Handles::open`, which has put the descriptor there.
    let fd = unsafe { (*handle).data }.addr() as Fd;
    let ready = if status < 0 { Interest::BOTH } else { Interest(events as u32 & Interest::BOTH.0) };
    // SAFETY: libuv calls.
    unsafe { call(handle, |calls| calls.ready(fd, ready, status < 0)) }
}
