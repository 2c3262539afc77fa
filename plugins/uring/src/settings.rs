//! What a ring is like: the options of the policy.

use std::{fmt, io, num::NonZeroU32};

use io_uring::{IoUring, squeue};
use loophost_plugin_api::{Error, Options};

/// The kernel takes no more.
const MOST_ENTRIES: u32 = 32768;
const DEFAULT_ENTRIES: u32 = 256;

/// The options, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) entries: u32,
    /// After how many milliseconds without work the kernel's thread sleeps; `None`: there is no such thread.
    pub(crate) sqpoll: Option<NonZeroU32>,
    pub(crate) single_issuer: bool,
    /// WAIT_PROCESS is a waitid, and not a poll of the pidfd.
    pub(crate) waitid: bool,
}

impl Settings {
    /// # Errors
    /// `InvalidArgument`, with what is allowed.
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let entries = match options.get("entries") {
            None => DEFAULT_ENTRIES,
            Some(text) => text
                .parse()
                .ok()
                .filter(|entries| (1..=MOST_ENTRIES).contains(entries))
                .ok_or_else(|| refused("entries", text, "a number from 1 to 32768"))?,
        };
        let sqpoll = match options.get("sqpoll") {
            None | Some("off") => None,
            Some(text) => {
                let milliseconds = text.parse().ok();
                Some(milliseconds.ok_or_else(|| {
                    refused("sqpoll", text, "off, or after how many idle milliseconds the thread sleeps")
                })?)
            }
        };
        let settings = Self {
            entries,
            sqpoll,
            single_issuer: choice(options, "single-issuer", ["no", "yes"])?,
            waitid: choice(options, "wait", ["poll", "waitid"])?,
        };
        if settings.sqpoll.is_some() && settings.single_issuer {
            return Err(Error::invalid_argument(
                "options sqpoll and single-issuer exclude each other: the kernel's thread is an issuer too",
            ));
        }
        Ok(settings)
    }

    /// The ring of these settings.
    pub(crate) fn build(&self) -> io::Result<IoUring> {
        let mut builder = self.builder();
        if let Some(idle) = self.sqpoll {
            return builder.setup_sqpoll(idle.get()).build(self.entries);
        }
        if self.single_issuer {
            return self.build_for_one_thread();
        }
        // Without interrupting this thread for each completion; Linux 5.19.
        let plain = builder.clone();
        match builder.setup_coop_taskrun().setup_taskrun_flag().build(self.entries) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => plain.build(self.entries),
            result => result,
        }
    }

    /// One that belongs to the thread that enables it, which is told of what is complete when it enters the kernel for that,
    /// and not at the end of any other system call. Linux 6.1.
    pub(crate) fn build_for_one_thread(&self) -> io::Result<IoUring> {
        let mut builder = self.builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_r_disabled();
        builder.build(self.entries)
    }

    fn builder(&self) -> io_uring::Builder<squeue::Entry> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(self.entries * 4).setup_clamp();
        builder
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a ring of {} entries", self.entries)
    }
}

/// Whether it is the second one.
fn choice(options: &Options, key: &str, [default, other]: [&str; 2]) -> Result<bool, Error> {
    match options.get(key) {
        None => Ok(false),
        Some(text) if text == default => Ok(false),
        Some(text) if text == other => Ok(true),
        Some(text) => Err(refused(key, text, &format!("{default} or {other}"))),
    }
}

fn refused(key: &str, text: &str, allowed: &str) -> Error {
    Error::invalid_argument(format!("option {key}={text}: allowed is {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let mut options = Options::new();
        pairs.iter().for_each(|(key, value)| options.push(key, value));
        Settings::new(&options).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn options_are_taken_or_refused_with_what_is_allowed() {
        let default = settings(&[]).unwrap();
        assert_eq!((default.entries, default.sqpoll, default.single_issuer), (256, None, false));
        let all =
            settings(&[("entries", "8"), ("sqpoll", "50"), ("single-issuer", "no"), ("wait", "waitid")]);
        let all = all.unwrap();
        assert_eq!((all.entries, all.sqpoll.map(NonZeroU32::get), all.waitid), (8, Some(50), true));
        for (key, value, allowed) in [
            ("entries", "0", "1 to 32768"),
            ("entries", "32769", "1 to 32768"),
            ("entries", "many", "1 to 32768"),
            ("sqpoll", "0", "idle milliseconds"),
            ("sqpoll", "on", "idle milliseconds"),
            ("single-issuer", "1", "no or yes"),
            ("wait", "", "poll or waitid"),
        ] {
            let message = settings(&[(key, value)]).unwrap_err();
            assert!(message.contains(allowed) && message.contains(&format!("{key}={value}")), "{message}");
        }
        assert!(settings(&[("sqpoll", "5"), ("single-issuer", "yes")]).unwrap_err().contains("exclude"));
    }
}
