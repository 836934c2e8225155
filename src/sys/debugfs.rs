// SPDX-License-Identifier: GPL-2.0

//! Files of text in debugfs.
//!
//! The `kernel` crate's `debugfs::File` cannot be used by a module that is to be unloaded: its file
//! operations have no owner, so that an open file does not hold the module, and closing the file
//! afterwards (`full_proxy_release()`) looks for a `release` in operations that are gone. The short
//! operations have no such function, and are looked at only while the file is registered; but for
//! the very first open, if that sleeps for memory (`__debugfs_file_get()`) for as long as all of
//! the unloading takes. That is so for every module with a file in debugfs.
//!
//! A text is made when a reader begins, and kept until that has read all of it, so that a reader who
//! reads in pieces gets one text. As the file operations say nothing of the end of an open file, there is
//! room for a few such texts, which take as much memory as they are long. The one that was read from
//! longest ago goes first, and one that was not read from for some minutes goes when the file is read
//! next.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use super::{
    buffer::Buffer,
    clock::monotonic, //
};
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
    new_mutex,
    prelude::*,
    str::{
        CStr,
        Formatter, //
    },
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// The text of a file in debugfs, made anew for each reader.
pub(crate) trait Text: Send + Sync {
    /// Longest text in bytes; reading a longer one fails with `EOVERFLOW`.
    const MAX_LENGTH: usize = 8192;

    /// Collects what the text is made from.
    ///
    /// # Errors
    ///
    /// What reading the file fails with.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    fn collect(&self) -> Result<impl FnOnce(&mut dyn fmt::Write) -> fmt::Result>;
}

/// How many texts are kept whose readers have not read all of them.
const KEPT: usize = 4;

/// For how long a text is kept that is not read from, in nanoseconds, if the file is read then.
const KEPT_NS: u64 = 300 * 1_000_000_000;

/// The text of a reader.
struct KeptText {
    /// Address of the open file.
    file: usize,
    text: Buffer<u8>,
    length: usize,
    /// When it was read from last.
    read: u64,
}

impl KeptText {
    /// The text in no more memory than it needs, if there is some.
    fn fitted(mut self) -> Self {
        if self.length < self.text.len() {
            let byte = |index| Ok(self.text.get(index).copied().unwrap_or(0));
            if let Ok(fitted) = Buffer::new(self.length, GFP_KERNEL, byte) {
                self.text = fitted;
            }
        }
        self
    }
}

/// What a file is made from.
#[pin_data]
struct FileData<T> {
    text: Arc<T>,
    /// The texts of readers, the one that was read from last at the end.
    #[pin]
    kept: Mutex<[Option<KeptText>; KEPT]>,
}

impl<T: Text> FileData<T> {
    /// Makes the text for a reader.
    fn make(&self, file: usize) -> Result<KeptText> {
        self.drop_old(monotonic());
        let write = self.text.collect()?;
        let mut text = Buffer::new(T::MAX_LENGTH, GFP_KERNEL, |_| Ok(0u8))?;
        let mut out = Formatter::new(&mut text);
        write(&mut out).map_err(|_| EOVERFLOW)?;
        let length = out.bytes_written().min(T::MAX_LENGTH);
        Ok(KeptText {
            file,
            text,
            length,
            read: 0,
        })
    }

    /// Drops the texts that were not read from for long.
    fn drop_old(&self, now: u64) {
        // Dropped after the lock.
        let mut old = [const { None }; KEPT];
        let mut kept = self.kept.lock();
        for (place, old) in kept.iter_mut().zip(&mut old) {
            let is_old = |text: &KeptText| now.saturating_sub(text.read) > KEPT_NS;
            if place.as_ref().is_some_and(is_old) {
                *old = place.take();
            }
        }
        drop(kept);
    }

    /// Takes the text of a reader. It is not there while another thread reads from the same file.
    fn take(&self, file: usize) -> Option<KeptText> {
        let mut kept = self.kept.lock();
        let is_its =
            |place: &&mut Option<KeptText>| place.as_ref().is_some_and(|text| text.file == file);
        kept.iter_mut().find(is_its)?.take()
    }

    /// Keeps the text of a reader.
    fn keep(&self, text: KeptText) {
        let text = text.fitted();
        let read = monotonic();
        let mut text = Some(KeptText { read, ..text });
        let mut kept = self.kept.lock();
        // From the end on each takes the place before it, as far as there is no free one.
        for place in kept.iter_mut().rev() {
            core::mem::swap(place, &mut text);
            if text.is_none() {
                break;
            }
        }
        drop(kept);
        // The one that was read from longest ago is dropped here, without the lock.
    }
}

