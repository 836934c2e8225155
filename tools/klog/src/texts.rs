// SPDX-License-Identifier: GPL-2.0
//! The texts of the lines that are looked for, with `{field}` where a value stands.
//!
//! vigil's own are those of `vigil_logic::messages`; here are mainline's, of Linux 7.3
//! and where they read differently, of older kernels. vigil prints the same.

pub use vigil_logic::messages as vigil;

/// First line on a hung task: `hung_task_info()`.
pub const HUNG_TASK: &str =
    "INFO: task {comm}:{pid} blocked{in_iowait} for more than {seconds} seconds.";
/// Second line on a hung task: taint, release, version.
pub const HUNG_TASK_KERNEL: &str = "      {kernel}";
/// How `{kernel}` begins where vigil cannot call `print_tainted()`.
pub const TAINT_UNKNOWN: &str = "Taint unknown ";
/// Third line on a hung task that is writing a core dump.
pub const HUNG_TASK_COREDUMP: &str = "      Blocked by coredump.";
/// How to switch off the kernel's detector of hung tasks.
pub const HUNG_TASK_DISABLE: &str =
    "\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.";
/// How to switch off vigil's.
pub const HUNG_TASK_DISABLE_VIGIL: &str =
    "\"echo 0 > /proc/sys/vigil/hung_task_timeout_secs\" disables this message.";

/// A line that belongs to no report, and may come in the middle of one:
/// `perf_duration_warn()`, which has waited for an interrupt in which it may print.
pub const PERF_TOO_LONG: &str = "perf: interrupt took too long ({took} > {limit}), lowering \
    kernel.perf_event_max_sample_rate to {rate}";

/// What a hung task waits for, and the owner: `debug_show_blocker()`.
pub const MUTEX_OWNER: &str =
    "INFO: task {comm}:{pid} is blocked on a mutex likely owned by task {owner_comm}:{owner_pid}.";
/// The same, without an owner.
pub const MUTEX_NO_OWNER: &str =
    "INFO: task {comm}:{pid} is blocked on a mutex, but the owner is not found.";
/// The same for a semaphore.
pub const SEMAPHORE_HOLDER: &str = "INFO: task {comm}:{pid} blocked on a semaphore likely last \
    held by task {owner_comm}:{owner_pid}";
/// The same, without a holder.
pub const SEMAPHORE_NO_HOLDER: &str =
    "INFO: task {comm}:{pid} is blocked on a semaphore, but the last holder is not found.";
/// The same for an rw-semaphore.
pub const RWSEM_OWNER: &str = "INFO: task {comm}:{pid} <{waits_as}> blocked on an rw-semaphore \
    likely owned by task {owner_comm}:{owner_pid} <{held_as}>";
/// The same, without an owner.
pub const RWSEM_NO_OWNER: &str =
    "INFO: task {comm}:{pid} is blocked on an rw-semaphore, but the owner is not found.";

/// The same for a real-time mutex, in vigil's words.
pub const RT_MUTEX_OWNER: &str = "INFO: task {comm}:{pid} is blocked on an rt_mutex likely owned \
    by task {owner_comm}:{owner_pid}.";
/// The same, without an owner.
pub const RT_MUTEX_NO_OWNER: &str =
    "INFO: task {comm}:{pid} is blocked on an rt_mutex, but the owner is not found.";
/// The same for a spinlock or a rwlock that sleeps, in vigil's words.
pub const RTLOCK_OWNER: &str = "INFO: task {comm}:{pid} is blocked on a spinlock or rwlock likely \
    owned by task {owner_comm}:{owner_pid}.";
/// The same, without an owner.
pub const RTLOCK_NO_OWNER: &str =
    "INFO: task {comm}:{pid} is blocked on a spinlock or rwlock, but the owner is not found.";

/// First line on a soft lockup: `watchdog_timer_fn()`.
pub const SOFT_LOCKUP: &str =
    "watchdog: BUG: soft lockup - CPU#{cpu} stuck for {seconds}s! [{comm}:{pid}]";
/// The same of kernels whose messages begin otherwise.
pub const SOFT_LOCKUP_NMI_WATCHDOG: &str =
    "NMI watchdog: BUG: soft lockup - CPU#{cpu} stuck for {seconds}s! [{comm}:{pid}]";
/// Head of the CPU usage in a report on a soft lockup: `print_cpustat()`.
pub const USAGE: &str = "CPU#{cpu} Utilization every {ms}ms during lockup:";
/// The same in vigil's report.
pub const USAGE_VIGIL: &str =
    "CPU#{cpu} Utilization every {ms}ms during lockup (as counted by the tick):";

/// First line on a hard lockup: `watchdog_hardlockup_check()`.
pub const HARD_LOCKUP: &str = "watchdog: CPU{finder}: Watchdog detected hard LOCKUP on cpu {cpu}";
/// The same of kernels that do not say which CPU found it.
pub const HARD_LOCKUP_NO_FINDER: &str = "watchdog: Watchdog detected hard LOCKUP on cpu {cpu}";
/// The same of kernels whose messages begin otherwise.
pub const HARD_LOCKUP_NMI_WATCHDOG: &str =
    "NMI watchdog: Watchdog detected hard LOCKUP on cpu {cpu}";

/// First line on an RCU stall: `print_other_cpu_stall()`.
pub const RCU_STALL: &str = "rcu: INFO: {flavor} detected stalls on CPUs/tasks:";
/// The same by the stalled CPU: `print_cpu_stall()`.
pub const RCU_STALL_SELF: &str = "rcu: INFO: {flavor} self-detected stall on CPU";
/// First line on a stall of expedited RCU: `synchronize_rcu_expedited_wait()`.
pub const RCU_STALL_EXPEDITED: &str =
    "rcu: INFO: {flavor} detected expedited stalls on CPUs/tasks: {rest}";

/// First line of a panic: `vpanic()`.
pub const PANIC: &str = "Kernel panic - not syncing: {message}";
/// Last line of a panic.
pub const PANIC_END: &str = "---[ end Kernel panic - not syncing: {message} ]---";

/// Any line of vigil's own.
pub const VIGIL: &str = "vigil: {text}";

/// Words that only reports have. A line that has them in the middle of another wording
/// shows that this crate does not know the kernel's, or vigil's.
pub const MARKS: [&str; 8] = [
    " blocked for more than ",
    " blocked in I/O wait for more than ",
    "soft lockup -",
    "hard LOCKUP",
    "Kernel panic - not syncing",
    "has not run",
    "recovered:",
    "took its last timer interrupt",
];
