//! The handles of one loop.

use std::{
    alloc::{Layout, handle_alloc_error},
    collections::HashMap,
    ffi::c_int,
    io,
    ptr::{self, NonNull},
    sync::Arc,
    time::Duration,
};

use libc::{EPOLL_CTL_ADD, epoll_event};
use loophost_plugin_api::{Fd, Interest};

use super::{
    library::{HandleHead, HandleType, Library, LoopHead, RUN_DEFAULT, RUN_NOWAIT},
    uv_loop::{call_after_wait, call_before_wait, call_ready, call_woken},
    waker::Waker,
};

/// The handles of a libuv loop, in the hands of the thread that owns it. Dropped without [`close`](Self::close) they
/// are leaked: that is for the child of a fork(2), where all of it is the parent's.
pub(crate) struct Handles {
    library: Arc<Library>,
    event_loop: NonNull<LoopHead>,
    waker: Arc<Waker>,
    /// Ends the wait at a time.
    timer: NonNull<HandleHead>,
    /// While it is active libuv does not wait.
    idle: NonNull<HandleHead>,
    prepare: NonNull<HandleHead>,
    check: NonNull<HandleHead>,
    polls: HashMap<c_int, NonNull<HandleHead>>,
    /// The descriptors that libuv will tell the kernel of when it waits next.
    changed: Vec<c_int>,
    /// Whether `uv_run` runs.
    pub(super) is_entered: bool,
}

// SAFETY: libuv's loops are bound to no thread; they must be used by one at a time, which `&mut` and the cell see to.
unsafe impl Send for Handles {}

