//! `loophost.h` against the types of this host: a C and a C++ compiler compare sizes, offsets and numbers.

use std::{
    fmt::Write as _,
    io::Write as _,
    mem::offset_of,
    process::{Command, Stdio},
};

use loophost_plugin_api::{
    __private::Growing, ABI_MAJOR, ABI_MINOR, Capabilities, ChildExit, Descriptor, ErrorCode, Event,
    EventKind, ExtensionHead, Interest, IoVec, Op, OpCode, Stat,
};

use super::abi::{
    CCallback, CError, CEvent, CExceptionContext, CKeyValue, CLogRecord, CRepeatCallback, Function,
    HostFunctions, HostTable, LoopTable, PluginTable, PolicyTable, Table, WatcherTable,
};

/// Assertions about one struct.
fn assert_layout(text: &mut String, name: &str, size: usize, members: &[(&str, usize)]) {
    writeln!(text, "ASSERT(sizeof(struct {name}) == {size}, \"{name}\");").unwrap();
    for (member, offset) in members {
        writeln!(text, "ASSERT(offsetof(struct {name}, {member}) == {offset}, \"{name}.{member}\");")
            .unwrap();
    }
}

fn assert_table<T: Table>(text: &mut String) {
    assert_layout(text, T::NAME, size_of::<T>(), &[("struct_size", 0)]);
    T::members().iter().for_each(|function| assert_function(text, T::NAME, function));
}

/// Assertions about a member that is a function: where it is, what it takes and gives.
fn assert_function(text: &mut String, table: &str, function: &Function) {
    let Function { name, offset, arguments, result } = function;
    let arguments: Vec<_> = arguments.iter().map(|argument| in_c(argument)).collect();
    let arguments = if arguments.is_empty() { "void".to_owned() } else { arguments.join(", ") };
    let result = result.map_or("void", in_c);
    writeln!(text, "ASSERT(offsetof(struct {table}, {name}) == {offset}, \"{table}.{name}\");").unwrap();
    writeln!(text, "ASSERT(HAS_TYPE({table}, {name}, {result} (*)({arguments})), \"{table}.{name}\");")
        .unwrap();
}

/// What the header calls a type.
fn in_c(rust: &str) -> &'static str {
    match rust {
        "i32" => "int32_t",
        "i64" => "int64_t",
        "u32" => "uint32_t",
        "u64" => "uint64_t",
        "usize" => "size_t",
        "c_int" => "int",
        "*mut i64" => "int64_t *",
        "*mut u64" => "uint64_t *",
        "*mut c_void" => "void *",
        "*const c_void" => "const void *",
        "*mut c_char" => "char *",
        "*const c_char" => "const char *",
        "*mut LoopHandle" => "struct loophost_loop *",
        "*mut WatcherHandle" => "struct loophost_watcher *",
        "*mut PolicyHandle" => "struct loophost_policy *",
        "*mut *mut LoopHandle" => "struct loophost_loop **",
        "*mut *mut WatcherHandle" => "struct loophost_watcher **",
        "*mut *mut PolicyHandle" => "struct loophost_policy **",
        "*const LoopTable" => "const struct loophost_loop_vtable *",
        "*const WatcherTable" => "const struct loophost_watcher_vtable *",
        "*const PolicyTable" => "const struct loophost_policy_vtable *",
        "*const HostTable" => "const struct loophost_host *",
        "*mut CError" => "struct loophost_error *",
        "*const CEvent" => "const struct loophost_event *",
        "*const CKeyValue" => "const struct loophost_key_value *",
        "*const CLogRecord" => "const struct loophost_log_record *",
        "*const CExceptionContext" => "const struct loophost_exception_context *",
        "*mut ChildExit" => "struct loophost_child_exit *",
        "*const Op" => "const struct loophost_op *",
        "CCallback" => "struct loophost_callback",
        "CRepeatCallback" => "struct loophost_repeat_callback",
        "*mut CCallback" => "struct loophost_callback *",
        "*mut CRepeatCallback" => "struct loophost_repeat_callback *",
        // The words of a callback of either kind.
        "*const CCallback" => "const uintptr_t *",
        "Option<CallFn>" => "loophost_call_fn",
        "Option<DropFn>" => "loophost_drop_fn",
        other => panic!("{other} has no name in C yet"),
    }
}

