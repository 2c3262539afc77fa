"""Signal handlers of an event loop."""

import asyncio
import os
import signal
import threading

from .event_loop import on_a_loop


@on_a_loop
def signal_handler(trace, loop):
    """A signal's handler is called by the loop."""

    def handler():
        loop.ran("handler")
        trace.event("running", value=asyncio.get_running_loop() is loop.loop)
        loop.loop.stop()

    loop.loop.add_signal_handler(signal.SIGUSR1, handler)
    os.kill(os.getpid(), signal.SIGUSR1)
    trace.event("sent")
    loop.loop.run_forever()


@on_a_loop
def replaced_signal_handler(trace, loop):
    """A second handler of a signal replaces the first."""
    loop.loop.add_signal_handler(signal.SIGUSR1, loop.ran, "first")
    loop.loop.add_signal_handler(signal.SIGUSR1, lambda: (loop.ran("second"), loop.loop.stop()))
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.loop.run_forever()


@on_a_loop
def removed_signal_handler(trace, loop):
    """Removing tells whether there was a handler; afterwards the signal does what it did before."""
    loop.loop.add_signal_handler(signal.SIGUSR1, print)
    trace.call("remove_signal_handler", loop.loop.remove_signal_handler, signal.SIGUSR1)
    trace.call("remove_signal_handler", loop.loop.remove_signal_handler, signal.SIGUSR1)
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGUSR1)
        os._exit(0)
    trace.event("killed by", value=os.WTERMSIG(os.waitpid(pid, 0)[1]))


@on_a_loop
def signal_that_cannot_be_caught(trace, loop):
    """SIGKILL and SIGSTOP have no handlers."""
    trace.call("add_signal_handler", loop.loop.add_signal_handler, signal.SIGKILL, print)
    trace.call("add_signal_handler", loop.loop.add_signal_handler, signal.SIGSTOP, print)


@on_a_loop
def number_that_is_no_signal(trace, loop):
    """What is no signal has no handler."""
    for number in (0, -1, 1000):
        trace.call("add_signal_handler", loop.loop.add_signal_handler, number, print)
        trace.call("remove_signal_handler", loop.loop.remove_signal_handler, number)


@on_a_loop
def signal_handler_in_another_thread(trace, loop):
    """Whether a loop of another thread may have signal handlers."""

    def thread():
        trace.call("add_signal_handler", loop.loop.add_signal_handler, signal.SIGUSR1, print)

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
