"""Errors in what an event loop calls."""

import os
import signal

from .descriptors import with_sockets
from .event_loop import on_a_loop


def failing():
    raise NotImplementedError


def note_exceptions(trace, loop):
    def handler(_, context):
        trace.event("exception handler", error=type(context["exception"]).__name__)

    loop.loop.set_exception_handler(handler)


@on_a_loop
def exception_in_a_callback(trace, loop):
    """An error in a callback goes to the exception handler, and the loop goes on."""
    note_exceptions(trace, loop)
    loop.loop.call_soon(failing)
    loop.soon("next")
    loop.run()


@on_a_loop
def exception_in_a_timer(trace, loop):
    """So does one in a timer."""
    note_exceptions(trace, loop)
    loop.loop.call_at(loop.loop.time() - 1, failing)
    loop.run()
    loop.soon("next")
    loop.run()


@with_sockets
def exception_in_a_reader(trace, loop, ours, theirs):
    """So does one in a reader, which stays."""
    note_exceptions(trace, loop)
    calls = []

    def readable():
        calls.append(None)
        if len(calls) == 2:
            loop.loop.stop()
        raise NotImplementedError

    loop.loop.add_reader(ours.fileno(), readable)
    theirs.send(b"x")
    loop.loop.run_forever()


@on_a_loop
def exception_in_a_signal_handler(trace, loop):
    """So does one in a signal handler, which stays."""
    note_exceptions(trace, loop)
    calls = []

    def handler():
        calls.append(None)
        if len(calls) == 2:
            loop.loop.stop()
        else:
            os.kill(os.getpid(), signal.SIGUSR1)
        raise NotImplementedError

    loop.loop.add_signal_handler(signal.SIGUSR1, handler)
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.loop.run_forever()


@on_a_loop
def exception_without_a_handler(trace, loop):
    """Without a handler, or after it was reset, it is logged."""
    trace.listen()
    note_exceptions(trace, loop)
    loop.loop.set_exception_handler(None)
    loop.loop.call_soon(failing)
    loop.soon("next")
    loop.run()


@on_a_loop
def exception_in_the_exception_handler(trace, loop):
    """An error in the exception handler is logged, and the loop goes on."""
    loop.loop.set_exception_handler(lambda *_: failing())
    loop.loop.call_soon(failing)
    loop.soon("next")
    loop.run()


@on_a_loop
def call_exception_handler(trace, loop):
    """The handler can be called by anybody."""
    note_exceptions(trace, loop)
    loop.loop.call_exception_handler({"message": "m", "exception": NotImplementedError()})
