// SPDX-License-Identifier: GPL-2.0

//! vigil: detects hung tasks, soft lockups and hard lockups.
//!
//! Layers, each of which uses only the ones below it in this list; `docs/design.md` has more:
//!
//! - [`control`]: sysctl files, `vigil/status`, lines at load
//! - [`detect`]: the detectors: sample through `sys`, decide through `logic`, report
//! - [`report`]: texts of the reports
//! - [`panic`]: decides about panics
//! - [`incident`]: incidents and their sinks
//! - [`knobs`]: values of the knobs
//! - [`sys`]: safe abstractions over the kernel, the only place with `unsafe` code
//! - [`logic`]: pure decisions, tested on the host

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
    debugfs::DebugfsFiles,
    in_tree::InTree,
    inherit::{
        self,
        Flags,
        Inherited, //
    },
    kernel_names::KernelNames,
    load_message,
    status::StatusFile,
    sysctl::SysctlHandler, //
};
use core::borrow::Borrow;
use detect::{
    hung_task::{
        ctx::HungTaskCtx,
        thread::HungTaskThread, //
    },
    lockup_config::CpuMask,
    lockup_ctx::{
        LockupCtx,
        Parts, //
    },
    lockup_detector::LockupDetector,
    sys_info_thread::{
        SysInfoThreads,
        SysInfoWaker, //
    }, //
};
use incident::netlink::NetlinkEvents;
use kernel::{
    prelude::*,
    static_assert,
    sync::Arc, //
};
use knobs::Knobs;
use logic::{
    hardlockup::backend::Backend,
    knobs::{
        Knob,
        COUNT,
        KNOBS,
        NOT_GIVEN, //
    },
    messages::{
        BadParameter,
        InitFailed,
        NoStatusFile,
        BAD_BACKEND,
        NOT_IN_KDUMP_KERNEL,
        PERF_IN_GUEST,
        PERF_IN_TREE,
        PERF_NMI_WATCHDOG_0, //
    }, //
};
use panic::PanicControl;
use sys::{
    backtrace::Backtracer,
    cpu,
    cpufreq,
    ksyms::Ksyms,
    kthread::{
        KThread,
        ThreadControl, //
    },
    nmi::NmiSender,
    panic as kernel_panic,
    param,
    pm,
    printk,
    rtmutex,
    runqueue::RunQueues,
    stopper::StopWork,
    sysctl::SysctlTable,
    sysfs::LockupCountFiles,
    touch::TouchProbes, //
};

/// Declares the module, and [`numbers_at_load`], from the table of knobs.
macro_rules! declare_module {
    (
        numbers { $(($n:ident, $nid:ident, $min:expr, $max:expr, $default:tt, $help:tt))* }
        own { $(($o:ident, $oid:ident, $omin:expr, $omax:expr, $odefault:tt, $ohelp:tt))* }
        counters { $($counters:tt)* }
        gauges { $($gauges:tt)* }
        words { $($words:tt)* }
        rules { $($rules:tt)* }
        lists { $($lists:tt)* }
        cpus { $($cpus:tt)* }
    ) => {
        module! {
            type: Vigil,
            name: "vigil",
            authors: ["The vigil developers"],
            description: "Hung task, soft lockup and hard lockup detector",
            license: "GPL v2",
            params: {
                $($n: i64 { default: 9223372036854775807, description: $help, },)*
                $($o: i64 { default: 9223372036854775807, description: $ohelp, },)*
                inherit: u8 {
                    default: 1,
                    description: "Begin with the values that the kernel's own detectors have, of the knobs for panics, thresholds and what a report shows that are not given (1), or with the defaults (0)",
                },
                kernel_names: u8 {
                    default: 0,
                    description: "Register the knobs in /proc/sys/kernel too, except for names that the running kernel has itself (1)",
                },
                use_unexported: u8 {
                    default: 1,
                    description: "Resolve and call kernel functions that are not exported (1), or use the fallbacks for them (0)",
                },
                use_stopper: u8 {
                    default: 1,
                    description: "Sample soft lockups with the CPU stopper (1) or a SCHED_FIFO-99 thread on each CPU (0)",
                },
                use_run_queues: u8 {
                    default: 1,
                    description: "Skip scans for hung tasks that the counts of the run queues show to be needless (1), or scan at every check (0)",
                },
            },
        }

        /// The knobs that are numbers, with the values of their module parameters.
        fn numbers_at_load() -> impl Iterator<Item = (Knob, i64)> {
            [
                $((Knob::$nid, copied(module_parameters::$n.value())),)*
                $((Knob::$oid, copied(module_parameters::$o.value())),)*
            ]
            .into_iter()
        }
    };
}
knob_table!(declare_module);

