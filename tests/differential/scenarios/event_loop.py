"""The event loop: turns, timers, threads, its end."""

import asyncio
import signal
import threading
import time

from .registry import scenario
from .trace import outcome


class Loop:
    """A new loop, whose callbacks note that they were called."""

    def __init__(self, trace):
        self.trace = trace
        self.loop = asyncio.new_event_loop()

    def ran(self, value):
        self.trace.event("ran", value=value)

    def soon(self, value):
        return self.loop.call_soon(self.ran, value)

    def run(self, f=None):
        """Runs `f` from a callback, and until the end of the turn in which it was called."""
        self.loop.call_soon(lambda: (f() if f else None, self.loop.stop()))
        self.loop.run_forever()


def on_a_loop(f):
    """A scenario with a loop, which is closed in the end."""

    def run(trace):
        loop = Loop(trace)
        f(trace, loop)
        loop.loop.close()

    run.__name__, run.__doc__ = f.__name__, f.__doc__
    return scenario(run)


@on_a_loop
def call_soon_order(trace, loop):
    """Callbacks are called in the order in which they were given."""
    for n in range(5):
        loop.soon(n)
    loop.run()


@on_a_loop
def call_soon_from_a_callback(trace, loop):
    """A callback that a callback gives comes after all that were given before, in the next turn."""
    loop.loop.call_soon(lambda: (loop.ran("first"), loop.soon("third")))
    loop.soon("second")
    loop.run()
    trace.event("turn")
    loop.run()


@on_a_loop
def stop_before_the_run(trace, loop):
    """A loop that was stopped before its run does one turn."""
    loop.loop.call_soon(lambda: (loop.ran("first"), loop.soon("second")))
    loop.loop.stop()
    loop.loop.run_forever()
    trace.event("stopped")
    loop.loop.stop()
    loop.loop.run_forever()


@on_a_loop
def stop_from_a_callback(trace, loop):
    """The turn in which a loop is stopped goes on to its end."""
    loop.loop.call_soon(loop.loop.stop)
    loop.loop.call_soon(lambda: (loop.ran("same turn"), loop.soon("next turn")))
    loop.loop.run_forever()
    trace.event("stopped")
    loop.run()


@on_a_loop
def stop_twice(trace, loop):
    """Two stops end one run."""
    loop.loop.stop()
    loop.loop.stop()
    loop.loop.run_forever()
    loop.soon("second run")
    loop.run()


@on_a_loop
def timers_in_the_order_of_their_times(trace, loop):
    """Timers are called in the order of their times, however late it is."""
    now = loop.loop.time()
    for n in (3, 1, 2):
        loop.loop.call_at(now + n / 1000, loop.ran, n)
    loop.loop.call_at(now + 0.004, loop.loop.stop)
    loop.loop.run_forever()


@on_a_loop
def timer_in_the_past(trace, loop):
    """A timer that is due already is called in the next turn, after what was given before that turn."""
    loop.loop.call_at(loop.loop.time() - 1, loop.ran, "timer")
    loop.soon("soon")
    loop.run()


@on_a_loop
def timer_from_a_callback(trace, loop):
    """A timer with no delay is called in the next turn, not in this one."""
    loop.loop.call_soon(lambda: loop.loop.call_at(loop.loop.time() - 1, loop.ran, "timer"))
    loop.soon("soon")
    loop.run()
    trace.event("turn")
    loop.run()


@on_a_loop
def cancelled_callback(trace, loop):
    """A cancelled callback is not called, and may be cancelled again."""
    handle = loop.soon("cancelled")
    loop.soon("kept")
    handle.cancel()
    handle.cancel()
    loop.run()


@on_a_loop
def cancelled_in_the_same_turn(trace, loop):
    """A callback may cancel one that is about to be called."""
    handles = []
    loop.loop.call_soon(lambda: (loop.ran("first"), handles[0].cancel()))
    handles.append(loop.soon("cancelled"))
    loop.soon("last")
    loop.run()


@on_a_loop
def cancelled_timer(trace, loop):
    """A cancelled timer is not called, and keeps nobody waiting."""
    now = loop.loop.time()
    handle = loop.loop.call_at(now + 0.001, loop.ran, "cancelled")
    loop.loop.call_at(now + 0.002, loop.ran, "kept")
    loop.loop.call_at(now + 0.003, loop.loop.stop)
    handle.cancel()
    loop.loop.run_forever()


@on_a_loop
def cancelled_after_its_call(trace, loop):
    """Cancelling what was called already does nothing."""
    handle = loop.soon("called")
    loop.run()
    trace.call("cancel", handle.cancel)
    loop.run()


@on_a_loop
def loop_states(trace, loop):
    """A loop is running in its run, and closed after its close."""

    def state():
        trace.event("state", running=loop.loop.is_running(), closed=loop.loop.is_closed())

    state()
    loop.run(state)
    state()
    loop.loop.close()
    state()


@on_a_loop
def run_inside_itself(trace, loop):
    """A loop cannot be run from its own callback."""
    loop.run(lambda: trace.call("run_forever", loop.loop.run_forever))


@on_a_loop
def run_inside_another(trace, loop):
    """A loop cannot be run from another loop's callback."""
    other = asyncio.new_event_loop()
    loop.run(lambda: trace.call("run_forever", other.run_forever))
    other.close()


