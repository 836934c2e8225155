// SPDX-License-Identifier: GPL-2.0

//! What a task waits for, by its stack: stacks of reports, and the rules on any stack.

mod common;

use proptest::prelude::*;
use std::collections::BTreeSet;
use vigil_logic::wait_kind::{base_name, role, Role, WaitKind, WaitPlace, FUNCTIONS};

/// What was found out of a stack, innermost function first.
#[derive(Debug, PartialEq)]
struct Found {
    kind: WaitKind,
    primitive: Option<String>,
    caller: Option<String>,
}

fn find(stack: &[String]) -> Found {
    let mut place = WaitPlace::default();
    for (index, symbol) in (0..).zip(stack) {
        if !place.add(index, symbol.as_bytes()) {
            break;
        }
    }
    let name = |index: Option<u32>| index.map(|index| stack[index as usize].clone());
    Found {
        kind: place.kind(),
        primitive: name(place.primitive()),
        caller: name(place.caller()),
    }
}

/// Stacks as kernels of distributions have them, the frames with a `?` left out: what is waited
/// for, and by which function on behalf of which.
const STACKS: &[(WaitKind, &str, &str, &str)] = &[
    (
        WaitKind::PageIo,
        "__filemap_fdatawait_range",
        "file_write_and_wait_range",
        "__schedule schedule io_schedule folio_wait_bit_common folio_wait_bit folio_wait_writeback \
         __filemap_fdatawait_range file_write_and_wait_range ext4_sync_file|[ext4] do_fsync",
    ),
    (
        WaitKind::Page,
        "folio_wait_bit_common",
        "filemap_fault",
        "__schedule schedule io_schedule folio_wait_bit_common filemap_fault __do_fault do_fault",
    ),
    (
        WaitKind::Page,
        "__folio_lock",
        "truncate_inode_pages_range",
        "__schedule schedule io_schedule folio_wait_bit_common __folio_lock \
         truncate_inode_pages_range ext4_evict_inode",
    ),
    (
        WaitKind::PageIo,
        "__wait_on_buffer",
        "jbd2_journal_commit_transaction|[jbd2]",
        "__schedule schedule io_schedule bit_wait_io __wait_on_bit out_of_line_wait_on_bit \
         __wait_on_buffer jbd2_journal_commit_transaction|[jbd2] kjournald2|[jbd2] kthread",
    ),
    (
        WaitKind::Journal,
        "jbd2_log_wait_commit",
        "ext4_fsync_journal",
        "__schedule schedule jbd2_log_wait_commit ext4_fsync_journal ext4_sync_file do_fsync",
    ),
    // RHEL 8, Open-CAS.
    (
        WaitKind::Journal,
        "jbd2__journal_start",
        "ext4_writepages",
        "__schedule schedule jbd2_log_wait_commit jbd2_log_do_checkpoint \
         __jbd2_log_wait_for_space add_transaction_credits start_this_handle jbd2__journal_start \
         ext4_writepages do_writepages",
    ),
    // Arch 5.19: with the module's build ID.
    (
        WaitKind::Journal,
        "jbd2_journal_wait_updates|[jbd2|ae888ef92775c4ea4c63d1cd1f51b1b9f7d9f47d]",
        "jbd2_journal_commit_transaction|[jbd2|ae888ef92775c4ea4c63d1cd1f51b1b9f7d9f47d]",
        "__schedule schedule \
         jbd2_journal_wait_updates|[jbd2|ae888ef92775c4ea4c63d1cd1f51b1b9f7d9f47d] \
         jbd2_journal_commit_transaction|[jbd2|ae888ef92775c4ea4c63d1cd1f51b1b9f7d9f47d] kthread",
    ),
    (
        WaitKind::Journal,
        "xlog_grant_head_check",
        "xfs_log_reserve",
        "__schedule schedule xlog_grant_head_wait xlog_grant_head_check xfs_log_reserve \
         xfs_trans_reserve xfs_trans_alloc",
    ),
    (
        WaitKind::Journal,
        "wait_current_trans",
        "start_transaction",
        "__schedule schedule wait_current_trans start_transaction btrfs_create_common lookup_open",
    ),
    (
        WaitKind::Journal,
        "wait_for_commit",
        "btrfs_commit_transaction|[btrfs]",
        "__schedule schedule wait_for_commit|[btrfs] btrfs_commit_transaction|[btrfs] \
         btrfs_sync_file|[btrfs]",
    ),
    (
        WaitKind::BlockIo,
        "blkdev_issue_flush",
        "ext4_sync_file",
        "__schedule schedule schedule_timeout io_schedule_timeout __wait_for_common \
         wait_for_completion_io submit_bio_wait blkdev_issue_flush ext4_sync_file",
    ),
    (
        WaitKind::BlockIo,
        "scsi_execute_cmd",
        "sd_sync_cache|[sd_mod]",
        "__schedule schedule schedule_timeout io_schedule_timeout __wait_for_common \
         blk_execute_rq scsi_execute_cmd|[scsi_mod] sd_sync_cache|[sd_mod] sd_shutdown|[sd_mod]",
    ),
    (
        WaitKind::BlockQueue,
        "__blk_mq_alloc_requests",
        "blk_mq_submit_bio",
        "__schedule schedule io_schedule blk_mq_get_tag __blk_mq_alloc_requests blk_mq_submit_bio \
         __submit_bio",
    ),
    (
        WaitKind::BlockQueue,
        "blk_mq_freeze_queue_wait",
        "del_gendisk",
        "__schedule schedule blk_mq_freeze_queue_wait del_gendisk nvme_ns_remove",
    ),
    (
        WaitKind::WriteThrottle,
        "__rq_qos_throttle",
        "blk_mq_submit_bio",
        "__schedule schedule io_schedule rq_qos_wait wbt_wait __rq_qos_throttle blk_mq_submit_bio",
    ),
    (
        WaitKind::WriteThrottle,
        "balance_dirty_pages_ratelimited_flags",
        "generic_perform_write",
        "__schedule schedule schedule_timeout io_schedule_timeout balance_dirty_pages \
         balance_dirty_pages_ratelimited_flags generic_perform_write ext4_buffered_write_iter",
    ),
    (
        WaitKind::Raid,
        "wait_barrier",
        "raid10_write_request|[raid10]",
        "__schedule schedule wait_barrier|[raid10] raid10_write_request|[raid10] \
         raid10_make_request|[raid10] md_handle_request",
    ),
    (
        WaitKind::Raid,
        "md_super_wait",
        "md_update_sb.part.0",
        "__schedule schedule md_super_wait|[md_mod] md_update_sb.part.0|[md_mod] md_check_recovery",
    ),
    (
        WaitKind::FrozenFs,
        "__percpu_down_read",
        "mnt_want_write",
        "__schedule schedule percpu_rwsem_wait __percpu_down_read mnt_want_write filename_create",
    ),
    (
        WaitKind::FrozenFs,
        "__percpu_down_read",
        "vfs_write",
        "__schedule schedule percpu_rwsem_wait __percpu_down_read vfs_write ksys_write",
    ),
    // Of a control group's threads, and no file system.
    (
        WaitKind::Lock,
        "__percpu_down_read",
        "exit_signals",
        "__schedule schedule percpu_rwsem_wait __percpu_down_read exit_signals do_exit vfs_write",
    ),
    (
        WaitKind::RemoteFs,
        "rpc_run_task",
        "nfs4_call_sync_sequence|[nfsv4]",
        "__schedule schedule rpc_wait_bit_killable|[sunrpc] __wait_on_bit out_of_line_wait_on_bit \
         __rpc_execute|[sunrpc] rpc_execute|[sunrpc] rpc_run_task|[sunrpc] \
         nfs4_call_sync_sequence|[nfsv4] _nfs4_proc_getattr|[nfsv4]",
    ),
    (
        WaitKind::RemoteFs,
        "__filemap_fdatawait_range",
        "filemap_write_and_wait_range",
        "__schedule schedule io_schedule folio_wait_bit_common folio_wait_bit folio_wait_writeback \
         __filemap_fdatawait_range filemap_write_and_wait_range nfs_wb_all|[nfs] \
         nfs4_file_flush|[nfsv4] filp_flush",
    ),
    (
        WaitKind::RemoteFs,
        "compound_send_recv",
        "smb2_query_path_info|[cifs]",
        "__schedule schedule wait_for_response|[cifs] compound_send_recv|[cifs] \
         smb2_query_path_info|[cifs] cifs_get_fattr|[cifs]",
    ),
    (
        WaitKind::RemoteFs,
        "__fuse_simple_request",
        "fuse_do_getattr|[fuse]",
        "__schedule schedule request_wait_answer|[fuse] __fuse_simple_request|[fuse] \
         fuse_do_getattr|[fuse] vfs_getattr",
    ),
    // The server of an NFS is none of its clients.
    (
        WaitKind::PageIo,
        "__filemap_fdatawait_range",
        "file_write_and_wait_range",
        "__schedule schedule io_schedule folio_wait_bit_common folio_wait_writeback \
         __filemap_fdatawait_range file_write_and_wait_range nfsd_file_fsync|[nfsd] \
         nfsd_commit|[nfsd]",
    ),
    (
        WaitKind::Writeback,
        "sync_inodes_sb",
        "iterate_supers",
        "__schedule schedule wb_wait_for_completion sync_inodes_sb iterate_supers ksys_sync",
    ),
    (
        WaitKind::Reclaim,
        "reclaim_throttle",
        "shrink_node",
        "__schedule schedule schedule_timeout reclaim_throttle shrink_node try_to_free_pages",
    ),
    (
        WaitKind::Rcu,
        "synchronize_rcu",
        "namespace_unlock",
        "__schedule schedule schedule_timeout __wait_for_common wait_for_completion_state \
         __wait_rcu_gp synchronize_rcu_normal synchronize_rcu namespace_unlock path_umount",
    ),
    (
        WaitKind::Rcu,
        "__synchronize_srcu",
        "fsnotify_mark_destroy_workfn",
        "__schedule schedule schedule_timeout __wait_for_common __synchronize_srcu.part.0 \
         fsnotify_mark_destroy_workfn process_one_work worker_thread",
    ),
    (
        WaitKind::Workqueue,
        "__flush_work.isra.0",
        "__lru_add_drain_all",
        "__schedule schedule schedule_timeout __wait_for_common __flush_work.isra.0 \
         __lru_add_drain_all invalidate_bdev",
    ),
    (
        WaitKind::KthreadStop,
        "kthread_stop",
        "md_unregister_thread|[md_mod]",
        "__schedule schedule schedule_timeout __wait_for_common kthread_stop \
         md_unregister_thread|[md_mod] raid5_free|[raid456]",
    ),
    // The caller's name begins as that of a primitive.
    (
        WaitKind::KthreadStop,
        "kthread_stop",
        "kthread_stop_victim|[vigil_provoke]",
        "kthread_stop kthread_stop_victim|[vigil_provoke] kthread ret_from_fork",
    ),
    // As stack_trace_save_tsk() saves it: without the scheduler's section.
    (
        WaitKind::Workqueue,
        "__flush_work",
        "work_victim|[vigil_provoke]",
        "__flush_work work_victim|[vigil_provoke] kthread ret_from_fork",
    ),
    (
        WaitKind::Vfork,
        "wait_for_completion_state",
        "kernel_clone",
        "__schedule schedule schedule_timeout __wait_for_common wait_for_completion_state \
         kernel_clone __do_sys_vfork",
    ),
    (
        WaitKind::NetDevice,
        "netdev_run_todo",
        "tun_chr_close|[tun]",
        "__schedule schedule schedule_timeout msleep netdev_wait_allrefs_any netdev_run_todo \
         tun_chr_close|[tun] __fput",
    ),
    (
        WaitKind::Cpus,
        "cpuhp_kick_ap",
        "_cpu_down",
        "__schedule schedule schedule_timeout __wait_for_common __cpuhp_kick_ap cpuhp_kick_ap \
         _cpu_down cpu_down",
    ),
    (
        WaitKind::DeviceCommand,
        "usb_control_msg",
        "usb_get_descriptor",
        "__schedule schedule schedule_timeout __wait_for_common usb_start_wait_urb \
         usb_control_msg usb_get_descriptor",
    ),
    (
        WaitKind::IoUring,
        "io_wq_put_and_exit",
        "io_uring_clean_tctx",
        "__schedule schedule schedule_timeout __wait_for_common io_wq_put_and_exit \
         io_uring_clean_tctx io_uring_cancel_generic do_exit",
    ),
    (
        WaitKind::Inode,
        "find_inode_fast",
        "iget_locked",
        "__schedule schedule __wait_on_freeing_inode find_inode_fast iget_locked ext4_iget",
    ),
    (
        WaitKind::Completion,
        "wait_for_completion",
        "completion_victim|[vigil_provoke]",
        "__schedule schedule schedule_timeout __wait_for_common wait_for_completion \
         completion_victim|[vigil_provoke] kthread ret_from_fork",
    ),
    // What the caller's caller waits for is another matter.
    (
        WaitKind::Completion,
        "wait_for_completion",
        "some_driver_open|[some_driver]",
        "__schedule schedule schedule_timeout __wait_for_common wait_for_completion \
         some_driver_open|[some_driver] kernel_clone flush_work",
    ),
    (
        WaitKind::Lock,
        "mutex_lock",
        "nfs_start_io_write|[nfs]",
        "__schedule schedule schedule_preempt_disabled __mutex_lock.constprop.0 mutex_lock \
         nfs_start_io_write|[nfs] nfs_file_write|[nfs]",
    ),
    (
        WaitKind::Timer,
        "msleep",
        "some_driver_reset|[some_driver]",
        "__schedule schedule schedule_timeout msleep some_driver_reset|[some_driver]",
    ),
    (
        WaitKind::Unknown,
        "schedule",
        "some_driver_read|[some_driver]",
        "__schedule schedule some_driver_read|[some_driver] vfs_read",
    ),
];

