// SPDX-License-Identifier: GPL-2.0

//! Where a task runs: of a long path of a cgroup the end is kept.

use proptest::prelude::*;
use vigil_logic::task::{Whereabouts, CGROUP_PATH_LEN};

fn printed(path: &[u8], is_cut: bool) -> Option<String> {
    let whereabouts = Whereabouts::new(0, path, is_cut);
    whereabouts.cgroup().map(|path| path.to_string())
}

#[test]
fn a_path_that_fits_is_kept() {
    assert_eq!(CGROUP_PATH_LEN, 128);
    assert_eq!(printed(b"", false), None);
    assert_eq!(Whereabouts::new(0, b"", false), Whereabouts::NONE);
    assert_eq!(printed(b"/a/b c", false).unwrap(), "/a/b c");
    let full = format!("/{}", "x".repeat(CGROUP_PATH_LEN - 1));
    assert_eq!(printed(full.as_bytes(), false).unwrap(), full);
}

#[test]
fn of_a_longer_one_the_end_is_kept() {
    assert_eq!(printed(b"ods/pod1", true).unwrap(), "...ods/pod1");
    // The first byte says whether there is more: it is no slash then.
    assert_eq!(printed(b"/pod1", true).unwrap(), "...pod1");
    let long = format!("/{}", "x".repeat(CGROUP_PATH_LEN));
    assert_eq!(
        printed(long.as_bytes(), false).unwrap(),
        format!("...{}", &long[1..])
    );
    let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod\
               0f0a7f5e_1c3b_4d3a_9f0e_2f5d6c7b8a90.slice/cri-containerd-";
    let path = format!("{pod}{}.scope", "c".repeat(64));
    let kept = printed(path.as_bytes(), false).unwrap();
    assert!(
        kept.starts_with("...0f0a7f5e_1c3b_4d3a_9f0e_2f5d6c7b8a90.slice/cri-containerd-cc"),
        "{kept}"
    );
}

proptest! {
    /// What is kept is the end of the path, as much of it as there is room for.
    #[test]
    fn the_end_is_kept(
        names in prop::collection::vec("[a-z0-9.]{1,60}", 0..6),
        ns_pid in any::<i32>(),
        cut_before in any::<bool>(),
    ) {
        let path: String = names.iter().map(|name| format!("/{name}")).collect();
        let whereabouts = Whereabouts::new(ns_pid, path.as_bytes(), cut_before);
        prop_assert_eq!(whereabouts.ns_pid, ns_pid);
        let padded = whereabouts.padded_path();
        let len = padded.iter().position(|&byte| byte == 0).unwrap_or(padded.len());
        prop_assert!(padded[len..].iter().all(|&byte| byte == 0));
        let kept = std::str::from_utf8(&padded[..len]).unwrap();
        prop_assert!(path.ends_with(kept));
        let is_whole = kept.len() == path.len();
        prop_assert_eq!(kept.starts_with('/'), is_whole && !path.is_empty() && !cut_before);
        if !is_whole {
            // At most the slash in front of it would have had room.
            prop_assert!(len >= CGROUP_PATH_LEN - 1 || (cut_before && len + 1 == path.len()));
        }
    }
}
