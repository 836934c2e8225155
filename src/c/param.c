// SPDX-License-Identifier: GPL-2.0
/*
 * What the module! macro of the kernel crate does not have: module parameters that
 * are text, and the module's version, which Kbuild takes from the file VERSION.
 * Values are checked where they are used, in Rust. The help of a knob is that of the
 * table in logic/knobs.rs, which a host test compares.
 */
#include <linux/moduleparam.h>
#include <linux/module.h>
#include <linux/string.h>

#include "vigil.h"

MODULE_VERSION(VIGIL_VERSION);

/* Room for all words of lib/sys_info.c together. */
#define VIGIL_WORDS	128
/* MAX_LEN of logic/hung_task/rules.rs, and a NUL. */
#define VIGIL_RULES	513
/* Room for every second CPU of a thousand. */
#define VIGIL_CPU_LIST	4096

static char hung_task_report[VIGIL_WORDS];
module_param_string(hung_task_report, hung_task_report, sizeof(hung_task_report), 0);
MODULE_PARM_DESC(hung_task_report,
		 "How hung tasks are reported: grouped (one report for each root cause and the tasks behind it) or mainline (each task, as the kernel's own detector does)");

static char hung_task_ignore[VIGIL_RULES];
module_param_string(hung_task_ignore, hung_task_ignore, sizeof(hung_task_ignore), 0);
MODULE_PARM_DESC(hung_task_ignore,
		 "Hung tasks that are neither reported nor counted: comm, comm*, [kthread], [kthread*], :io (in I/O wait), :lock (waits for a known lock), comma separated");

static char hung_task_panic_only[VIGIL_RULES];
module_param_string(hung_task_panic_only, hung_task_panic_only, sizeof(hung_task_panic_only), 0);
MODULE_PARM_DESC(hung_task_panic_only,
		 "Hung tasks that hung_task_panic counts: rules as for hung_task_ignore; empty for all");

static char hung_task_sys_info[VIGIL_WORDS];
module_param_string(hung_task_sys_info, hung_task_sys_info, sizeof(hung_task_sys_info), 0);
MODULE_PARM_DESC(hung_task_sys_info,
		 "System information to print with a hung task report: tasks, mem, timers, locks, ftrace, all_bt, blocked_tasks, comma separated");

static char softlockup_sys_info[VIGIL_WORDS];
module_param_string(softlockup_sys_info, softlockup_sys_info, sizeof(softlockup_sys_info), 0);
MODULE_PARM_DESC(softlockup_sys_info,
		 "System information to print with a soft lockup report; words as for hung_task_sys_info");

static char hardlockup_sys_info[VIGIL_WORDS];
module_param_string(hardlockup_sys_info, hardlockup_sys_info, sizeof(hardlockup_sys_info), 0);
MODULE_PARM_DESC(hardlockup_sys_info,
		 "System information to print with a hard lockup report; words as for hung_task_sys_info");

static char watchdog_cpumask[VIGIL_CPU_LIST];
module_param_string(watchdog_cpumask, watchdog_cpumask, sizeof(watchdog_cpumask), 0);
MODULE_PARM_DESC(watchdog_cpumask,
		 "CPUs to watch for lockups, as in 0-3,8; default: the housekeeping CPUs");

static char hardlockup_backend[VIGIL_WORDS];
module_param_string(hardlockup_backend, hardlockup_backend, sizeof(hardlockup_backend), 0);
MODULE_PARM_DESC(hardlockup_backend,
		 "Back end that detects hard lockups: auto (default; perf, or else buddy), perf, buddy, or perf,buddy for both");

/**
 * vigil_param_text() - get the text that a module parameter was given at load
 * @name: the parameter's name, without a NUL
 * @len: its length
 *
 * Context: any.
 * Return: the text, empty if none was given; NULL if there is no such parameter.
 */
const char *vigil_param_text(const char *name, unsigned long len)
{
	const struct module *mod = THIS_MODULE;
	unsigned int i;

	for (i = 0; i < mod->num_kp; i++) {
		const struct kernel_param *kp = &mod->kp[i];

		if (kp->ops == &param_ops_string && strlen(kp->name) == len &&
		    !memcmp(kp->name, name, len))
			return kp->str->string;
	}
	return NULL;
}