macro_rules! assert_struct {
    ($text:ident, $name:literal, $type:ty: $($member:ident)*) => {
        assert_layout(&mut $text, $name, size_of::<$type>(), &[
            $((stringify!($member), offset_of!($type, $member)),)*
        ])
    };
}

/// Everything that the header and the host must agree on.
fn assertions() -> String {
    let mut text = String::new();
    assert_table::<LoopTable>(&mut text);
    assert_table::<WatcherTable>(&mut text);
    assert_table::<PolicyTable>(&mut text);
    assert_table::<PluginTable>(&mut text);
    let functions = offset_of!(HostTable, functions);
    for function in HostFunctions::members() {
        let offset = functions + function.offset;
        assert_function(&mut text, "loophost_host", &Function { offset, ..function });
    }
    assert_layout(&mut text, "loophost_host", size_of::<HostTable>(), &[]);
    assert_struct!(text, "loophost_host", HostTable: struct_size abi_minor loops watchers policies);
    assert_struct!(text, "loophost_error", CError: code os_errno message);
    assert_struct!(text, "loophost_key_value", CKeyValue: key value);
    assert_struct!(text, "loophost_exception_context", CExceptionContext:
        struct_size message error details details_len);
    assert_struct!(text, "loophost_event", CEvent: kind flags result aux data);
    assert_struct!(text, "loophost_log_record", CLogRecord:
        struct_size level line target file message fields fields_len);
    assert_struct!(text, "loophost_child_exit", ChildExit: raw_status utime_us stime_us maxrss_kb);
    // Private: it comes first in all of them.
    assert_layout(&mut text, "loophost_child_exit", size_of::<ChildExit>(), &[("size", 0)]);
    assert_struct!(text, "loophost_op", Op: code flags fd ptr len addr addr_len arg32 offset args);
    assert_struct!(text, "loophost_iovec", IoVec: ptr len);
    assert_struct!(text, "loophost_extension", ExtensionHead: size reserved object);
    assert_struct!(text, "loophost_descriptor", Descriptor:
        magic size abi_major abi_minor needs_minor flags metadata_len abi_stable metadata);
    assert_layout(&mut text, "loophost_callback", size_of::<CCallback>(), &[]);
    assert_layout(&mut text, "loophost_repeat_callback", size_of::<CRepeatCallback>(), &[]);
    for (name, value) in numbers() {
        writeln!(text, "ASSERT(LOOPHOST_{name} == {value}u, \"{name}\");").unwrap();
    }
    text
}

