//! The cases of subprocesses: a policy and its watcher, or a watcher under the default policy, from spawn to callback.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Read, Write},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use loophost_plugin_api::{Callback, Error, ErrorCode, PolicyHandle, WatcherHandle, host};

use crate::{
    Case, Child, Harness, Program, Subject, Verdict,
    exits::Exits,
    policy::Installed,
    signal_number::{SIGHUP, SIGKILL, SIGTERM},
    test_loop::TestLoop,
    verdict::{Passed, ensure, equal, failed, refused, skipped},
};

pub(crate) const CASES: &[Case] = &[
    Case::subprocess(
        "subprocess/exit-status",
        "the handler is called in the loop with the exit status",
        exit_status,
    ),
    Case::subprocess("subprocess/kill", "killed, terminated and hung up: -9, -15, -1", kill),
    Case::subprocess(
        "subprocess/in-loop-thread",
        "the handler is called in the thread of the loop, once",
        in_loop_thread,
    ),
    Case::subprocess(
        "subprocess/stdin-stdout",
        "what is written to standard input comes out of cat",
        stdin_stdout,
    ),
    Case::subprocess(
        "subprocess/stdin-not-inherited",
        "a child sees the end of its input although another child lives",
        stdin_not_inherited,
    ),
    Case::subprocess(
        "subprocess/output-after-exit",
        "what a child has written can be read after its exit",
        output_after_exit,
    ),
    Case::subprocess(
        "subprocess/output-of-megabytes",
        "a child that writes more than a pipe takes waits for its reader, and loses nothing",
        output_of_megabytes,
    ),
    Case::subprocess(
        "subprocess/no-input",
        "a child sees the end of an input that is nothing, or closed without a word",
        no_input,
    ),
    Case::subprocess(
        "subprocess/input-not-read",
        "writing to a child that does not read is an error of the write, and the exit is told",
        input_not_read,
    ),
    Case::subprocess(
        "subprocess/not-found",
        "a program that there is not is NOT_FOUND, and leaves no child, no descriptor and no handler",
        not_found,
    ),
    Case::subprocess(
        "subprocess/exit-before-end-of-output",
        "the exit is told although a grandchild holds the output open",
        exit_before_end_of_output,
    ),
    Case::subprocess("subprocess/new-session", "a child may lead a session of its own", new_session),
    Case::subprocess(
        "subprocess/default-signals",
        "a child starts with no signal ignored or blocked",
        default_signals,
    ),
    Case::subprocess("subprocess/many", "fifty children at once, each told once with its own status", many),
    Case::subprocess(
        "subprocess/dropped-handle",
        "a child whose handle was dropped is told all the same",
        dropped_handle,
    ),
    Case::subprocess("subprocess/gone", "once the exit was told, signals answer PROCESS_GONE", gone),
    Case::subprocess(
        "subprocess/loop-closed",
        "a child whose loop is closed before it exits leaves no zombie",
        loop_closed,
    ),
];

/// What came of starting a program.
type Started = Result<Box<dyn Child>, Error>;

/// What a case of subprocesses gets: a policy that is installed in the process, its watcher, and its loop.
pub(crate) struct SubprocessBench<'a> {
    harness: &'a dyn Harness,
    event_loop: TestLoop,
    policy: PolicyHandle,
    _installed: Installed,
}

impl<'a> SubprocessBench<'a> {
    pub(crate) fn new(harness: &'a dyn Harness, subject: &'a Subject<'a>) -> Verdict<Self> {
        let (policy, watcher, installed) = match subject {
            Subject::Policy(make) => {
                let policy = make()?;
                let watcher = match policy.get_child_watcher() {
                    Err(error) if error.code() == ErrorCode::NOT_SUPPORTED => {
                        return Err(skipped("the policy has no child watchers"));
                    }
                    other => other?,
                };
                (policy.clone(), watcher, Installed::new(Some(policy))?)
            }
            Subject::ChildWatcher(make) => {
                let installed = Installed::new(None)?;
                let (policy, watcher): (_, WatcherHandle) = (host::get_event_loop_policy()?, make()?);
                policy.set_child_watcher(Some(watcher.clone()))?;
                (policy, watcher, installed)
            }
            Subject::EventLoop(_) | Subject::Plugin(_) => return Err(skipped("there is no watcher")),
        };
        let event_loop = TestLoop::new(policy.new_event_loop()?, harness.patience())?;
        policy.set_event_loop(Some(event_loop.clone()))?;
        // Outside the main thread set_event_loop leaves it alone.
        watcher.attach_loop(Some(event_loop.clone()))?;
        Ok(Self { harness, event_loop, policy, _installed: installed })
    }

