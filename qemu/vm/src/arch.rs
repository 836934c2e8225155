// SPDX-License-Identifier: GPL-2.0
//! What kind of machine a guest is, and what depends on that.

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

    /// As `uname -m` says there.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The one of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.name() == name)
    }

    /// QEMU, looked up in PATH.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// QEMU's machine. That of x86 makes no difference in time; this one has
    /// hot-plug slots. ARM's interrupts have priorities, of which NMIs are made, from
    /// this version of their controller on.
    pub(crate) fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "q35",
            Self::Aarch64 => "virt,gic-version=3",
        }
    }

    /// Whether a file that begins like this may be a kernel. For x86 QEMU looks
    /// itself; for ARM it takes anything for a program, which then runs into nowhere.
    pub(crate) fn may_be_kernel(self, head: &[u8]) -> bool {
        let at = |offset: usize, magic: &[u8]| {
            head.get(offset..)
                .is_some_and(|rest| rest.starts_with(magic))
        };
        match self {
            Self::X86_64 => true,
            // As it is, compressed by gzip, or unpacking itself.
            Self::Aarch64 => at(56, b"ARM\x64") || at(0, b"\x1f\x8b") || at(4, b"zimg"),
        }
    }

    /// The name of the machine's serial line in the guest.
    pub fn serial(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }
}
