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
    Post,
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
            listener.suspend(Event::Post)
        }
        _ => (),
    }
    bindings::NOTIFY_OK as c_int
}

#[kunit_tests(vigil_pm)]
mod tests {
    use super::*;
    use kernel::sync::atomic::{Atomic, Relaxed};

    struct Told {
        begun: Atomic<i32>,
        over: Atomic<i32>,
    }

    impl Listener for Told {
        fn suspend(&self, event: Event) {
            match event {
                Event::Prepare => self.begun.add(1, Relaxed),
                Event::Post => self.over.add(1, Relaxed),
            }
        }
    }

    type Registered = Pin<KBox<Notifier<Told>>>;

    fn notifier() -> Result<(Registered, Arc<Told>)> {
        let told = Arc::new(
            Told {
                begun: Atomic::new(0),
                over: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let notifier = KBox::pin_init(Notifier::new(told.clone()), GFP_KERNEL)?;
        Ok((notifier, told))
    }

    #[test]
    fn it_is_told_of_what_matters() -> Result {
        let (notifier, told) = notifier()?;
        let tell = |action: u32| {
            let block = notifier.block.get();
            // SAFETY: The block is registered, as it is when the kernel calls this.
            unsafe { call::<Told>(block, action as c_ulong, core::ptr::null_mut()) }
        };
        for action in [
            bindings::PM_SUSPEND_PREPARE,
            bindings::PM_HIBERNATION_PREPARE,
            bindings::PM_RESTORE_PREPARE,
        ] {
            assert_eq!(tell(action), bindings::NOTIFY_OK as c_int);
        }
        for action in [
            bindings::PM_POST_SUSPEND,
            bindings::PM_POST_HIBERNATION,
            bindings::PM_POST_RESTORE,
            // Nothing of the kind.
            0x7777,
        ] {
            assert_eq!(tell(action), bindings::NOTIFY_OK as c_int);
        }
        assert_eq!(told.begun.load(Relaxed), 3);
        assert_eq!(told.over.load(Relaxed), 3);
        Ok(())
    }

    /// Dropping takes the block out of the chain, or the next one would stand behind freed memory.
    #[test]
    fn comes_and_goes() -> Result {
        for _ in 0..50 {
            let (first, told) = notifier()?;
            let (second, _) = notifier()?;
            drop(first);
            // The notifier's reference is gone.
            assert!(Arc::into_unique_or_drop(told).is_some());
            drop(second);
        }
        Ok(())
    }
}
