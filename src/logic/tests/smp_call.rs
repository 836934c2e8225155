// SPDX-License-Identifier: GPL-2.0

//! Requests of CPUs to each other: what is waited for, in memory of any content.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use vigil_logic::smp_call::{
    waited_for, Call, Calls, Request, CSD_FLAG_LOCK, CSD_TYPE_SYNC, MAX_QUEUED,
};

const WAITED_FOR: u32 = CSD_FLAG_LOCK | CSD_TYPE_SYNC;

/// A machine's requests: at an address each, queues of CPUs, and which addresses are on whose stack.
#[derive(Clone, Debug, Default)]
struct Machine {
    memory: BTreeMap<usize, Call>,
    pairs: BTreeMap<(u32, u32), usize>,
    queues: BTreeMap<u32, usize>,
    stacks: BTreeSet<(u32, usize)>,
}

impl Calls for Machine {
    fn read(&self, address: usize) -> Option<Call> {
        self.memory.get(&address).copied()
    }

    fn read_queued(&self, address: usize) -> Option<Call> {
        self.read(address)
    }

    fn of_pair(&self, sender: u32, target: u32) -> Option<usize> {
        self.pairs.get(&(sender, target)).copied()
    }

    fn first_queued(&self, target: u32) -> Option<usize> {
        self.queues.get(&target).copied()
    }

    fn is_on_stack(&self, address: usize, sender: u32) -> bool {
        self.stacks.contains(&(sender, address))
    }
}

fn function(machine: &Machine, sender: u32, target: u32) -> Option<usize> {
    waited_for(machine, sender, target).map(|request| request.function)
}

fn call(next: usize, flags: u32, function: usize) -> Call {
    Call {
        next,
        flags,
        function,
    }
}

/// `smp_call_function_many()`: from when it is sent until the function has run, in the queue or not.
#[test]
fn a_request_of_a_pair_is_found_while_it_is_locked() {
    let mut machine = Machine::default();
    machine.pairs.insert((1, 3), 0x100);
    for (flags, expected) in [
        (0, None),
        (CSD_FLAG_LOCK, None),
        (WAITED_FOR, Some(7)),
        (CSD_TYPE_SYNC, None),
        (WAITED_FOR | 0x20, None),
    ] {
        machine.memory.insert(0x100, call(0, flags, 7));
        assert_eq!(function(&machine, 1, 3), expected, "{flags:#x}");
        assert_eq!(waited_for(&machine, 3, 1), None);
        assert_eq!(waited_for(&machine, 2, 3), None);
    }
}

/// `smp_call_function_single()`: on the stack of the sender, behind others in the target's queue.
#[test]
fn a_request_on_a_stack_is_found_in_the_queue() {
    let mut machine = Machine::default();
    machine.queues.insert(3, 0x10);
    machine.memory.insert(0x10, call(0x20, 0x30, 0));
    machine.memory.insert(0x20, call(0x30, WAITED_FOR, 8));
    machine.memory.insert(0x30, call(0, WAITED_FOR, 9));
    machine.stacks.extend([(1, 0x30), (2, 0x20)]);
    assert_eq!(function(&machine, 1, 3), Some(9));
    assert_eq!(function(&machine, 2, 3), Some(8));
    assert_eq!(waited_for(&machine, 0, 3), None);
    assert_eq!(waited_for(&machine, 1, 2), None);
    // What is on the stack and not waited for is none.
    machine.memory.insert(0x30, call(0, CSD_FLAG_LOCK, 9));
    assert_eq!(waited_for(&machine, 1, 3), None);
}

/// A queue that changes may lead in a circle.
#[test]
fn a_circle_has_an_end() {
    let mut machine = Machine::default();
    machine.queues.insert(3, 0x10);
    machine.memory.insert(0x10, call(0x20, WAITED_FOR, 8));
    machine.memory.insert(0x20, call(0x10, WAITED_FOR, 9));
    assert_eq!(waited_for(&machine, 1, 3), None);
}

/// The restatement: any request that is locked, waited for, and the sender's own.
fn naive(machine: &Machine, sender: u32, target: u32) -> Option<Request> {
    if sender == target {
        return None;
    }
    let is_waited_for = |call: &Call| call.flags == 0x11 && call.function != 0;
    let pair = machine.pairs.get(&(sender, target));
    if let Some((&address, call)) = pair.and_then(|at| machine.memory.get_key_value(at)) {
        if is_waited_for(call) {
            let function = call.function;
            return Some(Request { address, function });
        }
    }
    let mut at = *machine.queues.get(&target)?;
    let mut left = MAX_QUEUED;
    while at != 0 && left > 0 {
        let call = machine.memory.get(&at)?;
        if is_waited_for(call) && machine.stacks.contains(&(sender, at)) {
            let (address, function) = (at, call.function);
            return Some(Request { address, function });
        }
        at = call.next;
        left -= 1;
    }
    None
}

fn machine() -> impl Strategy<Value = Machine> {
    let address = 0usize..12;
    let flags = prop_oneof![
        Just(0),
        Just(1),
        Just(0x10),
        Just(0x11),
        Just(0x20),
        any::<u32>()
    ];
    let call = (address.clone(), flags, 0usize..4).prop_map(|(next, flags, function)| Call {
        next,
        flags,
        function,
    });
    (
        proptest::collection::btree_map(address.clone(), call, 0..12),
        proptest::collection::btree_map((0u32..4, 0u32..4), address.clone(), 0..8),
        proptest::collection::btree_map(0u32..4, address.clone(), 0..4),
        proptest::collection::btree_set((0u32..4, address), 0..8),
    )
        .prop_map(|(memory, pairs, queues, stacks)| Machine {
            memory,
            pairs,
            queues,
            stacks,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn as_restated(machine in machine(), sender in 0u32..5, target in 0u32..5) {
        prop_assert_eq!(
            waited_for(&machine, sender, target),
            naive(&machine, sender, target)
        );
    }
}
