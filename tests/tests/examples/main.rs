//! The examples of async programs, the same file on each loop, with real clients.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod echo_server;
mod embed_in_poll;
mod http_server;
mod process_pipeline;
mod websocket;
