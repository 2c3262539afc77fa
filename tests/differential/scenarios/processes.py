"""Processes: loop.subprocess_exec, from the start to process_exited."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading

from .child_watchers import new_watcher
from .registry import on_each_watcher, scenario

OLD = sys.version_info < (3, 8)


class Protocol(asyncio.SubprocessProtocol):
    """Notes what a process did; `events` wakes whoever waits for it."""

    def __init__(self):
        self.exited = asyncio.Event()
        self.lost = asyncio.Event()
        self.closed_pipes = set()

    def process_exited(self):
        self.exited.set()

    def pipe_connection_lost(self, fd, exc):
        self.closed_pipes.add(fd)

    def connection_lost(self, exc):
        self.lost.set()


class Process:
    """A shell with a script; `read` in the script waits for `release`."""

    @classmethod
    async def start(cls, script, stdout=None):
        return await cls.exec("/bin/sh", "-c", script, stdout=stdout)

    @classmethod
    async def exec(cls, *command, stdout=None, **options):
        loop = asyncio.get_running_loop()
        self = cls()
        self.transport, self.protocol = await loop.subprocess_exec(
            Protocol, *command, stdin=subprocess.PIPE, stdout=stdout, stderr=None, **options
        )
        return self

    def release(self):
        self.transport.get_pipe_transport(0).close()

    async def returncode(self):
        await self.protocol.exited.wait()
        return self.transport.get_returncode()


def on_the_main_loop(f):
    """A scenario that is a coroutine, on a loop that is the main thread's."""

    def run(trace):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(f(trace))

    run.__name__, run.__doc__ = f.__name__, f.__doc__
    return scenario(run)


async def attempt(trace, *command, **options):
    """Starts a program that cannot be started, and notes the error."""
    try:
        process = await Process.exec(*command, **options)
        code = await process.returncode()
    except (Exception, SystemExit) as error:
        trace.call("subprocess_exec", _raise, error)
    else:
        trace.event("returncode", value=code)


async def attempt_exit_3(trace):
    """A program that ends after it was registered: before, two threads may wait for it, and one reports 255."""
    try:
        process = await Process.start("read line; exit 3")
    except RuntimeError as error:
        trace.call("subprocess_exec", _raise, error)
    else:
        process.release()
        trace.event("returncode", value=await process.returncode())


def _raise(error):
    raise error


@on_the_main_loop
async def spawn_exit_statuses(trace):
    """Statuses as returncodes, on the default watcher."""
    for script in ("exit 0", "exit 3", "exit 255", "kill -TERM $$", "kill -KILL $$"):
        process = await Process.start(script)
        trace.event("returncode", value=await process.returncode())


@on_the_main_loop
async def spawn_many(trace):
    """Twenty at once."""
    processes = [await Process.start("read line; exit {}".format(n)) for n in range(20)]
    for process in processes:
        process.release()
    trace.event("returncodes", value=[await process.returncode() for process in processes])


@on_the_main_loop
async def returncode_before_and_after(trace):
    """The returncode is None until the end."""
    process = await Process.start("read line; exit 7")
    trace.event("returncode", value=process.transport.get_returncode())
    process.release()
    await process.returncode()
    trace.event("returncode", value=process.transport.get_returncode())
    trace.event("returncode", value=process.transport.get_returncode())


@on_the_main_loop
async def signals_to_a_process(trace):
    """send_signal, terminate and kill."""
    for send in (
        lambda process: process.transport.send_signal(signal.SIGHUP),
        lambda process: process.transport.terminate(),
        lambda process: process.transport.kill(),
    ):
        process = await Process.start("read line")
        send(process)
        trace.event("returncode", value=await process.returncode())


@on_the_main_loop
async def signal_zero(trace):
    """Signal 0 only asks, and what is no signal is refused."""
    process = await Process.start("read line; exit 2")
    trace.call("send_signal", process.transport.send_signal, 0)
    trace.call("send_signal", process.transport.send_signal, 1000)
    process.release()
    trace.event("returncode", value=await process.returncode())


@on_the_main_loop
async def signals_after_the_end(trace):
    """A process that has ended cannot be signalled."""
    process = await Process.start("exit 0")
    process.release()
    await process.protocol.lost.wait()
    trace.call("send_signal", process.transport.send_signal, signal.SIGTERM)
    trace.call("terminate", process.transport.terminate)
    trace.call("kill", process.transport.kill)


@on_the_main_loop
async def signal_to_a_zombie(trace):
    """A process that is dead and that nobody has noticed yet."""
    process = await Process.start("read line")
    if isinstance(asyncio.get_event_loop_policy()._watcher, getattr(asyncio, "ThreadedChildWatcher", ())):
        trace.skip("a thread reaps it at some time")
    process.transport.kill()
    os.waitid(os.P_PID, process.transport.get_pid(), os.WEXITED | os.WNOWAIT)
    trace.call("send_signal", process.transport.send_signal, signal.SIGTERM)
    trace.event("returncode", value=await process.returncode())


@on_the_main_loop
async def program_not_found(trace):
    """No such program, by path and by name; then another one."""
    await attempt(trace, "/nonexistent/program")
    await attempt(trace, "loophost-no-such-program")
    await attempt(trace, "/bin/true")


@on_the_main_loop
async def program_not_executable(trace):
    """A file without the permission, a folder, a file that is no program, a missing interpreter."""
    with tempfile.TemporaryDirectory() as folder:

        def file(name, mode, text):
            path = os.path.join(folder, name)
            with open(path, "w") as f:
                f.write(text)
            os.chmod(path, mode)
            return path

        await attempt(trace, file("no-permission", 0o644, "#!/bin/sh\n"))
        await attempt(trace, folder)
        await attempt(trace, file("no-program", 0o755, "\n"))
        await attempt(trace, file("no-interpreter", 0o755, "#!/nonexistent/interpreter\n"))


