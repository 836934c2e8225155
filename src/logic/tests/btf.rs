// SPDX-License-Identifier: GPL-2.0

//! Layouts from BTF: what is written by an encoder of the test's own is found, in bytes of any
//! content nothing is, and in those of a real kernel what its debug information has.

use proptest::prelude::*;
use std::collections::BTreeMap;
use vigil_logic::btf::{Btf, Member};

/// A kernel's types, in words of C.
#[derive(Clone, Debug)]
enum Ty {
    Int(u32),
    Ptr,
    Array,
    Enum(u32, u32),
    Enum64(u32),
    Fwd,
    /// Typedef, volatile, const, restrict or type tag of the type of that number.
    Modifier(u32, u32),
    FuncProto(u32),
    Var,
    Datasec(u32),
    Float,
    DeclTag,
    /// Members: name, number of the type, offset in bits, size of a bit field.
    Struct(String, u32, bool, Vec<(String, u32, u32, u32)>),
}

struct Encoder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Encoder {
    fn string(&mut self, text: &str) -> u32 {
        let at = self.strings.len() as u32;
        self.strings.extend(text.bytes().chain([0]));
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types
            .extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }

    fn head(&mut self, name: u32, kind: u32, flag: bool, len: usize, size: u32) {
        self.words(&[name, u32::from(flag) << 31 | kind << 24 | len as u32, size]);
    }

    fn put(&mut self, ty: &Ty) {
        match ty {
            Ty::Int(size) => {
                self.head(0, 1, false, 0, *size);
                self.words(&[size * 8]);
            }
            Ty::Ptr => self.head(0, 2, false, 0, 1),
            Ty::Array => {
                self.head(0, 3, false, 0, 0);
                self.words(&[1, 1, 4]);
            }
            Ty::Enum(size, values) => {
                self.head(0, 6, false, *values as usize, *size);
                self.words(&vec![7; *values as usize * 2]);
            }
            Ty::Enum64(values) => {
                self.head(0, 19, false, *values as usize, 8);
                self.words(&vec![7; *values as usize * 3]);
            }
            Ty::Fwd => self.head(0, 7, true, 0, 0),
            Ty::Modifier(kind, number) => self.head(0, *kind, false, 0, *number),
            Ty::FuncProto(args) => {
                self.head(0, 13, false, *args as usize, 0);
                self.words(&vec![1; *args as usize * 2]);
            }
            Ty::Var => {
                self.head(0, 14, false, 0, 1);
                self.words(&[1]);
            }
            Ty::Datasec(vars) => {
                self.head(0, 15, false, *vars as usize, 8);
                self.words(&vec![1; *vars as usize * 3]);
            }
            Ty::Float => self.head(0, 16, false, 0, 8),
            Ty::DeclTag => {
                self.head(0, 17, false, 0, 1);
                self.words(&[u32::MAX]);
            }
            Ty::Struct(name, size, flag, members) => {
                let name = self.string(name);
                self.head(name, 4, *flag, members.len(), *size);
                for (name, number, bits, field) in members {
                    let name = self.string(name);
                    self.words(&[name, *number, field << 24 | bits]);
                }
            }
        }
    }
}

fn encode(types: &[Ty]) -> Vec<u8> {
    let mut encoder = Encoder {
        types: vec![],
        strings: vec![0],
    };
    for ty in types {
        encoder.put(ty);
    }
    let mut out = vec![];
    out.extend(0xeb9fu16.to_ne_bytes());
    out.extend([1, 0]);
    let lengths = (encoder.types.len() as u32, encoder.strings.len() as u32);
    for word in [24u32, 0, lengths.0, lengths.0, lengths.1] {
        out.extend(word.to_ne_bytes());
    }
    out.extend(encoder.types);
    out.extend(encoder.strings);
    out
}

/// What there is to find, by looking at the types themselves.
fn expected(types: &[Ty], structure: &str, member: &str) -> Option<Member> {
    fn size(types: &[Ty], mut number: u32) -> Option<u32> {
        for _ in 0..16 {
            match types.get((number as usize).checked_sub(1)?)? {
                Ty::Int(size) | Ty::Enum(size, _) | Ty::Struct(_, size, ..) => return Some(*size),
                Ty::Enum64(_) | Ty::Ptr => return Some(8),
                Ty::Modifier(_, next) => number = *next,
                _ => return None,
            }
        }
        None
    }
    let mut places = vec![];
    for ty in types {
        let Ty::Struct(name, total, flag, members) = ty else {
            continue;
        };
        if name != structure {
            continue;
        }
        let Some((_, number, bits, field)) = members.iter().find(|found| found.0 == member) else {
            continue;
        };
        let place = || {
            let place = Member {
                offset: bits / 8,
                size: size(types, *number)?,
            };
            let is_field = *flag && *field != 0;
            (!is_field && bits % 8 == 0 && place.offset + place.size <= *total).then_some(place)
        };
        places.push(place());
    }
    let first = *places.first()?;
    first.filter(|_| places.iter().all(|place| *place == first))
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["rq", "r", "rqs", "nr_running", "nr_running2", ""])
        .prop_map(str::to_owned)
}

