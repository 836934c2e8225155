// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that block devices have been working on for long, for
 * src/sys/blkdev.rs.
 *
 * While tasks hang no lock is waited for that a stuck device, or a task that
 * waits for it, may hold, and no reference to a disk is taken, since to put the
 * last one means to free the disk. Disks are found in the list of inodes of the
 * bdev file system, whose spinlock is held for the walk alone. Requests are
 * walked as blk_mq_queue_tag_busy_iter() does for /sys/block/DISK/inflight, which
 * is not exported: with a reference to the queue's usage counter, whose release
 * del_gendisk() and blk_mq_destroy_queue() wait for before a driver frees its
 * tags. It is tried for only: a queue that is frozen and has no requests any more
 * refuses it.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/cleanup.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/percpu-refcount.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "vigil.h"

#ifdef CONFIG_BLOCK

/* How many inodes of the bdev file system are looked at: disks and partitions. */
#define MAX_BDEVS	4096

struct walk {
	struct request_queue *queue;
	struct vigil_blk_requests *found;
	unsigned long long now;
	unsigned long long age;
	unsigned int *budget;
	/* Requests of other disks of the same controller. */
	unsigned int foreign;
};

/* So many requests of other disks count as one of those that may be looked at. */
#define FOREIGN_REQUESTS	16U

/* How often a spinlock is tried for that another CPU has. */
#define LOCK_TRIES	100000

/*
 * The time at which @rq was made, if the kernel keeps that.
 *
 * It is part of the I/O statistics: without them, and for most passthrough
 * requests, the field has what an earlier request left. A flush has none, but is
 * set up by blk_rq_init(), which sets the field. The deadline is of no use: it
 * is set anew when a time-out is extended, and blk_abort_request() moves it.
 */
static bool start_time(struct request *rq, unsigned long long *time)
{
	bool is_flush = req_op(rq) == REQ_OP_FLUSH && (rq->rq_flags & RQF_FLUSH_SEQ);

	if (!(rq->rq_flags & RQF_IO_STAT) && !is_flush)
		return false;
	*time = READ_ONCE(rq->start_time_ns);
	return true;
}

/* The walk has a reference to @rq: it is not used anew meanwhile. */
static bool look_at(struct request *rq, void *arg)
{
	struct walk *walk = arg;
	struct vigil_blk_requests *found = walk->found;
	unsigned long long time;

	if (!*walk->budget)
		return false;
	if (rq->q != walk->queue) {
		if (!(++walk->foreign % FOREIGN_REQUESTS))
			--*walk->budget;
		return true;
	}
	--*walk->budget;
	/* Or done but for its last steps. */
	if (blk_mq_rq_state(rq) != MQ_RQ_IN_FLIGHT)
		return true;
	/* What was written before the state is seen, as far as the writer orders it. */
	smp_rmb();
	if (!start_time(rq, &time)) {
		found->untimed++;
		return true;
	}
	if (time > walk->now || walk->now - time < walk->age)
		return true;
	found->old++;
	found->oldest = max(found->oldest, walk->now - time);
	return true;
}

/* Take a spinlock, unless a CPU keeps it that may be stuck. */
static bool lock_in_time(spinlock_t *lock)
{
	unsigned int tries;

	for (tries = 0; tries < LOCK_TRIES; tries++) {
		if (spin_trylock(lock))
			return true;
		cpu_relax();
	}
	return false;
}

/*
 * Find the next disk after the address *@cursor, and set that to its address. Set
 * *@queue to its queue, with a reference to the usage counter; to NULL if it has
 * no requests, or none can be there. Return whether there was another disk.
 */
static bool next_queue(unsigned long *cursor, struct request_queue **queue,
		       struct vigil_blk_requests *found)
{
	struct super_block *sb = blockdev_superblock;
	struct block_device *bdev, *next = NULL;
	struct inode *inode;
	unsigned int n = 0;

	/*
	 * A disk whose device has a reference in this RCU read section puts its queue
	 * later: the queue, which is freed after a grace period, is there to the end of
	 * the section. So is the disk, with its inode.
	 */
	guard(rcu)();
	if (!lock_in_time(&sb->s_inode_list_lock)) {
		found->is_partial = 1;
		return false;
	}
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		if (n++ == MAX_BDEVS) {
			found->is_partial = 1;
			break;
		}
		bdev = I_BDEV(inode);
		if ((unsigned long)bdev <= *cursor || (next && bdev > next))
			continue;
		/* Else its device is not set up yet, or has no reference any more. */
		if (kref_read(&bdev->bd_device.kobj.kref) && !bdev_is_partition(bdev))
			next = bdev;
	}
	spin_unlock(&sb->s_inode_list_lock);
	if (!next)
		return false;
	*cursor = (unsigned long)next;
	/* A disk that is being allocated may have none yet. */
	*queue = READ_ONCE(next->bd_queue);
	if (!*queue || !queue_is_mq(*queue)) {
		*queue = NULL;
		return true;
	}
	/*
	 * The queue of a disk that was never added may go without being frozen. Any
	 * other keeps its tags while this reference is held.
	 */
	if (!test_bit(GD_ADDED, &next->bd_disk->state) ||
	    !percpu_ref_tryget(&(*queue)->q_usage_counter)) {
		/* It may have requests all the same: those of its partition scan. */
		found->is_partial = 1;
		*queue = NULL;
		return true;
	}
	strscpy(found->name, next->bd_disk->disk_name, sizeof(found->name));
	found->major = MAJOR(next->bd_dev);
	found->minor = MINOR(next->bd_dev);
	return true;
}

/**
 * vigil_blk_next() - look at the requests of the next disk
 * @cursor: 0 for the first disk; set to where to go on
 * @age: from which age on a request is old, in nanoseconds
 * @budget: how many requests may be looked at; what was used is taken off
 * @found: set to what was found
 *
 * Only requests that the driver has are seen, and only of disks that have requests:
 * not of device-mapper and md, whose disks below have.
 *
 * Context: process context; takes spinlocks for short, and gives up one that is kept.
 * Return: whether there was another disk.
 */
int vigil_blk_next(unsigned long *cursor, unsigned long long age, unsigned int *budget,
		   struct vigil_blk_requests *found)
{
	struct walk walk = { .found = found, .age = age, .budget = budget };
	unsigned long long oldest = 0;
	unsigned int old = 0;
	int pass;

	memset(found, 0, sizeof(*found));
	if (!next_queue(cursor, &walk.queue, found))
		return 0;
	if (!walk.queue)
		return 1;
	/*
	 * A driver may be starting a request on another CPU, whose time is that of an
	 * earlier one until this CPU sees all that the other has written. Old is what
	 * is old twice.
	 */
	for (pass = 0; pass < 2; pass++) {
		found->old = 0;
		found->untimed = 0;
		found->oldest = 0;
		walk.now = ktime_get_ns();
		blk_mq_tagset_busy_iter(walk.queue->tag_set, look_at, &walk);
		if (!found->old)
			break;
		if (!pass) {
			old = found->old;
			oldest = found->oldest;
		}
	}
	if (!*budget) {
		found->is_partial = 1;
		/* Not seen twice, for want of budget. */
		found->old = max(found->old, old);
		found->oldest = max(found->oldest, oldest);
	}
	percpu_ref_put(&walk.queue->q_usage_counter);
	return 1;
}

#else

int vigil_blk_next(unsigned long *cursor, unsigned long long age, unsigned int *budget,
		   struct vigil_blk_requests *found)
{
	return 0;
}

#endif
