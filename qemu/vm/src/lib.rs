// SPDX-License-Identifier: GPL-2.0
//! Boots guests under QEMU and drives them.
//!
//! ```no_run
//! use std::time::Duration;
//! use vigil_vm::{Config, Vm};
//!
//! let vm = Vm::boot(Config::new("example").cpus(2))?;
//! vm.load("hung_task_timeout_secs=5")?;
//! let job = vm.spawn("echo hung_mutex > /vm/whatever; sleep 3")?;
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
//! | `config` | what a guest is made of |
//! | `artifacts` | the folder with kernel, image and modules |
//! | `arch` | what kind of machine it is |
//! | `accel` | whether KVM works here |
//! | `cpio` | the archive with the run's own files |
//! | `child` | a process that cannot outlive this one |
//! | `qemu` | QEMU's command line and its process |
//! | `qmp` | QEMU's control socket |
//! | `channel` | messages to and from the agent in the guest |
//! | `console` | the serial console's text, and finding a panic in it |
//! | `log` | the kernel's log, line by line |
//! | `template` | guests that go on from where another had come up |
//! | `guest` | [`Vm`]: all of that put together |
//! | `job` | a script that runs in the guest |
//! | `vigil` | loading the module, its knobs |
//! | `vcpu` | stopping one virtual CPU |
//! | `dump` | a guest that leaves a crash dump when it panics |
//! | `flat` | the format in which the dump arrives |
//! | `observer` | what stays of a guest that is gone |
//! | `error` | what can go wrong |
//!
//! QEMU is the one in PATH: run inside the build root (`scripts/in-root`).

pub mod accel;
mod arch;
mod artifacts;
mod channel;
mod child;
mod config;
mod console;
mod cpio;
mod dump;
mod error;
mod flat;
mod guest;
mod job;
mod log;
mod observer;
mod qemu;
mod qmp;
mod template;
mod vcpu;
mod vigil;

pub use arch::Arch;
pub use artifacts::Artifacts;
pub use config::Config;
pub use console::Console;
pub use dump::{Dump, DumpError, Stage};
pub use error::{BootError, Error, Result};
pub use guest::{Booting, Vm};
pub use job::{Job, Output};
pub use log::{Log, LogLine, Mark};
pub use nix::errno::Errno;
pub use observer::Observer;
pub use qapi;
pub use vcpu::FrozenVcpu;
