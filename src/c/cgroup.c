// SPDX-License-Identifier: GPL-2.0
/*
 * Cgroups, for src/sys/cgroup.rs: their structures are opaque to Rust.
 */
#include <linux/cgroup.h>
#include <linux/kernfs.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "vigil.h"

#ifdef CONFIG_CGROUPS
/**
 * vigil_cgroup_path() - get the path of a task's cgroup in the default hierarchy
 * @task: a task that is not freed meanwhile
 * @path: where the path is put, without a NUL: its last byte is the last of @path
 * @size: how many bytes are at @path
 * @is_cut: set to 0, or to 1 if the path is longer and begins before @path
 *
 * As cgroup_path(), from the task's cgroup upwards: that ends when @path is full,
 * however many cgroups there are above. cgroup_path_ns() would wait for
 * cgroup_mutex, which a hung task may have.
 *
 * Context: any, NMI included: takes no lock.
 * Return: the number of bytes at the end of @path; 0 for the root cgroup.
 */
unsigned int vigil_cgroup_path(struct task_struct *task, char *path, unsigned int size,
			       int *is_cut)
{
	struct kernfs_node *node, *parent;
	unsigned int left = size;

	*is_cut = 0;
	/* Cgroups, their nodes and the names of these are freed by RCU. */
	guard(rcu)();
	node = task_dfl_cgroup(task)->kn;
	for (; (parent = rcu_dereference(node->__parent)) != NULL; node = parent) {
		const char *name = rcu_dereference(node->name);
		size_t len = strlen(name);
		size_t copied = min_t(size_t, len, left);

		left -= copied;
		memcpy(path + left, name + len - copied, copied);
		if (copied != len || !left) {
			*is_cut = 1;
			break;
		}
		path[--left] = '/';
	}
	return size - left;
}
#else
unsigned int vigil_cgroup_path(struct task_struct *task, char *path, unsigned int size,
			       int *is_cut)
{
	*is_cut = 0;
	return 0;
}
#endif
