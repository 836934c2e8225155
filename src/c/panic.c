// SPDX-License-Identifier: GPL-2.0
/*
 * What a panic would do.
 */
#include <linux/crash_dump.h>
#include <linux/kexec.h>

#include "vigil.h"

/**
 * vigil_kexec_crash_loaded() - tell whether a panic would start a crash kernel
 *
 * Context: any, NMI included.
 */
int vigil_kexec_crash_loaded(void)
{
	return kexec_crash_loaded();
}

/**
 * vigil_is_kdump_kernel() - tell whether this is a capture kernel
 *
 * Context: any.
 */
int vigil_is_kdump_kernel(void)
{
	return is_kdump_kernel();
}
