// SPDX-License-Identifier: GPL-2.0

//! CPU hotplug callbacks.
//!
//! C header: [`include/linux/cpuhotplug.h`](srctree/include/linux/cpuhotplug.h)

use core::mem::transmute;
use kernel::{
    bindings,
    container_of,
    error::to_result,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    str::CStr,
    sync::Arc,
    types::Opaque, //
};

/// The callbacks of an [`Instance`]. For each CPU they alternate, beginning with `online`.
///
/// # Context
///
/// Process context, may sleep; in the hotplug thread of the CPU in question, which does not go
/// offline meanwhile.
pub(crate) trait Callbacks: Send + Sync {
    /// Called when the CPU has come online, and by [`Instance::enable`] if it is online already.
    fn online(&self, cpu: u32);

    /// Called when the CPU is about to go offline, and by [`Instance::disable`].
    fn offline(&self, cpu: u32);
}

/// A multi-instance state of CPU hotplug (`CPUHP_AP_ONLINE_DYN`): a CPU that comes up reaches it
/// after all fixed states, and one that goes down leaves it before them. Dropping it removes the
/// state, which waits for a running hotplug operation.
///
/// # Invariants
///
/// `state` is the number of a multi-instance state that was set up with the callbacks for `T`.
pub(crate) struct MultiState<T: Callbacks> {
    state: bindings::cpuhp_state,
    _callbacks: core::marker::PhantomData<fn(T)>,
}

impl<T: Callbacks> MultiState<T> {
    /// Sets the state up.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when all dynamic states are taken; `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep; to be dropped there too.
    pub(crate) fn new(name: &'static CStr) -> Result<Arc<Self>> {
        type Single = unsafe extern "C" fn(c_uint) -> c_int;
        type Multi = unsafe extern "C" fn(c_uint, *mut bindings::hlist_node) -> c_int;
        // SAFETY: The parameter has the type of single-instance callbacks in C too, and the kernel
        // calls those of a multi-instance state by their true type (`cpuhp_setup_state_multi()`,
        // `cpuhp_invoke_callback()`).
        let (online, offline) = unsafe {
            (
                transmute::<Multi, Single>(online::<T>),
                transmute::<Multi, Single>(offline::<T>),
            )
        };
        // SAFETY: The name is static, and the callbacks have the types that the kernel calls; in a
        // multi-instance state none is called before an instance is added.
        let state = unsafe {
            bindings::__cpuhp_setup_state(
                bindings::cpuhp_state_CPUHP_AP_ONLINE_DYN,
                name.as_char_ptr(),
                false,
                Some(online),
                Some(offline),
                true,
            )
        };
        to_result(state)?;
        // INVARIANT: Just set up.
        Ok(Arc::new(
            Self {
                state: state as bindings::cpuhp_state,
                _callbacks: core::marker::PhantomData,
            },
            GFP_KERNEL,
        )?)
    }
}

impl<T: Callbacks> Drop for MultiState<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is set up. Each instance holds an `Arc` of it, so that
        // none is left.
        unsafe { bindings::__cpuhp_remove_state(self.state, false) };
    }
}

/// An instance of a [`MultiState`]. While it is enabled, [`Callbacks::online`] has run on every online
/// CPU. Dropping it disables it, which waits until [`Callbacks::offline`] has run on every online
/// CPU.
///
/// # Invariants
///
/// `node` is an instance of `state` exactly while `enabled` is set.
#[pin_data(PinnedDrop)]
pub(crate) struct Instance<T: Callbacks> {
    callbacks: Arc<T>,
    state: Arc<MultiState<T>>,
    enabled: bool,
    #[pin]
    node: Opaque<bindings::hlist_node>,
}

// SAFETY: Only the kernel uses the node, under its own lock. `T` is `Send` and `Sync`.
unsafe impl<T: Callbacks> Send for Instance<T> {}
// SAFETY: As above; no method takes `&self`.
unsafe impl<T: Callbacks> Sync for Instance<T> {}

