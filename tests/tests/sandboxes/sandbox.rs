//! What a process is shut into before its program is executed.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs, io,
    os::unix::process::CommandExt,
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use loophost_tests::{Ended, Started, eventually, loophost, skip};
use nix::{
    sys::resource::{Resource, setrlimit},
    unistd::{Pid, Uid, setgroups, setuid},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// The variable that tells the processes of a sandbox from all others: they inherit it.
const MARK: &str = "LOOPHOST_TEST_SANDBOX";

/// Filters, limits and a user, in force from before the exec.
#[derive(Clone, Default)]
pub(crate) struct Sandbox {
    filters: Vec<BpfProgram>,
    limits: Vec<(Resource, u64)>,
    user: Option<Uid>,
}

/// loophost in a sandbox, running. Dropped, all processes of the sandbox are killed.
pub(crate) struct Confined {
    pub(crate) started: Started,
    mark: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A system call fails with this number.
    pub(crate) fn refusing(self, call: i64, errno: i32) -> Self {
        self.filter(call, None, SeccompAction::Errno(errno as u32))
    }

    /// It does so if one of its arguments is this.
    pub(crate) fn refusing_if(self, call: i64, argument: (u8, u64), errno: i32) -> Self {
        self.filter(call, Some((argument, SeccompCmpOp::Eq)), SeccompAction::Errno(errno as u32))
    }

    /// It does so if one of its arguments is greater.
    pub(crate) fn refusing_above(self, call: i64, argument: (u8, u64), errno: i32) -> Self {
        self.filter(call, Some((argument, SeccompCmpOp::Gt)), SeccompAction::Errno(errno as u32))
    }

    /// It does so if one of its arguments has this flag.
    pub(crate) fn refusing_flag(self, call: i64, (index, flag): (u8, u64), errno: i32) -> Self {
        self.filter(
            call,
            Some(((index, flag), SeccompCmpOp::MaskedEq(flag))),
            SeccompAction::Errno(errno as u32),
        )
    }

    /// A system call kills the process.
    pub(crate) fn killing(self, call: i64) -> Self {
        self.filter(call, None, SeccompAction::KillProcess)
    }

    /// It does so if one of its arguments is this.
    pub(crate) fn killing_if(self, call: i64, argument: (u8, u64)) -> Self {
        self.filter(call, Some((argument, SeccompCmpOp::Eq)), SeccompAction::KillProcess)
    }

    fn filter(
        mut self,
        call: i64,
        argument: Option<((u8, u64), SeccompCmpOp)>,
        action: SeccompAction,
    ) -> Self {
        let rules = argument.map(|((index, value), compared)| {
            let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, compared, value);
            SeccompRule::new(vec![condition.unwrap()]).unwrap()
        });
        let calls = BTreeMap::from([(call, Vec::from_iter(rules))]);
        let machine = env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(calls, SeccompAction::Allow, action, machine).unwrap();
        self.filters.push(filter.try_into().unwrap());
        self
    }

    /// Soft and hard limit.
    pub(crate) fn limit(mut self, resource: Resource, limit: u64) -> Self {
        self.limits.push((resource, limit));
        self
    }

    /// Another user, with no groups.
    pub(crate) fn user(mut self, user: Uid) -> Self {
        self.user = Some(user);
        self
    }

    /// Has a command start inside.
    pub(crate) fn shut_in(&self, command: &mut Command) {
        let Self { filters, limits, user } = self.clone();
        let enter = move || {
            for (resource, limit) in &limits {
                setrlimit(*resource, *limit, *limit)?;
            }
            if let Some(user) = user {
                setgroups(&[])?;
                setuid(user)?;
            }
            // Without the error's text, which would have to be allocated.
            filters
                .iter()
                .try_for_each(|filter| apply_filter(filter))
                .map_err(|_| io::ErrorKind::Unsupported.into())
        };
        // SAFETY: raw system calls only, and nothing is allocated.
        unsafe { command.pre_exec(enter) };
    }

    /// Starts a command inside.
    pub(crate) fn start(&self, mut command: Command) -> Confined {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{MARK}={}.{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let (name, value) = mark.split_once('=').unwrap();
        command.env(name, value);
        self.shut_in(&mut command);
        Confined { started: Started::new(command), mark }
    }

    /// Runs `loophost ARGS…` inside, to its end, which is no signal, and that of all it has started.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ended {
        self.run_command(loophost(args))
    }

    /// The same for a command that is loophost.
    pub(crate) fn run_command(&self, command: Command) -> Ended {
        self.start(command).wait()
    }
}

impl Confined {
    /// Waits until loophost and all that it has started are gone.
    ///
    /// # Panics
    /// A signal has killed loophost, or somebody never ends.
    pub(crate) fn wait(&self) -> Ended {
        let ended = self.started.wait();
        assert!(ended.status.code().is_some(), "loophost died: {}: {}", ended.status, ended.stderr);
        eventually("the end of all that loophost has started", || self.processes().is_empty().then_some(()));
        ended
    }

    /// The living processes of the sandbox.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        // Of a zombie there is no environment any more.
        let is_ours = |pid: &Pid| {
            let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            variables.split(|byte| *byte == 0).any(|variable| variable == self.mark.as_bytes())
        };
        loophost_tests::proc::all().into_iter().map(|stat| stat.pid).filter(is_ours).collect()
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
        }
    }
}

/// Whether the kernel takes filters; if not, that is said.
pub(crate) fn filters_work() -> bool {
    static WORK: OnceLock<bool> = OnceLock::new();
    let work = *WORK.get_or_init(|| {
        let mut command = Command::new("true");
        Sandbox::new().refusing(libc::SYS_pidfd_open, libc::EPERM).shut_in(&mut command);
        command.status().is_ok_and(|status| status.success())
    });
    if !work {
        skip("seccomp filters cannot be installed here");
    }
    work
}
