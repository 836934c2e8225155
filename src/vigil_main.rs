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
mod control;
mod detect;
mod incident;
mod knobs;
mod panic;
mod report;
mod sys;

use control::{
    status,
    sysctl::{parse_cpumask, KernelNames, SysctlHandler},
};
use core::borrow::Borrow;
use detect::{
    hung_task::{ctx::HungTaskCtx, thread::HungTaskThread},
    lockup_ctx::Parts,
    watchdog::LockupDetector,
};
use kernel::{prelude::*, sync::Arc};
use knobs::Knobs;
use logic::{
    hardlockup::backend::Backend,
    sysctl::{Knob, KnobKind, KNOBS},
};
use panic::PanicControl;
use sys::{
    cpufreq, crash_record,
    ksyms::Ksyms,
    kthread::{KThread, ThreadControl},
    nmi::NmiSender,
    param, pm,
    runqueue::RunQueues,
    sysctl,
    touch::TouchProbes,
    watchdog_timer::StopWork,
};

/// Declares the module, and [`given`], from the table of knobs.
macro_rules! declare_module {
    (
        numbers { $(($n:ident, $nid:ident, $min:expr, $max:tt, $default:tt, $help:tt))* }
        own { $(($o:ident, $oid:ident, $omin:expr, $omax:tt, $odefault:tt, $ohelp:tt))* }
        counters { $($counters:tt)* }
        lists { $($lists:tt)* }
        cpus { $($cpus:tt)* }
    ) => {
        module! {
            type: Vigil,
            name: "vigil",
            authors: ["The vigil developers"],
            description: "Detects hung tasks, soft lockups and hard lockups",
            license: "GPL v2",
            params: {
                $($n: i64 { default: $default, description: $help, },)*
                $($o: i64 { default: $odefault, description: $ohelp, },)*
                kernel_names: u8 {
                    default: 0,
                    description: "Put mainline's knobs into /proc/sys/kernel as well, where the kernel has none of the name",
                },
                use_unexported: u8 {
                    default: 1,
                    description: "Call kernel functions that are not exported; without, do without them",
                },
                use_stopper: u8 {
                    default: 1,
                    description: "Feel a CPU's pulse by its stopper; without, by a FIFO-99 thread",
                },
                use_run_queues: u8 {
                    default: 1,
                    description: "Skip walks that the run queues say are needless; without, walk at every look",
                },
            },
        }

        /// Each number that may be given at load, with its value.
        fn given() -> impl Iterator<Item = (Knob, i64)> {
            [
                $((Knob::$nid, plain(module_parameters::$n.value())),)*
                $((Knob::$oid, plain(module_parameters::$o.value())),)*
            ]
            .into_iter()
        }
    };
}
knob_table!(declare_module);

/// A parameter's value: what 7.3 returns as it is and 7.2 by reference.
fn plain<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}

/// What is registered. Fields are dropped in the order in which they stand.
///
/// The thread goes first: it may be in the middle of hundreds of reports, and the others wait for
/// RCU grace periods, which a busy console draws out. Whoever rings its bell after that rings it in
/// vain, and the bell lives as long as they do. Then the last made first: nothing may be told of
/// changes, or asked for its state, that is going away.
struct Vigil {
    /// Looks at the tasks.
    _hung: KThread,
    /// Asks for the state of everything.
    _status: Option<status::Status>,
    /// Change everything.
    _kernel_names: Option<sysctl::SysctlTable<SysctlHandler>>,
    /// See [`Vigil::_kernel_names`].
    _knobs: sysctl::SysctlTable<SysctlHandler>,
    /// Changes the counters.
    _frequency: cpufreq::PolicyNotifier<Counting>,
    /// Sets them anew.
    _wake: Pin<KBox<pm::Notifier<Counting>>>,
    /// Rings the thread's bell.
    _suspend: Pin<KBox<pm::Notifier<HungTaskCtx>>>,
    /// Looks at the CPUs. Shared with `_status`, `_knobs`, `_frequency` and `_wake`, which are gone
    /// by now.
    lockups: Arc<Pin<KBox<LockupDetector>>>,
}

/// The counters, which count by the CPUs' frequency.
struct Counting(Arc<Pin<KBox<LockupDetector>>>);

impl cpufreq::FrequencyListener for Counting {
    fn khz_changed(&self) {
        self.0.frequency_changed();
    }
}

impl pm::Listener for Counting {
    fn suspend(&self, event: pm::Event) {
        if matches!(event, pm::Event::Post) {
            self.0.resumed();
        }
    }
}

/// Says which step of the set-up failed; what was made before it is dropped on the way out.
fn step<T>(what: &str, result: Result<T>) -> Result<T> {
    result.inspect_err(|e| pr_err!("cannot {what}: error {}\n", e.to_errno()))
}

