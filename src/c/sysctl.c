// SPDX-License-Identifier: GPL-2.0
/*
 * Look-ups in procfs: which sysctls the kernel has.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/path.h>

#include "vigil.h"

/**
 * vigil_proc_mount() - mount procfs in no namespace
 *
 * The machine's own mount may be missing in the mount namespace of the task that
 * loads the module, or be somewhere else, or show a part only (subset=pid).
 *
 * Context: may sleep.
 * Return: the mount, or an error pointer.
 */
struct vfsmount *vigil_proc_mount(void)
{
	struct file_system_type *type = get_fs_type("proc");
	struct vfsmount *mount;

	if (!type)
		return ERR_PTR(-ENODEV);
	mount = kern_mount(type);
	/* All that put_filesystem() does, which is not exported. */
	module_put(type->owner);
	return mount;
}

/**
 * vigil_proc_lookup() - test whether a file exists
 * @mount: the result of vigil_proc_mount()
 * @path: its path in there
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

/**
 * vigil_proc_unmount() - undo vigil_proc_mount()
 * @mount: its result
 *
 * Context: may sleep.
 */
void vigil_proc_unmount(struct vfsmount *mount)
{
	kern_unmount(mount);
}
