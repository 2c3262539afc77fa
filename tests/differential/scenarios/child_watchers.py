"""The child watchers, each by itself: a loop, a watcher that is attached to it, and children of the process."""

import asyncio
import os
import signal
import threading

from .registry import WATCHERS, on_each_watcher, scenario
from .trace import outcome


class Child:
    """A shell that runs a script; `read` in the script waits for `release`."""

    def __init__(self, script):
        stdin, self._stdin = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(stdin, 0)
            os.execv("/bin/sh", ["sh", "-c", script])
        os.close(stdin)

    def release(self):
        os.close(self._stdin)

    def wait_until(self, flags):
        """Waits for a change and leaves it for others to see."""
        try:
            os.waitid(os.P_PID, self.pid, flags | os.WNOWAIT)
        except ChildProcessError:
            pass

    def wait_until_dead(self):
        self.wait_until(os.WEXITED)


class Stage:
    """A loop, a watcher and what its handlers were told."""

    def __init__(self, trace, name):
        self.trace = trace
        self.watcher = new_watcher(trace, name)
        self.loop = asyncio.new_event_loop()
        self.codes = []

    def attach(self):
        self.watcher.attach_loop(self.loop)
        return self

    def inside(self, f, *args):
        """Calls `f` from inside the running loop."""

        async def main():
            return f(*args)

        return self.loop.run_until_complete(main())

    def handler(self, pid, code):
        self.codes.append(code)

    def add(self, child, handler=None):
        """Adds a handler, in the block that asyncio puts around it."""

        def add():
            with self.watcher:
                self.watcher.add_child_handler(child.pid, handler or self.handler)

        self.inside(add)

    def run_until(self, condition):
        async def main():
            while not condition():
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(main())

    def next_code(self):
        """Waits for a handler and notes what it was told."""
        self.run_until(lambda: self.codes)
        self.trace.event("returncode", value=self.codes.pop(0))

    def settle(self, *children):
        """Lets the deaths of these children have all their consequences."""
        for child in children:
            # The kernel sends SIGCHLD before it says so.
            child.wait_until_dead()
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join()

        async def turns():
            for _ in range(10):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    def rest(self):
        """Notes what came, in an order that does not depend on who was first."""
        self.trace.event("returncodes", value=sorted(self.codes))


def end_together(children):
    """Releases children and waits until all are dead, and only then lets SIGCHLD come, once for all."""
    # A MultiLoopChildWatcher whose signal handler is interrupted by itself may report 255 for one of them.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    for child in children:
        child.release()
        child.wait_until_dead()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


def new_watcher(trace, name):
    if not hasattr(asyncio, WATCHERS[name]):
        trace.skip("no {} in this version".format(WATCHERS[name]))
    return getattr(asyncio, WATCHERS[name])()


def attached(f):
    """A scenario on a stage whose watcher is attached."""

    def run(trace, watcher):
        stage = Stage(trace, watcher).attach()
        f(trace, stage)

    run.__name__, run.__doc__ = f.__name__, f.__doc__
    return on_each_watcher(run)


def without_threads(why):
    """Not for the watcher whose threads race with what the scenario does."""

    def decorate(f):
        def run(trace, stage):
            if isinstance(stage.watcher, getattr(asyncio, "ThreadedChildWatcher", ())):
                trace.skip(why)
            f(trace, stage)

        run.__name__, run.__doc__ = f.__name__, f.__doc__
        return run

    return decorate


@attached
def exit_statuses(trace, stage):
    """Statuses as returncodes: 0 to 255, or minus the signal."""
    for script in ("exit 0", "exit 3", "exit 255", "kill -TERM $$", "kill -KILL $$"):
        child = Child("read line; " + script)
        stage.add(child)
        child.release()
        stage.next_code()


@attached
def several_children(trace, stage):
    """Children that end together are told apart."""
    children = [Child("read line; exit {}".format(n)) for n in range(5)]
    told = []
    for n, child in enumerate(children):
        # The pid is compared, for it says that a status went to the right handler.
        stage.add(child, lambda pid, code, child=child: told.append((code, pid == child.pid)))
    end_together(children)
    stage.run_until(lambda: len(told) == len(children))
    for code, own in sorted(told):
        trace.event("returncode", value=code, own=own)