#[test]
fn stacks_of_reports() {
    for (kind, primitive, caller, stack) in STACKS {
        let frames: Vec<String> = stack
            .split_whitespace()
            .map(|frame| frame.replace('|', " "))
            .collect();
        let found = find(&frames);
        let same = |found: &Option<String>, expected: &str| {
            let expected = base_name(expected.split('|').next().unwrap_or("").as_bytes());
            found.as_ref().map(|found| base_name(found.as_bytes())) == Some(expected)
        };
        assert!(
            found.kind == *kind && same(&found.primitive, primitive) && same(&found.caller, caller),
            "{stack}: {found:?}"
        );
    }
}

#[test]
fn suffixes_are_no_part_of_a_name() {
    for (symbol, name) in [
        ("schedule", "schedule"),
        ("__flush_work.isra.0", "__flush_work"),
        ("__mutex_lock.constprop.0", "__mutex_lock"),
        ("md_update_sb.part.0 [md_mod]", "md_update_sb"),
        ("folio_lock.cold", "folio_lock"),
        ("do_wait.llvm.123456789", "do_wait"),
        ("ext4_fsync [ext4]", "ext4_fsync"),
        ("ext4_fsync+0x10/0x20 [ext4 ae888e]", "ext4_fsync"),
        ("0xffffffffc0001234", "0xffffffffc0001234"),
        (".init", ".init"),
        ("", ""),
    ] {
        assert_eq!(base_name(symbol.as_bytes()), name.as_bytes(), "{symbol}");
    }
}

