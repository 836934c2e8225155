// SPDX-License-Identifier: GPL-2.0
//! Loads a module again and again, with another of its allocations failing each
//! time, and looks for what is left of it.
//!
//! ```text
//! agent fail-nth MODULE.ko "PARAMETERS" [FROM [STEP]]
//! ```
//!
//! From the allocation FROM on, each one; of those before, every STEP-th.
//!
//! The kernel fails the Nth allocation of a thread that asks for it
//! (`/proc/thread-self/fail-nth`, `CONFIG_FAULT_INJECTION`). A program's start
//! allocates too, so the thread that asks makes the system call itself.

use anyhow::{bail, ensure, Context};
use nix::{
    errno::Errno,
    kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags},
};
use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// More allocations than loading any module takes.
const NEVER: u32 = 1_000_000;

/// How long a thread that has ended may be seen.
const LINGER: Duration = Duration::from_secs(5);

/// The module's name, and how its threads' names begin.
const MODULE: &str = "vigil";

/// Does what the command line says, and prints what came of it.
pub(crate) fn main(arguments: &[String]) -> anyhow::Result<()> {
    let [module, parameters, rest @ ..] = arguments else {
        bail!("usage: agent fail-nth MODULE.ko PARAMETERS [FROM [STEP]]");
    };
    let number = |place: usize| rest.get(place).map_or(Ok(1), |word| word.parse::<u32>());
    let (from, step) = (number(0)?, number(1)?.max(1));
    let fault = Fault {
        nth: OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/thread-self/fail-nth")
            .context("the kernel has no fault injection")?,
        file: File::open(module).context("cannot open the module")?,
        parameters: CString::new(parameters.as_str())?,
    };

    let start = Instant::now();
    // Once without a fault: it works, and what it leaves for good is there.
    let (result, left) = fault.load(NEVER)?;
    println!("allocations={}", NEVER - left);
    let clean = Traces::after_unloading(result)?;

    let mut results: BTreeMap<String, u32> = BTreeMap::new();
    // First, last, and what came of those.
    let mut runs: Vec<(u32, u32, String)> = Vec::new();
    let mut nth = 1;
    loop {
        let (result, left) = fault.load(nth)?;
        let name = result
            .err()
            .map_or("tolerated".to_owned(), |error| format!("{error:?}"));
        if left != 0 {
            // There is no such allocation any more: all is as it should be.
            ensure!(result.is_ok(), "without a fault: {name}");
            Traces::after_unloading(result)?;
            break;
        }
        clean
            .same_after(result)
            .with_context(|| format!("allocation {nth} failed, loading: {name}"))?;
        match runs.last_mut() {
            Some((_, last, same)) if *same == name => *last = nth,
            _ => runs.push((nth, nth, name.clone())),
        }
        *results.entry(name).or_default() += 1;
        nth = if nth < from {
            from.min(nth + step)
        } else {
            nth + 1
        };
    }
    for (first, last, name) in runs {
        println!("{first}-{last} {name}");
    }
    for (name, count) in results {
        println!("{name}={count}");
    }
    println!("end={nth}\nseconds={}", start.elapsed().as_secs());
    Ok(())
}

/// What it takes to load the module with a fault.
struct Fault {
    nth: File,
    file: File,
    parameters: CString,
}

impl Fault {
    /// Loads the module with the Nth allocation failing. Returns what came of it,
    /// and how many allocations were missing to the fault.
    fn load(&self, nth: u32) -> anyhow::Result<(Result<(), Errno>, u32)> {
        let text = nth.to_string();
        // From here on every allocation of this thread counts.
        let asked = self.nth.write_at(text.as_bytes(), 0);
        let result = finit_module(&self.file, &self.parameters, ModuleInitFlags::empty());
        let mut left = [0; 16];
        let read = self.nth.read_at(&mut left, 0);
        let reset = self.nth.write_at(b"0", 0);

        asked.context("cannot ask for a fault")?;
        reset.context("cannot take the fault back")?;
        let left = std::str::from_utf8(left.get(..read?).unwrap_or_default())?;
        Ok((result, left.trim().parse()?))
    }
}

/// Where a module can be seen: place and content.
#[derive(PartialEq, Eq)]
struct Traces(BTreeMap<&'static str, String>);

impl Traces {
    fn now() -> Self {
        let mut all = BTreeMap::new();
        for place in [
            "/sys/kernel/debug/kprobes/list",
            "/sys/devices/system/cpu/hotplug/states",
        ] {
            all.insert(place, fs::read_to_string(place).unwrap_or_default());
        }
        // Only what is about the module.
        for place in ["/proc/modules", "/proc/vmallocinfo", "/proc/timer_list"] {
            let text = fs::read_to_string(place).unwrap_or_default();
            let ours = text.lines().filter(|line| line.contains(MODULE));
            all.insert(place, ours.collect());
        }
        for place in [
            "/proc/sys/vigil",
            "/sys/kernel/debug/vigil",
            "/sys/module/vigil",
        ] {
            let there = Path::new(place).exists();
            all.insert(place, if there { "there" } else { "" }.to_owned());
        }
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let names = processes
            .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
            .filter(|name| name.starts_with(MODULE));
        all.insert("threads", names.collect());
        Self(all)
    }

    /// Unloads the module if loading it worked, and looks what is there then.
    fn after_unloading(loaded: Result<(), Errno>) -> anyhow::Result<Self> {
        loaded.context("cannot load the module")?;
        unload()?;
        Ok(Self::now())
    }

    /// Unloads the module if it is there, and ensures that all is as it was.
    fn same_after(&self, loaded: Result<(), Errno>) -> anyhow::Result<()> {
        if loaded.is_ok() {
            unload()?;
        }
        let start = Instant::now();
        loop {
            let now = Self::now();
            if now == *self {
                return Ok(());
            }
            if start.elapsed() > LINGER {
                let differ = now
                    .0
                    .iter()
                    .filter(|(place, text)| self.0.get(*place) != Some(text));
                let differ: Vec<String> = differ
                    .map(|(place, text)| format!("{place}:\n{text}"))
                    .collect();
                bail!("left behind: {}", differ.join("\n"));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn unload() -> anyhow::Result<()> {
    let name = CString::new(MODULE)?;
    delete_module(&name, DeleteModuleFlags::O_NONBLOCK).context("cannot unload the module")
}
