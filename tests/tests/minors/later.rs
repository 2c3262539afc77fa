//! What the next minor has here: one more of everything that VERSIONS.md lets a minor add, at the places where that would
//! be added in earnest. The numbers that the new functions answer say who has answered.

use loophost::ABI_MINOR;

use crate::edit::Edit;

pub(crate) fn edits() -> Vec<Edit> {
    let asks = Edit::add("host/cli/src/bin/news.rs", include_str!("../../minors/news.rs"));
    [vec![asks], methods(), functions(), fields(), in_c(), plugins()].into_iter().flatten().collect()
}

/// `EventLoop::pending`, `ChildWatcher::watched`, `Policy::contexts`.
fn methods() -> Vec<Edit> {
    let methods = [("pending", LOOP), ("watched", WATCHER), ("contexts", POLICY)];
    let mut edits = Vec::new();
    for (method, files) in methods {
        let table = format!(
            "    fn {method}(&self) -> AbiResult<u64> {{
        match self.base() {{
            ROption::RSome(base) => base.{method}().into(),
            ROption::RNone => AbiResult::RErr(crate::Error::not_supported(\"{method}\")),
        }}
    }}
"
        );
        let author = format!(
            "
    /// New.
    fn {method}(&self) -> Result<u64, Error> {{
        delegate!(self, \"{method}\", {method}())
    }}
"
        );
        let adapter = format!("\n        fn {method}() -> u64;");
        let handle = format!(
            "    /// New.
    pub fn {method}(&self) -> Result<u64, Error> {{
        self.0.{method}().into_result()
    }}

"
        );
        let own = format!(
            "    fn {method}(&self) -> Result<u64, Error> {{\n        Ok({})\n    }}\n\n",
            files.answer
        );
        edits.extend([
            Edit::at_end(files.table, "    fn extension(&self, id: RStr<'_>) -> *const c_void;", &table),
            Edit::at_end(files.author, EXTENSION_OF_AUTHORS, &author),
            Edit::after(files.adapter.0, files.adapter.1, &adapter),
            Edit::before(files.handle.0, files.handle.1, &handle),
            Edit::before(files.built_in.0, files.built_in.1, &own),
        ]);
    }
    edits
}

const EXTENSION_OF_AUTHORS: &str = "    fn extension(&self, id: &str) -> *const c_void {
        self.base().map_or(ptr::null(), |base| base.extension(id))
    }";

/// Where a method of an object is, and what it comes before or after.
struct Places {
    table: &'static str,
    author: &'static str,
    adapter: (&'static str, &'static str),
    handle: (&'static str, &'static str),
    built_in: (&'static str, &'static str),
    /// Of the built-in one.
    answer: u32,
}

const LOOP: Places = Places {
    table: "plugin-api/src/event_loop/abi.rs",
    author: "plugin-api/src/event_loop.rs",
    adapter: ("plugin-api/src/event_loop/adapter.rs", "        fn set_debug(on: bool) -> ();"),
    handle: ("plugin-api/src/event_loop/handle.rs", "    /// See [`EventLoop::is_running`].\n"),
    built_in: (
        "plugin-api/base-loop/src/base_loop.rs",
        "    fn stop(&self) -> Result<(), Error> {\n        if self.inbox.is_closed()",
    ),
    answer: 11,
};

const POLICY: Places = Places {
    table: "plugin-api/src/policy/abi.rs",
    author: "plugin-api/src/policy.rs",
    adapter: (
        "plugin-api/src/policy/adapter.rs",
        "        fn get_child_watcher(this: &PolicyHandle) -> WatcherHandle;",
    ),
    handle: ("plugin-api/src/policy/handle.rs", "    /// See [`Policy::base`].\n"),
    built_in: ("host/src/policy/default.rs", "    fn new_event_loop(&self, _this: &PolicyHandle)"),
    answer: 12,
};

const WATCHER: Places = Places {
    table: "plugin-api/src/child_watcher/abi.rs",
    author: "plugin-api/src/child_watcher.rs",
    adapter: ("plugin-api/src/child_watcher/adapter.rs", "        fn close() -> ();"),
    handle: ("plugin-api/src/child_watcher/handle.rs", "    /// See [`ChildWatcher::attach_loop`].\n"),
    built_in: ("host/src/builtin/watchers/threaded.rs", "    fn name(&self) -> String {\n"),
    answer: 13,
};

