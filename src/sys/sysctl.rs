// SPDX-License-Identifier: GPL-2.0

//! Files under `/proc/sys`.
//!
//! C header: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h)

use super::buffer::Buffer;
use core::fmt;
use kernel::{
    bindings,
    error::from_result,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    str::{
        CStr,
        CString,
        Formatter, //
    },
    sync::Arc, //
};

/// Handles reads and writes of the files of a [`SysctlTable`], which it knows by their index.
pub(crate) trait SysctlOps: Send + Sync {
    /// Number of files.
    const COUNT: usize;

    /// Name of a file.
    fn name(index: usize) -> &'static str;

    /// Whether a file can be written.
    fn is_writable(index: usize) -> bool;

    /// Writes the value of a file to `out`, without the newline. Called twice for a read: a value that
    /// grows in between is an error for the reader (`EOVERFLOW`).
    ///
    /// # Context
    ///
    /// Process context of the reader, may sleep.
    fn show(&self, index: usize, out: &mut dyn fmt::Write) -> fmt::Result;

    /// Sets the value of a file from the text that was written to it, newline included.
    ///
    /// # Errors
    ///
    /// The error that `write(2)` returns. Nothing may have changed then.
    ///
    /// # Context
    ///
    /// Process context of the writer, may sleep.
    fn store(&self, index: usize, text: &[u8]) -> Result;
}

/// One file: `data` of its entry in the kernel's table points to this.
struct Slot<F> {
    files: Arc<F>,
    index: usize,
    name: CString,
}

/// Registered files in a folder under `/proc/sys`. Dropping it waits for running reads and writes and
/// removes the files.
///
/// # Invariants
///
/// `header` is the registration of `_table`, whose entries point into `_slots`. Neither moves, nor is it
/// freed before `Drop` has unregistered `header`: fields are dropped afterwards.
pub(crate) struct SysctlTable<F: SysctlOps> {
    header: *mut bindings::ctl_table_header,
    _table: Buffer<bindings::ctl_table>,
    _slots: Buffer<Slot<F>>,
}

// SAFETY: What the kernel calls through the table may run in any task, which `SysctlOps` allows.
unsafe impl<F: SysctlOps> Send for SysctlTable<F> {}
// SAFETY: As above; no method takes `&self`.
unsafe impl<F: SysctlOps> Sync for SysctlTable<F> {}

