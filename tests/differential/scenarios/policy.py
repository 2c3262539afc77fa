"""Policies: the module's functions and the default policy."""

import asyncio
import os
import threading

from .registry import scenario


def in_a_thread(f):
    """Runs `f` in another thread and waits for it."""
    thread = threading.Thread(target=f)
    thread.start()
    thread.join()


def in_callback(loop, f):
    """Runs `f` from a callback of the loop."""
    loop.call_soon(lambda: (f(), loop.stop()))
    loop.run_forever()


@scenario
def get_event_loop_in_the_main_thread(trace):
    """The main thread gets a loop by itself, once."""
    trace.listen()
    first = trace.call("get_event_loop", asyncio.get_event_loop)
    second = trace.call("get_event_loop", asyncio.get_event_loop)
    trace.event("same", value=first is second)
    first.close()


@scenario
def get_event_loop_after_set(trace):
    """What was set is what one gets."""
    trace.listen()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    trace.event("same", value=asyncio.get_event_loop() is loop)
    loop.close()


@scenario
def get_event_loop_after_set_none(trace):
    """After set_event_loop(None) no loop is made by itself."""
    trace.listen()
    asyncio.set_event_loop(None)
    trace.call("get_event_loop", asyncio.get_event_loop)


@scenario
def get_event_loop_in_another_thread(trace):
    """Other threads have no loop until they set one, and theirs is their own."""
    trace.listen()

    def thread():
        trace.call("get_event_loop", asyncio.get_event_loop)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        trace.event("same", value=asyncio.get_event_loop() is loop)
        loop.close()

    asyncio.set_event_loop(None)
    in_a_thread(thread)
    trace.call("get_event_loop", asyncio.get_event_loop)


@scenario
def get_event_loop_in_a_callback(trace):
    """The running loop comes before the one that was set."""
    running, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    asyncio.set_event_loop(other)
    in_callback(running, lambda: trace.event("running", value=asyncio.get_event_loop() is running))
    trace.event("set", value=asyncio.get_event_loop() is other)
    running.close()
    other.close()


@scenario
def get_event_loop_of_a_failing_policy(trace):
    """While a loop runs the policy is not asked."""

    class Failing(asyncio.DefaultEventLoopPolicy):
        def get_event_loop(self):
            raise NotImplementedError

    asyncio.set_event_loop_policy(Failing())
    trace.call("get_event_loop", asyncio.get_event_loop)
    loop = asyncio.new_event_loop()
    in_callback(loop, lambda: trace.event("running", value=asyncio.get_event_loop() is loop))
    trace.call("get_event_loop", asyncio.get_event_loop)
    loop.close()