/// `host::uptime` and `Plugin::health`.
fn functions() -> Vec<Edit> {
    vec![
        Edit::at_end(
            "plugin-api/src/host/services.rs",
            "    pub extension: extern \"C\" fn(RStr<'_>) -> *const c_void,",
            "    /// New.\n    pub uptime: extern \"C\" fn() -> u64,\n",
        ),
        Edit::before(
            "plugin-api/src/host.rs",
            "/// Takes the status of child `pid` if it has exited. Never waits.\n",
            "/// New. `None` from a host that does not know it.
pub fn uptime() -> Option<u64> {
    try_services()?.uptime().map(|uptime| uptime())
}

",
        ),
        Edit::after(
            "host/src/services.rs",
            "            reap,\n            extension,\n",
            "            uptime,\n",
        ),
        Edit::after(
            "host/src/services.rs",
            "extern \"C\" fn extension(_id: RStr<'_>) -> *const c_void {\n    ptr::null()\n}\n",
            "\nextern \"C\" fn uptime() -> u64 {\n    14\n}\n",
        ),
        Edit::at_end(
            "plugin-api/src/plugin/root.rs",
            "    pub extension: extern \"C\" fn(RStr<'_>) -> *const c_void,",
            "    /// New.\n    pub health: extern \"C\" fn() -> u64,\n",
        ),
        Edit::after(
            "plugin-api/src/plugin/root.rs",
            "            extension: extension::<P>,\n",
            "            health: health::<P>,\n",
        ),
        Edit::before(
            "plugin-api/src/plugin/root.rs",
            "extern \"C\" fn extension<P: Plugin>",
            "extern \"C\" fn health<P: Plugin>() -> u64 {\n    guard_or(0, \"health\", P::health)\n}\n\n",
        ),
        Edit::before(
            "plugin-api/src/plugin.rs",
            "    /// The table of extension `vendor.name/1`, or null: a static",
            "    /// New.\n    fn health() -> u64 {\n        20\n    }\n\n",
        ),
        Edit::before(
            "host/src/plugin/root.rs",
            "    pub(super) fn extension(",
            "    pub(super) fn health(&self) -> Option<u64> {
        match self {
            Self::Rust(root) => root.health().map(|health| health()),
            Self::C(root) => root.health(),
        }
    }

",
        ),
        Edit::before(
            "host/src/plugin.rs",
            "    /// Where it comes from.\n    pub fn source(",
            "    /// New. `None` from a plugin that does not know it.
    pub fn health(&self) -> Option<u64> {
        self.root.health()
    }

",
        ),
        // What it says of itself has a key that the earlier host does not know.
        Edit::after(
            "plugin-api/src/plugin.rs",
            "                \"\\nsummary=\", $summary,\n",
            "                \"\\nsince=the next minor\",\n",
        ),
    ]
}

/// `ChildExit::switches`, `ExceptionContext::thread`, `LogRecord::thread`.
fn fields() -> Vec<Edit> {
    let event = "plugin-api/src/event.rs";
    let log = "plugin-api/src/log.rs";
    vec![
        Edit::at_end(event, "    pub maxrss_kb: u64,", "    /// New.\n    pub switches: u64,\n"),
        Edit::after(event, "stime_us: 0, maxrss_kb: 0", ", switches: 0"),
        Edit::after(
            "host/src/sys/wait.rs",
            "    exit.maxrss_kb = u64::try_from(usage.ru_maxrss).unwrap_or(0);\n",
            "    exit.switches = 17;\n",
        ),
        Edit::at_end(event, "    pub details: RSlice<'a, KeyValue>,", "    /// New.\n    pub thread: u64,\n"),
        Edit::after(event, "error: None, details: RSlice::EMPTY", ", thread: 0"),
        Edit::after(event, "message: message.into(), error, details: details.into()", ", thread: 18"),
        Edit::at_end(
            log,
            "    pub fields: RSlice<'a, LogField<'a>>,",
            "    /// New.\n    pub thread: u64,\n",
        ),
        Edit::after(log, "        fields: RSlice::EMPTY,\n", "        thread: 0,\n"),
        Edit::replace(
            log,
            "message: message.into(), ..Self::EMPTY",
            "message: message.into(), thread: 19, ..Self::EMPTY",
        ),
        Edit::replace(
            "host/src/log.rs",
            "        let mut message = record.message.as_str().to_owned();\n",
            "        let mut message = format!(\"{}, from thread {}\", record.message, record.thread);\n",
        ),
    ]
}