/// The value of a parameter, which `value()` returns by value in 7.3 and by reference in 7.2.
fn copied<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}

/// Everything that is registered with the kernel. Fields are dropped in this order: each before what
/// it calls into, so that no callback can run into a part that is gone.
struct Vigil {
    /// Waits for the thread to end. First: it may be printing hundreds of reports, and is asked to
    /// stop before the other drops wait for RCU grace periods, which a slow console draws out. A
    /// later wake-up of the thread has no effect; the [`ThreadControl`] is reference-counted.
    _hung_task_thread: KThread,
    /// Waits for the thread to end, which may be printing. Before the detectors, whose state it reads.
    _sys_info_threads: SysInfoThreads,
    /// Waits for running reads. Before the detectors, whose state it shows; after the hung-task thread,
    /// for which a read waits until it has ended.
    _debugfs: Option<DebugfsFiles>,
    /// Waits for running reads and writes. Before the detectors, which a write reconfigures.
    _kernel_names: Option<SysctlTable<SysctlHandler>>,
    /// As `_kernel_names`.
    _sysctl: SysctlTable<SysctlHandler>,
    /// Waits for running reads. Before the detectors, whose counts it shows.
    _lockup_counts: LockupCountFiles<LockupCtx>,
    /// Waits for running calls. Before the detectors, which a call reprograms.
    _cpufreq: cpufreq::PolicyNotifier<PerfReprogrammer>,
    /// As `_cpufreq`.
    _resume: Pin<KBox<pm::Notifier<PerfReprogrammer>>>,
    /// Waits for running calls, which use the [`HungTaskCtx`] that the notifier holds.
    _suspend: Pin<KBox<pm::Notifier<HungTaskCtx>>>,
    /// The last reference: all others were in the fields above. Disables all CPUs: waits for each
    /// timer, stop work and perf event, then unregisters the cpuhp callbacks, the NMI handlers and
    /// the probes. Last of what finds incidents, because all the others call into it.
    lockups: Arc<LockupDetector>,
    /// Tells listeners how the incidents end that are on, and waits for requests. When nothing finds
    /// incidents any more.
    _netlink: Option<NetlinkEvents>,
}

/// Reprograms the perf cycle counters, whose period in cycles follows from the CPU frequency.
struct PerfReprogrammer(Arc<LockupDetector>);

impl cpufreq::FrequencyListener for PerfReprogrammer {
    fn khz_changed(&self) {
        self.0.frequency_changed();
    }
}

impl pm::Listener for PerfReprogrammer {
    fn suspend(&self, event: pm::Event) {
        if matches!(event, pm::Event::Post) {
            self.0.resumed();
        }
    }
}

/// Logs which step of the module's init failed.
fn init_step<T>(step: &str, result: Result<T>) -> Result<T> {
    result.inspect_err(|error| log_init_failed(step, error.to_errno()))
}

/// Logs that a step of the init failed.
#[cold]
#[inline(never)]
fn log_init_failed(step: &str, errno: i32) {
    printk::err(format_args!("{}", InitFailed { step, errno }));
}

/// Logs that the parameter of this knob has a value that the knob does not take.
fn log_bad_parameter(knob: Knob) {
    let name = KNOBS.get(knob as usize).map_or("", |knob| knob.name);
    printk::err(format_args!("{}", BadParameter { name }));
}

