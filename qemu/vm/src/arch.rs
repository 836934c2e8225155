// SPDX-License-Identifier: GPL-2.0
//! The architecture of a guest, and what depends on it.

/// A machine architecture that guests can have. The artifacts folder says which one its kernel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// x86, 64 bits.
    X86_64,
    /// ARM, 64 bits.
    Aarch64,
}

impl Arch {
    const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The name that `uname -m` prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The architecture of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.name() == name)
    }

    /// Name of the QEMU program, looked up in PATH.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// QEMU's machine type. For x86 q35, which has hot-plug slots; pc is no faster. For ARM
    /// with a GICv3, the first interrupt controller whose priorities make pseudo-NMIs
    /// possible.
    pub(crate) fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "q35",
            Self::Aarch64 => "virt,gic-version=3",
        }
    }

    /// Whether a file that begins with these bytes may be a kernel. For x86 QEMU checks
    /// that itself; for ARM it executes any file.
    pub(crate) fn may_be_kernel(self, head: &[u8]) -> bool {
        let at = |offset: usize, magic: &[u8]| {
            head.get(offset..)
                .is_some_and(|rest| rest.starts_with(magic))
        };
        match self {
            Self::X86_64 => true,
            // Image, Image.gz, or an EFI zboot image.
            Self::Aarch64 => at(56, b"ARM\x64") || at(0, b"\x1f\x8b") || at(4, b"zimg"),
        }
    }

    /// Name of the serial console's device in the guest.
    pub fn serial(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }
}