    /// Starts a program in a callback of the loop, or tries to.
    #[track_caller]
    fn try_start(&self, program: Program, handler: Callback) -> Verdict<Started> {
        let started = Rc::new(RefCell::new(None::<Started>));
        let (slot, processes, event_loop) =
            (started.clone(), self.harness.processes(), self.event_loop.clone());
        self.event_loop.call_soon(Callback::local(move |_| {
            *slot.borrow_mut() = Some(processes.subprocess_exec(&event_loop, &program, handler));
            Ok(())
        }))?;
        self.event_loop.turn()?;
        let started = started.borrow_mut().take();
        started.ok_or_else(|| failed("a callback of the loop was not called"))
    }

    #[track_caller]
    fn start(&self, program: Program, exits: &Exits) -> Verdict<Box<dyn Child>> {
        Ok(self.try_start(program, exits.handler())??)
    }

    #[track_caller]
    fn wait(&self, exits: &Exits) -> Verdict<()> {
        self.event_loop.turns_until("the exit of a child", || !exits.is_empty())
    }
}

impl Drop for SubprocessBench<'_> {
    fn drop(&mut self) {
        // Of a case that has failed half-way; the loop is closed with its owner.
        let _ = self.policy.set_event_loop(None);
        let _ = self.policy.set_child_watcher(None);
    }
}

/// asyncio: `test_shell`, `test_subprocess_exitcode`.
fn exit_status(bench: &SubprocessBench<'_>) -> Verdict {
    for code in [0, 7, 255] {
        let exits = Exits::default();
        let child = bench.start(Program::new(format!("exit {code}")), &exits)?;
        bench.wait(&exits)?;
        exits.expect(child.pid(), code)?;
        equal("the handle's returncode", child.returncode().map(i64::from), Some(code))?;
    }
    Ok(Passed)
}

/// asyncio: `test_kill`, `test_terminate`, `test_send_signal`.
fn kill(bench: &SubprocessBench<'_>) -> Verdict {
    for signum in [SIGKILL, SIGTERM, SIGHUP] {
        let exits = Exits::default();
        let child = bench.start(Program::waiting("exit 1"), &exits)?;
        child.send_signal(signum)?;
        bench.wait(&exits)?;
        exits.expect(child.pid(), i64::from(-signum))?;
    }
    Ok(Passed)
}

fn in_loop_thread(bench: &SubprocessBench<'_>) -> Verdict {
    let (exits, seen) = (Exits::default(), Arc::new(Mutex::new(None)));
    let (calls, thread_seen) = (exits.clone(), seen.clone());
    let handler = Callback::new(move |event| {
        *thread_seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current().id());
        calls.add(event);
        Ok(())
    });
    let child = bench.try_start(Program::new("exit 2"), handler)??;
    bench.wait(&exits)?;
    bench.event_loop.turn()?;
    let seen = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(seen == Some(thread::current().id()), "the handler was called in another thread than the loop's");
    exits.expect(child.pid(), 2)?;
    Ok(Passed)
}

/// asyncio: `test_stdin_stdout`, `test_communicate`.
fn stdin_stdout(bench: &SubprocessBench<'_>) -> Verdict {
    let exits = Exits::default();
    let program = Program { stdin: true, stdout: true, ..Program::new("exec cat") };
    let mut child = bench.start(program, &exits)?;
    let (stdin, stdout) = (child.take_stdin(), child.take_stdout());
    let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(failed("a stream that should be a pipe is none"));
    };
    // Less than a pipe takes, so that nobody waits for a reader.
    let mut input = File::from(stdin);
    input.write_all(b"some data")?;
    drop(input);
    let mut output = String::new();
    File::from(stdout).read_to_string(&mut output)?;
    equal("what came out", output.as_str(), "some data")?;
    bench.wait(&exits)?;
    exits.expect(child.pid(), 0)?;
    Ok(Passed)
}

