// SPDX-License-Identifier: GPL-2.0

//! What a sleeping task waits for if that is no lock which the kernel keeps track of: read from the
//! names of the functions on its stack.
//!
//! The innermost functions of a sleeping task's stack are wait primitives: the scheduler, and what
//! waits on behalf of its caller, from `schedule_timeout()` to `synchronize_rcu()`. The first
//! function that is none is the place to look at, as in syzkaller's titles of hung tasks
//! (`pkg/report/linux.go`). The table of primitives also says what most of them wait for.
//!
//! A name is all the evidence there is: a function that the table does not have is a caller, and
//! has no kind.

/// What a task waits for, with a number that may be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum WaitKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// I/O on pages (folios) or a buffer.
    PageIo = 1,
    /// A page (folio) or a buffer: its lock, which is held for reads, but not only, or I/O on it.
    Page = 2,
    /// The end of I/O that it sent to a block device.
    BlockIo = 3,
    /// A request (tag) of a block device, or its queue, before any I/O is sent.
    BlockQueue = 4,
    /// A software RAID or a device-mapper target.
    Raid = 5,
    /// A journal or a transaction of a file system.
    Journal = 6,
    /// A frozen file system (`fsfreeze`).
    FrozenFs = 7,
    /// A network file system or FUSE: a server.
    RemoteFs = 8,
    /// Writeback that other threads do.
    Writeback = 9,
    /// Throttling of who dirties pages or writes.
    WriteThrottle = 10,
    /// Memory reclaim.
    Reclaim = 11,
    /// An RCU grace period, or RCU callbacks.
    Rcu = 12,
    /// Work of a workqueue.
    Workqueue = 13,
    /// A kernel thread that is to stop, or to park.
    KthreadStop = 14,
    /// A child of `vfork()`.
    Vfork = 15,
    /// A core dump.
    Coredump = 16,
    /// Power management of a device, or its driver's probe.
    DevicePower = 17,
    /// Other CPUs: stop work, CPU hotplug.
    Cpus = 18,
    /// A user-mode helper, or the load of a module.
    Usermode = 19,
    /// An inode or a directory entry that another task is making or freeing.
    Inode = 20,
    /// A fence of a GPU.
    Fence = 21,
    /// A transfer to a USB or SCSI device, or its error handling.
    DeviceCommand = 22,
    /// References to a network device.
    NetDevice = 23,
    /// Requests of io_uring.
    IoUring = 24,
    /// A completion, and nothing else is known.
    Completion = 25,
    /// A lock: of a kernel that does not record which.
    Lock = 26,
    /// The time.
    Timer = 27,
}

impl WaitKind {
    /// All of them.
    #[cfg(not(MODULE))]
    pub const ALL: [Self; 28] = [
        Self::Unknown,
        Self::PageIo,
        Self::Page,
        Self::BlockIo,
        Self::BlockQueue,
        Self::Raid,
        Self::Journal,
        Self::FrozenFs,
        Self::RemoteFs,
        Self::Writeback,
        Self::WriteThrottle,
        Self::Reclaim,
        Self::Rcu,
        Self::Workqueue,
        Self::KthreadStop,
        Self::Vfork,
        Self::Coredump,
        Self::DevicePower,
        Self::Cpus,
        Self::Usermode,
        Self::Inode,
        Self::Fence,
        Self::DeviceCommand,
        Self::NetDevice,
        Self::IoUring,
        Self::Completion,
        Self::Lock,
        Self::Timer,
    ];

