// SPDX-License-Identifier: GPL-2.0
/*
 * Module parameters that are text: the module! macro of the kernel crate has
 * numbers only. Values are checked where they are used, in Rust. The help of a knob
 * is that of the table in logic/sysctl.rs, which a host test compares.
 */
#include <linux/moduleparam.h>
#include <linux/module.h>
#include <linux/string.h>

#include "vigil.h"

/* Room for all words of lib/sys_info.c together. */
#define VIGIL_WORDS	128
/* Room for every second CPU of a thousand. */
#define VIGIL_CPU_LIST	4096

#define VIGIL_TEXT_PARAMS(X)						\
	X(hung_task_sys_info, VIGIL_WORDS, "System information to print with a hung task report: tasks, mem, timers, locks, ftrace, all_bt, blocked_tasks, comma separated") \
	X(softlockup_sys_info, VIGIL_WORDS, "System information to print with a soft lockup report; words as for hung_task_sys_info") \
	X(hardlockup_sys_info, VIGIL_WORDS, "System information to print with a hard lockup report; words as for hung_task_sys_info") \
	X(watchdog_cpumask, VIGIL_CPU_LIST, "CPUs to watch for lockups, as in 0-3,8; default: the housekeeping CPUs") \
	X(hardlockup_backend, VIGIL_WORDS, "Back end that detects hard lockups: auto (default; perf, or else buddy), perf, buddy, or perf,buddy for both")

#define VIGIL_DECLARE(name, size, help)					\
	static char name##_text[size];					\
	module_param_string(name, name##_text, size, 0);		\
	MODULE_PARM_DESC(name, help);
VIGIL_TEXT_PARAMS(VIGIL_DECLARE)

#define VIGIL_ENTRY(name, size, help) { #name, name##_text },
static const struct {
	const char *name;
	const char *text;
} params[] = {
	VIGIL_TEXT_PARAMS(VIGIL_ENTRY)
};

/* Text of a parameter; NULL if there is none of that name (of LEN bytes). */
const char *vigil_param_text(const char *name, unsigned long len)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(params); i++)
		if (strlen(params[i].name) == len && !memcmp(params[i].name, name, len))
			return params[i].text;
	return NULL;
}