impl<F: SysctlOps + 'static> SysctlTable<F> {
    /// Registers the files of `files` for which `wanted` holds in the folder `/proc/sys/<path>`, with
    /// mode 0644, or 0444. Creates the folder if there is none.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also when a file of one of the names is there already. The kernel does not tell, logs a
    /// stack, and up to 7.3 loses the files that are in the folder (`insert_header()` undoes what it
    /// has not done): ask [`ProcMount::has_sysctl`](super::procfs::ProcMount::has_sysctl) first in a folder that is not the module's own.
    pub(crate) fn new(
        path: &'static CStr,
        files: &Arc<F>,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Self> {
        let indices = || (0..F::COUNT).filter(|&index| wanted(index));
        let count = indices().fold(0usize, |n, _| n.wrapping_add(1));
        let slots = Buffer::new(count, GFP_KERNEL, |place| {
            let index = indices().nth(place).ok_or(EINVAL)?;
            Ok(Slot {
                files: files.clone(),
                index,
                name: CString::try_from_fmt(fmt!("{}", F::name(index)))?,
            })
        })?;
        let table = Buffer::new(count, GFP_KERNEL, |place| {
            let slot = slots.get(place).ok_or(EINVAL)?;
            Ok(bindings::ctl_table {
                procname: slot.name.as_char_ptr(),
                data: core::ptr::from_ref(slot).cast_mut().cast::<c_void>(),
                mode: if F::is_writable(slot.index) {
                    0o644
                } else {
                    0o444
                },
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

impl<F: SysctlOps> Drop for SysctlTable<F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Waits for handlers that are running and lets none begin.
        unsafe { bindings::unregister_sysctl_table(self.header) };
    }
}

/// Room for a value that grows from one call of [`SysctlOps::show`] to the next, in bytes.
const GROWTH: usize = 64;

/// Counts the bytes of a text.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// Gets the line that a file reads as, and its length. A list of CPUs may have a number for each second
/// CPU, which no fixed size has room for.
fn line_of<F: SysctlOps>(slot: &Slot<F>) -> Result<(Buffer<u8>, usize)> {
    let mut length = Length(GROWTH);
    slot.files
        .show(slot.index, &mut length)
        .map_err(|_| EINVAL)?;
    let mut line = Buffer::new(length.0, GFP_KERNEL, |_| Ok(0u8))?;
    let mut out = Formatter::new(&mut line);
    let written = slot
        .files
        .show(slot.index, &mut out)
        .and_then(|()| fmt::Write::write_str(&mut out, "\n"));
    if written.is_err() {
        return Err(EOVERFLOW);
    }
    let written = out.bytes_written().min(length.0);
    Ok((line, written))
}

/// `proc_handler` of every file. A value is written whole, by one call at position 0.
///
/// # Safety
///
/// As the kernel calls it: `table` is an entry of a registered table of a [`SysctlTable<F>`], `buffer` a
/// kernel buffer of `*lenp` bytes (one more when written to, for a NUL), `lenp` and `ppos` valid.
unsafe extern "C" fn handler<F: SysctlOps>(
    table: *const bindings::ctl_table,
    write: c_int,
    buffer: *mut c_void,
    lenp: *mut usize,
    ppos: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: By the requirement; the slot lives for as long as the registration.
    let slot = unsafe { &*(*table).data.cast::<Slot<F>>() };
    // SAFETY: By the requirement; they belong to this call.
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
        let (line, written) = line_of(slot)?;
        // A reader with a small buffer reads again for the rest.
        let from = usize::try_from(*pos).unwrap_or(written).min(written);
        let rest = line.get(from..written).unwrap_or_default();
        *len = rest.len().min(*len);
        // SAFETY: By the requirement the buffer has room for as many bytes as `*len` said, and now
        // says no more than that and than there are in `rest`.
        unsafe { core::ptr::copy_nonoverlapping(rest.as_ptr(), buffer.cast::<u8>(), *len) };
        *pos = pos.saturating_add(i64::try_from(*len).unwrap_or(0));
        Ok(0)
    })
}

#[kunit_tests(vigil_sysctl)]
mod tests {
    use super::{
        super::{
            procfs::ProcMount,
            testing::*, //
        },
        *, //
    };
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// A digit, which can be written; a text that is longer than a page, which cannot.
    struct Two(Atomic<i32>);

    const DIGIT: (&CStr, &CStr) = (c"proc", c"sys/vigil_kunit/digit");
    const LONG: (&CStr, &CStr) = (c"proc", c"sys/vigil_kunit/long");

    impl SysctlOps for Two {
        const COUNT: usize = 2;

        fn name(index: usize) -> &'static str {
            if index == 0 {
                "digit"
            } else {
                "long"
            }
        }

        fn is_writable(_index: usize) -> bool {
            true
        }

        fn show(&self, index: usize, out: &mut dyn fmt::Write) -> fmt::Result {
            if index == 0 {
                write!(out, "the digit is {}", self.0.load(Relaxed))
            } else {
                write!(out, "{:5000}", 0)
            }
        }

        fn store(&self, index: usize, text: &[u8]) -> Result {
            match (index, text) {
                (0, &[digit @ b'0'..=b'9'] | &[digit @ b'0'..=b'9', b'\n']) => {
                    self.0.store(i32::from(digit & 0xf), Relaxed);
                    Ok(())
                }
                (0, _) => Err(ERANGE),
                _ => Err(EACCES),
            }
        }
    }

    fn folder() -> Result<(SysctlTable<Two>, Arc<Two>)> {
        let files = Arc::new(Two(Atomic::new(7)), GFP_KERNEL)?;
        Ok((SysctlTable::new(c"vigil_kunit", &files, |_| true)?, files))
    }

    #[test]
    fn a_file_reads_as_it_is_shown() -> Result {
        let (folder, files) = folder()?;
        let file = File::open(DIGIT, false)?;
        let (mut all, mut pos) = ([0u8; 64], 0);
        assert_eq!(file.read(&mut all, &mut pos), Ok(15));
        assert!(all.starts_with(b"the digit is 7\n\0"));
        assert_eq!(file.read(&mut all, &mut pos), Ok(0));
        // A piece from the middle.
        files.0.store(8, Relaxed);
        let (mut piece, mut pos) = ([0u8; 4], 12);
        assert_eq!(file.read(&mut piece, &mut pos), Ok(3));
        assert_eq!(&piece, b" 8\n\0");
        // Far behind the end.
        assert_eq!(file.read(&mut piece, &mut 10_000), Ok(0));
        drop(folder);
        Ok(())
    }

    #[test]
    fn what_is_written_is_stored_or_refused() -> Result {
        let (folder, files) = folder()?;
        let file = File::open(DIGIT, true)?;
        assert_eq!(file.write(b"3\n", &mut 0), Ok(2));
        assert_eq!(files.0.load(Relaxed), 3);
        for (text, pos, error) in [
            (&b"x"[..], 0, ERANGE),
            (b"12", 0, ERANGE),
            // A value written piece by piece.
            (b"4", 1, EINVAL),
        ] {
            let mut at = pos;
            assert_eq!(file.write(text, &mut at), Err(error));
            assert_eq!(at, pos);
            assert_eq!(files.0.load(Relaxed), 3);
        }
        let long = File::open(LONG, true)?;
        assert_eq!(long.write(b"1", &mut 0), Err(EACCES));
        drop(folder);
        Ok(())
    }

    #[test]
    fn a_long_line_reads_whole() -> Result {
        let (folder, _) = folder()?;
        let file = File::open(LONG, false)?;
        let (mut text, mut pos) = (Buffer::new(8000, GFP_KERNEL, |_| Ok(b'x'))?, 0);
        assert_eq!(file.read(&mut text, &mut pos), Ok(5001));
        assert_eq!(text.get(4990..5002), Some(&b"         0\nx"[..]));
        assert_eq!(file.read(&mut text, &mut pos), Ok(0));
        drop(folder);
        Ok(())
    }

    /// A value that is longer at each call.
    struct Growing(Atomic<i32>);

    impl SysctlOps for Growing {
        const COUNT: usize = 1;

        fn name(_index: usize) -> &'static str {
            "digit"
        }

        fn is_writable(_index: usize) -> bool {
            false
        }

        fn show(&self, _index: usize, out: &mut dyn fmt::Write) -> fmt::Result {
            let times = self.0.fetch_add(1, Relaxed);
            (0..100 * times).try_for_each(|_| out.write_char('9'))
        }

        fn store(&self, _index: usize, _text: &[u8]) -> Result {
            Err(EPERM)
        }
    }

    #[test]
    fn a_value_that_grows_is_an_error() -> Result {
        let files = Arc::new(Growing(Atomic::new(1)), GFP_KERNEL)?;
        let folder = SysctlTable::new(c"vigil_kunit", &files, |_| true)?;
        let mut text = [0u8; 1024];
        let read = File::open(DIGIT, false)?.read(&mut text, &mut 0);
        assert_eq!(read, Err(EOVERFLOW));
        drop(folder);
        Ok(())
    }

    #[test]
    fn an_open_file_outlives_the_folder() -> Result {
        let (folder, files) = folder()?;
        let file = File::open(DIGIT, true)?;
        drop(folder);
        // The last reference.
        assert!(Arc::into_unique_or_drop(files).is_some());
        assert_eq!(file.read(&mut [0u8; 8], &mut 0), Err(ENOENT));
        assert_eq!(file.write(b"3", &mut 0), Err(ENOENT));
        assert_eq!(File::open(DIGIT, false).err(), Some(ENOENT));
        Ok(())
    }

    #[test]
    fn only_what_is_wanted_is_there() -> Result {
        let files = Arc::new(Two(Atomic::new(7)), GFP_KERNEL)?;
        let proc = ProcMount::new()?;
        let there = |name: &str| proc.has_sysctl(fmt!("vigil_kunit/{name}"));
        assert_eq!(there("long"), Ok(false));
        let folder = SysctlTable::new(c"vigil_kunit", &files, |index| index == 1)?;
        assert_eq!(there("long"), Ok(true));
        assert_eq!(there("digit"), Ok(false));
        // The place in the table is not the file's.
        assert_eq!(File::open(LONG, true)?.write(b"1", &mut 0), Err(EACCES));
        drop(folder);
        assert_eq!(there("long"), Ok(false));
        // The other one joins a folder that is there already.
        let folder = SysctlTable::new(c"vigil_kunit", &files, |index| index == 1)?;
        let other = SysctlTable::new(c"vigil_kunit", &files, |index| index == 0)?;
        assert_eq!(there("digit"), Ok(true));
        drop(folder);
        assert_eq!(there("long"), Ok(false));
        assert_eq!(there("digit"), Ok(true));
        drop(other);
        assert_eq!(there("digit"), Ok(false));
        assert_eq!(proc.has_sysctl(fmt!("kernel/panic")), Ok(true));
        Ok(())
    }

    /// Not tried: a name that is taken. `insert_header()` takes all entries of the folder that is
    /// there out of its tree then.
    #[test]
    fn comes_and_goes() -> Result {
        for _ in 0..10 {
            let (folder, _files) = folder()?;
            let mut text = [0u8; 64];
            assert_eq!(File::open(DIGIT, false)?.read(&mut text, &mut 0), Ok(15));
            drop(folder);
        }
        Ok(())
    }
}
