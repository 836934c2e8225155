// SPDX-License-Identifier: GPL-2.0
/*
 * The counts of lockups in /sys/kernel that the in-tree detectors have there, on
 * kernels that are built without them.
 */
#include <linux/kernfs.h>
#include <linux/kobject.h>
#include <linux/sysfs.h>

#include "vigil.h"

static unsigned long long (*read_count)(void *arg, unsigned int count);
static void *read_count_arg;
/* Which of the files were created. */
static bool created[VIGIL_NR_LOCKUP_COUNTS];

static ssize_t show_count(char *page, enum vigil_lockup_count count)
{
	return sysfs_emit(page, "%llu\n", read_count(read_count_arg, count));
}

static ssize_t softlockup_count_show(struct kobject *kobj, struct kobj_attribute *attr,
				     char *page)
{
	return show_count(page, VIGIL_SOFTLOCKUP_COUNT);
}

static ssize_t hardlockup_count_show(struct kobject *kobj, struct kobj_attribute *attr,
				     char *page)
{
	return show_count(page, VIGIL_HARDLOCKUP_COUNT);
}

static struct kobj_attribute attrs[VIGIL_NR_LOCKUP_COUNTS] = {
	[VIGIL_SOFTLOCKUP_COUNT] = __ATTR_RO(softlockup_count),
	[VIGIL_HARDLOCKUP_COUNT] = __ATTR_RO(hardlockup_count),
};

/*
 * Asked first: for a name that is taken the kernel logs a stack. It creates its own
 * files at boot only.
 */
static bool is_taken(const char *name)
{
	struct kernfs_node *file = kernfs_find_and_get(kernel_kobj->sd, name);

	kernfs_put(file);
	return file;
}

/**
 * vigil_lockup_counts_add() - create the files that the kernel does not have
 * @read: returns a count of enum vigil_lockup_count, may sleep
 * @arg: its first argument
 *
 * Context: may sleep; not while they are there already.
 * Return: 0, or an error, with no file created.
 */
int vigil_lockup_counts_add(unsigned long long (*read)(void *arg, unsigned int count),
			    void *arg)
{
	/* Without sysfs there is a kernel_kobj, and no folder of it. */
	if (!IS_ENABLED(CONFIG_SYSFS))
		return 0;
	read_count = read;
	read_count_arg = arg;
	for (unsigned int i = 0; i < VIGIL_NR_LOCKUP_COUNTS; i++) {
		int err;

		if (is_taken(attrs[i].attr.name))
			continue;
		err = sysfs_create_file(kernel_kobj, &attrs[i].attr);
		if (err) {
			vigil_lockup_counts_remove();
			return err;
		}
		created[i] = true;
	}
	return 0;
}

/**
 * vigil_lockup_counts_remove() - remove the files and wait for those who read them
 *
 * Context: may sleep.
 */
void vigil_lockup_counts_remove(void)
{
	for (unsigned int i = 0; i < VIGIL_NR_LOCKUP_COUNTS; i++) {
		if (created[i])
			sysfs_remove_file(kernel_kobj, &attrs[i].attr);
		created[i] = false;
	}
}