    /// The number that stands for it in stored records.
    #[cfg_attr(
        MODULE,
        allow(dead_code, reason = "for the crash record's next version")
    )]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The kind with this number.
    #[cfg(not(MODULE))]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// What it is called, after "waits for".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "something unknown",
            Self::PageIo => "page or buffer I/O",
            Self::Page => "a page or buffer that is locked or under I/O",
            Self::BlockIo => "block I/O",
            Self::BlockQueue => "a block request or queue",
            Self::Raid => "a software RAID or device mapper",
            Self::Journal => "a file system's journal or transaction",
            Self::FrozenFs => "a frozen file system",
            Self::RemoteFs => "a network file system or FUSE",
            Self::Writeback => "writeback",
            Self::WriteThrottle => "write throttling",
            Self::Reclaim => "memory reclaim",
            Self::Rcu => "an RCU grace period",
            Self::Workqueue => "a workqueue",
            Self::KthreadStop => "a kernel thread to stop",
            Self::Vfork => "a child of vfork()",
            Self::Coredump => "a core dump",
            Self::DevicePower => "a device's power management or probe",
            Self::Cpus => "other CPUs",
            Self::Usermode => "a user-mode helper or module load",
            Self::Inode => "an inode or directory entry",
            Self::Fence => "a GPU fence",
            Self::DeviceCommand => "a USB or SCSI device",
            Self::NetDevice => "a network device's references",
            Self::IoUring => "io_uring requests",
            Self::Completion => "a completion",
            Self::Lock => "a lock",
            Self::Timer => "time to pass",
        }
    }

    /// Whether block devices may be what it waits for in the end.
    pub const fn is_block_io(self) -> bool {
        matches!(
            self,
            Self::PageIo
                | Self::Page
                | Self::BlockIo
                | Self::BlockQueue
                | Self::Raid
                | Self::Journal
                | Self::Writeback
                | Self::WriteThrottle
        )
    }

    /// Whether it is about the pages of a file system, which may be a network's.
    const fn is_of_pages(self) -> bool {
        matches!(
            self,
            Self::PageIo | Self::Page | Self::Writeback | Self::WriteThrottle
        )
    }

    /// Whether a function further out may say more: a completion or the time may be anything's.
    const fn is_vague(self) -> bool {
        matches!(
            self,
            Self::Unknown | Self::Completion | Self::Timer | Self::Lock
        )
    }
}

/// What a function's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A wait primitive: it waits for this on behalf of its caller.
    Primitive(WaitKind),
    /// No primitive: but what it waits for is this, if the primitive that it calls does not say
    /// more.
    Mark(WaitKind),
    /// A function that waits for a frozen file system, if it waits for a per-CPU rw-semaphore.
    OfFsWriter,
    /// A function of a network file system, or of FUSE: what functions wait for that it calls is
    /// its server, if that is pages, or not known.
    OfRemoteFs,
}

use Role::{
    Mark,
    OfFsWriter,
    OfRemoteFs,
    Primitive, //
};
use WaitKind::*;

