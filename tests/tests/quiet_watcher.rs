//! The example `quiet-watcher`: children run on it, and each exit is a line in the log.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use loophost::{
    Callback, Options, builtin, plugin,
    policy::get_event_loop_policy,
    process::{self, Command},
};
use loophost_tests::{
    LogLines, cdylib, loophost,
    plugin_file::{copy, folder},
    run, trust,
};

const QUIET: &str = "quiet-watcher";
const INNER: [&str; 3] = ["pidfd", "threaded", "auto"];

#[test]
fn children_run_on_it_and_each_exit_is_logged() {
    const CHILDREN: usize = 5;
    let lines = LogLines::keep();
    let plugin = plugin::load(&cdylib(QUIET), &trust()).unwrap();
    for inner in INNER {
        let mut options = Options::new();
        options.push("inner", inner);
        let watcher = plugin.new_watcher(None, &options, None).unwrap();
        get_event_loop_policy().set_child_watcher(Some(watcher)).unwrap();

        let event_loop = builtin::loops::new("selector", &Options::new()).unwrap();
        let left = Arc::new(AtomicUsize::new(CHILDREN));
        let (children, results) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (here, started, waiting) = (event_loop.clone(), children.clone(), left.clone());
        let told = results.clone();
        // From inside the loop, because that is the one which a PidfdChildWatcher uses.
        let start_all = Callback::new(move |_| {
            for n in 0..CHILDREN {
                let (left, told, ended) = (waiting.clone(), told.clone(), here.clone());
                let on_exit = Callback::new(move |event| {
                    told.lock().unwrap().push((n as i64, event.result));
                    if left.fetch_sub(1, SeqCst) == 1 { ended.stop() } else { Ok(()) }
                });
                let command = Command::new("sh").args(["-c", &format!("exit {n}")]);
                started.lock().unwrap().push(process::subprocess_exec(&here, command, on_exit).unwrap());
            }
            Ok(())
        });
        event_loop.call_soon(start_all).unwrap();
        event_loop.run_forever().unwrap();
        event_loop.close().unwrap();
        assert_eq!(left.load(SeqCst), 0);
        assert!(results.lock().unwrap().iter().all(|(n, result)| n == result), "{results:?}");
        let text = lines.take();
        for (n, child) in children.lock().unwrap().iter().enumerate() {
            let line = format!("INFO quiet_watcher: a child has exited pid={} returncode={n}", child.pid());
            assert_eq!(text.matches(&line).count(), 1, "{inner}: `{line}` in {text}");
        }
    }
}

#[test]
fn run_takes_it_by_its_name() {
    let (_folder, folder) = folder();
    copy(QUIET, &folder);
    let path = folder.display().to_string();
    for inner in INNER {
        let option = format!("inner={inner}");
        let quiet = ["run", "--plugin-path", &path, "--watcher", QUIET, "--watcher-opt", &option];
        let program = ["--log", "quiet_watcher=info", "--", "sh", "-c", "exit 7"];
        let ended = run(loophost(quiet.into_iter().chain(program)));
        assert_eq!(ended.code(), 7, "{ended:?}");
        assert!(ended.stderr.contains("a child has exited pid="), "{ended:?}");
        assert!(ended.stderr.contains("returncode=7"), "{ended:?}");
    }
    let ended = run(loophost([
        "run",
        "--plugin-path",
        &path,
        "--watcher",
        QUIET,
        "--watcher-opt",
        "inner=nobody",
        "--",
        "true",
    ]));
    assert_eq!(ended.code(), 125, "{ended:?}");
    assert!(ended.stderr.contains("there are pidfd, threaded, auto"), "{ended:?}");
}
