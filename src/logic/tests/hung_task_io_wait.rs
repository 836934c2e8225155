// SPDX-License-Identifier: GPL-2.0

//! Which waits for I/O are long by nature, by their stacks.

mod common;

use proptest::prelude::*;
use vigil_logic::hung_task::io_wait::LongIo;

fn is_long<'a>(stack: impl IntoIterator<Item = &'a str>) -> bool {
    let mut long = LongIo::default();
    for symbol in stack {
        if !long.add(symbol.as_bytes()) {
            break;
        }
    }
    long.is_long()
}

/// Each caller in Linux 7.3 of bio_await(), submit_bio_wait(), bio_submit_or_kill(), blk_execute_rq(),
/// blk_wait_io() and blk_io_schedule() that may be on the stack of one that waits, innermost first:
/// whether the wait is long by nature.
const STACKS: &[(bool, &str)] = &[
    // Discard, secure erase, zeroes; as gcc has them for Debian, and as others may.
    (
        true,
        "bio_await bio_submit_or_kill blkdev_common_ioctl blkdev_ioctl __x64_sys_ioctl",
    ),
    (true, "bio_await submit_bio_wait blkdev_common_ioctl blkdev_ioctl"),
    (true, "bio_await submit_bio_wait bio_submit_or_kill blk_ioctl_discard blkdev_ioctl"),
    (true, "bio_await submit_bio_wait blk_ioctl_discard.isra.0 blkdev_common_ioctl"),
    (true, "bio_await submit_bio_wait blkdev_issue_discard ext4_issue_discard.isra.0|[ext4]"),
    (true, "submit_bio_wait blkdev_issue_discard btrfs_issue_discard|[btrfs]"),
    (true, "bio_await submit_bio_wait blkdev_issue_secure_erase blkdev_common_ioctl"),
    (true, "bio_await submit_bio_wait blkdev_issue_zeroout blkdev_fallocate vfs_fallocate"),
    (true, "bio_await bio_submit_or_kill blkdev_issue_zero_pages blkdev_common_ioctl"),
    (true, "bio_await submit_bio_wait blkdev_issue_write_zeroes.constprop.0 blkdev_issue_zeroout"),
    (true, "bio_await submit_bio_wait xfs_discard_rtdev_extents|[xfs] xfs_ioc_trim|[xfs]"),
    // Zones.
    (true, "bio_await submit_bio_wait blkdev_zone_mgmt blkdev_zone_mgmt_ioctl"),
    (true, "bio_await submit_bio_wait blkdev_zone_reset_all blkdev_zone_mgmt"),
    (true, "bio_await submit_bio_wait nvmet_bdev_zone_mgmt_emulate_all|[nvmet] process_one_work"),
    (true, "bio_await xfs_zone_gc_reset_sync|[xfs] xfs_zone_gc_reset_zones|[xfs]"),
    // Passthrough.
    (true, "blk_execute_rq sg_io|[scsi_common] scsi_ioctl"),
    (true, "blk_execute_rq nvme_submit_user_cmd|[nvme_core]"),
    (true, "schedule_timeout io_schedule_timeout wait_for_completion_io_timeout blk_execute_rq"),
    // io_uring's end.
    (true, "io_wq_put_and_exit io_uring_clean_tctx io_uring_cancel_generic do_exit"),
    (true, "io_wq_exit_workers io_wq_put_and_exit io_uring_clean_tctx"),
    // Reads, writes and flushes.
    (false, "bio_await submit_bio_wait __blkdev_direct_IO_simple blkdev_direct_IO"),
    (false, "bio_await submit_bio_wait blkdev_direct_IO blkdev_read_iter"),
    (false, "blkdev_direct_IO blkdev_read_iter vfs_read"),
    (false, "__iomap_dio_rw iomap_dio_rw ext4_file_read_iter"),
    (false, "__blockdev_direct_IO ext2_direct_IO"),
    (false, "bio_await submit_bio_wait __iomap_dio_rw iomap_dio_rw"),
    (false, "bio_await submit_bio_wait blkdev_issue_flush jbd2_journal_commit_transaction|[jbd2]"),
    (false, "bio_await submit_bio_wait bdev_rw_virt xfs_rw_bdev|[xfs]"),
    (false, "bio_await submit_bio_wait xfs_rw_bdev|[xfs] xlog_do_io|[xfs]"),
    (false, "bio_await submit_bio_wait xfs_verify_media|[xfs]"),
    (false, "bio_await submit_bio_wait swap_read_folio_bdev_sync swap_read_folio"),
    (false, "bio_await submit_bio_wait swap_writepage_bdev_sync swap_writeout"),
    (false, "bio_await submit_bio_wait iomap_bio_read_folio_range_sync"),
    (false, "bio_await submit_bio_wait squashfs_read_data|[squashfs]"),
    (false, "bio_await submit_bio_wait __f2fs_commit_super|[f2fs]"),
    (false, "bio_await submit_bio_wait btrfs_repair_io_failure|[btrfs]"),
    (false, "bio_await submit_bio_wait sync_page_io|[md_mod]"),
    (false, "bio_await submit_bio_wait r5l_recovery_read_meta_block|[raid456]"),
    (false, "bio_await submit_bio_wait narrow_write_error|[raid1]"),
    (false, "bio_await submit_bio_wait probe_path|[dm_multipath]"),
    (false, "bio_await submit_bio_wait dm_integrity_map_inline|[dm_integrity]"),
    (false, "bio_await submit_bio_wait zram_sync_read|[zram]"),
    (false, "disk_zone_wplugs_worker kthread"),
    // Something else, on the way to such a wait: a tag, memory, a lock.
    (false, "blk_mq_get_tag __blk_mq_alloc_requests blk_mq_submit_bio bio_await submit_bio_wait blkdev_issue_discard"),
    (false, "mempool_alloc_noprof bio_alloc_bioset blkdev_issue_discard"),
    (false, "dm_integrity_map|[dm_integrity] __map_bio bio_await submit_bio_wait blkdev_issue_discard"),
    // A read of a driver on the way to a discard.
    (false, "bio_await submit_bio_wait sync_page_io|[md_mod] submit_bio_noacct bio_await blkdev_issue_discard"),
    (false, ""),
    (false, "bio_await submit_bio_wait"),
];

#[test]
fn what_is_long_by_nature_is_known_by_its_stack() {
    for &(long, stack) in STACKS {
        let symbols: Vec<_> = stack
            .split_whitespace()
            .map(|name| name.replace('|', " "))
            .collect();
        assert_eq!(is_long(symbols.iter().map(String::as_str)), long, "{stack}");
        // The scheduler's functions make no difference.
        let scheduler = [
            "__schedule",
            "schedule",
            "schedule_timeout",
            "io_schedule_timeout",
        ];
        let with = scheduler
            .into_iter()
            .chain(symbols.iter().map(String::as_str));
        assert_eq!(is_long(with), long, "{stack}");
    }
}

proptest! {
    #![proptest_config(common::config())]

    /// A function that nothing is known of is not taken for one that is long by nature.
    #[test]
    fn no_other_name_is_long(stack in prop::collection::vec("[a-z_.+\\[\\] ]{0,24}", 0..9), waits in 0..3usize) {
        let waits = &["bio_await", "submit_bio_wait"][..waits];
        let stack = waits.iter().copied().chain(stack.iter().map(String::as_str));
        prop_assert!(!is_long(stack));
    }
}