impl<T: Callbacks> Instance<T> {
    /// Creates an instance that is disabled.
    pub(crate) fn new(state: Arc<MultiState<T>>, callbacks: Arc<T>) -> impl PinInit<Self> {
        pin_init!(Self {
            callbacks,
            state,
            enabled: false,
            node <- Opaque::ffi_init(|slot: *mut bindings::hlist_node| {
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(pin_init::zeroed()) }
            }),
        })
    }

    /// Runs [`Callbacks::online`] on every online CPU, and on each that comes online, until
    /// [`Instance::disable`]. Does nothing if it is enabled.
    ///
    /// # Errors
    ///
    /// What `cpuhp_state_add_instance()` returns, as when the state is made to fail through
    /// `/sys/devices/system/cpu/cpu*/hotplug/fail`: it needs no memory, and the callbacks do not fail.
    /// The instance is disabled then.
    ///
    /// # Context
    ///
    /// Process context, may sleep; without a lock that the callbacks take.
    pub(crate) fn enable(self: Pin<&mut Self>) -> Result {
        // SAFETY: Nothing is moved out of the pinned value.
        let this = unsafe { self.get_unchecked_mut() };
        if !this.enabled {
            // SAFETY: The node is pinned and, by the type invariant, not an instance yet; `Drop`
            // removes it. `callbacks` is initialised and lives as long.
            to_result(unsafe {
                bindings::__cpuhp_state_add_instance(this.state.state, this.node.get(), true)
            })?;
            // INVARIANT: It is an instance now.
            this.enabled = true;
        }
        Ok(())
    }

    /// Runs [`Callbacks::offline`] on every online CPU, and calls no callback after that. Does
    /// nothing if it is disabled.
    ///
    /// # Context
    ///
    /// Process context, may sleep; without a lock that the callbacks take.
    pub(crate) fn disable(self: Pin<&mut Self>) {
        // SAFETY: Nothing is moved out of the pinned value.
        let this = unsafe { self.get_unchecked_mut() };
        if this.enabled {
            // SAFETY: By the type invariant it is an instance.
            unsafe {
                bindings::__cpuhp_state_remove_instance(this.state.state, this.node.get(), true)
            };
            // INVARIANT: It is no instance any more.
            this.enabled = false;
        }
    }
}

#[pinned_drop]
impl<T: Callbacks> PinnedDrop for Instance<T> {
    fn drop(self: Pin<&mut Self>) {
        self.disable();
    }
}

/// # Safety
///
/// `node` is that of an [`Instance<T>`] whose `callbacks` is initialised, and which outlives `'a`.
unsafe fn callbacks<'a, T: Callbacks>(node: *mut bindings::hlist_node) -> &'a T {
    let opaque = node.cast::<Opaque<bindings::hlist_node>>();
    // SAFETY: By the function's safety requirement.
    unsafe { &(*container_of!(opaque, Instance<T>, node)).callbacks }
}

/// # Safety
///
/// As the kernel calls it for an instance of a [`MultiState<T>`].
unsafe extern "C" fn online<T: Callbacks>(cpu: c_uint, node: *mut bindings::hlist_node) -> c_int {
    // SAFETY: `callbacks` is initialised before the instance is added, and lives longer.
    unsafe { callbacks::<T>(node) }.online(cpu);
    0
}

/// # Safety
///
/// As [`online`].
unsafe extern "C" fn offline<T: Callbacks>(cpu: c_uint, node: *mut bindings::hlist_node) -> c_int {
    // SAFETY: As in `online`.
    unsafe { callbacks::<T>(node) }.offline(cpu);
    0
}

#[kunit_tests(vigil_cpuhp)]
mod tests {
    use super::{
        super::{
            buffer::Buffer,
            cpu,
            testing::*, //
        },
        *, //
    };
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// Whether each CPU is online by the callbacks, and how many callbacks were out of order.
    struct Seen {
        online: Buffer<Atomic<i32>>,
        wrong: Atomic<i32>,
    }

