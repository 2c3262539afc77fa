//! Plugins in C: the host's side of `plugin-api/include/loophost.h`.
//!
//! A plugin's tables of functions become objects of the author's traits here (`event_loop`, `child_watcher`, `policy`), so
//! that the rest of the host cannot tell them apart, and what the host has becomes tables for the plugin (`host_table`).
//! Bad tables and results are errors; what a plugin does with its memory nobody can check.

mod abi;
mod callback;
mod child_watcher;
mod convert;
mod event_loop;
mod handles;
#[cfg(test)]
mod header;
mod host_table;
mod loop_methods;
mod policy;
mod result;
mod root;
mod text;

pub(super) use root::CRoot;