/// A folder in debugfs. Dropping it removes it.
///
/// # Invariants
///
/// It is what `debugfs_create_dir()` returned, not an error.
pub(crate) struct Folder(*mut bindings::dentry);

// SAFETY: The functions of debugfs may be called from any task.
unsafe impl Send for Folder {}
// SAFETY: As above.
unsafe impl Sync for Folder {}

impl Folder {
    /// Makes a folder in the root of debugfs.
    ///
    /// # Errors
    ///
    /// `EEXIST` if it exists, `ENODEV` without debugfs, `EPERM` with `debugfs=off`, `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep; to be dropped there too.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The name is NUL-terminated; NULL is the root of debugfs.
        let folder = from_err_ptr(unsafe {
            bindings::debugfs_create_dir(name.as_char_ptr(), core::ptr::null_mut())
        })?;
        // INVARIANT: Not an error.
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. All files in it are gone before: they borrow it.
        unsafe { bindings::debugfs_remove(self.0) };
    }
}

/// A file of text in a folder. Dropping it removes it and waits for running reads; a file that is still
/// open then reads as an error.
///
/// # Invariants
///
/// `file` is what `debugfs_create_file_short()` returned, not an error, with `_data` as its data.
pub(crate) struct TextFile<T: Text> {
    file: *mut bindings::dentry,
    _data: Pin<KBox<FileData<T>>>,
    /// The file is removed before its folder is.
    _folder: Arc<Folder>,
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

