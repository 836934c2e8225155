// SPDX-License-Identifier: GPL-2.0

//! vigil: says what is stuck, what it is stuck behind, and since when.
//!
//! Three layers, which use each other downwards only:
//!
//! - [`detect`]: the detectors. They look through `sys`, ask `logic`, and act.
//! - [`sys`]: safe abstractions over the kernel, the only place with `unsafe` code.
//! - [`logic`]: pure decisions, tested on the host.

#[macro_use]
mod logic;
mod detect;
mod sys;

use core::borrow::Borrow;
use detect::{hung, knobs::Knobs, status};
use kernel::{prelude::*, sync::Arc};
use logic::knobs::{Id, ALL};
use sys::{
    call::Calls,
    kthread::{Bell, KThread},
    param, pm,
    runqueue::RunQueues,
    sysctl,
};

/// Declares the module, and [`given`], from the table of knobs.
macro_rules! declare_module {
    (
        numbers { $(($n:ident, $nid:ident, $min:expr, $max:tt, $default:tt, $help:tt))* }
        counters { $($counters:tt)* }
        lists { $($lists:tt)* }
    ) => {
        module! {
            type: Vigil,
            name: "vigil",
            authors: ["The vigil developers"],
            description: "Detects hung tasks, soft lockups and hard lockups",
            license: "GPL v2",
            params: {
                $($n: i64 { default: $default, description: $help, },)*
                use_unexported: u8 {
                    default: 1,
                    description: "Call kernel functions that are not exported; without, do without them",
                },
                use_run_queues: u8 {
                    default: 1,
                    description: "Skip walks that the run queues say are needless; without, walk at every look",
                },
            },
        }

        /// Each number that may be given at load, with its value.
        fn given() -> impl Iterator<Item = (Id, i64)> {
            [$((Id::$nid, plain(module_parameters::$n.value())),)*].into_iter()
        }
    };
}
knob_table!(declare_module);

/// A parameter's value: what 7.3 returns as it is and 7.2 by reference.
fn plain<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}

/// What is registered. Fields are dropped in the order in which they stand, the last made first:
/// nothing may be told of changes, or asked for its state, that is going away.
struct Vigil {
    /// Asks for the state.
    _status: status::Status,
    /// Rings the thread's bell.
    _knobs: sysctl::Folder<Knobs>,
    /// Rings the thread's bell.
    _suspend: Pin<KBox<pm::Notifier<hung::Shared>>>,
    /// Looks at the tasks.
    _hung: KThread,
}

/// Says which step of the set-up failed; what was made before it is dropped on the way out.
fn step<T>(what: &str, result: Result<T>) -> Result<T> {
    result.inspect_err(|e| pr_err!("cannot {what}: error {}\n", e.to_errno()))
}

/// Takes over the values that were given at load.
fn preset(knobs: &Knobs) -> Result {
    let complain = |id: Id| {
        let name = ALL.get(id as usize).map_or("", |knob| knob.name);
        pr_err!("{name}: the value given at load is out of range, see docs/knobs.md\n");
    };
    for (id, value) in given() {
        knobs.preset(id, value).inspect_err(|_| complain(id))?;
    }
    let text = param::hung_task_sys_info();
    knobs
        .preset_text(Id::HungTaskSysInfo, text)
        .inspect_err(|_| complain(Id::HungTaskSysInfo))
}

impl kernel::Module for Vigil {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let bell = Bell::new()?;
        let knobs = Arc::new(Knobs::new(bell.clone()), GFP_KERNEL)?;
        preset(&knobs)?;

        let calls = Calls::bind(plain::<u8>(module_parameters::use_unexported.value()) != 0);
        let queues = RunQueues::find(
            &calls,
            plain::<u8>(module_parameters::use_run_queues.value()) != 0,
        );
        let shared = Arc::new(
            hung::Shared::new(knobs.clone(), bell.clone(), calls, queues),
            GFP_KERNEL,
        )?;
        let detector = hung::Detector::new(shared.clone())?;
        // Whoever makes something registers it here, and what fails later undoes it by being
        // dropped: in the reverse order of these lines.
        let hung = step(
            "start the thread vigild/hung",
            KThread::spawn(c"vigild/hung", bell, detector),
        )?;
        let suspend = step(
            "listen for suspend",
            KBox::pin_init(pm::Notifier::new(shared.clone()), GFP_KERNEL),
        )?;
        let knobs = step(
            "make /proc/sys/vigil",
            sysctl::Folder::new(c"vigil", &knobs),
        )?;
        let status = step(
            "make the file vigil/status in debugfs",
            status::publish(shared.clone()),
        )?;
        status::announce(&shared);
        Ok(Self {
            _status: status,
            _knobs: knobs,
            _suspend: suspend,
            _hung: hung,
        })
    }
}