/// asyncio: `test_stdin_not_inheritable`.
fn stdin_not_inherited(bench: &SubprocessBench<'_>) -> Verdict {
    let (first_exits, second_exits) = (Exits::default(), Exits::default());
    let mut first = bench.start(Program::waiting("exit 1"), &first_exits)?;
    let mut second = bench.start(Program::waiting("exit 2"), &second_exits)?;
    drop(first.take_stdin());
    bench.wait(&first_exits)?;
    first_exits.expect(first.pid(), 1)?;
    ensure!(second_exits.is_empty(), "the other child has ended too");
    drop(second.take_stdin());
    bench.wait(&second_exits)?;
    second_exits.expect(second.pid(), 2)?;
    Ok(Passed)
}

/// asyncio: `test_read_stdout_after_process_exit`.
fn output_after_exit(bench: &SubprocessBench<'_>) -> Verdict {
    let exits = Exits::default();
    let program = Program { stdout: true, ..Program::new("echo last words; exit 3") };
    let mut child = bench.start(program, &exits)?;
    bench.wait(&exits)?;
    exits.expect(child.pid(), 3)?;
    let mut output = String::new();
    File::from(child.take_stdout().ok_or_else(|| failed("standard output is no pipe"))?)
        .read_to_string(&mut output)?;
    equal("what it has written", output.as_str(), "last words\n")?;
    Ok(Passed)
}

/// asyncio: `test_pause_reading`, `test_communicate`.
fn output_of_megabytes(bench: &SubprocessBench<'_>) -> Verdict {
    const BYTES: usize = 2 << 20;
    let exits = Exits::default();
    let script = format!("head -c {BYTES} /dev/zero; exit 3");
    let mut child = bench.start(Program { stdout: true, ..Program::new(script) }, &exits)?;
    let mut stdout = File::from(child.take_stdout().ok_or_else(|| failed("standard output is no pipe"))?);
    // It cannot have ended: nobody reads.
    bench.event_loop.turn()?;
    ensure!(exits.is_empty(), "the child has ended with its output unread");
    let reader = thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
    bench.wait(&exits)?;
    exits.expect(child.pid(), 3)?;
    let read = reader.join().map_err(|_| failed("the reading thread panicked"))??;
    equal("bytes read", read, BYTES)?;
    Ok(Passed)
}

/// asyncio: `test_empty_input`, `test_devnull_input`, `test_communicate_none_input`.
fn no_input(bench: &SubprocessBench<'_>) -> Verdict {
    for stdin in [false, true] {
        let exits = Exits::default();
        let mut child = bench.start(Program { stdin, ..Program::new("cat; exit 6") }, &exits)?;
        drop(child.take_stdin());
        bench.wait(&exits)?;
        exits.expect(child.pid(), 6)?;
    }
    Ok(Passed)
}

/// asyncio: `test_stdin_broken_pipe`, `test_communicate_ignore_broken_pipe`.
fn input_not_read(bench: &SubprocessBench<'_>) -> Verdict {
    let exits = Exits::default();
    let mut child = bench.start(Program { stdin: true, ..Program::new("exit 4") }, &exits)?;
    bench.wait(&exits)?;
    let mut stdin = File::from(child.take_stdin().ok_or_else(|| failed("standard input is no pipe"))?);
    let written = stdin.write(b"nobody reads this").map_err(|error| error.kind());
    equal("a write to a child that has ended", written, Err(io::ErrorKind::BrokenPipe))?;
    exits.expect(child.pid(), 4)?;
    Ok(Passed)
}

/// asyncio: `test_popen_error`, `test_popen_error_with_stdin_pipe`.
fn not_found(bench: &SubprocessBench<'_>) -> Verdict {
    // The first spawn may leave what a process needs once.
    let first = Exits::default();
    bench.start(Program::new("exit 0"), &first)?;
    bench.wait(&first)?;
    let before = bench.harness.system_state()?;
    for stdin in [false, true] {
        let exits = Exits::default();
        let program =
            Program { shell: "/no/such/program".into(), stdin, stdout: stdin, ..Program::new("exit 0") };
        let started = bench.try_start(program, exits.handler())?;
        refused("a program that there is not", started, ErrorCode::NOT_FOUND)?;
        equal("drops of the handler", exits.drops.len(), 1)?;
        ensure!(exits.is_empty(), "the handler was called for a child that never was");
    }
    let after = bench.harness.system_state()?;
    // Those of the first one may have been closed only now.
    let (descriptors, before_it) = (after.descriptors.len(), before.descriptors.len());
    ensure!(descriptors <= before_it, "{descriptors} descriptors are open, {before_it} were before");
    ensure!(after.children.len() <= before.children.len(), "there are children: {:?}", after.children);
    Ok(Passed)
}