    /// Makes the file, mode 0444.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one of this name, `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep; to be dropped there too.
    pub(crate) fn new(folder: &Arc<Folder>, name: &CStr, text: Arc<T>) -> Result<Self> {
        let data = KBox::pin_init(
            pin_init!(FileData {
                text,
                kept <- new_mutex!([const { None }; KEPT], "vigil::FileData::kept"),
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The folder is one of debugfs, the name is NUL-terminated, the operations are static
        // in this module, and the data lives until the file is gone: `Drop` comes before the fields'.
        let file = from_err_ptr(unsafe {
            bindings::debugfs_create_file_short(
                name.as_char_ptr(),
                0o444,
                folder.0,
                (&raw const *data).cast_mut().cast::<c_void>(),
                core::ptr::null(),
                Self::OPERATIONS,
            )
        })?;
        // INVARIANT: Not an error, and made with this data.
        Ok(Self {
            file,
            _data: data,
            _folder: folder.clone(),
        })
    }
}

impl<T: Text> Drop for TextFile<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Waits for operations that are running (`debugfs_file_get()`).
        unsafe { bindings::debugfs_remove(self.file) };
    }
}

/// `read` of the file.
///
/// # Safety
///
/// As debugfs calls it: `file` is an open file that was made with a `FileData<T>` as its data, which is
/// still registered; `to` is user memory of `count` bytes, `pos` the position.
unsafe extern "C" fn read<T: Text>(
    file: *mut bindings::file,
    to: *mut c_char,
    count: usize,
    pos: *mut bindings::loff_t,
) -> isize {
    // SAFETY: By the requirement; `simple_open()` has put the data there.
    let data = unsafe { &*(*file).private_data.cast::<FileData<T>>() };
    // SAFETY: By the requirement.
    let at = unsafe { *pos };
    if at >= END {
        return 0;
    }
    let key = file as usize;
    let text = match data.take(key) {
        Some(text) if at != 0 => Ok(text),
        _ => data.make(key),
    };
    match text {
        // SAFETY: By the requirement, and `length` bytes of the buffer are there.
        Ok(text) => unsafe {
            let read = bindings::simple_read_from_buffer(
                to.cast::<c_void>(),
                count,
                pos,
                text.text.as_ptr().cast::<c_void>(),
                text.length,
            );
            if read > 0 && *pos >= text.length as bindings::loff_t {
                *pos = END;
            } else if read > 0 {
                data.keep(text);
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

    /// Makes a file in a folder of its own.
    fn new_file<T: Text + 'static>(text: Arc<T>) -> Result<TextFile<T>> {
        let folder = Arc::new(Folder::new(c"vigil_kunit")?, GFP_KERNEL)?;
        TextFile::new(&folder, c"text", text)
    }

    /// So many lines of ten bytes.
    struct Lines(usize);

    fn write_lines(lines: usize, out: &mut dyn fmt::Write) -> fmt::Result {
        for line in 0..lines {
            writeln!(out, "line {line:04}")?;
        }
        Ok(())
    }

    impl Text for Lines {
        fn collect(&self) -> Result<impl FnOnce(&mut dyn fmt::Write) -> fmt::Result> {
            let lines = self.0;
            Ok(move |out: &mut dyn fmt::Write| write_lines(lines, out))
        }
    }

    fn make(lines: usize) -> Result<TextFile<Lines>> {
        new_file(Arc::new(Lines(lines), GFP_KERNEL)?)
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
        fn collect(&self) -> Result<impl FnOnce(&mut dyn fmt::Write) -> fmt::Result> {
            let lines = self.0.fetch_add(1, Relaxed);
            Ok(move |out: &mut dyn fmt::Write| write_lines(lines, out))
        }
    }

    #[test]
    fn what_has_grown_does_not_go_on() -> Result {
        let text = Arc::new(Growing(Atomic::new(2)), GFP_KERNEL)?;
        let made = new_file(text)?;
        let file = File::open(PLACE, false)?;
        let (mut all, mut pos) = ([0u8; 100], 0);
        assert_eq!(file.read_as_user(&mut all, &mut pos), Ok(20));
        assert_eq!(file.read_as_user(&mut all, &mut pos), Ok(0));
        // From the beginning it is the text of now.
        assert_eq!(file.read_as_user(&mut all, &mut 0), Ok(30));
        drop(made);
        Ok(())
    }

    /// Who reads in pieces gets one text, however often others begin to read meanwhile, up to as many as
    /// are kept.
    #[test]
    fn a_reader_gets_one_text() -> Result {
        let text = Arc::new(Growing(Atomic::new(3)), GFP_KERNEL)?;
        let made = new_file(text)?;
        let file = File::open(PLACE, false)?;
        let (mut line, mut pos) = ([0u8; 10], 0);
        for _ in 0..3 {
            assert_eq!(file.read_as_user(&mut line, &mut pos), Ok(10));
            for _ in 0..2 {
                let other = File::open(PLACE, false)?;
                assert_eq!(other.read_as_user(&mut line, &mut 0), Ok(10));
            }
        }
        // It had three lines.
        assert_eq!(file.read_as_user(&mut line, &mut pos), Ok(0));
        drop(made);
        Ok(())
    }

    /// Reads that were broken off keep nobody from reading, nor the file from going.
    #[test]
    fn reads_are_broken_off() -> Result {
        let made = make(3)?;
        let mut line = [0u8; 10];
        for _ in 0..KEPT.wrapping_mul(2) {
            let file = File::open(PLACE, false)?;
            assert_eq!(file.read_as_user(&mut line, &mut 0), Ok(10));
        }
        let file = File::open(PLACE, false)?;
        let (mut all, mut pos) = ([0u8; 100], 0);
        assert_eq!(file.read_as_user(&mut all, &mut pos), Ok(30));
        drop(made);
        Ok(())
    }

    /// What is kept of a text takes as much memory as it is long, and goes when nobody goes on to read it.
    #[test]
    fn what_is_kept_is_small_and_goes() -> Result {
        let made = make(3)?;
        let mut line = [0u8; 10];
        let file = File::open(PLACE, false)?;
        assert_eq!(file.read_as_user(&mut line, &mut 0), Ok(10));
        let kept = |made: &TextFile<Lines>| {
            let kept = made._data.kept.lock();
            let text = kept.iter().flatten().next();
            text.map(|text| (text.text.len(), text.read))
        };
        let Some((30, read)) = kept(&made) else {
            return Err(EINVAL);
        };
        made._data.drop_old(read.saturating_add(KEPT_NS));
        assert!(kept(&made).is_some());
        made._data
            .drop_old(read.saturating_add(KEPT_NS).saturating_add(1));
        assert!(kept(&made).is_none());
        // The reader goes on with a new one.
        assert_eq!(file.read_as_user(&mut line, &mut 10), Ok(10));
        drop(made);
        Ok(())
    }

    #[test]
    fn an_open_file_outlives_the_text() -> Result {
        let text = Arc::new(Lines(1), GFP_KERNEL)?;
        let made = new_file(text.clone())?;
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
        let fits = Lines::MAX_LENGTH / 10;
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