impl Handles {
    pub(super) fn new(library: Arc<Library>) -> io::Result<Self> {
        // For the first loop libuv needs a pipe, besides an epoll, and aborts the process if it gets none.
        drop((io::pipe()?, io::pipe()?));
        let functions = &library.functions;
        // SAFETY: it returns a constant.
        let event_loop: NonNull<LoopHead> = allocate(unsafe { (functions.uv_loop_size)() });
        // SAFETY: the memory is as large as libuv wants it.
        if let Err(error) = checked(unsafe { (functions.uv_loop_init)(event_loop.as_ptr()) }) {
            // SAFETY: libuv does not use the memory of a loop that it could not make.
            unsafe { libc::free(event_loop.as_ptr().cast()) };
            return Err(error);
        }
        // SAFETY: it returns a constant.
        let handle = |kind| allocate::<HandleHead>(unsafe { (functions.uv_handle_size)(kind) });
        let (loop_, wake) = (event_loop.as_ptr(), handle(HandleType::Async));
        // SAFETY: an initialised loop, and memory as large as libuv wants it; so with all that follow.
        if let Err(error) = checked(unsafe { (functions.uv_async_init)(loop_, wake.as_ptr(), call_woken) }) {
            // SAFETY: the handle was not made, and the loop has no other.
            unsafe {
                (functions.uv_loop_close)(loop_);
                libc::free(wake.as_ptr().cast());
                libc::free(loop_.cast());
            }
            return Err(error);
        }
        let (timer, idle) = (handle(HandleType::Timer), handle(HandleType::Idle));
        let (prepare, check) = (handle(HandleType::Prepare), handle(HandleType::Check));
        // SAFETY: as above. None of these can fail.
        unsafe {
            (functions.uv_timer_init)(loop_, timer.as_ptr());
            (functions.uv_idle_init)(loop_, idle.as_ptr());
            (functions.uv_prepare_init)(loop_, prepare.as_ptr());
            (functions.uv_check_init)(loop_, check.as_ptr());
            // Now the kernel knows of the waker, also if the loop is never run but by another one that waits for it.
            (functions.uv_run)(loop_, RUN_NOWAIT);
            (functions.uv_prepare_start)(prepare.as_ptr(), call_before_wait);
            (functions.uv_check_start)(check.as_ptr(), call_after_wait);
        }
        let waker = Arc::new(Waker::new(library.clone(), wake));
        let (polls, changed) = (HashMap::new(), Vec::new());
        Ok(Self {
            library,
            event_loop,
            waker,
            timer,
            idle,
            prepare,
            check,
            polls,
            changed,
            is_entered: false,
        })
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    pub(super) fn event_loop(&self) -> NonNull<LoopHead> {
        self.event_loop
    }

    /// Begins to watch a descriptor, for nothing yet. libuv makes descriptors non-blocking; this one stays what it was,
    /// because it may be shared with other processes.
    pub(crate) fn open(&mut self, fd: Fd) -> io::Result<()> {
        // libuv indexes an array with it, unchecked.
        let fd = c_int::try_from(fd).ok().filter(|fd| *fd >= 0);
        let fd = fd.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        // SAFETY: it takes no pointer; the kernel checks the descriptor.
        let flags = succeeded(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
        let functions = &self.library.functions;
        // SAFETY: it returns a constant.
        let poll: NonNull<HandleHead> = allocate(unsafe { (functions.uv_handle_size)(HandleType::Poll) });
        // SAFETY: the loop is open and ours; the memory is as large as libuv wants it.
        let made = checked(unsafe { (functions.uv_poll_init)(self.event_loop.as_ptr(), poll.as_ptr(), fd) });
        if flags & libc::O_NONBLOCK == 0 {
            // SAFETY: as above.
            unsafe { libc::fcntl(fd, libc::F_SETFL, flags) };
        }
        if let Err(error) = made {
            // SAFETY: libuv does not use the memory of a handle that it could not make.
            unsafe { libc::free(poll.as_ptr().cast()) };
            return Err(error);
        }
        // SAFETY: a handle begins with its user's data.
        unsafe { (*poll.as_ptr()).data = ptr::without_provenance_mut(fd as usize) };
        self.polls.insert(fd, poll);
        Ok(())
    }

    /// Watches an opened descriptor for this from now on, and for nothing else.
    pub(crate) fn start(&mut self, fd: Fd, interest: Interest) {
        let Some((fd, poll)) = self.poll(fd) else { return };
        // SAFETY: the handle is open, for it is in the table. With no events it stops.
        unsafe { (self.library.functions.uv_poll_start)(poll.as_ptr(), interest.0 as c_int, call_ready) };
        if !interest.is_empty() {
            self.changed.push(fd);
        }
    }

    /// Ends [`open`](Self::open).
    pub(crate) fn end(&mut self, fd: Fd) {
        if let Some((fd, poll)) = self.poll(fd) {
            self.polls.remove(&fd);
            // SAFETY: it was open, and is out of the table now.
            unsafe { self.close_handle(poll) };
        }
    }

    /// Whether the kernel will be told of something when the loop waits next; libuv 1.44 and newer would say so itself.
    pub(crate) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Stops what cannot be watched any more, because it was closed meanwhile: libuv would abort the process.
    pub(crate) fn stop_unwatchable(&mut self) -> Vec<(Fd, io::Error)> {
        let mut stopped = Vec::new();
        for fd in std::mem::take(&mut self.changed) {
            let Some(poll) = self.polls.get(&fd) else { continue };
            if let Err(error) = self.probe(fd.into()) {
                // SAFETY: the handle is open, for it is in the table.
                unsafe { (self.library.functions.uv_poll_stop)(poll.as_ptr()) };
                stopped.push((fd.into(), error));
            }
        }
        stopped
    }

    /// Whether the kernel lets libuv's epoll watch a descriptor now.
    pub(crate) fn probe(&self, fd: Fd) -> io::Result<()> {
        let mut event = epoll_event { events: 0, u64: fd as u64 };
        // SAFETY: the kernel reads the event and checks the descriptors. What is added is added for no events: libuv
        // changes that when it adds it itself, as it does after a fork, and deletes it when the handle stops.
        let added = succeeded(unsafe {
            libc::epoll_ctl(self.backend_fd() as c_int, EPOLL_CTL_ADD, fd as c_int, &mut event)
        });
        match added {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            result => result.map(drop),
        }
    }

    /// How long the next wait may be at the most.
    pub(crate) fn set_wait(&mut self, limit: Option<Duration>) {
        let functions = &self.library.functions;
        // SAFETY: the loop and its handles are open and ours. Starting and stopping cannot fail, nor do they call back.
        unsafe {
            if limit == Some(Duration::ZERO) {
                (functions.uv_idle_start)(self.idle.as_ptr(), do_nothing);
                return;
            }
            (functions.uv_idle_stop)(self.idle.as_ptr());
            let Some(limit) = limit else {
                (functions.uv_timer_stop)(self.timer.as_ptr());
                return;
            };
            // libuv counts from the time of its last look.
            (functions.uv_update_time)(self.event_loop.as_ptr());
            let ms = u64::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            (functions.uv_timer_start)(self.timer.as_ptr(), do_nothing, ms, 0);
        }
    }

    /// Ends the run after the turn that is under way.
    pub(crate) fn stop(&mut self) {
        // SAFETY: the loop is open and ours.
        unsafe { (self.library.functions.uv_stop)(self.event_loop.as_ptr()) };
    }

    /// libuv's epoll.
    pub(crate) fn backend_fd(&self) -> Fd {
        // SAFETY: the loop is open and ours.
        unsafe { (self.library.functions.uv_backend_fd)(self.event_loop.as_ptr()) }.into()
    }

    /// How long libuv would wait now; `None` without a limit.
    pub(crate) fn backend_timeout(&mut self) -> Option<Duration> {
        // SAFETY: the loop is open and ours.
        let ms = unsafe {
            (self.library.functions.uv_update_time)(self.event_loop.as_ptr());
            (self.library.functions.uv_backend_timeout)(self.event_loop.as_ptr())
        };
        u64::try_from(ms).ok().map(Duration::from_millis)
    }

    /// Closes all handles, waits until libuv has given them back, and closes the loop.
    pub(super) fn close(mut self) {
        let polls = std::mem::take(&mut self.polls).into_values();
        let own = [self.timer, self.idle, self.prepare, self.check];
        let (event_loop, functions) = (self.event_loop.as_ptr(), &self.library.functions);
        for handle in polls.chain(own).chain(self.waker.take()) {
            // SAFETY: they are open, and nobody has them any more.
            unsafe { self.close_handle(handle) };
        }
        // SAFETY: nothing else runs this loop (`UvLoop` has looked). All it has to do is to call `free_handle`.
        unsafe { (functions.uv_run)(event_loop, RUN_DEFAULT) };
        // SAFETY: nothing runs it now.
        match checked(unsafe { (functions.uv_loop_close)(event_loop) }) {
            // SAFETY: libuv does not use the memory of a closed loop.
            Ok(()) => unsafe { libc::free(event_loop.cast()) },
            Err(error) => tracing::error!("libuv did not close its loop, which is leaked: {error}"),
        }
    }

    /// # Safety
    /// The handle is open, and is not used afterwards.
    unsafe fn close_handle(&self, handle: NonNull<HandleHead>) {
        // SAFETY: the caller guarantees that it is open; its memory stays until libuv calls `free_handle`.
        unsafe { (self.library.functions.uv_close)(handle.as_ptr(), free_handle) };
    }

    fn poll(&self, fd: Fd) -> Option<(c_int, NonNull<HandleHead>)> {
        let fd = c_int::try_from(fd).ok()?;
        Some((fd, *self.polls.get(&fd)?))
    }
}

/// Memory that libuv lays out, zeroed, given back by free(3).
fn allocate<T>(size: usize) -> NonNull<T> {
    let size = size.max(size_of::<T>());
    // SAFETY: any size will do.
    let memory = unsafe { libc::calloc(1, size) };
    NonNull::new(memory.cast())
        .unwrap_or_else(|| handle_alloc_error(Layout::array::<u8>(size).expect("libuv's structs are small")))
}

/// What libuv returns: 0 or more, or a negative error number.
fn checked(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
}

/// What a system call returns.
fn succeeded(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

unsafe extern "C" fn do_nothing(_: *mut HandleHead) {}

unsafe extern "C" fn free_handle(handle: *mut HandleHead) {
    // SAFETY: libuv calls this once, when it does not use the handle any more; the memory came from calloc(3).
    unsafe { libc::free(handle.cast()) }
}
