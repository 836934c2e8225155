// SPDX-License-Identifier: GPL-2.0
/*
 * Module parameters that are text: the module! macro of the kernel crate has
 * numbers only. Each stands for a list knob of logic/sysctl.rs, where its value is
 * checked; scenario knobs::every_knob_has_a_parameter compares the two.
 */
#include <linux/moduleparam.h>
#include <linux/module.h>

#include "vigil.h"

/* Room for all words of lib/sys_info.c together. */
#define VIGIL_WORDS	128
/* Room for every second CPU of a thousand. */
#define VIGIL_CPU_LIST	4096

#define VIGIL_TEXT_PARAM(name, size, help)				\
	static char name##_text[size];					\
	module_param_string(name, name##_text, sizeof(name##_text), 0);	\
	MODULE_PARM_DESC(name, help);					\
	const char *vigil_param_##name(void)				\
	{								\
		return name##_text;					\
	}

VIGIL_TEXT_PARAM(hung_task_sys_info, VIGIL_WORDS, "What else to show with a report");
VIGIL_TEXT_PARAM(softlockup_sys_info, VIGIL_WORDS, "What else to show with a report");
VIGIL_TEXT_PARAM(hardlockup_sys_info, VIGIL_WORDS, "What else to show with a report");
VIGIL_TEXT_PARAM(watchdog_cpumask, VIGIL_CPU_LIST,
		 "CPUs to watch for lockups; default the housekeeping CPUs");
VIGIL_TEXT_PARAM(hardlockup_backend, VIGIL_WORDS,
		 "How hard lockups are found: auto (the default), perf, buddy, or perf,buddy for both");