@on_the_main_loop
async def wrong_command(trace):
    """A NUL byte, an empty name, a missing folder."""
    await attempt(trace, "/bin/true", "a\0b")
    await attempt(trace, "")
    await attempt(trace, "/bin/true", cwd="/nonexistent")


@on_the_main_loop
async def exit_before_the_end_of_output(trace):
    """The end is told although a grandchild still holds the pipe."""
    # It inherits the standard input, too, and lives until that is closed.
    process = await Process.start("exec 3<&0; (read line <&3) & exit 4", stdout=subprocess.PIPE)
    trace.event("returncode", value=await process.returncode())
    trace.event("end of output", value=1 in process.protocol.closed_pipes)
    process.release()
    await process.protocol.lost.wait()
    trace.event("end of output", value=1 in process.protocol.closed_pipes)


@on_the_main_loop
async def exit_is_told_in_the_loop(trace):
    """The handler is called in the loop's thread, inside its run."""
    loop, here = asyncio.get_running_loop(), threading.current_thread()
    told = asyncio.Event()

    class Telling(Protocol):
        def process_exited(self):
            trace.event("thread", value=threading.current_thread() is here)
            trace.event("running", value=asyncio.get_running_loop() is loop)
            told.set()

    await loop.subprocess_exec(Telling, "/bin/true", stdin=None, stdout=None, stderr=None)
    await told.wait()


@on_the_main_loop
async def ignored_sigchld(trace):
    """SIGCHLD was ignored by whoever has started this process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    process = await Process.start("read line; exit 3")
    process.release()
    trace.event("returncode", value=await process.returncode())


class Delegating(asyncio.AbstractChildWatcher):
    """Notes what is done to it, and lets another watcher do it."""

    def __init__(self, trace, inner, active=True, takes=True):
        self._trace, self._inner, self._active, self._takes = trace, inner, active, takes

    def is_active(self):
        self._trace.event("is_active")
        return self._active

    def __enter__(self):
        self._trace.event("begin_spawn")
        self._inner.__enter__()
        return self

    def __exit__(self, *error):
        self._trace.event("end_spawn")
        self._inner.__exit__(*error)

    def add_child_handler(self, pid, callback, *args):
        self._trace.event("add_child_handler")
        if not self._takes:
            raise OSError
        self._inner.add_child_handler(pid, callback, *args)

    def remove_child_handler(self, pid):
        return self._inner.remove_child_handler(pid)

    def attach_loop(self, loop):
        self._inner.attach_loop(loop)

    def close(self):
        self._inner.close()


def delegate(trace, **options):
    inner = asyncio.SafeChildWatcher() if OLD else asyncio.ThreadedChildWatcher()
    inner.attach_loop(asyncio.get_running_loop())
    asyncio.set_child_watcher(Delegating(trace, inner, **options))


@on_the_main_loop
async def calls_of_a_spawn(trace):
    """What a watcher is asked when a program is started."""
    delegate(trace)
    await attempt(trace, "/bin/true")


@on_the_main_loop
async def calls_of_a_failed_spawn(trace):
    """What a watcher is asked when a program is not found."""
    delegate(trace)
    await attempt(trace, "/nonexistent/program")


@on_the_main_loop
async def calls_of_an_inactive_watcher(trace):
    """Under a watcher that is not active nothing is started."""
    if OLD:
        trace.skip("no is_active in this version")
    delegate(trace, active=False)
    await attempt(trace, "/bin/true")


@on_the_main_loop
async def watcher_that_refuses(trace):
    """The watcher takes no child."""
    delegate(trace, takes=False)
    await attempt(trace, "/bin/true")


@on_each_watcher
def spawn_on_a_watcher(trace, watcher):
    """A program on each watcher, attached to the main thread's loop."""
    loop = asyncio.new_event_loop()
    asyncio.set_child_watcher(new_watcher(trace, watcher))
    asyncio.set_event_loop(loop)
    loop.run_until_complete(attempt_exit_3(trace))


@on_each_watcher
def spawn_without_attaching(trace, watcher):
    """A program on each watcher, which is attached to no loop."""
    if OLD:
        trace.skip("no is_active in this version: the program starts all the same")
    asyncio.set_child_watcher(new_watcher(trace, watcher))
    asyncio.new_event_loop().run_until_complete(attempt_exit_3(trace))


def thread_that_spawns(trace):
    """A thread that starts a program on a loop of its own."""

    def run():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(attempt_exit_3(trace))
        loop.close()

    return threading.Thread(target=run)


@on_each_watcher
def spawn_in_another_thread(trace, watcher):
    """A program on the loop of another thread; the main thread's loop does not run."""
    if OLD:
        trace.skip("nobody would ever tell the thread")
    asyncio.set_child_watcher(new_watcher(trace, watcher))
    asyncio.set_event_loop(asyncio.new_event_loop())
    worker = thread_that_spawns(trace)
    worker.start()
    # In small steps, for the interpreter calls signal handlers between them.
    while worker.is_alive():
        worker.join(0.001)


@on_each_watcher
def spawn_beside_the_main_loop(trace, watcher):
    """The same, and the main thread's loop runs."""
    asyncio.set_child_watcher(new_watcher(trace, watcher))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def main():
        worker = thread_that_spawns(trace)
        worker.start()
        while worker.is_alive():
            await asyncio.sleep(0.001)

    loop.run_until_complete(main())