fn numbers() -> Vec<(&'static str, u64)> {
    let reaped = {
        use loophost_plugin_api::host::Reaped::*;
        let exit = ChildExit::new(0);
        [Exited(exit), StillAlive, NotOurs, Lost, Recovered(exit)].map(|reaped| u64::from(reaped.to_abi().0))
    };
    let wide = [
        ("CAN_READINESS", Capabilities::READINESS),
        ("CAN_COMPLETION", Capabilities::COMPLETION),
        ("CAN_SIGNALS", Capabilities::SIGNALS),
        ("CAN_EMBEDDABLE", Capabilities::EMBEDDABLE),
        ("IS_THREAD_BOUND", Capabilities::THREAD_BOUND),
        ("OP_CURRENT_POSITION", Op::CURRENT_POSITION),
        ("REAP_EXITED", reaped[0]),
        ("REAP_STILL_ALIVE", reaped[1]),
        ("REAP_NOT_OURS", reaped[2]),
        ("REAP_LOST", reaped[3]),
        ("REAP_RECOVERED", reaped[4]),
    ];
    let narrow = [
        ("ABI_MAJOR", ABI_MAJOR),
        ("ABI_MINOR", ABI_MINOR),
        ("PLUGIN_PANIC_ABORT", Descriptor::PANIC_ABORT),
        ("PLUGIN_C", Descriptor::C),
        ("PLUGIN_MUST_KNOW", Descriptor::MUST_KNOW),
        ("READ", Interest::READ.0),
        ("WRITE", Interest::WRITE.0),
        ("OP_MULTISHOT", Op::MULTISHOT),
        ("EVENT_STATUS_LOST", Event::STATUS_LOST),
        ("EVENT_CORE_DUMPED", Event::CORE_DUMPED),
        ("EVENT_RECOVERED", Event::RECOVERED),
        ("EVENT_MORE", Event::MORE),
        ("EVENT_FROM_KERNEL", Event::FROM_KERNEL),
        ("ERROR_PLUGIN(7)", ErrorCode::plugin(7).0),
    ];
    macro_rules! codes {
        ($prefix:literal $type:ident: $($name:ident)*) => {
            [$((concat!($prefix, stringify!($name)), $type::$name.0),)*]
        };
    }
    let errors = codes!("ERROR_" ErrorCode: OTHER PANICKED NOT_SUPPORTED OS INVALID_ARGUMENT LOOP_CLOSED LOOP_RUNNING
        NO_CURRENT_LOOP NO_RUNNING_LOOP WRONG_THREAD BUSY REENTERED FD_BUSY INACTIVE PROCESS_GONE NOT_FOUND FORKED
        LOOP_STOPPED);
    let events = codes!("EVENT_" EventKind: SOON TIMER READY IO SIGNAL COMPLETION CHILD EXCEPTION);
    let ops = codes!("OP_" OpCode: NOP READ WRITE READV WRITEV RECV SEND RECVFROM SENDTO ACCEPT CONNECT POLL
        WAIT_PROCESS TIMEOUT CLOSE);
    let stats = codes!("STAT_" Stat: TURNS CALLBACKS WAKEUPS);
    let narrow = narrow.into_iter().chain(errors).chain(events).chain(ops).chain(stats);
    wide.into_iter().chain(narrow.map(|(name, value)| (name, value.into()))).collect()
}

/// Whether a member of a struct has just this type.
const HAS_TYPE: &str = "
#ifdef __cplusplus
#include <type_traits>
#define HAS_TYPE(table, member, ...) std::is_same<decltype(table::member), __VA_ARGS__>::value
#else
#define HAS_TYPE(table, member, ...) _Generic(((struct table *)0)->member, __VA_ARGS__: 1, default: 0)
#endif
";

