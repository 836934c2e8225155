// SPDX-License-Identifier: GPL-2.0
//! Does something again and again, with another of the kernel's allocations failing each
//! time, and looks what came of it.
//!
//! ```text
//! agent fail-nth load MODULE.ko "PARAMETERS" [FROM [STEP]]
//!                             load a module: nothing is left of one that is not loaded. From the
//!                             allocation FROM on, each one; of those before, every STEP-th
//! agent fail-nth unload MODULE.ko
//!                             unload it: that works, and nothing is left
//! agent fail-nth write FILE VALUE
//!                             write a value, and the one from before: it is there, or the other
//! agent fail-nth read FILE    read a file: it has what it had, or cannot be read
//! agent fail-nth dump         ask for the recent incidents by netlink: they come, or an error
//! ```
//!
//! The kernel fails the Nth allocation of a thread that asks for it
//! (`/proc/thread-self/fail-nth`, `CONFIG_FAULT_INJECTION`). A program's start
//! allocates too, so the thread that asks makes the system call itself.

use crate::events;
use anyhow::{bail, ensure, Context, Result};
use nix::{
    errno::Errno,
    kmod::{delete_module, finit_module, DeleteModuleFlags, ModuleInitFlags},
};
use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// More allocations than anything here takes.
const NEVER: u32 = 1_000_000;

/// How long a thread that has ended may be seen.
const LINGER: Duration = Duration::from_secs(5);

/// The module's name, and how its threads' names begin.
const MODULE: &str = "vigil";

/// Does what the command line says, and prints what came of it.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let fault = Fault::new()?;
    match arguments[..] {
        ["load", module, parameters, ref rest @ ..] => {
            let number = |place: usize| rest.get(place).map_or(Ok(1), |word| word.parse::<u32>());
            let file = Module::open(module, parameters)?;
            load(&fault, &file, number(0)?, number(1)?.max(1))
        }
        ["unload", module] => unload_each(&fault, &Module::open(module, "")?),
        ["write", file, value] => write(&fault, file, value),
        ["read", file] => read(&fault, file),
        ["dump"] => dump(&fault),
        _ => bail!("usage: agent fail-nth load|unload|write|read|dump ..."),
    }
}

/// The thread's own faults.
struct Fault(File);

