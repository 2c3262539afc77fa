"""Readers and writers of an event loop."""

import os
import socket
import tempfile

from .event_loop import on_a_loop


def with_sockets(f):
    """A scenario with two connected sockets."""

    def run(trace, loop):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        f(trace, loop, ours, theirs)
        loop.loop.remove_reader(ours.fileno())
        loop.loop.remove_writer(ours.fileno())
        ours.close()
        theirs.close()

    run.__name__, run.__doc__ = f.__name__, f.__doc__
    return on_a_loop(run)


@with_sockets
def reader(trace, loop, ours, theirs):
    """A reader is called in each turn in which there is something to read."""
    calls = []

    def readable():
        calls.append(None)
        loop.ran("reader")
        if len(calls) == 3:
            ours.recv(1)
            loop.loop.call_soon(loop.loop.stop)

    loop.loop.add_reader(ours.fileno(), readable)
    theirs.send(b"x")
    loop.loop.run_forever()


@with_sockets
def replaced_reader(trace, loop, ours, theirs):
    """A second reader of a descriptor replaces the first."""
    loop.loop.add_reader(ours.fileno(), loop.ran, "first")
    loop.loop.add_reader(ours.fileno(), lambda: (loop.ran("second"), loop.loop.stop()))
    theirs.send(b"x")
    loop.loop.run_forever()


@with_sockets
def removed_reader(trace, loop, ours, theirs):
    """Removing tells whether there was a reader, and then it is not called."""
    theirs.send(b"x")
    loop.loop.add_reader(ours.fileno(), loop.ran, "reader")
    trace.call("remove_reader", loop.loop.remove_reader, ours.fileno())
    trace.call("remove_reader", loop.loop.remove_reader, ours.fileno())
    trace.call("remove_writer", loop.loop.remove_writer, ours.fileno())
    loop.run()


@with_sockets
def reader_removes_itself(trace, loop, ours, theirs):
    """A reader may remove itself, and its other direction stays."""

    def readable():
        loop.ran("reader")
        trace.call("remove_reader", loop.loop.remove_reader, ours.fileno())
        loop.loop.add_writer(ours.fileno(), writable)

    def writable():
        loop.ran("writer")
        trace.call("remove_writer", loop.loop.remove_writer, ours.fileno())
        loop.loop.stop()

    loop.loop.add_reader(ours.fileno(), readable)
    theirs.send(b"x")
    loop.loop.run_forever()


@with_sockets
def reader_and_writer(trace, loop, ours, theirs):
    """Of one descriptor the reader is called before the writer."""
    loop.loop.add_writer(ours.fileno(), lambda: (loop.ran("writer"), loop.loop.stop()))
    loop.loop.add_reader(ours.fileno(), loop.ran, "reader")
    theirs.send(b"x")
    loop.loop.run_forever()


@with_sockets
def reader_at_the_end(trace, loop, ours, theirs):
    """The end of a stream can be read."""
    theirs.shutdown(socket.SHUT_WR)
    loop.loop.add_reader(ours.fileno(), lambda: (loop.ran("reader"), loop.loop.stop()))
    loop.loop.run_forever()


@with_sockets
def reader_before_callbacks(trace, loop, ours, theirs):
    """What was given before a turn comes before what the turn finds to read."""
    theirs.send(b"x")
    loop.loop.add_reader(ours.fileno(), loop.ran, "reader")
    loop.loop.call_at(loop.loop.time() - 1, loop.ran, "timer")
    loop.soon("soon")
    loop.run()


@on_a_loop
def reader_of_a_file(trace, loop):
    """A regular file cannot be watched."""
    with tempfile.TemporaryFile() as file:
        trace.call("add_reader", loop.loop.add_reader, file.fileno(), print)


@on_a_loop
def reader_of_no_descriptor(trace, loop):
    """What is no descriptor, or no open one, cannot be watched."""
    with tempfile.TemporaryFile() as file:
        closed = os.dup(file.fileno())
        os.close(closed)
    trace.call("add_reader", loop.loop.add_reader, closed, print)
    trace.call("add_reader", loop.loop.add_reader, -1, print)
    trace.call("remove_reader", loop.loop.remove_reader, closed)
