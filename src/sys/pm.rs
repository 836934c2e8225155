// SPDX-License-Identifier: GPL-2.0

//! Being told of suspend and hibernation.
//!
//! C header: [`include/linux/suspend.h`](srctree/include/linux/suspend.h)

use kernel::{
    bindings, container_of,
    error::to_result,
    ffi::{c_int, c_ulong, c_void},
    prelude::*,
    sync::Arc,
    types::Opaque,
};

/// What of a suspend or hibernation is going on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It begins: tasks are about to be frozen.
    Prepare,
    /// It is over, or was given up: tasks run again.
    Over,
}

/// Somebody who wants to know.
pub(crate) trait Listener: Send + Sync {
    /// # Context
    ///
    /// Process context, may sleep; the suspend waits for it.
    fn suspend(&self, event: Event);
}

/// A registration with the kernel's suspend notifiers; dropping it waits for a running call.
///
/// # Invariants
///
/// `block` is registered for as long as this value lives.
#[pin_data(PinnedDrop)]
pub(crate) struct Notifier<L: Listener> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    listener: Arc<L>,
}

// SAFETY: The kernel calls from any task, and the listener may be shared between them.
unsafe impl<L: Listener> Send for Notifier<L> {}
// SAFETY: As above; no method takes `&self`.
unsafe impl<L: Listener> Sync for Notifier<L> {}

impl<L: Listener> Notifier<L> {
    /// Registers `listener`.
    pub(crate) fn new(listener: Arc<L>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            listener,
            // The last field: the first call may come before this returns.
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                // SAFETY: `slot` is valid for writes. The memory is pinned and freed only after
                // `PinnedDrop` has unregistered it.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(call::<L>),
                        ..pin_init::zeroed()
                    });
                    to_result(bindings::register_pm_notifier(slot))
                }
            }),
        }? Error)
    }
}

#[pinned_drop]
impl<L: Listener> PinnedDrop for Notifier<L> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant it is registered. Takes the chain's semaphore, and so waits
        // for calls that are running.
        unsafe { bindings::unregister_pm_notifier(self.block.get()) };
    }
}

/// # Safety
///
/// `block` is the one inside of a [`Notifier<L>`] that is registered.
unsafe extern "C" fn call<L: Listener>(
    block: *mut bindings::notifier_block,
    action: c_ulong,
    _data: *mut c_void,
) -> c_int {
    let opaque = block.cast::<Opaque<bindings::notifier_block>>();
    // SAFETY: By the requirement above `block` is in a `Notifier<L>`, initialised as far as is
    // used here: `listener` comes first.
    let listener = unsafe { &(*container_of!(opaque, Notifier<L>, block)).listener };
    // The cases and their order: `hungtask_pm_notify()`.
    match action as u32 {
        bindings::PM_SUSPEND_PREPARE
        | bindings::PM_HIBERNATION_PREPARE
        | bindings::PM_RESTORE_PREPARE => listener.suspend(Event::Prepare),
        bindings::PM_POST_SUSPEND | bindings::PM_POST_HIBERNATION | bindings::PM_POST_RESTORE => {
            listener.suspend(Event::Over)
        }
        _ => (),
    }
    bindings::NOTIFY_OK as c_int
}
