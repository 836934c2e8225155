// SPDX-License-Identifier: GPL-2.0
//! The generic netlink family `vigil`: `docs/netlink/vigil.yaml` describes it.
//!
//! ```text
//! message.rs   what a message says      GenlMessage<Message>
//! family.rs    sockets, and the family  requests, events, the family's coming and going
//! ```

mod family;
mod message;

pub(crate) use family::{Connection, Heard, Listener};
