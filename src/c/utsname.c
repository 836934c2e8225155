// SPDX-License-Identifier: GPL-2.0
/*
 * The names of the running kernel: struct uts_namespace is opaque to Rust, and
 * the package's name is a macro.
 */
#include <linux/utsname.h>
#if __has_include("generated/package.h")
#include "generated/package.h"
#endif

#include "vigil.h"

/* From a patch that Debian's kernels carry. */
#ifndef LINUX_PACKAGE_ID
#define LINUX_PACKAGE_ID ""
#endif

/**
 * vigil_release() - get what uname -r prints
 *
 * Context: any.
 */
const char *vigil_release(void)
{
	return init_uts_ns.name.release;
}

/**
 * vigil_version() - get what uname -v prints
 *
 * Context: any.
 */
const char *vigil_version(void)
{
	return init_uts_ns.name.version;
}

/**
 * vigil_package_id() - get what the distribution adds to the version in reports
 *
 * Context: any.
 * Return: a text that begins with a blank, or an empty one.
 */
const char *vigil_package_id(void)
{
	return LINUX_PACKAGE_ID;
}
