//! The door to libuv and to the operating system. What is behind it:
//!
//! - `library`: opens libuv and declares its functions.
//! - `uv_loop`: [`UvLoop`], a libuv loop and its user's state in one cell, and what libuv calls: [`Calls`].
//! - `handles`: [`Handles`], the handles of a loop. libuv frees none before it has called back, so neither do we.
//! - `waker`: [`Waker`], the one thing that every thread may touch.
//!
//! # Who guarantees what
//! libuv wants its loop used by one thread at a time, and calls back from inside `uv_run` only. Both are the cell's to
//! guarantee: whoever has a `&mut Handles` is its owner, and `uv_run` runs while the thread is the owner, with nothing
//! borrowed, so that what libuv calls may use the handles.

mod handles;
mod library;
mod uv_loop;
mod waker;

pub(crate) use handles::Handles;
pub(crate) use library::Library;
pub(crate) use uv_loop::{Calls, Run, UvLoop};
pub(crate) use waker::Waker;
