// SPDX-License-Identifier: GPL-2.0

//! A file of text in debugfs.
//!
//! The `kernel` crate's `debugfs::File` cannot be used by a module that is to be unloaded: its file
//! operations have no owner, so that an open file does not hold the module, and closing the file
//! afterwards (`full_proxy_release()`) looks for a `release` in operations that are gone. The short
//! operations have no such function, and are looked at only while the file is registered; but for
//! the very first open, if that sleeps for memory (`__debugfs_file_get()`) for as long as all of
//! the unloading takes. That is so for every module with a file in debugfs.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use super::buffer::Buffer;
use core::fmt;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        Error, //
    },
    ffi::{
        c_char,
        c_void, //
    },
    prelude::*,
    str::{
        CStr,
        Formatter, //
    },
    sync::Arc, //
};

/// The text of a file in debugfs, made anew for each read.
pub(crate) trait Text: Send + Sync {
    /// Writes all of it, at most [`LENGTH`] bytes.
    ///
    /// # Context
    ///
    /// Process context.
    fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// Longest text in bytes; reading a longer one fails with `EOVERFLOW`.
pub(crate) const LENGTH: usize = 8192;

/// A folder in debugfs with one file. Dropping it removes both and waits for running reads; a file
/// that is still open then reads as an error.
///
/// # Invariants
///
/// `folder` is what `debugfs_create_dir()` returned, not an error; the file in it refers to `text`.
pub(crate) struct TextFile<T: Text> {
    folder: *mut bindings::dentry,
    _text: Arc<T>,
}

// SAFETY: The file may be read from any task, which `Text` allows.
unsafe impl<T: Text> Send for TextFile<T> {}
// SAFETY: As above; no method takes `&self`.
unsafe impl<T: Text> Sync for TextFile<T> {}

impl<T: Text + 'static> TextFile<T> {
    const OPERATIONS: &'static bindings::debugfs_short_fops = &bindings::debugfs_short_fops {
        read: Some(read::<T>),
        write: None,
        llseek: None,
    };

    /// Makes the folder and the file, mode 0444.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the folder exists, `ENODEV` without debugfs, `EPERM` with `debugfs=off`, `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep; to be dropped there too.
    pub(crate) fn new(folder: &CStr, name: &CStr, text: Arc<T>) -> Result<Self> {
        // SAFETY: The name is NUL-terminated; NULL is the root of debugfs.
        let folder = from_err_ptr(unsafe {
            bindings::debugfs_create_dir(folder.as_char_ptr(), core::ptr::null_mut())
        })?;
        // INVARIANT: Not an error, and there is no file yet.
        let this = Self {
            folder,
            _text: text,
        };
        // SAFETY: `folder` is a folder of debugfs, the name is NUL-terminated, the operations are
        // static in this module, and the data lives until the file is gone: `Drop` comes before
        // the fields'.
        from_err_ptr(unsafe {
            bindings::debugfs_create_file_short(
                name.as_char_ptr(),
                0o444,
                folder,
                Arc::as_ptr(&this._text).cast_mut().cast::<c_void>(),
                core::ptr::null(),
                Self::OPERATIONS,
            )
        })?;
        Ok(this)
    }
}

impl<T: Text> Drop for TextFile<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Takes away what is in the folder too, and waits for
        // operations that are running (`debugfs_file_get()`).
        unsafe { bindings::debugfs_remove(self.folder) };
    }
}

/// `read` of the file.
///
/// # Safety
///
/// As debugfs calls it: `file` is an open file that was made with a `T` as its data, which is
/// still registered; `to` is user memory of `count` bytes, `pos` the position.
unsafe extern "C" fn read<T: Text>(
    file: *mut bindings::file,
    to: *mut c_char,
    count: usize,
    pos: *mut bindings::loff_t,
) -> isize {
    // SAFETY: By the requirement; `simple_open()` has put the data there.
    let text = unsafe { &*(*file).private_data.cast::<T>() };
    let filled = || -> Result<(Buffer<u8>, usize)> {
        let mut buffer = Buffer::new(LENGTH, GFP_KERNEL, |_| Ok(0u8))?;
        let mut out = Formatter::new(&mut buffer);
        text.write(&mut out).map_err(|_| EOVERFLOW)?;
        let written = out.bytes_written().min(LENGTH);
        Ok((buffer, written))
    };
    match filled() {
        // SAFETY: By the requirement, and `written` bytes of the buffer are there.
        Ok((buffer, written)) => unsafe {
            let read = bindings::simple_read_from_buffer(
                to.cast::<c_void>(),
                count,
                pos,
                buffer.as_ptr().cast::<c_void>(),
                written,
            );
            if read > 0 && *pos >= written as bindings::loff_t {
                *pos = END;
            }
            read
        },
        Err(e) => Error::to_errno(e) as isize,
    }
}

