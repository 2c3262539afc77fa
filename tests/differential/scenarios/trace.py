"""The trace of a scenario: what it saw, in order, in words that do not belong to Python."""

import json
import logging
import os
import re
import warnings

# What asyncio's errors, warnings and log lines are about. A message that is not here stops the recording, so that
# somebody looks at it; the texts themselves stay out of the traces, for they hold pids and addresses.
REASONS = [
    ("Event loop is closed", "loop-closed"),
    ("This event loop is already running", "loop-running"),
    ("Cannot run the event loop while another loop is running", "loop-running"),
    ("Cannot close a running event loop", "loop-running"),
    ("There is no current event loop in thread", "no-current-loop"),
    ("no running event loop", "no-running-loop"),
    ("Non-thread-safe operation", "wrong-thread"),
    (r"asyncio.get_child_watcher\(\) is not activated", "inactive"),
    ("Cannot add child handler, the child watcher does not have a loop attached", "no-loop-attached"),
    ("set_wakeup_fd only works in main thread", "not-the-main-thread"),
    ("signal only works in main thread", "not-the-main-thread"),
    (r"sig \d+ cannot be caught", "cannot-be-caught"),
]
SUBJECTS = [
    ("There is no current event loop", "implicit-event-loop"),
    ("'get_child_watcher' is deprecated", "get-child-watcher"),
    ("'set_child_watcher' is deprecated", "set-child-watcher"),
    ("'SafeChildWatcher' is deprecated", "safe-child-watcher"),
    ("'FastChildWatcher' is deprecated", "fast-child-watcher"),
    ("'MultiLoopChildWatcher' is deprecated", "multi-loop-child-watcher"),
    ("[Uu]nknown child process pid", "unknown-child"),
    ("child process pid .* exit status already read", "status-lost"),
    ("Loop .* that handles pid .* is closed", "loop-closed"),
    ("Caught subprocess termination from unknown pid", "unknown-exit"),
    ("Caught subprocesses termination from unknown pids", "unknown-exit"),
    ("A loop is being detached from a child watcher with pending handlers", "detached-with-pending"),
    ("Executing .* took", "slow-callback"),
    ("Exception in callback", "exception-in-callback"),
    ("Unhandled (error|exception) in exception handler", "exception-in-handler"),
    ("Unknown exception in SIGCHLD handler", "exception-in-child-handler"),
]
# Of the interpreter, not of asyncio.
IGNORED = [r"This process .* is multi-threaded, use of fork\(\)", "Using selector"]


def _find(table, text):
    return next((word for pattern, word in table if re.match(pattern, text)), None)


class Trace:
    """Writes each event to a descriptor, a line of JSON, as soon as it happens: a forked child may go on writing."""

    def __init__(self, fd):
        self._fd = fd
        # Until somebody listens.
        warnings.simplefilter("ignore")
        logging.getLogger("asyncio").addHandler(logging.NullHandler())
        logging.getLogger("asyncio").propagate = False

    def event(self, event, **more):
        """Notes an event."""
        line = json.dumps(dict(event=event, **more))
        os.write(self._fd, line.encode() + b"\n")

    def call(self, event, f, *args):
        """Calls `f` and notes how that ended; gives its value, or None."""
        words, value = outcome(f, *args)
        self.event(event, **words)
        return value

    def skip(self, why):
        """Ends the scenario: this version has no such thing."""
        raise Skipped(why)

    def listen(self):
        """From now on warnings and asyncio's log lines are events, too."""
        warnings.simplefilter("always")
        warnings.showwarning = self._warned
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self._said(record.levelname.lower(), record.getMessage())
        logging.getLogger("asyncio").addHandler(handler)

    def _warned(self, message, category, *_):
        text = str(message)
        if issubclass(category, DeprecationWarning) and _find([(p, p) for p in IGNORED], text) is None:
            self.event("deprecated", value=subject(text))
        else:
            self._said("warning", text)

    def _said(self, level, text):
        if _find([(pattern, pattern) for pattern in IGNORED], text) is None:
            self.event("log", level=level, value=subject(text))


def outcome(f, *args):
    """Calls `f`: how that ended as it stands in an event, and its value or None."""
    try:
        value = f(*args)
    except Exception as error:
        return error_words(error), None
    # Objects have no place in a trace.
    return ({"value": value} if isinstance(value, (bool, int, str)) else {}), value


class Skipped(Exception):
    """The scenario makes no sense in this version."""


def subject(text):
    """What a warning or log line is about."""
    word = _find(SUBJECTS, text)
    if word is None:
        raise SystemExit("not in SUBJECTS: " + text)
    return word


def error_words(error):
    """An error as it stands in an event."""
    words = {"error": type(error).__name__}
    if isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError):
        words["reason"] = _find(REASONS, str(error))
        if words["reason"] is None:
            raise SystemExit("not in REASONS: {!r}".format(error)) from error
    return words