/// asyncio 3.11 to 3.13 waits for the end of the output.
fn exit_before_end_of_output(bench: &SubprocessBench<'_>) -> Verdict {
    let exits = Exits::default();
    let script = "exec 3<&0; (read line <&3) & exit 5";
    let program = Program { stdin: true, stdout: true, ..Program::new(script) };
    let mut child = bench.start(program, &exits)?;
    bench.wait(&exits)?;
    exits.expect(child.pid(), 5)?;
    // Only now may the grandchild end.
    drop(child.take_stdin());
    Ok(Passed)
}

/// asyncio: `test_start_new_session`.
fn new_session(bench: &SubprocessBench<'_>) -> Verdict {
    let exits = Exits::default();
    let program = Program { new_session: true, ..Program::new("kill -0 -$$ && exit 8; exit 1") };
    let child = bench.start(program, &exits)?;
    bench.wait(&exits)?;
    exits.expect(child.pid(), 8)?;
    Ok(Passed)
}

/// SIGPIPE, which Rust's runtime ignores in this process, ends the child.
fn default_signals(bench: &SubprocessBench<'_>) -> Verdict {
    for (name, signum) in [("PIPE", 13), ("TERM", SIGTERM), ("HUP", SIGHUP)] {
        let exits = Exits::default();
        let child = bench.start(Program::new(format!("kill -{name} $$; exit 1")), &exits)?;
        bench.wait(&exits)?;
        exits.expect(child.pid(), i64::from(-signum))?;
    }
    Ok(Passed)
}

fn many(bench: &SubprocessBench<'_>) -> Verdict {
    const CHILDREN: usize = 50;
    let exits = Exits::default();
    let mut children = Vec::new();
    for n in 0..CHILDREN {
        children.push(bench.start(Program::waiting(&format!("exit {n}")), &exits)?);
    }
    children.iter_mut().for_each(|child| drop(child.take_stdin()));
    bench.event_loop.turns_until("fifty exits", || exits.len() >= CHILDREN)?;
    bench.event_loop.turn()?;
    let mut got: Vec<_> = exits.all().iter().map(|exit| (exit.pid, exit.returncode)).collect();
    let mut expected: Vec<(i64, i64)> = children.iter().map(|child| child.pid()).zip(0..).collect();
    got.sort_unstable();
    expected.sort_unstable();
    equal("pids and returncodes", got, expected)?;
    Ok(Passed)
}

fn dropped_handle(bench: &SubprocessBench<'_>) -> Verdict {
    let exits = Exits::default();
    let mut child = bench.start(Program::waiting("exit 4"), &exits)?;
    let (pid, stdin) = (child.pid(), child.take_stdin());
    drop(child);
    drop(stdin);
    bench.wait(&exits)?;
    exits.expect(pid, 4)?;
    ensure!(!bench.harness.exists(pid), "process {pid} is a zombie");
    Ok(Passed)
}

/// asyncio: `test_proc_exited`.
fn gone(bench: &SubprocessBench<'_>) -> Verdict {
    let exits = Exits::default();
    let child = bench.start(Program::new("exit 0"), &exits)?;
    bench.wait(&exits)?;
    for signum in [0, SIGTERM, SIGKILL] {
        refused("a signal after the exit", child.send_signal(signum), ErrorCode::PROCESS_GONE)?;
    }
    Ok(Passed)
}

fn loop_closed(bench: &SubprocessBench<'_>) -> Verdict {
    let exits = Exits::default();
    let mut child = bench.start(Program::waiting("exit 0"), &exits)?;
    bench.event_loop.close()?;
    let pid = child.pid();
    drop(child.take_stdin());
    drop(child);
    let other = TestLoop::new(bench.harness.new_event_loop()?, bench.harness.patience())?;
    other.turns_until("a child whose loop is closed to be reaped", || !bench.harness.exists(pid))?;
    ensure!(exits.is_empty(), "the handler was called, in a loop that is closed");
    equal("drops of the handler", exits.drops.len(), 1)?;
    Ok(Passed)
}
