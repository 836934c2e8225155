// SPDX-License-Identifier: GPL-2.0
//! Boots guests under QEMU and drives them.
//!
//! ```no_run
//! use std::time::Duration;
//! use vigil_vm::{Config, Vm};
//!
//! let vm = Vm::boot(Config::new("example").cpus(2))?;
//! vm.load("hung_task_timeout_secs=5")?;
//! vm.insmod("vigil_provoke.ko", "")?;
//! let job = vm.spawn("echo mutex > /sys/kernel/debug/vigil_provoke/run; sleep 3")?;
//! let line = vm.wait_log(r"INFO: task \S+ blocked", Duration::from_secs(30))?;
//! assert!(line.time > 5.0);
//! job.wait(Duration::from_secs(10))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Which file does what:
//!
//! | file | |
//! |---|---|
//! | `config` | the configuration of a guest |
//! | `artifacts` | the folder with kernel, image and modules |
//! | `arch` | the architecture of a guest |
//! | `accel` | finds out whether KVM works |
//! | `initramfs` | the part of the initramfs that differs from run to run |
//! | `child` | a process that cannot outlive this one |
//! | `qemu` | QEMU's command line and its process |
//! | `qmp` | QEMU's control socket |
//! | `channel` | messages to and from the agent in the guest |
//! | `console` | the serial console's text, and finding a panic in it |
//! | `log` | the kernel's log, line by line |
//! | `snapshot` | guests that start from the saved state of another one |
//! | `vcpu` | stops one virtual CPU, or has all of them share a processor |
//! | `guest` | the running guest, which `vm`, `job` and `observer` share |
//! | `job` | a script that runs in the guest |
//! | `observer` | a handle that outlives the guest |
//! | `vm` | [`Vm`]: a guest that is up |
//! | `vigil` | loads the module, reads and writes its knobs |
//! | `dump` | a guest that leaves a crash dump when it panics |
//! | `flattened` | checks the file in which the dump arrives |
//! | `error` | errors |
//!
//! A module uses only modules that stand above it in the table, and `error`.
//!
//! QEMU is the one in PATH: run inside the build root (`scripts/in-root`).

pub mod accel;
mod arch;
mod artifacts;
mod channel;
mod child;
mod config;
mod console;
mod dump;
mod error;
mod flattened;
mod guest;
mod initramfs;
mod job;
mod log;
mod observer;
mod qemu;
mod qmp;
mod snapshot;
mod vcpu;
mod vigil;
mod vm;

pub use arch::Arch;
pub use artifacts::Artifacts;
pub use config::Config;
pub use console::Console;
pub use dump::{Dump, DumpError, Stage};
pub use error::{BootError, Error, Result};
pub use job::{Job, Output};
pub use log::{Log, Mark};
pub use nix::errno::Errno;
pub use observer::Observer;
pub use qapi;
pub use vcpu::FrozenVcpu;
pub use vigil_klog::LogLine;
pub use vm::{Booting, Vm};