@on_a_loop
def run_in_two_threads(trace, loop):
    """A loop that runs in one thread cannot be run in another."""

    def run():
        thread = threading.Thread(target=lambda: trace.call("run_forever", loop.loop.run_forever))
        thread.start()
        thread.join()

    loop.run(run)


@on_a_loop
def close_inside(trace, loop):
    """A running loop cannot be closed, and goes on."""
    loop.loop.call_soon(lambda: trace.call("close", loop.loop.close))
    loop.soon("after")
    loop.run()


@on_a_loop
def close_twice(trace, loop):
    """A loop may be closed twice."""
    trace.call("close", loop.loop.close)
    trace.call("close", loop.loop.close)


@on_a_loop
def close_with_callbacks(trace, loop):
    """What is pending when a loop is closed is not called."""
    loop.soon("pending")
    loop.loop.close()
    trace.call("run_forever", loop.loop.run_forever)


@on_a_loop
def after_close(trace, loop):
    """A closed loop takes nothing."""
    closed = loop.loop
    closed.close()
    trace.call("run_forever", closed.run_forever)
    trace.call("call_soon", lambda: bool(closed.call_soon(print)))
    trace.call("call_soon_threadsafe", lambda: bool(closed.call_soon_threadsafe(print)))
    trace.call("call_later", lambda: bool(closed.call_later(1, print)))
    trace.call("call_at", lambda: bool(closed.call_at(1, print)))
    trace.call("add_reader", closed.add_reader, 0, print)
    trace.call("add_writer", closed.add_writer, 0, print)
    trace.call("add_signal_handler", closed.add_signal_handler, signal.SIGUSR1, print)


@on_a_loop
def removals_after_close(trace, loop):
    """What a closed loop says to removals and to a stop."""
    closed = loop.loop
    closed.close()
    trace.call("remove_reader", closed.remove_reader, 0)
    trace.call("remove_writer", closed.remove_writer, 0)
    trace.call("remove_signal_handler", closed.remove_signal_handler, signal.SIGUSR1)
    trace.call("stop", closed.stop)


def in_a_thread_beside(loop, f):
    """Runs the loop, and `f` in another thread once it is running."""
    loop.loop.call_soon(threading.Thread(target=f).start)
    loop.loop.run_forever()


@on_a_loop
def call_soon_threadsafe_wakes(trace, loop):
    """A loop that has nothing to do is woken from another thread."""

    def thread():
        loop.loop.call_soon_threadsafe(loop.ran, "woken")
        loop.loop.call_soon_threadsafe(loop.loop.stop)

    in_a_thread_beside(loop, thread)


@on_a_loop
def call_soon_threadsafe_order(trace, loop):
    """What one thread gives to another one's loop stays in order."""
    seen = []

    def thread():
        for n in range(1000):
            loop.loop.call_soon_threadsafe(seen.append, n)
        loop.loop.call_soon_threadsafe(loop.loop.stop)

    in_a_thread_beside(loop, thread)
    trace.event("in order", value=seen == list(range(1000)))


@on_a_loop
def call_soon_threadsafe_between(trace, loop):
    """Callbacks of both kinds are called in the order in which they were given."""
    loop.soon(1)
    loop.loop.call_soon_threadsafe(loop.ran, 2)
    loop.soon(3)
    loop.run()


def call_soon_elsewhere(trace, loop):
    words = {}

    def thread():
        words.update(outcome(lambda: bool(loop.soon("from another thread")))[0])
        loop.loop.call_soon_threadsafe(loop.loop.stop)

    in_a_thread_beside(loop, thread)
    # The thread itself would be in a race with the callback.
    trace.event("call_soon", **words)


@on_a_loop
def call_soon_in_another_thread(trace, loop):
    """call_soon is for the thread of the loop; nobody looks."""
    call_soon_elsewhere(trace, loop)


@on_a_loop
def call_soon_in_another_thread_in_debug_mode(trace, loop):
    """call_soon is for the thread of the loop; the debug mode looks."""
    loop.loop.set_debug(True)
    call_soon_elsewhere(trace, loop)


@on_a_loop
def slow_callback(trace, loop):
    """The debug mode reports a callback that takes more than a tenth of a second."""
    trace.listen()
    loop.loop.set_debug(True)
    loop.loop.call_soon(time.sleep, 0.15)
    loop.soon("next")
    loop.run()


@scenario
def abstract_event_loop(trace):
    """A loop that writes nothing can do nothing."""
    loop = asyncio.AbstractEventLoop()
    trace.call("run_forever", loop.run_forever)
    trace.call("stop", loop.stop)
    trace.call("close", loop.close)
    trace.call("call_soon", loop.call_soon, print)
    trace.call("call_soon_threadsafe", loop.call_soon_threadsafe, print)
    trace.call("call_at", loop.call_at, 0, print)
    trace.call("add_reader", loop.add_reader, 0, print)
    trace.call("remove_reader", loop.remove_reader, 0)
    trace.call("add_writer", loop.add_writer, 0, print)
    trace.call("remove_writer", loop.remove_writer, 0)
    trace.call("add_signal_handler", loop.add_signal_handler, 1, print)
    trace.call("remove_signal_handler", loop.remove_signal_handler, 1)
    trace.call("set_exception_handler", loop.set_exception_handler, None)
    trace.call("set_debug", loop.set_debug, True)
