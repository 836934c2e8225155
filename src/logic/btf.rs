// SPDX-License-Identifier: GPL-2.0

//! Layouts of the kernel's structures, from its BTF (`Documentation/bpf/btf.rst`,
//! `include/uapi/linux/btf.h`): where a structure is private to a folder of the kernel, and the tree
//! that the module was built against has headers only.
//!
//! BTF is a section of the kernel's image that it makes of its own debug information. It is read in
//! the machine's byte order and taken for what it may be: any bytes.

/// `BTF_MAGIC`
const MAGIC: u16 = 0xeb9f;
/// `BTF_VERSION`
const VERSION: u8 = 1;
/// Length of a `struct btf_type`, without what follows it.
const TYPE_LEN: usize = 12;
/// Length of a `struct btf_member`.
const MEMBER_LEN: usize = 12;
/// How many typedefs and qualifiers are followed from a member to its type.
const MAX_MODIFIERS: u32 = 16;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Where a member of a structure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its offset in bytes.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
}

/// BTF of the kernel.
#[derive(Clone, Copy)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

/// One type, with what follows it.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    info: u32,
    /// `size` or `type`
    size_or_type: u32,
    /// What follows it: members, of a structure.
    tail: &'a [u8],
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let word = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(word.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

/// The part of `bytes` that begins at `at` and has a length of `len`.
fn part(bytes: &[u8], at: u32, len: u32) -> Option<&[u8]> {
    let at = at as usize;
    bytes.get(at..at.checked_add(len as usize)?)
}

impl Type<'_> {
    fn kind(&self) -> u32 {
        (self.info >> 24) & 0x7f
    }

    fn has_kind_flag(&self) -> bool {
        self.info >> 31 != 0
    }
}

/// How many bytes follow a type; `None` for a kind that is not known here.
fn tail_len(kind: u32, elements: u32) -> Option<usize> {
    let elements = elements as usize;
    match kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => Some(4),
        KIND_ARRAY => Some(12),
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => elements.checked_mul(MEMBER_LEN),
        KIND_ENUM | KIND_FUNC_PROTO => elements.checked_mul(8),
        // Void, pointers, forward declarations, typedefs, qualifiers, functions, floats.
        0 | KIND_PTR | 7..=12 | 16 | KIND_TYPE_TAG => Some(0),
        _ => None,
    }
}

/// The types in their order, the first of which has the number 1. It ends at what is no type.
struct Types<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Types<'a> {
    type Item = Type<'a>;

    fn next(&mut self) -> Option<Type<'a>> {
        let info = u32_at(self.rest, 4)?;
        let end = TYPE_LEN.checked_add(tail_len((info >> 24) & 0x7f, info & 0xff_ffff)?)?;
        let found = Type {
            name: u32_at(self.rest, 0)?,
            info,
            size_or_type: u32_at(self.rest, 8)?,
            tail: self.rest.get(TYPE_LEN..end)?,
        };
        self.rest = self.rest.get(end..)?;
        Some(found)
    }
}

impl<'a> Btf<'a> {
    /// Finds the parts of `data`; `None` if it is no BTF of this machine's byte order.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        if u16_at(data, 0)? != MAGIC || *data.get(2)? != VERSION {
            return None;
        }
        let rest = data.get(u32_at(data, 4)? as usize..)?;
        Some(Self {
            types: part(rest, u32_at(data, 8)?, u32_at(data, 12)?)?,
            strings: part(rest, u32_at(data, 16)?, u32_at(data, 20)?)?,
        })
    }

    /// Finds a member of a structure by their names; `None` if there is none, if it is a bit field,
    /// or if structures of that name differ in it.
    ///
    /// Members of unnamed structures inside of it are not looked for.
    pub fn member(&self, structure: &[u8], member: &[u8]) -> Option<Member> {
        let mut found: Option<Member> = None;
        for ty in self.all() {
            if ty.kind() != KIND_STRUCT || !self.is_named(ty.name, structure) {
                continue;
            }
            let Some(raw) = ty
                .tail
                .chunks_exact(MEMBER_LEN)
                .find(|raw| u32_at(raw, 0).is_some_and(|name| self.is_named(name, member)))
            else {
                continue;
            };
            let this = self.place(&ty, raw)?;
            if found.is_some_and(|found| found != this) {
                return None;
            }
            found = Some(this);
        }
        found
    }

    /// As [`member`](Self::member), its offset alone; `None` also if its size is not `size`.
    pub fn offset(&self, structure: &[u8], member: &[u8], size: usize) -> Option<u32> {
        let found = self.member(structure, member)?;
        (found.size as usize == size).then_some(found.offset)
    }

    fn all(&self) -> Types<'a> {
        Types { rest: self.types }
    }

    /// Where the member `raw` of the structure `ty` is.
    fn place(&self, ty: &Type<'_>, raw: &[u8]) -> Option<Member> {
        let bits = match (ty.has_kind_flag(), u32_at(raw, 8)?) {
            (false, bits) => bits,
            // The upper byte is the size of a bit field.
            (true, bits) if bits >> 24 == 0 => bits,
            (true, _) => return None,
        };
        let member = Member {
            offset: bits >> 3,
            size: self.size(u32_at(raw, 4)?)?,
        };
        let is_inside = member.offset.checked_add(member.size)? <= ty.size_or_type;
        (bits & 7 == 0 && is_inside).then_some(member)
    }

    /// The size of the type with that number, in bytes; `None` for an array and for what has none.
    fn size(&self, number: u32) -> Option<u32> {
        let mut number = number;
        for _ in 0..MAX_MODIFIERS {
            let ty = self.all().nth(number.checked_sub(1)? as usize)?;
            match ty.kind() {
                KIND_INT | KIND_STRUCT | KIND_UNION | KIND_ENUM | KIND_ENUM64 => {
                    return Some(ty.size_or_type)
                }
                KIND_PTR => return Some(size_of::<usize>() as u32),
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    number = ty.size_or_type;
                }
                _ => return None,
            }
        }
        None
    }

    /// Whether the string at `at` is `name`.
    fn is_named(&self, at: u32, name: &[u8]) -> bool {
        self.strings
            .get(at as usize..)
            .and_then(|string| string.strip_prefix(name))
            .and_then(<[u8]>::first)
            == Some(&0)
    }
}