@attached
def stop_and_continue(trace, stage):
    """Only the end of a child is told, not that it was stopped and continued."""
    child = Child("read line; exit 5")
    stage.add(child)
    os.kill(child.pid, signal.SIGSTOP)
    child.wait_until(os.WSTOPPED)
    stage.inside(lambda: None)
    os.kill(child.pid, signal.SIGCONT)
    child.wait_until(os.WCONTINUED)
    stage.inside(lambda: None)
    child.release()
    stage.next_code()


@attached
def unknown_pid(trace, stage):
    """The pid of a child that was reaped before."""
    child = Child("exit 0")
    os.waitpid(child.pid, 0)
    trace.listen()
    words, _ = outcome(stage.add, child)
    stage.settle()
    # Only now, for a thread would be in a race with it.
    trace.event("add_child_handler", **words)
    stage.rest()


@attached
def negative_pid(trace, stage):
    """What can be no pid."""

    class Nobody:
        pid = -1

    trace.call("add_child_handler", stage.add, Nobody)


@attached
def same_pid_twice(trace, stage):
    """A second handler for a child, before it ends."""
    child = Child("read line; exit 4")
    who = []
    stage.add(child, lambda pid, code: (who.append("first"), stage.handler(pid, code)))
    stage.add(child, lambda pid, code: (who.append("second"), stage.handler(pid, code)))
    child.release()
    stage.settle(child)
    trace.event("called", value=sorted(who))
    stage.rest()


@attached
def remove_child_handler(trace, stage):
    """Removing tells whether there was a handler, and then it is not called."""
    child = Child("read line; exit 4")
    stage.add(child)
    trace.call("remove_child_handler", stage.watcher.remove_child_handler, child.pid)
    trace.call("remove_child_handler", stage.watcher.remove_child_handler, child.pid)
    child.release()
    stage.settle(child)
    stage.rest()


@attached
def add_again_after_removal(trace, stage):
    """A child whose handler was removed may get another one."""
    child = Child("read line; exit 6")
    who = []
    stage.add(child, lambda pid, code: (who.append("removed"), stage.handler(pid, code)))
    stage.watcher.remove_child_handler(child.pid)
    stage.add(child, lambda pid, code: (who.append("added"), stage.handler(pid, code)))
    child.release()
    stage.settle(child)
    trace.event("called", value=sorted(who))
    stage.rest()


@attached
def dead_before_the_handler(trace, stage):
    """A child that ends between its start and add_child_handler, inside the watcher's block."""

    def start_and_add():
        with stage.watcher:
            child = Child("exit 7")
            child.wait_until_dead()
            stage.watcher.add_child_handler(child.pid, told)
            trace.event("added")

    def told(pid, code):
        stage.handler(pid, code)
        trace.event("told")

    stage.inside(start_and_add)
    stage.settle()
    stage.rest()


@attached
def noticed_before_the_handler(trace, stage):
    """The same, and the watcher has noticed the end before it knows the child."""
    with stage.watcher:
        child = Child("exit 7")
        stage.settle(child)
        stage.add(child)
    stage.settle()
    stage.rest()


@attached
def outside_the_block(trace, stage):
    """add_child_handler without the watcher's block."""
    child = Child("read line; exit 4")
    trace.call("add_child_handler", stage.inside, stage.watcher.add_child_handler, child.pid, stage.handler)
    child.release()
    stage.settle(child)
    stage.rest()


def unrelated(trace, stage):
    child, own = Child("exit 6"), Child("read line; exit 3")
    stage.add(own)
    child.wait_until_dead()
    stage.inside(lambda: None)
    own.release()
    stage.next_code()
    stage.settle()
    trace.call("waitpid", lambda: os.WEXITSTATUS(os.waitpid(child.pid, 0)[1]))


@attached
def unrelated_child(trace, stage):
    """A child that the watcher was never told of."""
    trace.listen()
    unrelated(trace, stage)


@attached
def unrelated_child_in_the_block(trace, stage):
    """The same, inside the watcher's block."""
    trace.listen()
    with stage.watcher:
        unrelated(trace, stage)
        trace.event("end of the block")


@attached
@without_threads("two threads wait for the same child")
def reaped_by_somebody_else(trace, stage):
    """Somebody else takes the status before the watcher."""
    # Until then the watcher must not know.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    child = Child("read line; exit 3")
    stage.add(child)
    child.release()
    os.waitpid(child.pid, 0)
    trace.listen()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    stage.settle()
    stage.rest()


