//! A plugin host for event loops: asyncio's policy system for native programs.
//!
//! Write async Rust once; whoever starts the program picks the loop that it runs on:
//!
//! ```
//! # #[cfg(feature = "async")] {
//! use futures_lite::{AsyncReadExt, AsyncWriteExt};
//! use loophost::net::{TcpListener, TcpStream};
//!
//! loophost::install_from_env()?;
//! let heard = loophost::run(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     loophost::spawn(async move {
//!         let (mut stream, _address) = listener.accept().await?;
//!         stream.write_all(b"hello").await
//!     });
//!     let mut heard = String::new();
//!     TcpStream::connect(address).await?.read_to_string(&mut heard).await?;
//!     Ok::<_, std::io::Error>(heard)
//! })??;
//! assert_eq!(heard, "hello");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `GUIDE.md` in loophost's repository goes on from there.
//!
//! The policy of the process decides which event loop a thread gets and how the process learns that a child has exited.
//! Policies, loops and child watchers are built in or come from plugin files; this library cannot tell them apart.
//!
//! ```
//! use loophost::{Callback, policy};
//!
//! let event_loop = policy::new_event_loop()?;
//! let l = event_loop.clone();
//! event_loop.call_soon(Callback::new(move |_| l.stop()))?;
//! event_loop.run_forever()?;
//! event_loop.close()?;
//! # Ok::<(), loophost::Error>(())
//! ```
//!
//! # Map
//! - [`run`], [`block_on`]: run a future to its end; [`spawn`], [`spawn_local`], [`spawn_blocking`] and [`task`]: what goes on
//!   beside it; [`time`]: waiting, limits, ticks.
//! - [`net`]: sockets; [`io`]: whatever else has a descriptor. Async code starts processes by [`process::Command`] and
//!   waits for signals by [`signal::signal`].
//! - [`install_from_env`]: the choice of whoever starts the program; [`environment`]: the variables that it reads.
//! - [`policy`]: the functions of asyncio's module: get and set the policy, the loop, the watcher.
//! - [`plugin`]: finds, checks and loads plugin files; [`builtin`]: what needs none.
//! - [`process`]: makes, signals and reaps processes; [`signal`]: the one signal broker; [`probe`]: what works here.
//! - `testing`: what the conformance suite `loophost-testkit` needs, with the feature `testing`.
//! - Everything that crosses to plugins, [`LoopHandle`], [`Callback`], [`Error`] and so on, is that of
//!   `loophost-plugin-api` and stands at the root of this crate; [`host`] is the host as a plugin sees it.
//!
//! # Features
//! - `async`, on by default: [`run`], [`block_on`], [`spawn`] and its sisters, [`task`], [`time`], [`net`], [`io`], and the
//!   async halves of [`process`] and [`signal`]. Without it loops are used by their callbacks, and the crates that it needs are
//!   not built.
//! - `testing`: see above.
//!
//! # Threads
//! Every function here may be called on any thread; the methods of a loop belong to its thread, see
//! [`EventLoop`]. Nothing is locked while the code of a policy, loop, watcher or callback runs.

#![deny(unsafe_code)]

mod advice;
pub mod builtin;
pub mod environment;
#[cfg(feature = "async")]
mod executor;
mod install;
#[cfg(feature = "async")]
pub mod io;
mod log;
#[cfg(feature = "async")]
pub mod net;
pub mod plugin;
pub mod policy;
pub mod probe;
pub mod process;
#[cfg(feature = "async")]
mod run;
mod running;
mod services;
pub mod signal;
#[allow(unsafe_code, reason = "the door to the operating system")]
mod sys;
#[cfg(feature = "async")]
pub mod task;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "async")]
pub mod time;

pub use install::install_from_env;
pub use loophost_plugin_api::*;
#[cfg(feature = "async")]
pub use {
    run::{block_on, run},
    task::{JoinHandle, spawn, spawn_blocking, spawn_local},
};