/// Functions by name. A name that ends in `*` stands for all names that begin so. The first that
/// fits counts.
pub const FUNCTIONS: &[(&[u8], Role)] = &[
    // The scheduler.
    (b"__switch_to", Primitive(Unknown)),
    (b"context_switch", Primitive(Unknown)),
    (b"__schedule*", Primitive(Unknown)),
    (b"schedule_timeout_uninterruptible", Primitive(Timer)),
    (b"schedule_timeout_idle", Primitive(Timer)),
    (b"schedule_hrtimeout*", Primitive(Unknown)),
    (b"schedule", Primitive(Unknown)),
    (b"schedule_timeout*", Primitive(Unknown)),
    (b"schedule_preempt_disabled", Primitive(Unknown)),
    (b"schedule_rtlock", Primitive(Lock)),
    (b"preempt_schedule*", Primitive(Unknown)),
    (b"io_schedule*", Primitive(Unknown)),
    (b"msleep", Primitive(Timer)),
    (b"msleep_interruptible", Primitive(Timer)),
    (b"usleep_range*", Primitive(Timer)),
    (b"do_nanosleep", Primitive(Timer)),
    // Wait queues.
    (b"prepare_to_wait*", Primitive(Unknown)),
    (b"finish_wait", Primitive(Unknown)),
    (b"wait_woken", Primitive(Unknown)),
    (b"do_wait_intr*", Primitive(Unknown)),
    (b"bit_wait*", Primitive(Unknown)),
    (b"__wait_on_bit*", Primitive(Unknown)),
    (b"out_of_line_wait_on_*", Primitive(Unknown)),
    (b"__var_waitqueue*", Primitive(Unknown)),
    // Completions.
    (b"do_wait_for_common", Primitive(Completion)),
    (b"__wait_for_common", Primitive(Completion)),
    (b"wait_for_common*", Primitive(Completion)),
    (b"wait_for_completion*", Primitive(Completion)),
    // Locks.
    (b"percpu_rwsem_wait", Primitive(Lock)),
    (b"__percpu_down_read*", Primitive(Lock)),
    (b"percpu_down_*", Primitive(Lock)),
    (b"rwsem_down_*", Primitive(Lock)),
    (b"__down", Primitive(Lock)),
    (b"__down_common", Primitive(Lock)),
    (b"__down_read*", Primitive(Lock)),
    (b"__down_write*", Primitive(Lock)),
    (b"__down_interruptible", Primitive(Lock)),
    (b"__down_killable", Primitive(Lock)),
    (b"__down_timeout", Primitive(Lock)),
    (b"down", Primitive(Lock)),
    (b"down_read*", Primitive(Lock)),
    (b"down_write*", Primitive(Lock)),
    (b"down_interruptible", Primitive(Lock)),
    (b"down_killable", Primitive(Lock)),
    (b"down_timeout", Primitive(Lock)),
    (b"mutex_lock*", Primitive(Lock)),
    (b"__mutex_lock*", Primitive(Lock)),
    (b"mutex_optimistic_spin", Primitive(Lock)),
    (b"__ww_mutex_lock*", Primitive(Lock)),
    (b"ww_mutex_lock*", Primitive(Lock)),
    (b"rt_mutex_*", Primitive(Lock)),
    (b"__rt_mutex_*", Primitive(Lock)),
    (b"rtlock_*", Primitive(Lock)),
    (b"rt_spin_lock*", Primitive(Lock)),
    (b"rt_read_lock", Primitive(Lock)),
    (b"rt_write_lock", Primitive(Lock)),
    (b"rwbase_*", Primitive(Lock)),
    // Pages and buffers.
    (b"folio_wait_bit*", Primitive(Page)),
    (b"wait_on_page_bit*", Primitive(Page)),
    (b"folio_wait_writeback*", Primitive(PageIo)),
    (b"folio_wait_stable", Primitive(PageIo)),
    (b"wait_on_page_writeback", Primitive(PageIo)),
    (b"__filemap_fdatawait_range", Primitive(PageIo)),
    (b"filemap_fdatawait*", Primitive(PageIo)),
    (b"__folio_lock*", Primitive(Page)),
    (b"__lock_page*", Primitive(Page)),
    (b"folio_put_wait_locked", Primitive(Page)),
    (b"migration_entry_wait*", Primitive(Page)),
    (b"__wait_on_buffer", Primitive(PageIo)),
    (b"__lock_buffer", Primitive(Page)),
    (b"sync_dirty_buffer", Primitive(PageIo)),
    (b"__sync_dirty_buffer", Primitive(PageIo)),
    (b"__bread_gfp", Primitive(PageIo)),
    (b"bh_read", Primitive(PageIo)),
    (b"__bh_read", Primitive(PageIo)),
    (b"xfs_buf_iowait", Primitive(PageIo)),
    // Block I/O.
    (b"blk_io_schedule", Primitive(BlockIo)),
    (b"blk_wait_io", Primitive(BlockIo)),
    (b"bio_await", Primitive(BlockIo)),
    (b"submit_bio_wait", Primitive(BlockIo)),
    (b"blk_execute_rq", Primitive(BlockIo)),
    (b"blkdev_issue_*", Primitive(BlockIo)),
    (b"__blkdev_direct_IO*", Primitive(BlockIo)),
    (b"blkdev_direct_IO*", Primitive(BlockIo)),
    (b"__iomap_dio_rw", Primitive(BlockIo)),
    (b"iomap_dio_rw", Primitive(BlockIo)),
    (b"__blockdev_direct_IO", Primitive(BlockIo)),
    (b"inode_dio_wait*", Primitive(BlockIo)),
    (b"blk_mq_get_tag", Primitive(BlockQueue)),
    (b"__blk_mq_alloc_request*", Primitive(BlockQueue)),
    (b"blk_mq_alloc_request*", Primitive(BlockQueue)),
    (b"blk_queue_enter", Primitive(BlockQueue)),
    (b"__bio_queue_enter", Primitive(BlockQueue)),
    (b"bio_queue_enter", Primitive(BlockQueue)),
    (b"blk_mq_freeze_queue*", Primitive(BlockQueue)),
    (b"blk_mq_quiesce_*", Primitive(BlockQueue)),
    (b"rq_qos_wait", Primitive(WriteThrottle)),
    (b"wbt_wait", Primitive(WriteThrottle)),
    (b"__rq_qos_throttle", Primitive(WriteThrottle)),
    (b"md_super_wait", Primitive(Raid)),
    (b"md_write_start", Primitive(Raid)),
    (b"md_flush_request", Primitive(Raid)),
    (b"mddev_suspend", Primitive(Raid)),
    (b"wait_barrier", Primitive(Unknown)),
    (b"raise_barrier", Primitive(Unknown)),
    (b"freeze_array", Primitive(Unknown)),
    (b"raid5_get_active_stripe", Primitive(Raid)),
    (b"dm_wait_for_completion", Primitive(Raid)),
    (b"dm_wait_for_bios_completion", Primitive(Raid)),
    (b"dm_suspend", Mark(Raid)),
    (b"__dm_suspend", Mark(Raid)),
    (b"dm_bufio_*", Mark(Raid)),
    (b"dm_kcopyd_*", Mark(Raid)),
    (b"dm_io*", Mark(Raid)),
    (b"md_do_sync", Mark(Raid)),
    (b"md_check_recovery", Mark(Raid)),
    (b"md_stop*", Mark(Raid)),
    (b"raid1_*", Mark(Raid)),
    (b"raid10_*", Mark(Raid)),
    (b"raid5_*", Mark(Raid)),
    // Journals.
    (b"jbd2_log_wait_commit", Primitive(Journal)),
    (b"jbd2_complete_transaction", Primitive(Journal)),
    (b"__jbd2_log_wait_for_space", Primitive(Journal)),
    (b"jbd2_log_do_checkpoint", Primitive(Journal)),
    (b"jbd2_journal_wait_updates", Primitive(Journal)),
    (b"jbd2_journal_lock_updates", Primitive(Journal)),
    (b"wait_transaction_locked", Primitive(Journal)),
    (b"wait_transaction_switching", Primitive(Journal)),
    (b"add_transaction_credits", Primitive(Journal)),
    (b"start_this_handle", Primitive(Journal)),
    (b"jbd2__journal_start", Primitive(Journal)),
    (b"jbd2_journal_start", Primitive(Journal)),
    (b"jbd2_*", Mark(Journal)),
    (b"do_get_write_access", Mark(Journal)),
    (b"xlog_wait*", Primitive(Journal)),
    (b"xlog_grant_head_*", Primitive(Journal)),
    (b"xlog_*", Mark(Journal)),
    (b"xfs_log_*", Mark(Journal)),
    (b"xfs_ail_push_all_sync", Primitive(Journal)),
    (b"wait_current_trans", Primitive(Journal)),
    (b"wait_for_commit", Primitive(Unknown)),
    (b"btrfs_wait_for_commit", Primitive(Journal)),
    (b"btrfs_commit_transaction*", Mark(Journal)),
    (b"start_transaction", Mark(Journal)),
    (b"f2fs_issue_checkpoint", Primitive(Journal)),
    (b"f2fs_write_checkpoint", Mark(Journal)),
    // Network file systems and FUSE.
    (b"rpc_wait_bit_killable", Primitive(RemoteFs)),
    (b"__rpc_execute", Primitive(RemoteFs)),
    (b"rpc_execute", Primitive(RemoteFs)),
    (b"rpc_run_task", Primitive(RemoteFs)),
    (b"rpc_call_sync", Primitive(RemoteFs)),
    (b"nfs_wait_bit_*", Primitive(RemoteFs)),
    (b"nfs_*", OfRemoteFs),
    (b"nfs3_*", OfRemoteFs),
    (b"nfs4_*", OfRemoteFs),
    (b"nlmclnt_*", OfRemoteFs),
    (b"wait_for_response", Primitive(Unknown)),
    (b"wait_for_free_credits", Primitive(RemoteFs)),
    (b"compound_send_recv", Primitive(RemoteFs)),
    (b"cifs_*", OfRemoteFs),
    (b"smb2_*", OfRemoteFs),
    (b"SMB2_*", OfRemoteFs),
    (b"smb3_*", OfRemoteFs),
    // Of block devices, too.
    (b"ceph_osdc_*", Mark(Unknown)),
    (b"ceph_*", OfRemoteFs),
    (b"afs_*", OfRemoteFs),
    (b"netfs_*", OfRemoteFs),
    (b"p9_*", OfRemoteFs),
    (b"v9fs_*", OfRemoteFs),
    (b"request_wait_answer", Primitive(RemoteFs)),
    (b"__fuse_simple_request", Primitive(RemoteFs)),
    (b"fuse_*", OfRemoteFs),
    (b"virtio_fs_*", OfRemoteFs),
    (b"gfs2_glock_wait", Primitive(RemoteFs)),
    (b"gfs2_glock_nq", Primitive(RemoteFs)),
    // Writeback and memory.
    (b"wb_wait_for_completion", Primitive(Writeback)),
    (b"sync_inodes_sb", Primitive(Writeback)),
    (b"writeback_inodes_sb*", Primitive(Writeback)),
    (b"try_to_writeback_inodes_sb", Primitive(Writeback)),
    (b"inode_wait_for_writeback", Primitive(Writeback)),
    (b"__inode_wait_for_writeback", Primitive(Writeback)),
    (b"balance_dirty_pages*", Primitive(WriteThrottle)),
    (b"reclaim_throttle", Primitive(Reclaim)),
    (b"throttle_direct_reclaim", Primitive(Reclaim)),
    (b"congestion_wait", Primitive(Reclaim)),
    (b"mem_cgroup_handle_over_high", Primitive(Reclaim)),
    (b"mem_cgroup_oom_synchronize", Primitive(Reclaim)),
    (b"mempool_alloc*", Primitive(Reclaim)),
    (b"drain_all_pages", Mark(Reclaim)),
    // RCU.
    (b"__wait_rcu_gp", Primitive(Rcu)),
    (b"wait_rcu_gp", Primitive(Rcu)),
    (b"synchronize_rcu*", Primitive(Rcu)),
    (b"synchronize_srcu*", Primitive(Rcu)),
    (b"__synchronize_srcu*", Primitive(Rcu)),
    (b"synchronize_net", Primitive(Rcu)),
    (b"rcu_barrier*", Primitive(Rcu)),
    (b"srcu_barrier*", Primitive(Rcu)),
    (b"cond_synchronize_rcu*", Primitive(Rcu)),
    (b"exp_funnel_lock", Primitive(Rcu)),
    // Workqueues and kernel threads.
    (b"__flush_work", Primitive(Workqueue)),
    (b"__flush_workqueue", Primitive(Workqueue)),
    (b"flush_work", Primitive(Workqueue)),
    (b"flush_workqueue", Primitive(Workqueue)),
    (b"flush_delayed_work", Primitive(Workqueue)),
    (b"flush_rcu_work", Primitive(Workqueue)),
    (b"__cancel_work_sync", Primitive(Workqueue)),
    (b"__cancel_work_timer", Primitive(Workqueue)),
    (b"cancel_work_sync", Primitive(Workqueue)),
    (b"cancel_delayed_work_sync", Primitive(Workqueue)),
    (b"drain_workqueue", Primitive(Workqueue)),
    (b"destroy_workqueue", Primitive(Workqueue)),
    (b"kthread_flush_work*", Primitive(Workqueue)),
    (b"kthread_cancel_*", Primitive(Workqueue)),
    (b"__kthread_cancel_work_sync", Primitive(Workqueue)),
    (b"kthread_stop", Primitive(KthreadStop)),
    (b"kthread_stop_put", Primitive(KthreadStop)),
    (b"kthread_park", Primitive(KthreadStop)),
    (b"kthread_destroy_worker", Primitive(KthreadStop)),
    (b"vhost_task_stop", Primitive(KthreadStop)),
    // Processes.
    (b"wait_for_vfork_done", Primitive(Vfork)),
    (b"kernel_clone", Mark(Vfork)),
    (b"coredump_wait*", Primitive(Coredump)),
    (b"coredump_task_exit", Primitive(Coredump)),
    (b"call_usermodehelper*", Primitive(Usermode)),
    (b"__request_module", Primitive(Usermode)),
    (b"idempotent_wait_for_completion", Primitive(Usermode)),
    (b"idempotent_init_module", Primitive(Usermode)),
    // Devices.
    (b"rpm_resume", Primitive(DevicePower)),
    (b"rpm_suspend", Primitive(DevicePower)),
    (b"rpm_idle", Primitive(DevicePower)),
    (b"__pm_runtime_*", Primitive(DevicePower)),
    (b"pm_runtime_*", Primitive(DevicePower)),
    (b"dpm_wait*", Primitive(DevicePower)),
    (b"device_pm_wait_for_dev", Primitive(DevicePower)),
    (b"wait_for_device_probe", Primitive(DevicePower)),
    (b"async_synchronize_*", Primitive(DevicePower)),
    (b"dma_fence_default_wait", Primitive(Fence)),
    (b"dma_fence_wait*", Primitive(Fence)),
    (b"dma_resv_wait_timeout", Primitive(Fence)),
    (b"drm_atomic_helper_wait_*", Primitive(Fence)),
    (b"usb_kill_urb", Primitive(DeviceCommand)),
    (b"usb_start_wait_urb", Primitive(DeviceCommand)),
    (b"usb_bulk_msg", Primitive(DeviceCommand)),
    (b"usb_control_msg*", Primitive(DeviceCommand)),
    (
        b"scsi_block_when_processing_errors",
        Primitive(DeviceCommand),
    ),
    (b"scsi_execute_cmd", Primitive(DeviceCommand)),
    (b"ata_exec_internal*", Primitive(DeviceCommand)),
    (b"netdev_wait_allrefs*", Primitive(NetDevice)),
    (b"netdev_run_todo", Primitive(NetDevice)),
    // CPUs.
    (b"stop_one_cpu", Primitive(Cpus)),
    (b"stop_two_cpus", Primitive(Cpus)),
    (b"__stop_cpus*", Primitive(Cpus)),
    (b"stop_cpus", Primitive(Cpus)),
    (b"stop_machine*", Primitive(Cpus)),
    (b"__cpuhp_kick_ap", Primitive(Cpus)),
    (b"cpuhp_kick_ap*", Primitive(Cpus)),
    (b"set_cpus_allowed_ptr*", Primitive(Cpus)),
    (b"affine_move_task", Primitive(Cpus)),
    // Inodes and directory entries.
    (b"__wait_on_freeing_inode", Primitive(Inode)),
    (b"wait_on_inode", Primitive(Inode)),
    (b"wait_on_new_inode", Primitive(Inode)),
    (b"find_inode", Primitive(Inode)),
    (b"find_inode_fast", Primitive(Inode)),
    (b"ilookup", Primitive(Inode)),
    (b"ilookup5", Primitive(Inode)),
    (b"ilookup5_nowait", Primitive(Inode)),
    (b"d_wait_lookup", Primitive(Inode)),
    (b"d_alloc_parallel", Primitive(Inode)),
    // io_uring.
    (b"io_wq_put_and_exit", Primitive(IoUring)),
    (b"io_wq_exit_workers", Primitive(IoUring)),
    (b"io_uring_cancel_*", Primitive(IoUring)),
    (b"io_ring_exit_work", Mark(IoUring)),
    // File systems whose writers sb_start_write() and its like have wait; both are inline.
    (b"mnt_want_write*", OfFsWriter),
    (b"mnt_get_write_access*", OfFsWriter),
    (b"sb_start_*", OfFsWriter),
    (b"__sb_start_*", OfFsWriter),
    (b"file_start_write*", OfFsWriter),
    (b"kiocb_start_write", OfFsWriter),
    (b"vfs_write*", OfFsWriter),
    (b"vfs_iter_write", OfFsWriter),
    (b"vfs_iocb_iter_write", OfFsWriter),
    (b"do_iter_readv_writev", OfFsWriter),
    (b"do_iter_write", OfFsWriter),
    (b"vfs_fallocate", OfFsWriter),
    (b"vfs_copy_file_range", OfFsWriter),
    (b"vfs_clone_file_range", OfFsWriter),
    (b"vfs_dedupe_file_range*", OfFsWriter),
    (b"do_splice_direct*", OfFsWriter),
    (b"do_sendfile", OfFsWriter),
    (b"aio_write", OfFsWriter),
    (b"io_write", OfFsWriter),
    (b"do_truncate", OfFsWriter),
    (b"do_ftruncate", OfFsWriter),
    (b"do_sys_ftruncate", OfFsWriter),
    (b"open_last_lookups", OfFsWriter),
    (b"path_openat", OfFsWriter),
    (b"filemap_page_mkwrite", OfFsWriter),
    (b"iomap_page_mkwrite", OfFsWriter),
    (b"ext4_*", OfFsWriter),
    (b"__ext4_*", OfFsWriter),
    (b"xfs_*", OfFsWriter),
    (b"btrfs_*", OfFsWriter),
    (b"f2fs_*", OfFsWriter),
];

