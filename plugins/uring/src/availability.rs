//! Whether io_uring works here, and what this kernel's has.

use std::{fs, io};

use io_uring::{IoUring, Probe, opcode};
use libc::{EINVAL, ENOSYS, EPERM};
use loophost_plugin_api::{Error, ErrorCode};

use crate::{
    settings::Settings,
    sys::helper::{self, Ended},
};

/// What a loop cannot do without.
const NEEDED: [(u8, &str); 12] = [
    (opcode::Read::CODE, "read"),
    (opcode::Write::CODE, "write"),
    (opcode::Readv::CODE, "readv"),
    (opcode::Writev::CODE, "writev"),
    (opcode::Recv::CODE, "recv"),
    (opcode::Send::CODE, "send"),
    (opcode::RecvMsg::CODE, "recvmsg"),
    (opcode::SendMsg::CODE, "sendmsg"),
    (opcode::Accept::CODE, "accept"),
    (opcode::Connect::CODE, "connect"),
    (opcode::Close::CODE, "close"),
    (opcode::AsyncCancel::CODE, "cancel"),
];

/// What later kernels have. Of what has no operation of its own one that came with it, or after it, is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    /// Linux 5.13.
    pub(crate) multishot_poll: bool,
    /// Linux 5.19.
    pub(crate) multishot_accept: bool,
    /// Successful cancellations say nothing; Linux 5.17.
    pub(crate) silent_success: bool,
    /// What is complete can be left until a thread enters its ring for it; Linux 6.1.
    pub(crate) deferred_work: bool,
}

/// Makes a ring as the loops will have it, and looks at it.
///
/// # Errors
/// `NotSupported` if io_uring is not available here, `Os` if it is, and something is short.
pub(crate) fn try_out(settings: &Settings) -> Result<Features, Error> {
    if may_be_filtered() {
        match helper::run().map_err(|error| Error::os(&error, "trying io_uring in a helper process"))? {
            Ended::Exited(0) => {}
            Ended::Exited(errno) => return Err(no_ring(&io::Error::from_raw_os_error(errno), settings)),
            Ended::Killed(signal) => {
                return Err(not_available(format!(
                    "a seccomp filter kills whoever uses it (signal {signal}): allow io_uring_setup, io_uring_enter and \
                     io_uring_register"
                )));
            }
        }
    }
    let ring = settings.build().map_err(|error| no_ring(&error, settings))?;
    examine(&ring, settings)
}

fn examine(ring: &IoUring, settings: &Settings) -> Result<Features, Error> {
    let params = ring.params();
    if !params.is_feature_ext_arg() || !params.is_feature_nodrop() {
        return Err(not_available("this kernel's is too old: Linux 5.11 or newer is needed".into()));
    }
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| no_ring(&error, settings))?;
    let poll = (opcode::PollAdd::CODE, "poll");
    if let Some((_, name)) = NEEDED.iter().chain([&poll]).find(|(code, _)| !probe.is_supported(*code)) {
        return Err(not_available(format!("this kernel's has no operation {name}")));
    }
    if settings.waitid && !probe.is_supported(opcode::WaitId::CODE) {
        return Err(not_available("option wait=waitid needs Linux 6.7 or newer: use wait=poll".into()));
    }
    if !settings.single_issuer {
        // Enters the kernel, which a filter may forbid too.
        ring.submit().map_err(|error| no_ring(&error, settings))?;
    }
    Ok(Features {
        multishot_poll: probe.is_supported(opcode::MkDirAt::CODE),
        multishot_accept: probe.is_supported(opcode::Socket::CODE),
        silent_success: params.is_feature_skip_cqe_on_success(),
        deferred_work: probe.is_supported(opcode::SendMsgZc::CODE),
    })
}

/// A filter may kill instead of refusing; without one the first ring is the test.
fn may_be_filtered() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    seccomp.map(str::trim) != Some("0")
}

fn no_ring(error: &io::Error, settings: &Settings) -> Error {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match (error.raw_os_error(), disabled.trim()) {
        (Some(EPERM), level @ ("1" | "2")) => not_available(format!(
            "kernel.io_uring_disabled={level}: `sysctl kernel.io_uring_disabled=0` would allow it"
        )),
        (Some(EPERM), _) => not_available(format!(
            "a sandbox forbids it ({error}): most container runtimes do; allow io_uring_setup, io_uring_enter and \
             io_uring_register in the seccomp profile"
        )),
        (Some(ENOSYS), _) => {
            not_available(format!("this kernel has none, or a seccomp filter hides it ({error})"))
        }
        (Some(EINVAL), _) if settings.single_issuer => {
            not_available("option single-issuer=yes needs Linux 6.1 or newer: use single-issuer=no".into())
        }
        // It is there, and something else is short.
        _ => Error::os(error, format_args!("making {settings}")),
    }
}

fn not_available(reason: String) -> Error {
    Error::new(ErrorCode::NOT_SUPPORTED, format!("io_uring is not available here, because {reason}"))
}
