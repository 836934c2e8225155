// SPDX-License-Identifier: GPL-2.0
//! The module in the guest: loading it, and its knobs.

use crate::{
    error::{Error, Result},
    vm::Vm,
};

/// Where the knobs are.
const KNOBS: &str = "/proc/sys/vigil";

impl Vm {
    /// Loads `vigil.ko` with these parameters ("a=1 b=2").
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when the artifacts folder has none, [`Error::Script`] when the
    /// kernel refuses it.
    pub fn load(&self, parameters: &str) -> Result<()> {
        self.insmod("vigil.ko", parameters)
    }

    /// Unloads the module.
    ///
    /// # Errors
    ///
    /// [`Error::Script`] when the kernel refuses.
    pub fn unload(&self) -> Result<()> {
        self.sh_ok("rmmod vigil").map(drop)
    }

    /// Loads a module of the artifacts folder that is under `/vm` in the guest, and waits until the
    /// kernel has freed the memory of its `module_init()` (`do_free_init()`): it has all CPUs flush their
    /// TLBs for that, and the CPU that asks waits with preemption off for one that is stuck meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Vm::load`].
    pub fn insmod(&self, name: &str, parameters: &str) -> Result<()> {
        if self.artifacts().file(name).is_none() {
            let folder = self.artifacts().folder().display();
            return Err(Error::Missing(format!(
                "{folder} has no {name}: it has to be built first"
            )));
        }
        self.sh_ok(&format!(
            "insmod /vm/{name} {parameters} || exit
             while grep -q do_free_init /proc/[0-9]*/stack 2>/dev/null; do sleep 0.01; done"
        ))
        .map(drop)
    }

    /// The value of `/proc/sys/vigil/<name>`, without the line's end.
    ///
    /// # Errors
    ///
    /// [`Error::Errno`] when it cannot be read.
    pub fn knob(&self, name: &str) -> Result<String> {
        let value = self.read(&format!("{KNOBS}/{name}"))?;
        Ok(value.trim_end_matches('\n').to_owned())
    }

    /// Writes `/proc/sys/vigil/<name>` with one write(2).
    ///
    /// # Errors
    ///
    /// [`Error::Errno`] when the write fails: see [`Error::errno`].
    pub fn set_knob(&self, name: &str, value: impl ToString) -> Result<()> {
        self.write(&format!("{KNOBS}/{name}"), value.to_string().as_bytes())
    }
}
