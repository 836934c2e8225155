// SPDX-License-Identifier: GPL-2.0
/*
 * A function for GNU make: $(exit-with STATUS) ends make with that status.
 *
 * make itself ends with 2 whatever the status of a failed recipe was, and
 * `make vm SCRIPT=...` promises the script's own. Loaded for that goal only.
 */

/* As <gnumake.h> has them; that header is not part of every make package. */
extern void gmk_add_function(const char *name,
			     char *(*func)(const char *name, unsigned int argc,
					   char **argv),
			     unsigned int min_args, unsigned int max_args,
			     unsigned int flags);
extern void exit(int status);
extern int atoi(const char *text);

int plugin_is_GPL_compatible;

static char *exit_with(const char *name, unsigned int argc, char **argv)
{
	exit(atoi(argv[0]));
	return 0;
}

int exit_with_setup(void *where)
{
	gmk_add_function("exit-with", exit_with, 1, 1, 0);
	return 1;
}