/// They are stored.
#[test]
fn numbers_are_stable() {
    let numbers: Vec<u32> = WaitKind::ALL.iter().map(|kind| kind.number()).collect();
    assert_eq!(numbers, (0..28).collect::<Vec<u32>>());
    let some = [
        (1, WaitKind::PageIo),
        (4, WaitKind::BlockQueue),
        (7, WaitKind::FrozenFs),
        (12, WaitKind::Rcu),
        (16, WaitKind::Coredump),
        (25, WaitKind::Completion),
        (27, WaitKind::Timer),
    ];
    for (number, kind) in some {
        assert_eq!(WaitKind::from_number(number), Some(kind));
    }
    assert_eq!(WaitKind::from_number(28), None);
    let names: BTreeSet<&str> = WaitKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), WaitKind::ALL.len());
}

/// No line of the table is hidden by one before it.
#[test]
fn each_line_of_the_table_counts() {
    for (pattern, expected) in FUNCTIONS {
        assert!(!pattern.is_empty() && *pattern != b"*");
        let stars = pattern.iter().filter(|&&byte| byte == b'*').count();
        let name = pattern.strip_suffix(b"*").unwrap_or(pattern);
        let text = String::from_utf8_lossy(pattern);
        assert_eq!(stars, usize::from(pattern.ends_with(b"*")), "{text}");
        assert_eq!(role(name), Some(*expected), "{text}");
        let at = FUNCTIONS
            .iter()
            .position(|(other, _)| {
                other == pattern
                    || other
                        .strip_suffix(b"*")
                        .is_some_and(|begin| name.starts_with(begin))
            })
            .map(|at| FUNCTIONS[at].0);
        assert_eq!(at, Some(*pattern), "{text} is hidden");
    }
}

