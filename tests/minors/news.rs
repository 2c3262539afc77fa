//! Asks plugins for what came with a later minor: see `tests/tests/minors`.

use std::{
    env,
    fmt::Display,
    path::Path,
    sync::{Arc, Mutex},
};

use loophost::{
    Callback, Error, ErrorCode, LoopHandle, OfferKind, OpCode, Options, PolicyHandle, RepeatCallback, Stat,
    builtin,
    plugin::{self, Plugin, Trust},
    policy::DefaultEventLoopPolicy,
};

/// Numbers that nobody has.
const OPERATION: OpCode = OpCode(60);
const FIGURE: Stat = Stat(60);
const CAPABILITY: u64 = 1 << 47;

fn main() {
    for file in env::args_os().skip(1) {
        let plugin = plugin::load(Path::new(&file), &Trust::new()).unwrap();
        println!("{}: health {:?}", plugin.metadata().name, plugin.health());
        for offer in &plugin.metadata().offers {
            match offer.kind {
                OfferKind::Policy => policy(plugin, &offer.name),
                OfferKind::Watcher => watcher(plugin, &offer.name),
            }
        }
    }
}

fn policy(plugin: &Plugin, name: &str) {
    let base = PolicyHandle::new(DefaultEventLoopPolicy::new());
    let policy = plugin.new_policy(Some(name), &Options::new(), Some(base)).unwrap();
    let event_loop = policy.new_event_loop().unwrap();
    println!(
        "policy {name}: contexts {}, pending {}, operation {}, figure {:?}, capability {}, exception in thread {}",
        told(policy.contexts()),
        told(event_loop.pending()),
        yes_or_no(event_loop.supports(OPERATION)),
        event_loop.stat(FIGURE),
        yes_or_no(event_loop.capabilities() & CAPABILITY != 0),
        thread_of_an_exception(&event_loop),
    );
    event_loop.close().unwrap();
}

fn watcher(plugin: &Plugin, name: &str) {
    let base = builtin::plugin().new_watcher(Some("threaded"), &Options::new(), None).unwrap();
    let watcher = plugin.new_watcher(Some(name), &Options::new(), Some(base)).unwrap();
    println!("watcher {name}: watched {}", told(watcher.watched()));
}

/// The new field of what an exception handler is told.
fn thread_of_an_exception(event_loop: &LoopHandle) -> u64 {
    let thread = Arc::new(Mutex::new(None));
    let seen = thread.clone();
    let handler = RepeatCallback::new(move |event| {
        *seen.lock().unwrap() = Some(event.exception().unwrap().thread);
        Ok(())
    });
    event_loop.set_exception_handler(Some(handler)).unwrap();
    let fails = Callback::new(|_| Err(Error::new(ErrorCode::OTHER, "as it should be")));
    event_loop.call_soon(fails).unwrap();
    event_loop.run_once(None).unwrap();
    let thread = thread.lock().unwrap();
    thread.unwrap()
}

fn told(answer: Result<impl Display, Error>) -> String {
    match answer {
        Ok(answer) => answer.to_string(),
        Err(error) if error.code() == ErrorCode::NOT_SUPPORTED => "not supported".into(),
        Err(error) => panic!("{error}"),
    }
}

fn yes_or_no(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}
