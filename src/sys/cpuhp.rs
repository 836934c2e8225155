// SPDX-License-Identifier: GPL-2.0

//! CPUs coming and going.
//!
//! C header: [`include/linux/cpuhotplug.h`](srctree/include/linux/cpuhotplug.h)

use core::mem::transmute;
use kernel::{
    bindings, container_of,
    error::to_result,
    ffi::{c_int, c_uint},
    prelude::*,
    str::CStr,
    sync::Arc,
    types::Opaque,
};

/// Somebody who has something to do on each CPU.
///
/// # Context
///
/// Both are called on the CPU concerned, in process context, which cannot go away meanwhile; for
/// one CPU one after the other, in pairs.
pub(crate) trait Callbacks: Send + Sync {
    /// The CPU has come online, or was online already.
    fn online(&self, cpu: u32);

    /// The CPU is about to go offline, or the registration is.
    fn offline(&self, cpu: u32);
}

/// A place in the order in which CPUs are brought up and down: after, and before, everything that
/// has a fixed one.
///
/// # Invariants
///
/// `state` is the number of a multi-instance state that was set up with the callbacks for `T`.
pub(crate) struct MultiState<T: Callbacks> {
    state: bindings::cpuhp_state,
    _owner: core::marker::PhantomData<fn(T)>,
}

impl<T: Callbacks> MultiState<T> {
    /// Sets it up. Dropping it gives it back.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there is no such place left.
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
        // SAFETY: The name is static and the callbacks fit; as a multi-instance state none of them
        // is called before an instance is added.
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
                _owner: core::marker::PhantomData,
            },
            GFP_KERNEL,
        )?)
    }
}

impl<T: Callbacks> Drop for MultiState<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; instances hold an `Arc` of it, so that none is left.
        unsafe { bindings::__cpuhp_remove_state(self.state, false) };
    }
}

/// A registration that can be switched on and off. While it is on, [`Callbacks::online`] has been called
/// on every online CPU, and is called on each that comes; switching it off, or dropping it, calls
/// [`Callbacks::offline`] on every online CPU.
///
/// # Invariants
///
/// `node` is an instance of `state` exactly while `on` is set.
#[pin_data(PinnedDrop)]
pub(crate) struct Instance<T: Callbacks> {
    owner: Arc<T>,
    state: Arc<MultiState<T>>,
    on: bool,
    #[pin]
    node: Opaque<bindings::hlist_node>,
}

// SAFETY: The node is only used by the kernel, under its own lock.
unsafe impl<T: Callbacks> Send for Instance<T> {}
// SAFETY: As above; no method takes `&self`.
unsafe impl<T: Callbacks> Sync for Instance<T> {}