/// A name of the table, with what a compiler may append, or another one.
fn symbol() -> impl Strategy<Value = String> {
    let known = (0..FUNCTIONS.len(), "[a-z_]{0,3}").prop_map(|(at, more)| {
        let pattern = String::from_utf8_lossy(FUNCTIONS[at].0);
        match pattern.strip_suffix('*') {
            Some(begin) => format!("{begin}{more}"),
            None => pattern.into_owned(),
        }
    });
    let name = prop_oneof![4 => known, 1 => "[a-z_]{1,12}", 1 => "0x[0-9a-f]{16}"];
    let suffix = prop_oneof![
        6 => Just(""),
        1 => Just(".isra.0"),
        1 => Just(".constprop.0.cold"),
        1 => Just(" [module]"),
        1 => Just(".part.1 [a_module]"),
    ];
    (name, suffix).prop_map(|(name, suffix)| name + suffix)
}

/// The same said in another way: what each rule says of the whole stack.
fn naive(stack: &[String]) -> Found {
    let roles: Vec<Option<Role>> = stack
        .iter()
        .map(|symbol| {
            let end = symbol.find(['.', ' ']).unwrap_or(symbol.len());
            let name = &symbol[..end];
            let fits = FUNCTIONS.iter().find(|(pattern, _)| {
                let pattern = std::str::from_utf8(pattern).expect("ASCII");
                match pattern.split_once('*') {
                    Some((begin, _)) => name.starts_with(begin),
                    None => name == pattern,
                }
            });
            fits.map(|(_, role)| *role)
        })
        .collect();
    let primitives = roles
        .iter()
        .take_while(|role| matches!(role, Some(Role::Primitive(_))))
        .count();
    let kinds: Vec<WaitKind> = roles[..primitives]
        .iter()
        .filter_map(|role| match role {
            Some(Role::Primitive(kind)) if *kind != WaitKind::Unknown => Some(*kind),
            _ => None,
        })
        .collect();
    let is_vague = |kind: &WaitKind| {
        [
            WaitKind::Unknown,
            WaitKind::Completion,
            WaitKind::Timer,
            WaitKind::Lock,
        ]
        .contains(kind)
    };
    // The innermost that is not vague; a page is, but for what is still vaguer; else the outermost.
    let clear: Vec<WaitKind> = kinds
        .iter()
        .copied()
        .filter(|kind| !is_vague(kind))
        .collect();
    let clearest = match clear.first() {
        Some(WaitKind::Page) => clear
            .iter()
            .find(|kind| **kind != WaitKind::Page)
            .or(clear.first()),
        clearest => clearest,
    };
    let mut kind = *clearest.or(kinds.last()).unwrap_or(&WaitKind::Unknown);
    let is_percpu_rwsem = stack[..primitives].iter().any(|symbol| {
        symbol.starts_with("__percpu_down_read")
            || symbol.split(['.', ' ']).next() == Some("percpu_rwsem_wait")
    });
    let callers = &roles[primitives..roles.len().min(primitives + 4)];
    if callers.first() == Some(&Some(Role::OfFsWriter)) && is_percpu_rwsem {
        kind = WaitKind::FrozenFs;
    } else if kind != WaitKind::Lock {
        let is_vague_at_first = is_vague(&kind);
        if let (true, Some(Some(Role::Mark(mark)))) = (is_vague_at_first, callers.first()) {
            if *mark != WaitKind::Unknown {
                kind = *mark;
            }
        }
        let may_be_remote = is_vague(&kind)
            || [
                WaitKind::PageIo,
                WaitKind::Page,
                WaitKind::Writeback,
                WaitKind::WriteThrottle,
            ]
            .contains(&kind);
        if may_be_remote && callers.contains(&Some(Role::OfRemoteFs)) {
            kind = WaitKind::RemoteFs;
        }
    }
    Found {
        kind,
        primitive: primitives.checked_sub(1).map(|at| stack[at].clone()),
        caller: stack.get(primitives).cloned(),
    }
}

proptest! {
    #![proptest_config(common::config())]

    #[test]
    fn as_the_rules_say(stack in prop::collection::vec(symbol(), 0..18)) {
        prop_assert_eq!(find(&stack), naive(&stack));
    }

    #[test]
    fn any_bytes_are_a_name(symbol in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert!(symbol.starts_with(base_name(&symbol)));
        role(&symbol);
    }
}
