// SPDX-License-Identifier: GPL-2.0
/*
 * How the kernel calls itself: a macro, and a struct that bindgen does not see.
 */
#include <linux/utsname.h>
#if __has_include("generated/package.h")
#include "generated/package.h"
#endif

#include "vigil.h"

/* Debian's kernels have it, from a patch of theirs. */
#ifndef LINUX_PACKAGE_ID
#define LINUX_PACKAGE_ID ""
#endif

/**
 * vigil_release() - as uname -r says
 */
const char *vigil_release(void)
{
	return init_uts_ns.name.release;
}

/**
 * vigil_version() - as uname -v says
 */
const char *vigil_version(void)
{
	return init_uts_ns.name.version;
}

/**
 * vigil_package_id() - what the packager adds to the version in reports
 */
const char *vigil_package_id(void)
{
	return LINUX_PACKAGE_ID;
}