/// The position after a read that reached the end of the text: behind the end of any text. A text
/// that has grown since must not add its new end to what was read of the old one.
const END: bindings::loff_t = 1 << 40;

#[kunit_tests(vigil_debugfs)]
mod tests {
    use super::{
        super::testing::*,
        *, //
    };
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    const PLACE: (&CStr, &CStr) = (c"debugfs", c"vigil_kunit/text");

    /// So many lines of ten bytes.
    struct Lines(usize);

    impl Text for Lines {
        fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
            for line in 0..self.0 {
                writeln!(out, "line {line:04}")?;
            }
            Ok(())
        }
    }

    fn make(lines: usize) -> Result<TextFile<Lines>> {
        let text = Arc::new(Lines(lines), GFP_KERNEL)?;
        TextFile::new(c"vigil_kunit", c"text", text)
    }

    #[test]
    fn reads_as_its_text_from_any_place() -> Result {
        let made = make(3)?;
        let file = File::open(PLACE, false)?;
        let (mut line, mut pos) = ([0u8; 10], 10);
        assert_eq!(file.read_as_user(&mut line, &mut pos), Ok(10));
        assert_eq!(&line, b"line 0001\n");
        assert_eq!(pos, 20);
        let mut rest = [0u8; 100];
        assert_eq!(file.read_as_user(&mut rest, &mut pos), Ok(10));
        assert_eq!(file.read_as_user(&mut rest, &mut pos), Ok(0));
        drop(made);
        Ok(())
    }

    /// One line more each time that it is asked for.
    struct Growing(Atomic<usize>);

    impl Text for Growing {
        fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
            Lines(self.0.fetch_add(1, Relaxed)).write(out)
        }
    }

    #[test]
    fn what_has_grown_does_not_go_on() -> Result {
        let text = Arc::new(Growing(Atomic::new(2)), GFP_KERNEL)?;
        let made = TextFile::new(c"vigil_kunit", c"text", text)?;
        let file = File::open(PLACE, false)?;
        let (mut all, mut pos) = ([0u8; 100], 0);
        assert_eq!(file.read_as_user(&mut all, &mut pos), Ok(20));
        assert_eq!(file.read_as_user(&mut all, &mut pos), Ok(0));
        // From the beginning it is the text of now.
        assert_eq!(file.read_as_user(&mut all, &mut 0), Ok(40));
        drop(made);
        Ok(())
    }

    #[test]
    fn an_open_file_outlives_the_text() -> Result {
        let text = Arc::new(Lines(1), GFP_KERNEL)?;
        let made = TextFile::new(c"vigil_kunit", c"text", text.clone())?;
        let file = File::open(PLACE, false)?;
        drop(made);
        // The last reference.
        assert!(Arc::into_unique_or_drop(text).is_some());
        let mut line = [0u8; 10];
        assert!(file.read_as_user(&mut line, &mut 0).is_err());
        assert_eq!(File::open(PLACE, false).err(), Some(ENOENT));
        Ok(())
    }

    #[test]
    fn a_name_is_given_once() -> Result {
        let first = make(1)?;
        assert_eq!(make(1).err(), Some(EEXIST));
        // The failure took nothing away.
        File::open(PLACE, false)?;
        drop(first);
        drop(make(1)?);
        Ok(())
    }

    #[test]
    fn no_more_than_fits_is_read() -> Result {
        let fits = LENGTH / 10;
        let mut buffer = [0u8; 16];
        for (lines, result) in [(fits, Ok(16)), (fits.wrapping_add(1), Err(EOVERFLOW))] {
            let made = make(lines)?;
            let file = File::open(PLACE, false)?;
            assert_eq!(file.read_as_user(&mut buffer, &mut 0), result);
            drop(made);
        }
        Ok(())
    }
}