fn ty() -> impl Strategy<Value = Ty> {
    let member = (
        name(),
        0..16u32,
        0..640u32,
        prop::sample::select(vec![0, 0, 0, 3]),
    );
    // Most are where a compiler puts them.
    let member =
        (member, prop::bool::weighted(0.9)).prop_map(|((name, ty, bits, field), whole)| {
            (name, ty, if whole { bits & !7 } else { bits }, field)
        });
    prop_oneof![
        prop::sample::select(vec![1, 4, 8]).prop_map(Ty::Int),
        Just(Ty::Ptr),
        Just(Ty::Array),
        (Just(4), 0..4u32).prop_map(|(size, values)| Ty::Enum(size, values)),
        (0..4u32).prop_map(Ty::Enum64),
        Just(Ty::Fwd),
        (prop::sample::select(vec![8, 9, 10, 11, 18]), 0..16u32)
            .prop_map(|(kind, ty)| Ty::Modifier(kind, ty)),
        (0..4u32).prop_map(Ty::FuncProto),
        Just(Ty::Var),
        (0..4u32).prop_map(Ty::Datasec),
        Just(Ty::Float),
        Just(Ty::DeclTag),
        (
            name(),
            0..100u32,
            any::<bool>(),
            prop::collection::vec(member, 0..4)
        )
            .prop_map(|(name, size, flag, mut members)| {
                if !flag {
                    // There the whole word is the offset.
                    members.iter_mut().for_each(|member| member.3 = 0);
                }
                Ty::Struct(name, size, flag, members)
            }),
    ]
}

proptest! {
    #[test]
    fn what_is_there_is_found(types in prop::collection::vec(ty(), 0..16), structure in name(), member in name()) {
        let data = encode(&types);
        let btf = Btf::parse(&data).unwrap();
        prop_assert_eq!(
            btf.member(structure.as_bytes(), member.as_bytes()),
            expected(&types, &structure, &member)
        );
    }

    /// What is cut off or overwritten is no panic, and nothing beyond the structure.
    #[test]
    fn damaged(types in prop::collection::vec(ty(), 0..16), cut in any::<prop::sample::Index>(),
               writes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
        let mut data = encode(&types);
        for (at, byte) in writes {
            let at = at.index(data.len());
            data[at] = byte;
        }
        data.truncate(cut.index(data.len() + 1));
        if let Some(btf) = Btf::parse(&data) {
            let _ = btf.member(b"rq", b"nr_running");
        }
    }

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Btf::parse(&data).is_none_or(|btf| btf.member(b"rq", b"nr_running").is_none()));
    }
}

fn one(ty: Ty) -> Vec<Ty> {
    vec![Ty::Int(8), ty]
}

#[test]
fn a_structure_of_that_name_that_differs() {
    let rq = |bits| Ty::Struct("rq".into(), 64, false, vec![("n".into(), 1, bits, 0)]);
    let find = |types: &[Ty]| Btf::parse(&encode(types)).unwrap().member(b"rq", b"n");
    let place = Member { offset: 8, size: 8 };
    assert_eq!(find(&one(rq(64))), Some(place));
    assert_eq!(find(&[Ty::Int(8), rq(64), rq(64)]), Some(place));
    assert_eq!(find(&[Ty::Int(8), rq(64), rq(128)]), None);
    // One without such a member may be a driver's own.
    let other = Ty::Struct("rq".into(), 8, false, vec![("m".into(), 1, 0, 0)]);
    assert_eq!(find(&[Ty::Int(8), other, rq(64)]), Some(place));
}

#[test]
fn typedefs_in_a_circle() {
    let rq = Ty::Struct("rq".into(), 64, false, vec![("n".into(), 1, 0, 0)]);
    let types = [Ty::Modifier(8, 2), Ty::Modifier(10, 1), rq];
    assert_eq!(
        Btf::parse(&encode(&types)).unwrap().member(b"rq", b"n"),
        None
    );
}

#[test]
fn other_byte_order_and_version() {
    let data = encode(&[]);
    assert!(Btf::parse(&data).is_some());
    for (at, byte) in [(0, 0xeb), (1, 0), (2, 2)] {
        let mut other = data.clone();
        other[at] = byte;
        assert!(Btf::parse(&other).is_none());
    }
}

/// The running kernel's, where it has one: other programs find these places too, if the headers of
/// the C library's system calls do not change.
#[test]
fn a_real_kernel() {
    let Ok(data) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("skipped: this kernel has no BTF");
        return;
    };
    let btf = Btf::parse(&data).expect("BTF of a kernel");
    let places: BTreeMap<&str, Option<Member>> = ["tv_sec", "tv_nsec", "no_such"]
        .into_iter()
        .map(|member| (member, btf.member(b"timespec64", member.as_bytes())))
        .collect();
    assert_eq!(places["tv_sec"], Some(Member { offset: 0, size: 8 }));
    assert_eq!(places["tv_nsec"], Some(Member { offset: 8, size: 8 }));
    assert_eq!(places["no_such"], None);
}