impl Fault {
    fn new() -> Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/thread-self/fail-nth")
            .map(Self)
            .context("the kernel has no fault injection")
    }

    /// Calls something with the Nth allocation of this thread failing. Returns what came of it, and
    /// how many allocations were missing to the fault.
    fn during<T>(&self, nth: u32, call: impl FnOnce() -> T) -> Result<(T, u32)> {
        let text = nth.to_string();
        // From here on every allocation of this thread counts.
        let asked = self.0.write_at(text.as_bytes(), 0);
        let result = call();
        let mut left = [0; 16];
        let read = self.0.read_at(&mut left, 0);
        let reset = self.0.write_at(b"0", 0);

        asked.context("cannot ask for a fault")?;
        reset.context("cannot take the fault back")?;
        let left = std::str::from_utf8(left.get(..read?).unwrap_or_default())?;
        Ok((result, left.trim().parse()?))
    }

    /// Lets each allocation fail in turn, of those before `from` every `step`-th. `attempt` does
    /// something with the Nth failing, and returns what came of it, and what [`Fault::during`] says is
    /// left. Ends when there is no such allocation any more.
    fn each(
        &self,
        from: u32,
        step: u32,
        mut attempt: impl FnMut(&Self, u32) -> Result<(String, u32)>,
    ) -> Result<()> {
        let start = Instant::now();
        let mut results: BTreeMap<String, u32> = BTreeMap::new();
        // First, last, and what came of those.
        let mut runs: Vec<(u32, u32, String)> = Vec::new();
        let mut nth = 1;
        loop {
            let (name, left) =
                attempt(self, nth).with_context(|| format!("allocation {nth} failed"))?;
            if left != 0 {
                ensure!(name == TOLERATED, "without a fault: {name}");
                break;
            }
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
}

/// What came of something that works in spite of the fault.
const TOLERATED: &str = "tolerated";

fn name<T>(result: Result<T, Errno>) -> String {
    result.map_or_else(|error| format!("{error:?}"), |_| TOLERATED.to_owned())
}

/// The error of a system call.
fn errno(error: io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

/// A module and its parameters.
struct Module {
    file: File,
    parameters: CString,
}

impl Module {
    fn open(path: &str, parameters: &str) -> Result<Self> {
        Ok(Self {
            file: File::open(path).context("cannot open the module")?,
            parameters: CString::new(parameters)?,
        })
    }

    fn load(&self) -> Result<(), Errno> {
        finit_module(&self.file, &self.parameters, ModuleInitFlags::empty())
    }
}

fn load(fault: &Fault, module: &Module, from: u32, step: u32) -> Result<()> {
    // Once without a fault: it works, and what it leaves for good is there.
    let (result, left) = fault.during(NEVER, || module.load())?;
    println!("allocations={}", NEVER - left);
    let clean = Traces::after_unloading(result)?;
    fault.each(from, step, |fault, nth| {
        let (result, left) = fault.during(nth, || module.load())?;
        clean
            .same_after(result)
            .with_context(|| format!("loading: {}", name(result)))?;
        Ok((name(result), left))
    })
}

fn unload_each(fault: &Fault, module: &Module) -> Result<()> {
    let clean = Traces::after_unloading(module.load())?;
    fault.each(1, 1, |fault, nth| {
        module.load().context("cannot load the module")?;
        let (result, left) = fault.during(nth, unload)?;
        result?;
        // It is unloaded.
        clean.same_after(Err(Errno::ENOENT))?;
        Ok((TOLERATED.to_owned(), left))
    })
}

fn write(fault: &Fault, path: &str, value: &str) -> Result<()> {
    let now = || fs::read_to_string(path).map(|text| text.trim_end().to_owned());
    let set = |value: &str| {
        let mut file = OpenOptions::new().write(true).open(path)?;
        // One write, and of an empty list a line.
        file.write_all(format!("{value}\n").as_bytes())
    };
    let before = now()?;
    set(value)?;
    // A list of CPUs reads as the kernel writes it.
    let after = now()?;
    ensure!(before != after, "{path} is {value} already");
    set(&before)?;
    fault.each(1, 1, |fault, nth| {
        let (result, left) = fault.during(nth, || set(value).map_err(errno))?;
        let (found, wanted) = (now()?, if result.is_ok() { &after } else { &before });
        ensure!(
            found == *wanted,
            "{path} is {found} and not {wanted}, writing: {result:?}"
        );
        set(&before)?;
        Ok((name(result), left))
    })
}

fn read(fault: &Fault, path: &str) -> Result<()> {
    let whole = words(&fs::read_to_string(path)?);
    fault.each(1, 1, |fault, nth| {
        let (result, left) = fault.during(nth, || fs::read_to_string(path).map_err(errno))?;
        if let Ok(text) = &result {
            ensure!(words(text) == whole, "{path} has {text} and not {whole}");
        }
        Ok((name(result), left))
    })
}

/// A file without its figures, some of which change by themselves, and without the space that pads
/// them: 74.0 s is `74 s` there, and a little later `74.1 s`.
fn words(text: &str) -> String {
    let is_figure = |c: char| c.is_ascii_digit() || c == '.';
    let of_line = |line: &str| {
        let words = line.split_whitespace();
        words
            .map(|word| word.replace(is_figure, ""))
            .collect::<Vec<_>>()
            .join(" ")
    };
    text.lines().map(of_line).collect::<Vec<_>>().join("\n")
}

fn dump(fault: &Fault) -> Result<()> {
    let family = events::family()?;
    let whole = events::count_recent(family)?;
    ensure!(whole > 0, "there are no incidents");
    fault.each(1, 1, |fault, nth| {
        let (result, left) = fault.during(nth, || events::count_recent(family))?;
        if let Ok(count) = result {
            ensure!(count == whole, "{count} incidents and not {whole}");
        }
        // Which error it is says the library in words.
        let name = if result.is_ok() { TOLERATED } else { "refused" };
        Ok((name.to_owned(), left))
    })
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

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn figures_do_not_count() {
        let text = "it is now [122.008094]\nID 4  still on, 74 s              0\n";
        let later = "it is now [131.1]\nID 4  still on, 83.2 s            0\n";
        assert_eq!(words(text), words(later));
        assert_ne!(words(text), words("it is now [122.008094]\n"));
        assert_ne!(words(text), words(&text.replace("on", "off")));
    }
}