/// Sets the knobs to the values of their module parameters, `watchdog_cpumask` excepted. Returns
/// which were given, that one included.
///
/// # Errors
///
/// `EINVAL` if a value is out of range, which the log says then; `ENOMEM`.
fn load_knobs() -> Result<(Arc<Knobs>, Flags)> {
    // What `module!` has as the default of each number.
    static_assert!(NOT_GIVEN == 9223372036854775807);
    let knobs = Knobs::new()?;
    let mut given = [false; COUNT];
    let mut set = |knob: Knob, is_given: bool, set: &dyn Fn() -> Result| {
        if let Some(flag) = given.get_mut(knob as usize) {
            *flag = is_given;
        }
        if is_given {
            set().inspect_err(|&error| {
                if error == EINVAL {
                    log_bad_parameter(knob);
                }
            })
        } else {
            Ok(())
        }
    };
    for (knob, value) in numbers_at_load() {
        set(knob, value != NOT_GIVEN, &|| knobs.set_checked(knob, value))?;
    }
    for knob in KNOBS.iter().filter(|knob| knob.has_words()) {
        let text = param::text(knob.name);
        set(knob.id, !text.is_empty(), &|| {
            knobs.set_from_text(knob.id, text).map(drop)
        })?;
    }
    let cpumask = !param::text("watchdog_cpumask").is_empty();
    set(Knob::WatchdogCpumask, cpumask, &|| Ok(()))?;
    Ok((knobs, given))
}

/// Why `auto` leaves the perf counters alone, if it does: see [`Backend::without_counters`].
fn leave_counters_alone(
    ksyms: &Ksyms,
    inherited: &Inherited,
    can_send_nmi: bool,
) -> Option<&'static str> {
    if inherited.no_counters {
        Some(PERF_NMI_WATCHDOG_0)
    } else if !can_send_nmi {
        // Nothing else could confirm a lockup.
        None
    } else if cpu::has_hypervisor() {
        Some(PERF_IN_GUEST)
    } else if InTree::read(ksyms).uses_perf(ksyms) {
        Some(PERF_IN_TREE)
    } else {
        None
    }
}

/// The module parameter `hardlockup_backend`.
///
/// # Errors
///
/// `EINVAL` if it is none of its values, which the log says then.
fn hardlockup_backend() -> Result<Backend> {
    Backend::parse(param::text("hardlockup_backend"))
        .ok_or(EINVAL)
        .inspect_err(|_| printk::err(format_args!("{BAD_BACKEND}")))
}

/// The module parameter `watchdog_cpumask`; `None` if it was not given.
///
/// # Errors
///
/// `EINVAL` if it is no list of CPUs, which the log says then; `ENOMEM`.
fn watchdog_cpumask() -> Result<Option<CpuMask>> {
    let text = param::text("watchdog_cpumask");
    if text.is_empty() {
        return Ok(None);
    }
    let cpumask = CpuMask::parse(text).inspect_err(|&error| {
        if error == EINVAL {
            log_bad_parameter(Knob::WatchdogCpumask);
        }
    })?;
    Ok(Some(cpumask))
}

impl Drop for Vigil {
    /// Runs before the fields are dropped.
    fn drop(&mut self) {
        // While the timers still run that would execute it.
        self.lockups.unloading();
    }
}

