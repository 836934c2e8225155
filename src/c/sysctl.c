// SPDX-License-Identifier: GPL-2.0
/*
 * A look at which files procfs has. Headers that bindgen does not see.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/path.h>

#include "vigil.h"

/**
 * vigil_proc_mount() - mount procfs where nobody else sees it
 *
 * The one that a machine has is in the mount namespace of whoever loads the
 * module, or somewhere else, or shows a part only (subset=pid).
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
 * vigil_proc_lookup() - whether there is a file
 * @mount: what vigil_proc_mount() returned
 * @path: its path in there
 *
 * Context: may sleep.
 * Return: 0, -ENOENT if there is none, or another error.
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
 * vigil_proc_unmount() - end of vigil_proc_mount()
 *
 * Context: may sleep.
 */
void vigil_proc_unmount(struct vfsmount *mount)
{
	kern_unmount(mount);
}
