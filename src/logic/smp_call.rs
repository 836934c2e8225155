// SPDX-License-Identifier: GPL-2.0

//! Functions that one CPU has another one run (`kernel/smp.c`), and whether it waits for that.
//!
//! A request is a `call_single_data_t`. It is locked from when it is sent until the target has run the
//! function, and of type `CSD_TYPE_SYNC` if a task waits for that. `smp_call_function_many()` and its
//! callers use one for each pair of CPUs, which is in `cfd_data` of the sender;
//! `smp_call_function_single()` has one on the stack of the task, which is found only in the target's
//! `call_single_queue`, and only until the target takes it from there.
//!
//! A request of a CPU does not show that the CPU waits: since 7.3 the task that does may have been
//! preempted or moved. So the address of the request comes along: a CPU that waits has it in a register.
//!
//! All of it is read while CPUs write it, so that each thing read is checked: see [`Call::is_waited_for`].

/// `CSD_FLAG_LOCK`
pub const CSD_FLAG_LOCK: u32 = 0x01;
/// `CSD_TYPE_SYNC`
pub const CSD_TYPE_SYNC: u32 = 0x10;

/// How many entries of a queue are looked at. A request that is behind them is not found.
pub const MAX_QUEUED: u32 = 256;

/// A request, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Address of the next entry of the queue, 0 at its end.
    pub next: usize,
    /// `u_flags`
    pub flags: u32,
    /// Address of the function.
    pub function: usize,
}

impl Call {
    /// Whether the target has not run the function yet, and a task waits for that. No other flags
    /// exist, so that hardly anything but a request looks like this.
    pub fn is_waited_for(&self) -> bool {
        self.flags == CSD_FLAG_LOCK | CSD_TYPE_SYNC && self.function != 0
    }
}

/// The requests in memory.
pub trait Calls {
    /// Reads a request of a pair of CPUs; `None` if the address cannot be read.
    fn read(&self, address: usize) -> Option<Call>;
    /// Reads what should be an entry of a queue; `None` if the address cannot be read, or is none
    /// where requests are.
    fn read_queued(&self, address: usize) -> Option<Call>;
    /// The address of the request of this pair of CPUs in `cfd_data`; `None` if it is not known.
    fn of_pair(&self, sender: u32, target: u32) -> Option<usize>;
    /// The address of the first entry in the queue of a CPU, 0 if it is empty; `None` if it is not
    /// known.
    fn first_queued(&self, target: u32) -> Option<usize>;
    /// Whether the address is on the stack of the task that runs on a CPU.
    fn is_on_stack(&self, address: usize, sender: u32) -> bool;
}

/// A request that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its address.
    pub address: usize,
    /// Address of the function that the target has to run.
    pub function: usize,
}

/// Returns the request of `sender` that a task waits for `target` to carry out; `None` if there is none,
/// as far as can be seen.
pub fn waited_for(calls: &impl Calls, sender: u32, target: u32) -> Option<Request> {
    if sender == target {
        return None;
    }
    let request = |address: usize, call: Call| Request {
        address,
        function: call.function,
    };
    if let Some(address) = calls.of_pair(sender, target) {
        if let Some(call) = calls.read(address).filter(Call::is_waited_for) {
            return Some(request(address, call));
        }
    }
    let mut address = calls.first_queued(target)?;
    for _ in 0..MAX_QUEUED {
        if address == 0 {
            break;
        }
        let call = calls.read_queued(address)?;
        if call.is_waited_for() && calls.is_on_stack(address, sender) {
            return Some(request(address, call));
        }
        address = call.next;
    }
    None
}
