// SPDX-License-Identifier: GPL-2.0
//! The protocol between the harness and the agent in the guest.
//!
//! Two virtio-serial ports lead into a guest. (A third one, `DUMP_PORT`, takes a crash
//! dump, without frames.)
//!
//! ```text
//!   port          to the guest     to the host
//!   AGENT_PORT    ToGuest          FromGuest
//!   LOG_PORT      (nothing)        LogRecords
//! ```
//!
//! The log has a port of its own so that a megabyte of a script's output does
//! not hold up the line that a scenario waits for.
//!
//! Both carry frames (see [`frame`]): a JSON message, and raw bytes beside it
//! for what may not be valid JSON (output, contents of files, log records).

pub mod frame;
mod message;

pub use message::{
    FromGuest, LogRecords, Sink, ToGuest, AGENT_PORT, CPU_WORD, DUMP_PORT, LOG_PORT, VERSION,
};
