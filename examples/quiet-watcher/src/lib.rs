//! A child watcher around a built-in one, which logs each exit and is otherwise not noticed.
//!
//! ```text
//! loophost run --watcher quiet-watcher --watcher-opt inner=threaded --log info -- redis-server
//! ```

#![deny(unsafe_code)]

use loophost_plugin_api::{
    Callback, ChildWatcher, Error, Fd, Options, Plugin, WatcherHandle, export_plugin, host,
};

const DEFAULT_INNER: &str = "auto";

struct QuietWatcher {
    inner: WatcherHandle,
}

impl ChildWatcher for QuietWatcher {
    fn base(&self) -> Option<WatcherHandle> {
        Some(self.inner.clone())
    }

    fn add_child_handler(&self, pid: i64, pidfd: Fd, callback: Callback) -> Result<(), Error> {
        let logged = Callback::new(move |event| {
            tracing::info!(pid, returncode = event.result, "a child has exited");
            callback.call(event)
        });
        // super().add_child_handler(pid, logged)
        self.inner.add_child_handler(pid, pidfd, logged)
    }
}

struct QuietPlugin;

impl Plugin for QuietPlugin {
    /// The watcher that is wrapped is of its own making, not the host's default: two watchers share no children.
    fn new_watcher(
        _name: &str,
        options: &Options,
        _base: Option<WatcherHandle>,
    ) -> Result<WatcherHandle, Error> {
        let inner = options.get("inner").unwrap_or(DEFAULT_INNER);
        let inner = host::new_watcher(inner, &Options::new())?;
        Ok(WatcherHandle::new(QuietWatcher { inner }))
    }
}

export_plugin! {
    plugin: QuietPlugin,
    name: "quiet-watcher",
    summary: "an example: a built-in child watcher that also logs each exit",
    offers: [
        watcher "quiet" {
            summary: "a built-in watcher that logs each exit at level info",
            options: { "inner": "which built-in: pidfd, threaded or auto (default auto)" },
        },
    ],
}