/// Takes over the values that were given at load.
fn preset(knobs: &Knobs) -> Result {
    for (id, value) in given() {
        knobs.preset(id, value).inspect_err(|_| complain(id))?;
    }
    for knob in KNOBS.iter().filter(|knob| knob.kind == KnobKind::List) {
        knobs
            .preset_text(knob.id, param::text(knob.name))
            .inspect_err(|_| complain(knob.id))?;
    }
    Ok(())
}

/// Says that a value given at load is none.
fn complain(id: Knob) {
    let name = KNOBS.get(id as usize).map_or("", |knob| knob.name);
    pr_err!("{name}: the value given at load is out of range, see docs/knobs.md\n");
}

/// Who is to find hard lockups.
fn backend() -> Result<Backend> {
    Backend::parse(param::text("hardlockup_backend"))
        .ok_or(EINVAL)
        .inspect_err(|_| {
            pr_err!("hardlockup_backend: there are auto, perf, buddy and perf,buddy\n");
        })
}

impl Drop for Vigil {
    fn drop(&mut self) {
        self.lockups.unloading();
    }
}

impl kernel::Module for Vigil {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        crash_record::publish_address();
        let control = ThreadControl::new()?;
        let knobs = Arc::new(Knobs::new(), GFP_KERNEL)?;
        preset(&knobs)?;

        let backend = backend()?;
        let use_unexported = plain::<u8>(module_parameters::use_unexported.value()) != 0;
        let use_run_queues = plain::<u8>(module_parameters::use_run_queues.value()) != 0;
        let use_stopper = plain::<u8>(module_parameters::use_stopper.value()) != 0;
        let kernel_names = plain::<u8>(module_parameters::kernel_names.value()) != 0;
        let ksyms = Ksyms::resolve(use_unexported);
        let queues = RunQueues::find(&ksyms, use_run_queues);
        let panic = Arc::new(PanicControl::new(knobs.clone(), ksyms), GFP_KERNEL)?;
        let shared = Arc::new(
            HungTaskCtx::new(knobs.clone(), control.clone(), ksyms, queues, panic.clone()),
            GFP_KERNEL,
        )?;
        let thread = HungTaskThread::new(shared.clone())?;
        // Whoever makes something registers it here, and what fails later undoes it by being
        // dropped: in the reverse order of these lines.
        let hung = step(
            "start the thread vigild/hung",
            KThread::spawn(c"vigild/hung", control.clone(), thread),
        )?;
        let lockups = step(
            "set up the lockup detectors",
            LockupDetector::new(Parts {
                knobs: knobs.clone(),
                ksyms,
                stop_work: StopWork::find(&ksyms, use_stopper),
                touches: TouchProbes::new(use_unexported),
                nmi: NmiSender::new().ok(),
                panic,
                backend,
            }),
        )?;
        let lockups = Arc::new(lockups, GFP_KERNEL)?;
        let handler = Arc::new(
            SysctlHandler::new(knobs, control, lockups.clone()),
            GFP_KERNEL,
        )?;
        let cpus = param::text("watchdog_cpumask");
        let cpumask = if cpus.is_empty() {
            None
        } else {
            let cpumask = parse_cpumask(cpus).inspect_err(|&error| {
                if error == EINVAL {
                    complain(Knob::WatchdogCpumask);
                }
            })?;
            Some(cpumask)
        };
        step("watch the CPUs", lockups.start(cpumask.as_ref()))?;
        let frequency = step(
            "listen for changes of frequency",
            cpufreq::PolicyNotifier::new(Counting(lockups.clone())),
        )?;
        // What came before anybody listened.
        lockups.frequency_changed();
        let counting = Arc::new(Counting(lockups.clone()), GFP_KERNEL)?;
        let wake = step(
            "listen for the end of suspend",
            KBox::pin_init(pm::Notifier::new(counting), GFP_KERNEL),
        )?;
        let suspend = step(
            "listen for suspend",
            KBox::pin_init(pm::Notifier::new(shared.clone()), GFP_KERNEL),
        )?;
        let knobs = step(
            "make /proc/sys/vigil",
            sysctl::SysctlTable::new(c"vigil", &handler, |_| true),
        )?;
        let (names, kernel_names) = step(
            "put the knobs into /proc/sys/kernel",
            KernelNames::register(kernel_names, &handler),
        )?;
        let all = Arc::new(status::All::new(shared, lockups.clone(), names), GFP_KERNEL)?;
        // What is found goes to the log in any case, and some machines have debugfs off.
        let without = |error: &Error| {
            sys::printk::err(format_args!(
                "vigil: there is no file vigil/status: debugfs does not take it (error {})",
                error.to_errno()
            ));
        };
        let status = status::publish(all.clone()).inspect_err(without).ok();
        status::announce(&all);
        Ok(Self {
            _hung: hung,
            _status: status,
            _kernel_names: kernel_names,
            _knobs: knobs,
            _frequency: frequency,
            _wake: wake,
            _suspend: suspend,
            lockups,
        })
    }
}
