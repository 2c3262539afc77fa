//! A complete event loop around any [`Selector`]: a plugin that brings a way to wait for descriptors gets ready
//! queue, timers, thread-safe wake-up, readers and writers, streams, signals, exception handler and debug mode.
//!
//! ```ignore
//! let selector = MySelector::new()?;
//! let event_loop = LoopHandle::new(BaseLoop::new("my loop", selector));
//! ```
//!
//! # One turn
//! As in asyncio: the timeout follows from ready queue and timers; select; the callbacks of ready descriptors are
//! queued, after those that other threads have given until then; then due timers; then exactly the callbacks queued
//! so far run, in order.
//!
//! # Map
//! - [`Selector`]: what a backend brings.
//! - `base_loop`: [`BaseLoop`], the loop's methods; `turn`: what a run does.
//! - `state`: what sits in the [`LoopCell`](loophost_plugin_api::LoopCell): `ready_queue`, `timers`, `watches`, `signals`.
//! - `inbox`: the half of the loop that every thread may touch.
//!
//! No foreign code runs while the state is borrowed: not a callback, not the drop of one, not the selector, the log or
//! the exception handler. What is to be dropped or called is moved out first.

#![forbid(unsafe_code)]

mod base_loop;
mod clock;
mod held;
mod id;
mod inbox;
mod ready_queue;
mod selector;
mod signals;
mod state;
mod timers;
mod turn;
mod watches;

pub use base_loop::BaseLoop;
pub use selector::{Key, Ready, Selector, Trigger, Wake};