/// How many functions, from the first that is no primitive on, may show that a server is waited
/// for.
const CALLERS: u32 = 4;

/// The name of a function without what the compiler appends (`.isra.0`, `.constprop.0`, `.part.1`,
/// `.cold`, `.llvm.1234`), without an offset, and without the name of its module (` [ext4]`).
pub fn base_name(symbol: &[u8]) -> &[u8] {
    // A name may begin with a dot.
    let Some((_, rest)) = symbol.split_first() else {
        return symbol;
    };
    let mut parts = rest.split(|byte| matches!(byte, b'.' | b'+' | b' '));
    let len = parts.next().map_or(0, <[u8]>::len).saturating_add(1);
    symbol.get(..len).unwrap_or(symbol)
}

/// Whether a name is the pattern's: the same, or of the same begin if the pattern ends in `*`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_last() {
        Some((b'*', begin)) => name.starts_with(begin),
        _ => name == pattern,
    }
}

/// What the table says of a function; `symbol` may have suffixes.
pub fn role(symbol: &[u8]) -> Option<Role> {
    let name = base_name(symbol);
    let mut functions = FUNCTIONS.iter();
    functions
        .find(|(pattern, _)| fits(pattern, name))
        .map(|&(_, role)| role)
}

/// Finds out what a task waits for, from the functions of its stack, innermost first.
///
/// ```
/// use vigil_logic::wait_kind::{WaitKind, WaitPlace};
/// let mut place = WaitPlace::default();
/// let stack: [&[u8]; 6] = [
///     b"__schedule", b"schedule", b"schedule_timeout", b"__wait_for_common",
///     b"__flush_work.isra.0", b"ext4_put_super [ext4]",
/// ];
/// for (index, symbol) in (0..).zip(stack) {
///     if !place.add(index, symbol) {
///         break;
///     }
/// }
/// assert_eq!(place.kind(), WaitKind::Workqueue);
/// assert_eq!((place.primitive(), place.caller()), (Some(4), Some(5)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitPlace {
    kind: WaitKind,
    primitive: Option<u32>,
    caller: Option<u32>,
    /// A per-CPU rw-semaphore is waited for, as `sb_start_write()` does.
    is_percpu_rwsem: bool,
    /// How many functions from the caller on were looked at.
    callers: u32,
}