    impl Seen {
        fn new() -> Result<Arc<Self>> {
            let online = Buffer::new(cpu::nr_cpu_ids() as usize, GFP_KERNEL, |_| {
                Ok(Atomic::new(0))
            })?;
            Ok(Arc::new(
                Self {
                    online,
                    wrong: Atomic::new(0),
                },
                GFP_KERNEL,
            )?)
        }

        /// Checks that the callbacks alternate, and run on the CPU itself.
        fn record(&self, cpu: u32, online: i32) {
            let state = self.online.get(cpu as usize);
            let before = state.map(|state| state.xchg(online, Relaxed));
            if before != Some(online ^ 1) || cpu::this() != cpu {
                self.wrong.add(1, Relaxed);
            }
        }

        fn is_online(&self, cpu: u32) -> bool {
            let state = self.online.get(cpu as usize);
            state.is_some_and(|state| state.load(Relaxed) == 1)
        }

        fn count(&self) -> usize {
            let states = self.online.iter();
            states.filter(|state| state.load(Relaxed) == 1).count()
        }
    }

    impl Callbacks for Seen {
        fn online(&self, cpu: u32) {
            self.record(cpu, 1);
        }

        fn offline(&self, cpu: u32) {
            self.record(cpu, 0);
        }
    }

    fn instance(
        state: &Arc<MultiState<Seen>>,
        seen: &Arc<Seen>,
    ) -> Result<Pin<KBox<Instance<Seen>>>> {
        KBox::pin_init(Instance::new(state.clone(), seen.clone()), GFP_KERNEL)
    }

    #[test]
    fn callbacks_run_on_every_cpu() -> Result {
        let seen = Seen::new()?;
        let mut instance = instance(&MultiState::new(c"vigil/kunit")?, &seen)?;
        assert_eq!(seen.count(), 0);
        // Enabling what is enabled does nothing, nor does disabling what is disabled.
        for on in [true, true, false, false, true] {
            if on {
                instance.as_mut().enable()?;
            } else {
                instance.as_mut().disable();
            }
            assert_eq!(seen.count(), if on { cpus_online().count() } else { 0 });
        }
        drop(instance);
        assert_eq!(seen.count(), 0);
        assert_eq!(seen.wrong.load(Relaxed), 0);
        Ok(())
    }

    #[test]
    fn instances_are_independent() -> Result {
        let state = MultiState::new(c"vigil/kunit")?;
        let (one, other) = (Seen::new()?, Seen::new()?);
        let mut first = instance(&state, &one)?;
        let mut second = instance(&state, &other)?;
        first.as_mut().enable()?;
        assert_eq!(other.count(), 0);
        second.as_mut().enable()?;
        drop(first);
        assert_eq!(one.count(), 0);
        assert_eq!(other.count(), cpus_online().count());
        drop(second);
        assert_eq!(other.count(), 0);
        Ok(())
    }

    #[test]
    fn callbacks_run_when_a_cpu_comes_and_goes() -> Result {
        let Some(cpu) = cpus_online().filter(|&cpu| cpu != 0).last() else {
            return Ok(());
        };
        let seen = Seen::new()?;
        let mut instance = instance(&MultiState::new(c"vigil/kunit")?, &seen)?;
        instance.as_mut().enable()?;
        // SAFETY: Process context; the CPU exists and is not the boot CPU.
        to_result(unsafe { bindings::remove_cpu(cpu) })?;
        let (gone, rest) = (!seen.is_online(cpu), seen.count() == cpus_online().count());
        // SAFETY: As above.
        to_result(unsafe { bindings::add_cpu(cpu) })?;
        assert!(gone && rest);
        assert!(seen.is_online(cpu));
        drop(instance);
        assert_eq!(seen.wrong.load(Relaxed), 0);
        Ok(())
    }
}