/// Compiles a file that includes the header; what the compiler has to say, and `None` if there is no compiler.
fn complaints(compiler: &str, flags: &[&str], assert: &str, rest: &str) -> Option<String> {
    let compiler = loophost_tests::require(compiler)?;
    let include = loophost_tests::workspace().join("plugin-api/include");
    let mut child = Command::new(compiler)
        .args(flags)
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-fsyntax-only", "-"])
        .arg("-I")
        .arg(include)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Included twice, which must do no harm.
    let source = format!(
        "{HAS_TYPE}#include \"loophost.h\"\n#include \"loophost.h\"\n#define ASSERT {assert}\n{rest}"
    );
    child.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn compile(compiler: &str, flags: &[&str], assert: &str, rest: &str) {
    assert_eq!(complaints(compiler, flags, assert, rest).unwrap_or_default(), "");
}

/// What a plugin's file must have, in the words of both languages.
const PLUGIN: &str = r#"
LOOPHOST_PLUGIN_NEEDS(0, "name=x\nversion=1\nsummary=y\n");
int has(const struct loophost_host *host, const struct loophost_child_exit *status);
int has(const struct loophost_host *host, const struct loophost_child_exit *status) {
    return LOOPHOST_HAS(host, reap) && LOOPHOST_HAS(host->loops, stop) && LOOPHOST_HAS(status, raw_status);
}
LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {sizeof(struct loophost_c_plugin), NULL, NULL, NULL, NULL};
"#;

#[test]
fn the_header_is_c11_and_describes_this_host() {
    compile("cc", &["-x", "c", "-std=c11"], "_Static_assert", &(assertions() + PLUGIN));
}

#[test]
fn the_header_is_cpp17_and_describes_this_host() {
    compile("c++", &["-x", "c++", "-std=c++17"], "static_assert", &(assertions() + PLUGIN));
}

/// With the word that Windows has for a symbol that others may see.
#[test]
fn the_header_exports_for_windows() {
    let windows = ["-D_WIN32", "-D__declspec(it)=AS_##it", "-DAS_dllexport=__attribute__((used))"];
    compile("cc", &[&["-x", "c", "-std=c11"][..], &windows].concat(), "_Static_assert", PLUGIN);
    compile("c++", &[&["-x", "c++", "-std=c++17"][..], &windows].concat(), "static_assert", PLUGIN);
}

/// A status that the host does not have is lost, whatever a later host calls that; as in Rust.
#[test]
fn a_child_event_says_what_reap_has_answered() {
    let Some(compiler) = loophost_tests::require("cc") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("events.c"), folder.path().join("events"));
    let text = r#"
        #include "loophost.h"
        int main(void) {
            struct loophost_child_exit exit;
            exit.size = sizeof exit;
            for (int reaped = 0; reaped < 7; reaped++) printf("%u ", loophost_child_event(7, &exit, reaped).flags);
        }
    "#;
    std::fs::write(&source, text).unwrap();
    let mut compile = Command::new(compiler);
    compile.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"]);
    compile.arg(loophost_tests::workspace().join("plugin-api/include")).arg("-o").arg(&program).arg(source);
    assert!(compile.status().unwrap().success());
    let output = Command::new(program).output().unwrap();
    let lost = Event::STATUS_LOST;
    // EXITED, STILL_ALIVE, NOT_OURS, LOST, RECOVERED, and two that there are not.
    let expected =
        [0, lost, lost, lost, Event::RECOVERED, lost, lost].map(|flags| format!("{flags} ")).concat();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn a_text_that_is_too_long_is_refused_by_the_compiler() {
    let plugin = |length| format!("LOOPHOST_PLUGIN(\"{}\");", "x".repeat(length));
    for (compiler, flags) in [("cc", ["-x", "c", "-std=c11"]), ("c++", ["-x", "c++", "-std=c++17"])] {
        let complaints = |length| {
            let flags = [&flags[..], &["-Wno-overlength-strings"]].concat();
            complaints(compiler, &flags, "", &plugin(length))
        };
        let Some(fits) = complaints(Descriptor::METADATA_ROOM - 1) else { continue };
        assert_eq!(fits, "");
        let too_long = complaints(Descriptor::METADATA_ROOM).unwrap_or_default();
        assert!(too_long.contains("too long for the plugin's descriptor"), "{too_long}");
    }
}

/// What a plugin in C reads as none is what the host takes for none.
#[test]
fn a_callback_is_never_all_zeros() {
    let callback = loophost_plugin_api::Callback::new(|_| Ok(()));
    // SAFETY: the words come from `give`, and none is none.
    let (some, none) = unsafe { (CCallback::give(callback).take(), CCallback::NONE.take()) };
    assert!(some.is_some() && none.is_none());
}

/// Frozen: whoever was built for 1.0 has these, and a later minor adds to their end.
#[cfg(target_pointer_width = "64")]
#[test]
fn the_smallest_tables_and_structs_are_those_of_1_0() {
    assert_eq!(LoopTable::SMALLEST, 272);
    assert_eq!(WatcherTable::SMALLEST, 88);
    assert_eq!(PolicyTable::SMALLEST, 64);
    assert_eq!(PluginTable::SMALLEST, 40);
    assert_eq!(CExceptionContext::SMALLEST, 40);
    assert_eq!(CLogRecord::SMALLEST, 56);
    assert_eq!(ChildExit::SMALLEST, 32);
    // What a plugin of 1.0 looks at without asking.
    let last = HostFunctions::members()[32];
    assert_eq!((offset_of!(HostTable, functions), last.name, last.offset), (32, "extension", 256));
}
