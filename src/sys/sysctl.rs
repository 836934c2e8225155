// SPDX-License-Identifier: GPL-2.0

//! Files under `/proc/sys`.
//!
//! C header: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h)

use super::buffer::Buffer;
use core::fmt;
use kernel::{
    bindings,
    error::from_result,
    ffi::{c_int, c_void},
    prelude::*,
    str::{CStr, CString, Formatter},
    sync::Arc,
};

/// What stands behind the files of one folder, known by their place.
pub(crate) trait Files: Send + Sync {
    /// How many files there are.
    const COUNT: usize;

    /// Name of a file.
    fn name(index: usize) -> &'static str;

    /// What reads from it, without the line's end.
    ///
    /// # Context
    ///
    /// Process context.
    fn show(&self, index: usize, out: &mut dyn fmt::Write) -> fmt::Result;

    /// Takes what was written to it. An error must leave everything as it was.
    ///
    /// # Context
    ///
    /// Process context; the writer waits until this returns.
    fn store(&self, index: usize, text: &[u8]) -> Result;
}

/// One file: what the kernel's table entry points at.
struct Slot<F> {
    files: Arc<F>,
    index: usize,
    name: CString,
}

/// A registered folder; dropping it waits for readers and writers and takes it away.
///
/// # Invariants
///
/// `header` is the registration of `_table`, whose entries point into `_slots`; neither moves or is
/// freed before the registration is gone. `Drop` undoes that first, the fields go afterwards.
pub(crate) struct Folder<F: Files> {
    header: *mut bindings::ctl_table_header,
    _table: Buffer<bindings::ctl_table>,
    _slots: Buffer<Slot<F>>,
}

// SAFETY: What the kernel calls through the table may run in any task, which `Files` allows.
unsafe impl<F: Files> Send for Folder<F> {}
// SAFETY: As above; no method takes `&self`.
unsafe impl<F: Files> Sync for Folder<F> {}

impl<F: Files + 'static> Folder<F> {
    /// Makes the folder `/proc/sys/<path>` with all files, mode 0644.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also when a file of that name is there already (the kernel does not tell).
    pub(crate) fn new(path: &'static CStr, files: &Arc<F>) -> Result<Self> {
        let slots = Buffer::new(F::COUNT, GFP_KERNEL, |index| {
            Ok(Slot {
                files: files.clone(),
                index,
                name: CString::try_from_fmt(fmt!("{}", F::name(index)))?,
            })
        })?;
        let table = Buffer::new(F::COUNT, GFP_KERNEL, |index| {
            let slot = slots.get(index).ok_or(EINVAL)?;
            Ok(bindings::ctl_table {
                procname: slot.name.as_char_ptr(),
                data: core::ptr::from_ref(slot).cast_mut().cast::<c_void>(),
                mode: 0o644,
                proc_handler: Some(handler::<F>),
                ..pin_init::zeroed()
            })
        })?;
        // SAFETY: `path` is static; the table and what it points at stay where they are (in buffers
        // on the heap) until `Drop` has unregistered it.
        let header = unsafe {
            bindings::register_sysctl_sz(path.as_char_ptr(), table.as_ptr(), table.len())
        };
        if header.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: Just registered.
        Ok(Self {
            header,
            _table: table,
            _slots: slots,
        })
    }
}

impl<F: Files> Drop for Folder<F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Waits for handlers that are running and lets none begin.
        unsafe { bindings::unregister_sysctl_table(self.header) };
    }
}

/// Longest line that a file may read as.
const LINE: usize = 4096;

/// `proc_handler` of every file. A value is written whole, by one call at position 0.
///
/// # Safety
///
/// As the kernel calls it: `table` is an entry of a registered table of a [`Folder<F>`], `buffer` a
/// kernel buffer of `*lenp` bytes (one more when written to, for a NUL), `lenp` and `ppos` valid.
unsafe extern "C" fn handler<F: Files>(
    table: *const bindings::ctl_table,
    write: c_int,
    buffer: *mut c_void,
    lenp: *mut usize,
    ppos: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: By the requirement; the slot lives for as long as the registration.
    let slot = unsafe { &*(*table).data.cast::<Slot<F>>() };
    // SAFETY: By the requirement, and nobody else has these meanwhile.
    let (len, pos) = unsafe { (&mut *lenp, &mut *ppos) };
    from_result(|| {
        if write != 0 {
            // SAFETY: By the requirement the buffer holds as many bytes.
            let text = unsafe { core::slice::from_raw_parts(buffer.cast::<u8>(), *len) };
            // A value written piece by piece would be several values.
            if *pos != 0 || text.is_empty() {
                return Err(EINVAL);
            }
            slot.files.store(slot.index, text)?;
            *pos = pos.saturating_add(i64::try_from(*len).unwrap_or(0));
            return Ok(0);
        }
        let mut line = Buffer::new(LINE, GFP_KERNEL, |_| Ok(0u8))?;
        let mut out = Formatter::new(&mut line);
        let written = slot
            .files
            .show(slot.index, &mut out)
            .and_then(|()| fmt::Write::write_str(&mut out, "\n"));
        if written.is_err() {
            return Err(EOVERFLOW);
        }
        let written = out.bytes_written().min(LINE);
        // A reader with a small buffer comes again for the rest.
        let from = usize::try_from(*pos).unwrap_or(LINE).min(written);
        let rest = line.get(from..written).unwrap_or_default();
        *len = rest.len().min(*len);
        // SAFETY: By the requirement the buffer has room for as many bytes as `*len` said, and now
        // says no more than that and than there are in `rest`.
        unsafe { core::ptr::copy_nonoverlapping(rest.as_ptr(), buffer.cast::<u8>(), *len) };
        *pos = pos.saturating_add(i64::try_from(*len).unwrap_or(0));
        Ok(0)
    })
}