impl kernel::Module for Vigil {
    /// Creates everything. On an error what was created so far is dropped in reverse order.
    fn init(_module: &'static ThisModule) -> Result<Self> {
        if kernel_panic::is_kdump_kernel() {
            printk::err(format_args!("{NOT_IN_KDUMP_KERNEL}"));
            return Err(ENODEV);
        }
        incident::crash_record::publish_address();
        incident::table::begin_ids();
        let control = ThreadControl::new()?;
        let (knobs, given) = load_knobs()?;
        let backend = hardlockup_backend()?;
        let use_unexported = copied::<u8>(module_parameters::use_unexported.value()) != 0;
        let use_run_queues = copied::<u8>(module_parameters::use_run_queues.value()) != 0;
        let use_stopper = copied::<u8>(module_parameters::use_stopper.value()) != 0;
        let kernel_names = copied::<u8>(module_parameters::kernel_names.value()) != 0;
        let inherit = copied::<u8>(module_parameters::inherit.value()) != 0;

        let ksyms = Ksyms::resolve(use_unexported);
        let inherited = if inherit {
            inherit::take_over(&knobs, &given, &ksyms)?
        } else {
            Inherited::NOTHING
        };
        rtmutex::find_rt_waiter(&ksyms);
        let queues = RunQueues::find(&ksyms, use_run_queues);
        let touches = Arc::new(TouchProbes::new(use_unexported, &ksyms), GFP_KERNEL)?;
        let nmi = NmiSender::new().ok();
        let alone = leave_counters_alone(&ksyms, &inherited, nmi.is_some());
        let backtracer = Arc::new(Backtracer::new(ksyms, nmi), GFP_KERNEL)?;
        let panic = Arc::new(
            PanicControl::new(knobs.clone(), touches.clone(), ksyms),
            GFP_KERNEL,
        )?;
        let lockups = init_step(
            "set up the lockup detectors",
            LockupDetector::new(Parts {
                knobs: knobs.clone(),
                backtracer: backtracer.clone(),
                stop_work: StopWork::find(&ksyms, use_stopper),
                touches,
                panic: panic.clone(),
                backend,
                leave_counters_alone: alone,
            }),
        )?;
        let hung_task_ctx = Arc::new(
            HungTaskCtx::new(
                knobs.clone(),
                control.clone(),
                backtracer,
                queues,
                panic.clone(),
            )?,
            GFP_KERNEL,
        )?;
        let sys_info_waker = Arc::new(SysInfoWaker::new(&knobs, &panic, &lockups)?, GFP_KERNEL)?;
        let thread = HungTaskThread::new(hung_task_ctx.clone(), sys_info_waker.clone())?;
        let hung_task_thread = init_step(
            "start the thread vigild/hung",
            KThread::spawn(c"vigild/hung", control.clone(), thread),
        )?;
        let sys_info_threads = init_step(
            "start the threads vigild/info*",
            SysInfoThreads::spawn(&sys_info_waker),
        )?;
        let [even, odd] = sys_info_waker.controls();
        let handler = Arc::new(
            SysctlHandler::new(
                knobs,
                [control, even, odd],
                hung_task_ctx.clone(),
                lockups.clone(),
            ),
            GFP_KERNEL,
        )?;
        let cpumask = watchdog_cpumask()?;
        init_step(
            "start the lockup detectors",
            lockups.start(cpumask.as_ref().or(inherited.cpumask.as_ref())),
        )?;
        let cpufreq = init_step(
            "register the cpufreq notifier",
            cpufreq::PolicyNotifier::new(PerfReprogrammer(lockups.clone())),
        )?;
        // For a change between the start of the counters and the registration.
        lockups.frequency_changed();
        let reprogrammer = Arc::new(PerfReprogrammer(lockups.clone()), GFP_KERNEL)?;
        let resume = init_step(
            "register the PM notifier for resume",
            KBox::pin_init(pm::Notifier::new(reprogrammer), GFP_KERNEL),
        )?;
        let suspend = init_step(
            "register the PM notifier for suspend",
            KBox::pin_init(pm::Notifier::new(hung_task_ctx.clone()), GFP_KERNEL),
        )?;
        let sysctl = init_step(
            "register /proc/sys/vigil",
            SysctlTable::new(c"vigil", &handler, |_| true),
        )?;
        let (kernel_names, kernel_names_table) = init_step(
            "register the knobs in /proc/sys/kernel",
            KernelNames::register(kernel_names, &handler),
        )?;
        let lockup_counts = init_step(
            "create the counts in /sys/kernel",
            LockupCountFiles::new(lockups.ctx().clone()),
        )?;
        let status = Arc::new(
            StatusFile::new(hung_task_ctx.clone(), lockups.clone(), kernel_names),
            GFP_KERNEL,
        )?;
        // Not an error: some machines have debugfs off, and reports go to the log.
        let debugfs = DebugfsFiles::register(status.clone(), hung_task_ctx)
            .inspect_err(|error| {
                let errno = error.to_errno();
                printk::err(format_args!("{}", NoStatusFile { errno }));
            })
            .ok();
        // Nothing can fail after it.
        let netlink = init_step("set up netlink events", NetlinkEvents::register())?;
        load_message::print(&status, &inherited);
        Ok(Self {
            _hung_task_thread: hung_task_thread,
            _sys_info_threads: sys_info_threads,
            _debugfs: debugfs,
            _kernel_names: kernel_names_table,
            _sysctl: sysctl,
            _lockup_counts: lockup_counts,
            _cpufreq: cpufreq,
            _resume: resume,
            _suspend: suspend,
            lockups,
            _netlink: netlink,
        })
    }
}