/// All of these in C, but for the methods of watchers and policies.
fn in_c() -> Vec<Edit> {
    let header = "plugin-api/include/loophost.h";
    let abi = "host/src/plugin/c/abi.rs";
    vec![
        Edit::at_end(header, "    uint64_t maxrss_kb;", "    uint64_t switches;\n"),
        Edit::at_end(header, "    size_t details_len;", "    uint64_t thread;\n"),
        Edit::at_end(header, "    size_t fields_len;", "    uint64_t thread;\n"),
        Edit::before(
            header,
            "};\n\n/* ---- Child watchers ---- */\n",
            "    int (*pending)(void *self, uint64_t *count, struct loophost_error *error);\n",
        ),
        Edit::before(header, "};\n\n/* The event for a child handler,", "    uint64_t (*uptime)(void);\n"),
        Edit::before(header, "};\n\n/* What is read from the file", "    uint64_t (*health)(void);\n"),
        Edit::at_end(abi, "    pub(super) details_len: usize,", "    pub(super) thread: u64,\n"),
        Edit::after(abi, "        details_len: 0,\n", "        thread: 0,\n"),
        Edit::at_end(abi, "    pub(super) fields_len: usize,", "    pub(super) thread: u64,\n"),
        Edit::after(abi, "        fields_len: 0,\n", "        thread: 0,\n"),
        Edit::before(
            abi,
            "}}\n\ntable! { WatcherTable",
            "    pending: fn(*mut c_void, *mut u64, *mut CError) -> c_int;\n",
        ),
        Edit::before(abi, "}}\n\n/// `struct loophost_host`.\n", "    health: fn() -> u64;\n"),
        Edit::at_end(
            abi,
            "    reap: fn(i64, *mut ChildExit, *mut CError) -> c_int;\n    extension: fn(*const c_char) -> *const c_void;",
            "    uptime: fn() -> u64;\n",
        ),
        Edit::after(
            "host/src/plugin/c/callback.rs",
            "        details_len: details.len(),\n",
            "        thread: 28,\n",
        ),
        Edit::after(
            "host/src/plugin/c/event_loop.rs",
            "        hold fn set_debug(on: bool) -> say ();\n",
            "        hold fn pending() -> out u64;\n",
        ),
        Edit::after(
            "host/src/plugin/c/loop_methods.rs",
            "    extension: Some(extension),\n",
            "    pending: Some(pending),\n",
        ),
        Edit::after(
            "host/src/plugin/c/loop_methods.rs",
            "    fn set_debug(on: bool) -> say ();\n",
            "    fn pending() -> out u64;\n",
        ),
        Edit::after("host/src/plugin/c/host_table.rs", "    reap,\n    extension,\n", "    uptime,\n"),
        Edit::before(
            "host/src/plugin/c/host_table.rs",
            "unsafe extern \"C\" fn process_number()",
            "unsafe extern \"C\" fn uptime() -> u64 {\n    14\n}\n\n",
        ),
        Edit::after(
            "host/src/plugin/c/host_table.rs",
            "        forwarded.line = record.line;\n",
            "        forwarded.thread = record.thread;\n",
        ),
        Edit::before(
            "host/src/plugin/c/root.rs",
            "    pub(in super::super) fn extension(",
            "    pub(in super::super) fn health(&self) -> Option<u64> {
        // SAFETY: the plugin vouches for its function.
        self.0.health.map(|health| unsafe { health() })
    }

",
        ),
    ]
}

/// Plugins that use the news, and say that they do without.
fn plugins() -> Vec<Edit> {
    let wrapping = "tests/fixtures/wrapping/src/lib.rs";
    let needs = format!("    needs_minor: {ABI_MINOR},\n");
    vec![
        Edit::before(wrapping, "    offers: [\n", &needs),
        Edit::before("plugins/poll/src/lib.rs", "    offers: [\n", &needs),
        Edit::after(
            wrapping,
            "impl EventLoop for WrappedLoop {\n",
            "    fn pending(&self) -> Result<u64, Error> {\n        Ok(21)\n    }\n\n",
        ),
        Edit::after(
            wrapping,
            "impl Plugin for Wrapping {\n",
            "    fn health() -> u64 {\n        24\n    }\n\n",
        ),
        Edit::replace(
            wrapping,
            "tracing::info!(\"wrapping is there\");",
            "tracing::info!(uptime = ?host::uptime(), \"wrapping is there\");",
        ),
        Edit::after(
            wrapping,
            "    let reaped = host::reap(pid)?;\n",
            "    if let host::Reaped::Exited(exit) = reaped {
        tracing::info!(switches = exit.switches, \"a child has exited\");
    }
",
        ),
        // It needs the minor that it is built for.
        Edit::replace(
            "tests/fixtures/runs-early/src/lib.rs",
            "    abi_minor: ABI_MINOR + 7,\n    needs_minor: ABI_MINOR + 7,\n",
            "    abi_minor: ABI_MINOR,\n",
        ),
    ]
}
