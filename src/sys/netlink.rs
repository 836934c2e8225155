// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family `vigil`: messages, requests and groups of listeners. What is in a message is up
//! to the [`Source`] and whoever sends an [`EventMessage`].
//!
//! C headers: [`include/net/genetlink.h`](srctree/include/net/genetlink.h), `src/c/vigil.h`

use super::{
    ffi,
    single::Single, //
};
use core::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_uint,
        c_ulonglong, //
    },
    prelude::*,
    sync::atomic::Atomic, //
};

/// A group of listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Everybody may listen.
    Incidents,
    /// `CAP_SYS_ADMIN` may listen.
    IncidentsFull,
}

impl Group {
    /// All groups.
    pub(crate) const ALL: [Self; 2] = [Self::Incidents, Self::IncidentsFull];

    const fn number(self) -> c_uint {
        match self {
            Self::Incidents => ffi::vigil_netlink_group_VIGIL_NETLINK_INCIDENTS,
            Self::IncidentsFull => ffi::vigil_netlink_group_VIGIL_NETLINK_INCIDENTS_FULL,
        }
    }

    /// Whether a socket listens on it. No if the family is not registered.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn has_listeners(self) -> bool {
        // SAFETY: May be called in any context.
        unsafe { ffi::vigil_netlink_has_listeners(self.number()) != 0 }
    }
}

/// Whether a socket listens on any group.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn has_listeners() -> bool {
    Group::ALL.into_iter().any(Group::has_listeners)
}

/// Whether `kptr_restrict` hides addresses from everybody.
///
/// # Context
///
/// Process context.
pub(crate) fn hides_addresses() -> bool {
    // SAFETY: May be called in process context.
    unsafe { ffi::vigil_netlink_hides_addresses() != 0 }
}

/// A message that is being made.
///
/// # Invariants
///
/// `msg` is valid for `'a`, and nothing else uses it.
pub(crate) struct Message<'a> {
    msg: NonNull<ffi::sk_buff>,
    _borrows: PhantomData<&'a mut ffi::sk_buff>,
}

impl Message<'_> {
    /// # Safety
    ///
    /// `msg` is a valid message, and nothing else uses it during the lifetime that the caller chooses.
    unsafe fn new(msg: NonNull<ffi::sk_buff>) -> Self {
        // INVARIANT: By the function's safety requirement.
        Self {
            msg,
            _borrows: PhantomData,
        }
    }

    /// Adds an attribute.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room for it, as in all functions that add something.
    fn put(&mut self, attr: u16, value: &[u8]) -> Result {
        // SAFETY: By the type invariant, and `value` is as long as it is said to be.
        to_result(unsafe {
            ffi::vigil_netlink_put(
                self.msg.as_ptr(),
                attr.into(),
                value.as_ptr().cast(),
                value.len() as c_uint,
            )
        })
    }

    /// Adds a number of 32 bits.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE`.
    pub(crate) fn put_u32(&mut self, attr: u16, value: u32) -> Result {
        self.put(attr, &value.to_ne_bytes())
    }

    /// Adds a number of 64 bits.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE`.
    pub(crate) fn put_u64(&mut self, attr: u16, value: u64) -> Result {
        self.put(attr, &value.to_ne_bytes())
    }

    /// Adds a text.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE`, with nothing added.
    pub(crate) fn put_text(&mut self, attr: u16, text: &dyn fmt::Display) -> Result {
        self.put_delimited(attr, false, |message| {
            fmt::write(message, format_args!("{text}")).map_err(|_| EMSGSIZE)
        })
    }

    /// Adds an attribute that has others in it, which `put` adds.
    ///
    /// # Errors
    ///
    /// That of `put`, or `EMSGSIZE`; with nothing added.
    pub(crate) fn nest(&mut self, attr: u16, put: impl FnOnce(&mut Self) -> Result) -> Result {
        self.put_delimited(attr, true, put)
    }

    fn put_delimited(
        &mut self,
        attr: u16,
        nested: bool,
        put: impl FnOnce(&mut Self) -> Result,
    ) -> Result {
        let begin = self.begin(attr, nested)?;
        let result = put(self).and_then(|()| self.end(begin, !nested));
        if result.is_err() {
            // SAFETY: By the type invariant; the attribute was begun there, and what was begun behind it is
            // ended or trimmed.
            unsafe { ffi::vigil_netlink_trim(self.msg.as_ptr(), begin) };
        }
        result
    }

    fn begin(&mut self, attr: u16, nested: bool) -> Result<c_uint> {
        let nested = c_int::from(nested);
        // SAFETY: By the type invariant.
        match unsafe { ffi::vigil_netlink_begin(self.msg.as_ptr(), attr.into(), nested) } {
            0 => Err(EMSGSIZE),
            begin => Ok(begin),
        }
    }

    fn end(&mut self, begin: c_uint, text: bool) -> Result {
        // SAFETY: By the type invariant; the attribute was begun there.
        to_result(unsafe { ffi::vigil_netlink_end(self.msg.as_ptr(), begin, c_int::from(text)) })
    }
}

/// Adds to the text that was begun last.
impl fmt::Write for Message<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: By the type invariant, and `text` is as long as it is said to be.
        let result = unsafe {
            ffi::vigil_netlink_append(
                self.msg.as_ptr(),
                text.as_ptr().cast(),
                text.len() as c_uint,
            )
        };
        to_result(result).map_err(|_| fmt::Error)
    }
}