@attached
def failing_handler(trace, stage):
    """After a handler that fails others are called."""
    stage.loop.set_exception_handler(lambda *_: None)

    def failing(pid, code):
        stage.handler(pid, code)
        raise NotImplementedError

    for script, handler in (("exit 1", failing), ("exit 2", None)):
        child = Child("read line; " + script)
        stage.add(child, handler)
        child.release()
        stage.next_code()


@attached
def handler_uses_the_watcher(trace, stage):
    """A handler may add another child."""
    first, second = Child("read line; exit 1"), Child("read line; exit 2")

    def told(pid, code):
        stage.handler(pid, code)
        with stage.watcher:
            stage.watcher.add_child_handler(second.pid, stage.handler)

    stage.add(first, told)
    first.release()
    stage.next_code()
    second.release()
    stage.next_code()


@attached
def close_twice(trace, stage):
    """A watcher may be closed twice."""
    trace.call("close", stage.watcher.close)
    trace.call("close", stage.watcher.close)


@attached
def close_with_pending(trace, stage):
    """What becomes of a handler when its watcher is closed."""
    trace.listen()
    child = Child("read line; exit 4")
    stage.add(child)
    trace.call("close", stage.watcher.close)
    child.release()
    stage.settle(child)
    stage.rest()


@attached
def detach_with_pending(trace, stage):
    """What becomes of a handler while its watcher is attached to no loop, and after that."""
    trace.listen()
    child = Child("read line; exit 4")
    stage.add(child)
    trace.call("attach_loop", stage.watcher.attach_loop, None)
    child.release()
    stage.settle(child)
    trace.call("attach_loop", stage.watcher.attach_loop, stage.loop)
    stage.settle()
    stage.rest()


@attached
def attach_another_loop(trace, stage):
    """What becomes of a handler when its watcher is attached to another loop."""
    trace.listen()
    first, old = Child("read line; exit 4"), stage.loop
    stage.add(first)
    stage.loop = asyncio.new_event_loop()
    trace.call("attach_loop", stage.watcher.attach_loop, stage.loop)
    second = Child("read line; exit 5")
    stage.add(second)
    end_together([first, second])
    stage.settle(first, second)
    # Whatever is left for the old one.
    stage.loop, new = old, stage.loop
    stage.settle()
    new.close()
    stage.rest()


@on_each_watcher
def is_active(trace, watcher):
    """When a watcher says that it would notice the end of a child."""
    stage = Stage(trace, watcher)
    if not hasattr(stage.watcher, "is_active"):
        trace.skip("no is_active in this version")

    def active(when):
        trace.event("is_active", when=when, value=stage.watcher.is_active())

    active("new")
    stage.inside(active, "new, inside a running loop")
    stage.attach()
    active("attached")
    stage.inside(active, "attached to the running loop")
    stage.watcher.attach_loop(None)
    stage.inside(active, "detached, inside a running loop")
    stage.attach()
    stage.watcher.close()
    stage.inside(active, "closed, inside a running loop")


@on_each_watcher
def attach_in_another_thread(trace, watcher):
    """attach_loop from a thread that is not the main thread."""
    stage = Stage(trace, watcher)
    thread = threading.Thread(target=lambda: trace.call("attach_loop", stage.watcher.attach_loop, stage.loop))
    thread.start()
    thread.join()


@on_each_watcher
def attach_a_closed_loop(trace, watcher):
    """attach_loop with a loop that is closed."""
    stage = Stage(trace, watcher)
    stage.loop.close()
    trace.call("attach_loop", stage.watcher.attach_loop, stage.loop)


@on_each_watcher
def watcher_constructor(trace, watcher):
    """Whether making one is deprecated."""
    trace.listen()
    trace.event("watcher", value=type(new_watcher(trace, watcher)).__name__)


@scenario
def abstract_child_watcher(trace):
    """A watcher that writes nothing can do nothing."""
    watcher = asyncio.AbstractChildWatcher()
    trace.call("add_child_handler", watcher.add_child_handler, 1, print)
    trace.call("remove_child_handler", watcher.remove_child_handler, 1)
    trace.call("attach_loop", watcher.attach_loop, None)
    trace.call("close", watcher.close)
    trace.call("begin_spawn", watcher.__enter__)
    trace.call("end_spawn", watcher.__exit__, None, None, None)
