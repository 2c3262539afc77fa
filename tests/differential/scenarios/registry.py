"""The names of the scenarios."""

import functools

# By name: a function that gets a trace.
SCENARIOS = {}

WATCHERS = {
    "safe": "SafeChildWatcher",
    "fast": "FastChildWatcher",
    "multi-loop": "MultiLoopChildWatcher",
    "threaded": "ThreadedChildWatcher",
    "pidfd": "PidfdChildWatcher",
}


def _add(name, run):
    assert name not in SCENARIOS, name
    SCENARIOS[name] = run


def _kebab(f):
    return f.__name__.replace("_", "-")


def scenario(f):
    """A scenario of the function's name."""
    _add(_kebab(f), f)
    return f


def on_each_watcher(f):
    """A scenario for each watcher: `name/watcher`. The function gets a trace and the watcher's short name."""
    for short in WATCHERS:
        _add("{}/{}".format(_kebab(f), short), functools.partial(f, watcher=short))
    return f