/// A message to listeners.
///
/// # Invariants
///
/// `msg` is a message of `vigil_netlink_event()`, which this owns.
pub(crate) struct EventMessage<'a> {
    msg: NonNull<ffi::sk_buff>,
    _family: PhantomData<&'a Family>,
}

impl<'a> EventMessage<'a> {
    /// Begins a message of the family.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context; does not wait for memory.
    pub(crate) fn new(_: &'a Family, operation: u8) -> Result<Self> {
        // SAFETY: The family is registered.
        let msg = unsafe { ffi::vigil_netlink_event(operation.into()) };
        let msg = NonNull::new(msg).ok_or(ENOMEM)?;
        // INVARIANT: Just made.
        Ok(Self {
            msg,
            _family: PhantomData,
        })
    }

    /// What is in it.
    pub(crate) fn message(&mut self) -> Message<'_> {
        // SAFETY: By the type invariant, and this is borrowed meanwhile.
        unsafe { Message::new(self.msg) }
    }

    /// Sends it to all who listen on a group.
    ///
    /// # Errors
    ///
    /// `ESRCH` if nobody does; `ENOBUFS` if there was no memory for the copies.
    ///
    /// # Context
    ///
    /// Process context; waits for nobody.
    pub(crate) fn send(self, group: Group) -> Result {
        let msg = ManuallyDrop::new(self);
        // SAFETY: By the type invariant the message is owned, and given up here.
        to_result(unsafe { ffi::vigil_netlink_send(msg.msg.as_ptr(), group.number()) })
    }
}

impl Drop for EventMessage<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::vigil_netlink_free(self.msg.as_ptr()) };
    }
}

/// What requests are answered from. All functions are called in process context, several at a time.
pub(crate) trait Source {
    /// Adds the incident with an id. `full`: with addresses.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not known; `EMSGSIZE`.
    fn put_incident(message: &mut Message<'_>, id: u64, full: bool) -> Result;

    /// Adds the incident with the smallest id above `after`, and returns its id. `first`: there is nothing in
    /// front of it, so that the next message would have no more room.
    ///
    /// # Errors
    ///
    /// As [`Source::put_incident`].
    fn put_incident_after(
        message: &mut Message<'_>,
        after: u64,
        full: bool,
        first: bool,
    ) -> Result<u64>;

    /// Adds the counts.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE`.
    fn put_state(message: &mut Message<'_>) -> Result;

    /// A number that changes whenever an incident does.
    fn generation() -> u64;
}

/// The registered family. Dropping it unregisters it and waits for requests that are being answered.
///
/// # Invariants
///
/// `vigil_netlink_register()` has returned 0.
pub(crate) struct Family {
    _single: Single,
}

impl Family {
    /// Registers the family.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the name is taken; `ENOMEM`; `EBUSY` while another one lives; `EOPNOTSUPP` if the kernel has
    /// no network.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn register<S: Source>() -> Result<Self> {
        static TAKEN: Atomic<bool> = Atomic::new(false);
        let single = Single::take(&TAKEN)?;
        let source = ffi::vigil_netlink_source {
            put_incident: Some(put_incident::<S>),
            put_incident_after: Some(put_incident_after::<S>),
            put_state: Some(put_state::<S>),
            generation: Some(generation::<S>),
        };
        // SAFETY: The functions may be called for as long as the module is loaded, and no other one
        // lives.
        to_result(unsafe { ffi::vigil_netlink_register(&raw const source) })?;
        // INVARIANT: Just registered.
        Ok(Self { _single: single })
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Messages to listeners borrow this while they are made, so that
        // none is sent meanwhile.
        unsafe { ffi::vigil_netlink_unregister() };
    }
}

/// 0, or the error as C has it.
fn to_errno(result: Result) -> c_int {
    result.map_or_else(|error| error.to_errno(), |()| 0)
}

/// Calls `put` with the message.
///
/// # Safety
///
/// `msg` is NULL or a valid message, which nothing else uses until this returns.
unsafe fn with<T>(
    msg: *mut ffi::sk_buff,
    put: impl FnOnce(&mut Message<'_>) -> Result<T>,
) -> Result<T> {
    let msg = NonNull::new(msg).ok_or(EINVAL)?;
    // SAFETY: By the function's safety requirement.
    put(&mut unsafe { Message::new(msg) })
}

/// # Safety
///
/// As [`with`].
unsafe extern "C" fn put_incident<S: Source>(
    msg: *mut ffi::sk_buff,
    id: c_ulonglong,
    full: c_int,
) -> c_int {
    // SAFETY: By the function's safety requirement.
    to_errno(unsafe { with(msg, |message| S::put_incident(message, id, full != 0)) })
}

/// # Safety
///
/// As [`with`]; `id` is valid.
unsafe extern "C" fn put_incident_after<S: Source>(
    msg: *mut ffi::sk_buff,
    id: *mut c_ulonglong,
    full: c_int,
    first: c_int,
) -> c_int {
    // SAFETY: By the function's safety requirement.
    let after = unsafe { *id };
    let put =
        |message: &mut Message<'_>| S::put_incident_after(message, after, full != 0, first != 0);
    // SAFETY: By the function's safety requirement.
    match unsafe { with(msg, put) } {
        Ok(found) => {
            // SAFETY: By the function's safety requirement.
            unsafe { *id = found };
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// As [`with`].
unsafe extern "C" fn put_state<S: Source>(msg: *mut ffi::sk_buff) -> c_int {
    // SAFETY: By the function's safety requirement.
    to_errno(unsafe { with(msg, S::put_state) })
}

extern "C" fn generation<S: Source>() -> c_uint {
    S::generation() as c_uint
}