@scenario
def automatic_loop_goes_through_overrides(trace):
    """A loop that is made by itself is made and set by the policy's own methods."""

    class Telling(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            trace.event("new_event_loop")
            return super().new_event_loop()

        def set_event_loop(self, loop):
            trace.event("set_event_loop")
            super().set_event_loop(loop)

    asyncio.set_event_loop_policy(Telling())
    trace.call("get_event_loop", asyncio.get_event_loop).close()


@scenario
def one_loop_for_all_threads(trace):
    """A policy may have another context than the thread."""

    class Shared(asyncio.DefaultEventLoopPolicy):
        loop = None

        def get_event_loop(self):
            return self.loop

        def set_event_loop(self, loop):
            self.loop = loop

    asyncio.set_event_loop_policy(Shared())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    in_a_thread(lambda: trace.event("same", value=asyncio.get_event_loop() is loop))
    loop.close()


@scenario
def new_event_loop(trace):
    """Each loop is a new one, and none becomes the current one."""
    asyncio.set_event_loop(None)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    trace.event("same", value=first is second)
    trace.call("get_event_loop", asyncio.get_event_loop)
    first.close()
    second.close()


@scenario
def get_event_loop_policy(trace):
    """There is one policy; None makes a fresh one, which has forgotten the loops."""
    policy = asyncio.get_event_loop_policy()
    trace.event("same", value=asyncio.get_event_loop_policy() is policy)
    own = asyncio.DefaultEventLoopPolicy()
    asyncio.set_event_loop_policy(own)
    trace.event("own", value=asyncio.get_event_loop_policy() is own)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncio.set_event_loop_policy(None)
    trace.event("own", value=asyncio.get_event_loop_policy() is own)
    fresh = asyncio.get_event_loop()
    trace.event("same-loop", value=fresh is loop)
    fresh.close()
    loop.close()


@scenario
def replaced_policy_keeps_its_loop(trace):
    """Replacing a policy leaves its loops open."""
    loop = asyncio.new_event_loop()
    policy = asyncio.get_event_loop_policy()
    asyncio.set_event_loop(loop)
    asyncio.set_event_loop_policy(None)
    trace.call("is_closed", loop.is_closed)
    asyncio.set_event_loop_policy(policy)
    trace.event("same", value=asyncio.get_event_loop() is loop)
    loop.close()


@scenario
def set_event_loop_policy_to_something_else(trace):
    """What is no policy is refused."""
    trace.call("set_event_loop_policy", asyncio.set_event_loop_policy, 1)


@scenario
def set_event_loop_to_something_else(trace):
    """What is no loop is refused, and yet no loop is made by itself afterwards."""
    trace.call("set_event_loop", asyncio.set_event_loop, 1)
    trace.call("get_event_loop", asyncio.get_event_loop)


@scenario
def set_child_watcher_to_something_else(trace):
    """What is no watcher is refused."""
    trace.call("set_child_watcher", asyncio.set_child_watcher, 1)


@scenario
def get_running_loop(trace):
    """There is a running loop inside a run only."""
    trace.call("get_running_loop", asyncio.get_running_loop)
    loop = asyncio.new_event_loop()
    in_callback(loop, lambda: trace.event("same", value=asyncio.get_running_loop() is loop))
    trace.call("get_running_loop", asyncio.get_running_loop)
    loop.close()


@scenario
def running_loop_is_the_thread_s(trace):
    """A loop that runs in one thread is not running in another."""
    loop = asyncio.new_event_loop()
    in_callback(loop, lambda: in_a_thread(lambda: trace.call("get_running_loop", asyncio.get_running_loop)))
    loop.close()


@scenario
def forked_child(trace):
    """What a child made by fork sees from inside a callback."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def fork():
        pid = os.fork()
        if pid == 0:
            trace.call("get_running_loop", asyncio.get_running_loop)
            trace.event("same", value=asyncio.get_event_loop() is loop)
            os._exit(0)
        os.waitpid(pid, 0)

    in_callback(loop, fork)
    loop.close()


@scenario
def abstract_policy(trace):
    """A policy that writes nothing can do nothing."""
    policy = asyncio.AbstractEventLoopPolicy()
    trace.call("get_event_loop", policy.get_event_loop)
    trace.call("set_event_loop", policy.set_event_loop, None)
    trace.call("new_event_loop", policy.new_event_loop)
    trace.call("get_child_watcher", policy.get_child_watcher)
    trace.call("set_child_watcher", policy.set_child_watcher, None)


class Telling(asyncio.AbstractChildWatcher):
    """A watcher that notes what is done to it."""

    def __init__(self, trace, name="watcher"):
        self._trace = trace
        self._name = name

    def attach_loop(self, loop):
        self._trace.event("detach" if loop is None else "attach", watcher=self._name)

    def close(self):
        self._trace.event("close", watcher=self._name)


@scenario
def set_event_loop_attaches_the_watcher(trace):
    """The main thread's loop is the watcher's; other threads leave it alone."""
    asyncio.set_child_watcher(Telling(trace))
    trace.event("watcher set")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    in_a_thread(lambda: asyncio.set_event_loop(loop))
    trace.event("set in another thread")
    asyncio.set_event_loop(None)
    loop.close()


@scenario
def failed_attach(trace):
    """Which loop is current after the watcher has refused a new one."""

    class Refusing(Telling):
        def attach_loop(self, loop):
            raise NotImplementedError

    old, new = asyncio.new_event_loop(), asyncio.new_event_loop()
    asyncio.set_event_loop(old)
    asyncio.set_child_watcher(Refusing(trace))
    trace.call("set_event_loop", asyncio.set_event_loop, new)
    trace.event("changed", value=asyncio.get_event_loop() is new)
    old.close()
    new.close()


@scenario
def failed_set_ends_automatic_creation(trace):
    """Also a set_event_loop that fails ends the automatic creation."""

    class Refusing(Telling):
        def attach_loop(self, loop):
            raise NotImplementedError

    asyncio.set_child_watcher(Refusing(trace))
    trace.call("set_event_loop", asyncio.set_event_loop, None)
    asyncio.set_child_watcher(None)
    trace.call("get_event_loop", asyncio.get_event_loop)


@scenario
def set_child_watcher_closes_the_previous(trace):
    """The previous watcher is closed; with None the next one is a default again."""
    asyncio.set_child_watcher(Telling(trace, "first"))
    asyncio.set_child_watcher(Telling(trace, "second"))
    asyncio.set_child_watcher(None)
    trace.event("watcher", value=type(asyncio.get_child_watcher()).__name__)


@scenario
def set_child_watcher_again(trace):
    """Setting the watcher that is set already."""
    watcher = Telling(trace)
    asyncio.set_child_watcher(watcher)
    trace.call("set_child_watcher", asyncio.set_child_watcher, watcher)
    trace.event("same", value=asyncio.get_child_watcher() is watcher)


@scenario
def default_watcher(trace):
    """Which watcher one gets, and whether asking for it and setting it is deprecated."""
    trace.listen()
    first, second = asyncio.get_child_watcher(), asyncio.get_child_watcher()
    trace.event("watcher", value=type(first).__name__)
    trace.event("same", value=first is second)
    asyncio.set_child_watcher(None)


@scenario
def default_watcher_in_another_thread(trace):
    """A thread is the first to ask for the watcher."""
    in_a_thread(lambda: trace.event("watcher", value=type(asyncio.get_child_watcher()).__name__))
