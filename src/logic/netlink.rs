// SPDX-License-Identifier: GPL-2.0

//! The numbers of the generic netlink family `vigil`: those of `docs/netlink/vigil.yaml`, which a host test
//! compares.

/// Declares a module of numbers that count from 1, and on the host their names in the specification.
macro_rules! numbers {
    ($($(#[$doc:meta])* $set:ident: $type:ty {
        $($const:ident = $number:literal, $name:literal;)*
    })*) => {
        $(
            $(#[$doc])*
            #[cfg_attr(MODULE, allow(dead_code, reason = "those of requests are the C part's"))]
            pub mod $set {
                $(
                    #[doc = concat!("`", $name, "`")]
                    pub const $const: $type = $number;
                )*
            }
        )*

        /// Each set, and the names and numbers in it.
        #[cfg(not(MODULE))]
        pub const SETS: &[(&str, &[(&str, u16)])] = &[
            $((stringify!($set), &[$(($name, $set::$const as u16),)*]),)*
        ];
    };
}

/// The version of the module, in answers to `state-get`.
pub const MODULE_VERSION: &str = include_str!("../../VERSION").trim_ascii_end();

numbers! {
    /// Messages.
    operations: u8 {
        INCIDENT_GET = 1, "incident-get";
        STATE_GET = 2, "state-get";
        INCIDENT_START = 3, "incident-start-ntf";
        INCIDENT_CHANGE = 4, "incident-change-ntf";
        INCIDENT_END = 5, "incident-end-ntf";
    }
    /// A task.
    task: u16 {
        PID = 1, "pid";
        COMM = 2, "comm";
    }
    /// The lock that a task waits for.
    lock: u16 {
        KIND = 1, "kind";
        OWNER = 2, "owner";
        ADDRESS = 3, "address";
        SYMBOL = 4, "symbol";
    }
    /// What an incident comes down to.
    culprit: u16 {
        KIND = 1, "kind";
        CPU = 2, "cpu";
        TASK = 3, "task";
        COUNT = 4, "count";
        DEPTH = 5, "depth";
        AGE = 6, "age";
        PLACE = 7, "place";
        FUNCTION = 8, "function";
        ADDRESS = 9, "address";
    }
    /// A return address on a stack.
    frame: u16 {
        ADDRESS = 1, "address";
        SYMBOL = 2, "symbol";
    }
    /// An incident.
    incident: u16 {
        ID = 1, "id";
        EVENT = 2, "event";
        KIND = 3, "kind";
        BEGAN = 4, "began";
        FOUND = 5, "found";
        AGE = 6, "age";
        WALL = 7, "wall";
        CPU = 8, "cpu";
        FINDER = 9, "finder";
        TASK = 10, "task";
        NS_PID = 11, "ns-pid";
        CGROUP = 12, "cgroup";
        LOCK = 13, "lock";
        CULPRIT = 14, "culprit";
        BEHIND = 15, "behind";
        FLAGS = 16, "flags";
        FRAME = 17, "frame";
        END = 18, "end";
        ENDED = 19, "ended";
    }
    /// What the module has found since load.
    state: u16 {
        VERSION = 1, "version";
        EVENTS = 2, "events";
        LOST = 3, "lost";
        NOW = 4, "now";
        KIND = 5, "kind";
    }
    /// The incidents of one kind.
    kind_state: u16 {
        KIND = 1, "kind";
        TOTAL = 2, "total";
        ON = 3, "on";
        OLDEST = 4, "oldest";
    }
}