impl WaitPlace {
    /// Adds the next function, at this index in the stack. Returns whether the ones that call it
    /// may say more.
    pub fn add(&mut self, index: u32, symbol: &[u8]) -> bool {
        let role = role(symbol);
        if let (None, Some(Primitive(kind))) = (self.caller, role) {
            self.primitive = Some(index);
            let name = base_name(symbol);
            self.is_percpu_rwsem |=
                name == b"percpu_rwsem_wait" || fits(b"__percpu_down_read*", name);
            // What the innermost one says that is not vague; else the outermost.
            let is_news = match self.kind {
                Page => !kind.is_vague(),
                known => known.is_vague(),
            };
            if is_news && kind != Unknown {
                self.kind = kind;
            }
            return true;
        }
        self.caller = self.caller.or(Some(index));
        let is_first = self.callers == 0;
        self.callers = self.callers.saturating_add(1);
        match role {
            Some(OfFsWriter) if is_first && self.is_percpu_rwsem => self.kind = FrozenFs,
            // What a lock protects has nothing to do with what is waited for.
            _ if self.kind == Lock => {}
            // Pages are the server's.
            Some(OfRemoteFs) if self.kind.is_vague() || self.kind.is_of_pages() => {
                self.kind = RemoteFs;
            }
            Some(Mark(kind)) if is_first && self.kind.is_vague() && kind != Unknown => {
                self.kind = kind;
            }
            _ => {}
        }
        self.callers < CALLERS
    }

    /// What is waited for.
    pub fn kind(&self) -> WaitKind {
        self.kind
    }

    /// The outermost wait primitive: the function that the caller called to wait.
    pub fn primitive(&self) -> Option<u32> {
        self.primitive
    }

    /// The first function that is no wait primitive.
    pub fn caller(&self) -> Option<u32> {
        self.caller
    }
}
