//! A complete event loop around any [`Selector`] or [`Proactor`]: a plugin that brings a way to wait for descriptors, or
//! to carry out operations, gets the other one too, and ready queue, timers, thread-safe wake-up, readers and writers,
//! streams, signals, exception handler and debug mode.
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
//! - [`Selector`] and [`Proactor`]: what a plugin brings; [`Backend`]: both halves of it, of which `over_selector` and
//!   `over_proactor` emulate the missing one.
//! - `base_loop`: [`BaseLoop`], the loop's methods; `turn`: what a run does.
//! - `state`: what sits in the [`LoopCell`](loophost_plugin_api::LoopCell): `ready_queue`, `timers` (and their `deadlines`),
//!   `watches`, `operations`, `signals`.
//! - `inbox`: the half of the loop that every thread may touch.
//! - `sys`: system calls on memory and descriptors that are lent by number, which the emulated operations need.
//!
//! No foreign code runs while the state is borrowed: not a callback, not the drop of one, not the selector, the log or
//! the exception handler. What is to be dropped or called is moved out first.

#![deny(unsafe_code)]

mod backend;
mod base_loop;
mod clock;
mod deadlines;
mod held;
mod id;
mod inbox;
mod operation;
mod operations;
mod over_proactor;
mod over_selector;
mod proactor;
mod ready_queue;
mod selector;
mod signals;
mod state;
#[allow(unsafe_code, reason = "the door to the operating system")]
mod sys;
mod timers;
mod turn;
mod watches;

pub use backend::{Backend, Events};
pub use base_loop::BaseLoop;
pub use operation::Operation;
pub use over_proactor::OverProactor;
pub use over_selector::OverSelector;
pub use proactor::{CLOSED, Completion, Proactor};
pub use selector::{Key, Ready, Selector, Trigger, Wake};
