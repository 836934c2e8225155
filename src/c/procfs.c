// SPDX-License-Identifier: GPL-2.0
/*
 * Look-ups in a mount of procfs.
 */
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/path.h>

#include "vigil.h"

/**
 * vigil_proc_lookup() - test whether a file exists
 * @mount: a mount of procfs
 * @path: the path of the file in there
 *
 * Context: may sleep.
 * Return: 0; -ENOENT if it does not exist; or another error.
 */
int vigil_proc_lookup(struct vfsmount *mount, const char *path)
{
	struct path found;
	int err;

	err = vfs_path_lookup(mount->mnt_root, mount, path, 0, &found);
	if (!err)
		path_put(&found);
	return err;
}