impl<T: Callbacks> Instance<T> {
    /// One that is off.
    pub(crate) fn new(state: Arc<MultiState<T>>, owner: Arc<T>) -> impl PinInit<Self> {
        pin_init!(Self {
            owner,
            state,
            on: false,
            node <- Opaque::ffi_init(|slot: *mut bindings::hlist_node| {
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(pin_init::zeroed()) }
            }),
        })
    }

    /// Calls [`Callbacks::online`] on every online CPU, and on each that comes, until
    /// [`Instance::disable`]. Returns when it has run on all. Does nothing if it is enabled already.
    ///
    /// # Errors
    ///
    /// None that is known: it needs no memory, and the callbacks do not fail.
    ///
    /// # Context
    ///
    /// Process context, with no lock that the callbacks take.
    pub(crate) fn enable(self: Pin<&mut Self>) -> Result {
        // SAFETY: Nothing is moved out of the pinned value.
        let this = unsafe { self.get_unchecked_mut() };
        if !this.on {
            // SAFETY: The node is pinned and, by the type invariant, no instance yet; `Drop` takes
            // it out. `owner` is there for the callbacks.
            to_result(unsafe {
                bindings::__cpuhp_state_add_instance(this.state.state, this.node.get(), true)
            })?;
            // INVARIANT: It is an instance now.
            this.on = true;
        }
        Ok(())
    }

    /// Calls [`Callbacks::offline`] on every online CPU, and none of the callbacks any more. Does
    /// nothing if it is disabled already.
    ///
    /// # Context
    ///
    /// Process context, with no lock that the callbacks take.
    pub(crate) fn disable(self: Pin<&mut Self>) {
        // SAFETY: Nothing is moved out of the pinned value.
        let this = unsafe { self.get_unchecked_mut() };
        if this.on {
            // SAFETY: By the type invariant it is an instance.
            unsafe {
                bindings::__cpuhp_state_remove_instance(this.state.state, this.node.get(), true)
            };
            // INVARIANT: It is none any more.
            this.on = false;
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
/// `node` is that of an [`Instance<T>`] whose `owner` is initialised.
unsafe fn owner<'a, T: Callbacks>(node: *mut bindings::hlist_node) -> &'a T {
    let opaque = node.cast::<Opaque<bindings::hlist_node>>();
    // SAFETY: By the function's own requirement.
    unsafe { &(*container_of!(opaque, Instance<T>, node)).owner }
}

/// # Safety
///
/// As the kernel calls it for an instance of a [`MultiState<T>`].
unsafe extern "C" fn online<T: Callbacks>(cpu: c_uint, node: *mut bindings::hlist_node) -> c_int {
    // SAFETY: `owner` is initialised before the instance is added.
    unsafe { owner::<T>(node) }.online(cpu);
    0
}

/// # Safety
///
/// As [`online`].
unsafe extern "C" fn offline<T: Callbacks>(cpu: c_uint, node: *mut bindings::hlist_node) -> c_int {
    // SAFETY: As in `online`.
    unsafe { owner::<T>(node) }.offline(cpu);
    0
}

#[kunit_tests(vigil_cpuhp)]
mod tests {
    use super::{
        super::{buffer::Buffer, cpu, testing::*},
        *,
    };
    use kernel::sync::atomic::{Atomic, Relaxed};

    /// For each CPU: whether it is on, and how often something was not as promised.
    struct Seen {
        on: Buffer<Atomic<i32>>,
        wrong: Atomic<i32>,
    }

    impl Seen {
        fn new() -> Result<Arc<Self>> {
            let on = Buffer::new(cpu::count() as usize, GFP_KERNEL, |_| Ok(Atomic::new(0)))?;
            Ok(Arc::new(
                Self {
                    on,
                    wrong: Atomic::new(0),
                },
                GFP_KERNEL,
            )?)
        }

        /// In pairs, and on the CPU itself.
        fn note(&self, cpu: u32, on: i32) {
            let before = self.on.get(cpu as usize).map(|seen| seen.xchg(on, Relaxed));
            if before != Some(on ^ 1) || this_cpu() != cpu {
                self.wrong.add(1, Relaxed);
            }
        }

        fn is_on(&self, cpu: u32) -> bool {
            let on = self.on.get(cpu as usize);
            on.is_some_and(|on| on.load(Relaxed) == 1)
        }

        fn count(&self) -> usize {
            self.on.iter().filter(|on| on.load(Relaxed) == 1).count()
        }
    }

    impl Callbacks for Seen {
        fn online(&self, cpu: u32) {
            self.note(cpu, 1);
        }

        fn offline(&self, cpu: u32) {
            self.note(cpu, 0);
        }
    }

    fn instance(
        state: &Arc<MultiState<Seen>>,
        seen: &Arc<Seen>,
    ) -> Result<Pin<KBox<Instance<Seen>>>> {
        KBox::pin_init(Instance::new(state.clone(), seen.clone()), GFP_KERNEL)
    }

    #[test]
    fn is_called_on_every_cpu() -> Result {
        let seen = Seen::new()?;
        let mut instance = instance(&MultiState::new(c"vigil/kunit")?, &seen)?;
        assert_eq!(seen.count(), 0);
        // Switching twice is as good as once.
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
    fn a_cpu_that_comes_and_goes_is_told() -> Result {
        let Some(cpu) = cpus_online().filter(|&cpu| cpu != 0).last() else {
            return Ok(());
        };
        let seen = Seen::new()?;
        let mut instance = instance(&MultiState::new(c"vigil/kunit")?, &seen)?;
        instance.as_mut().enable()?;
        // SAFETY: Process context; the CPU exists and is not the boot CPU.
        to_result(unsafe { bindings::remove_cpu(cpu) })?;
        let (gone, rest) = (!seen.is_on(cpu), seen.count() == cpus_online().count());
        // SAFETY: As above.
        to_result(unsafe { bindings::add_cpu(cpu) })?;
        assert!(gone && rest);
        assert!(seen.is_on(cpu));
        drop(instance);
        assert_eq!(seen.wrong.load(Relaxed), 0);
        Ok(())
    }
}
