// SPDX-License-Identifier: GPL-2.0
//! `make bench`: what vigil costs and how late it is, beside the in-tree detectors in the same
//! boot.
//!
//! - [`parts`]: the measurements, each in guests of its own;
//! - [`results`]: what a part has measured, as data;
//! - [`render`]: `docs/benchmarks.md` and its plots, from the data of all parts.
//!
//! The scenarios `bounds::*` call the parts whose bounds `make test` holds.

mod guest;
pub mod parts;
pub mod render;
pub mod results;
mod trace;

pub use guest::counting;
