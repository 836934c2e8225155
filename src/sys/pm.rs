// SPDX-License-Identifier: GPL-2.0

//! Notifiers of suspend and hibernation.
//!
//! C header: [`include/linux/suspend.h`](srctree/include/linux/suspend.h)

use kernel::{
    bindings,
    container_of,
    error::to_result,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// A step of a suspend, a hibernation, or the restore of a hibernated image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// `PM_*_PREPARE`: it begins, and tasks are about to be frozen.
    Prepare,
    /// `PM_POST_*`: it has ended or failed, and tasks run again.
    Post,
}

/// The callback of a [`Notifier`].
pub(crate) trait Listener: Send + Sync {
    /// Called at each [`Event`]; the suspend waits for it.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    fn suspend(&self, event: Event);
}

/// A registered PM notifier. Dropping it unregisters it and waits for a running call of
/// [`Listener::suspend`].
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

// SAFETY: The kernel locks the chain that `block` is in, and may call from any task, which the
// listener allows.
unsafe impl<L: Listener> Send for Notifier<L> {}
// SAFETY: As above; no method takes `&self`.
unsafe impl<L: Listener> Sync for Notifier<L> {}

impl<L: Listener> Notifier<L> {
    /// Registers `listener`.
    ///
    /// # Errors
    ///
    /// What `register_pm_notifier()` returns.
    ///
    /// # Context
    ///
    /// Process context, may sleep; to be dropped there too.
    pub(crate) fn new(listener: Arc<L>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            listener,
            // The last field: the first call may come before this returns.
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                // SAFETY: `slot` is valid for writes. The memory is pinned, and freed only after
                // `PinnedDrop` has unregistered it.
                unsafe {
                    slot.write(bindings::notifier_block {
                        notifier_call: Some(notifier_call::<L>),
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
        // for a running call.
        unsafe { bindings::unregister_pm_notifier(self.block.get()) };
    }
}

/// # Safety
///
/// `block` is that of a [`Notifier<L>`] that is registered.
unsafe extern "C" fn notifier_call<L: Listener>(
    block: *mut bindings::notifier_block,
    action: c_ulong,
    _data: *mut c_void,
) -> c_int {
    let opaque = block.cast::<Opaque<bindings::notifier_block>>();
    // SAFETY: By the function's safety requirement; `listener` is initialised before `block` is
    // registered.
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
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// Counts the events.
    struct Events {
        prepare: Atomic<i32>,
        post: Atomic<i32>,
    }

    impl Listener for Events {
        fn suspend(&self, event: Event) {
            match event {
                Event::Prepare => self.prepare.add(1, Relaxed),
                Event::Post => self.post.add(1, Relaxed),
            }
        }
    }

    type Registered = Pin<KBox<Notifier<Events>>>;

    fn notifier() -> Result<(Registered, Arc<Events>)> {
        let events = Arc::new(
            Events {
                prepare: Atomic::new(0),
                post: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let notifier = KBox::pin_init(Notifier::new(events.clone()), GFP_KERNEL)?;
        Ok((notifier, events))
    }

    #[test]
    fn prepare_and_post_are_reported() -> Result {
        let (notifier, events) = notifier()?;
        let call = |action: u32| {
            let block = notifier.block.get();
            // SAFETY: The block is registered, as when the kernel calls this.
            unsafe { notifier_call::<Events>(block, action as c_ulong, core::ptr::null_mut()) }
        };
        for action in [
            bindings::PM_SUSPEND_PREPARE,
            bindings::PM_HIBERNATION_PREPARE,
            bindings::PM_RESTORE_PREPARE,
        ] {
            assert_eq!(call(action), bindings::NOTIFY_OK as c_int);
        }
        for action in [
            bindings::PM_POST_SUSPEND,
            bindings::PM_POST_HIBERNATION,
            bindings::PM_POST_RESTORE,
            // Not an action of PM notifiers.
            0x7777,
        ] {
            assert_eq!(call(action), bindings::NOTIFY_OK as c_int);
        }
        assert_eq!(events.prepare.load(Relaxed), 3);
        assert_eq!(events.post.load(Relaxed), 3);
        Ok(())
    }

    /// Dropping removes the block from the chain, or the next one would follow freed memory in it.
    #[test]
    fn notifiers_come_and_go() -> Result {
        for _ in 0..50 {
            let (first, events) = notifier()?;
            let (second, _) = notifier()?;
            drop(first);
            // The notifier's reference is gone.
            assert!(Arc::into_unique_or_drop(events).is_some());
            drop(second);
        }
        Ok(())
    }
}
