// SPDX-License-Identifier: GPL-2.0
//! Memory: the module's sections, what each CPU and each tracked task takes, and the largest stack
//! frame.

use crate::{
    guest,
    results::{Bound, Cell, Measured, Outcome, Table},
};
use anyhow::{ensure, Context, Result};
use regex::Regex;
use std::{ffi::OsStr, path::Path, process::Command, ptr::NonNull};
use vigil_logic::{
    hung_task::table::{buckets_for, Entry},
    messages::status::watchdog::BYTES_PER_CPU,
};
use vigil_vm::{Arch, Artifacts, Config};

/// Most bytes for each CPU, and of a stack frame.
const MOST: f64 = 1024.0;

pub(super) fn run(artifacts: &Artifacts) -> Result<Outcome> {
    let module = artifacts.file("vigil.ko").context("no vigil.ko")?;
    let sections = parse_sections(&output("readelf", &["-SW".as_ref(), module.as_ref()])?)?;
    let size = |is_it: &dyn Fn(&Section) -> bool| -> u64 {
        let chosen = sections.iter().filter(|section| is_it(section));
        chosen.map(|section| section.size).sum()
    };
    let is_init = |section: &Section| section.name.contains(".init");
    let is_percpu = |section: &Section| section.name == ".data..percpu";
    let is_bss = |section: &Section| section.kind == "NOBITS";
    let is_data = |section: &Section| !is_init(section) && !is_percpu(section) && !is_bss(section);
    let percpu = size(&is_percpu);

    let mut table = Table::new("", ["", "bytes"]);
    let mut row = |name: &str, bytes: u64| {
        println!("{name}: {bytes}");
        table.row([Cell::text(name), Cell::Count(bytes)], Vec::new());
    };
    row(
        "text",
        size(&|section| is_data(section) && section.flags.contains('X')),
    );
    row(
        "constants",
        size(&|section| is_data(section) && !section.flags.contains(['X', 'W'])),
    );
    row(
        "data",
        size(&|section| is_data(section) && section.flags.contains('W')),
    );
    row("bss", size(&is_bss));
    row("freed after load", size(&is_init));

    let capacity = 1 << 17;
    let entry = size_of::<Entry<Option<NonNull<u8>>>>();
    let each = entry + buckets_for(capacity) * size_of::<u32>() / capacity;
    row(
        "for each task for which the table of tracked tasks has room",
        each as u64,
    );

    let vm = guest::boot(Config::new("bench-size"))?;
    vm.load("")?;
    let rust = guest::status(&vm, BYTES_PER_CPU)?;
    vm.unload()?;
    let is_x86 = vm.arch() == Arch::X86_64;
    drop(vm);
    let bound = Bound::new(
        "size: cpu",
        "bytes for each CPU",
        (rust + percpu) as f64,
        MOST,
    );
    let name =
        format!("for each possible CPU: {rust} in the Rust part, {percpu} in per-CPU variables");
    println!("{name}");
    table.row([Cell::text(name), Cell::Count(rust + percpu)], vec![bound]);

    if is_x86 {
        let (function, bytes) = largest_frame(&module)?;
        println!("largest stack frame: {bytes}, {function}");
        let bound = Bound::new("size: frame", "bytes of a stack frame", bytes as f64, MOST);
        let name = format!("largest stack frame, that of `{function}`");
        table.row([Cell::text(name), Cell::Count(bytes)], vec![bound]);
    }
    Ok(Outcome::Measured(Measured {
        tables: vec![table],
        plots: Vec::new(),
    }))
}

fn output(program: &str, arguments: &[&OsStr]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .context(program.to_owned())?;
    ensure!(output.status.success(), "{program}: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A section that is loaded.
struct Section {
    name: String,
    kind: String,
    size: u64,
    flags: String,
}

/// From what `readelf -SW` prints.
fn parse_sections(text: &str) -> Result<Vec<Section>> {
    let form = Regex::new(
        r"(?m)^ +\[ *\d+\] (\S+) +([A-Z_]+) +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) [0-9a-f]+ +([A-Za-z]*A[A-Za-z]*) ",
    )?;
    let mut sections = Vec::new();
    for part in form.captures_iter(text) {
        sections.push(Section {
            name: part[1].to_owned(),
            kind: part[2].to_owned(),
            size: u64::from_str_radix(&part[3], 16)?,
            flags: part[4].to_owned(),
        });
    }
    ensure!(!sections.is_empty(), "no sections in {text}");
    Ok(sections)
}

/// The function with the largest stack frame, but for what runs once, at load. As `scripts/kmod` does,
/// which refuses a module with a frame above 1024 bytes.
fn largest_frame(module: &Path) -> Result<(String, u64)> {
    let text = output(
        "objdump",
        &[
            "-dC".as_ref(),
            "--no-show-raw-insn".as_ref(),
            module.as_ref(),
        ],
    )?;
    parse_frames(&text).context("no stack frames")
}

fn parse_frames(text: &str) -> Option<(String, u64)> {
    let mut function = "";
    let mut largest = None;
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(">:") {
            function = name.split_once(" <").map_or("", |(_, name)| name);
        }
        let size = line.split_once("sub ").and_then(|(_, operands)| {
            let hex = operands.trim().strip_prefix("$0x")?.strip_suffix(",%rsp")?;
            u64::from_str_radix(hex, 16).ok()
        });
        // A large number is negative: the other way round.
        let size = size.filter(|size| *size < 1 << 24);
        let is_init = function.contains("Module>::init") || function.contains("init_module");
        if let Some(size) = size.filter(|_| !is_init) {
            if largest.as_ref().is_none_or(|(_, most)| *most < size) {
                largest = Some((function.to_owned(), size));
            }
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_parsed() {
        let text = "\
  [Nr] Name              Type            Address          Off    Size   ES Flg Lk Inf Al
  [ 0]                   NULL            0000000000000000 000000 000000 00      0   0  0
  [ 1] .text             PROGBITS        0000000000000000 000040 04b9ad 00  AX  0   0 16
  [ 2] .rela.text        RELA            0000000000000000 000040 04b9ad 18   I 40   1  8
  [10] .data..percpu     PROGBITS        0000000000000000 000040 0002d4 00  WA  0   0 64
  [11] .bss              NOBITS          0000000000000000 000040 000010 00  WA  0   0 64
";
        let sections = parse_sections(text).unwrap();
        let names: Vec<_> = sections
            .iter()
            .map(|section| (section.name.as_str(), section.size))
            .collect();
        assert_eq!(
            names,
            [(".text", 0x4b9ad), (".data..percpu", 0x2d4), (".bss", 0x10)]
        );
        assert_eq!(sections[2].kind, "NOBITS");
    }

    #[test]
    fn the_largest_frame_is_found() {
        let text = "\
0000000000000010 <a::b>:
      14:\tsub    $0x40,%rsp
0000000000000020 <<vigil::Vigil as kernel::Module>::init>:
      24:\tsub    $0x4000,%rsp
0000000000000030 <c>:
      34:\tsub    $0x3f8,%rsp
      38:\tsub    $0xffffffffffffff80,%rsp
";
        assert_eq!(parse_frames(text), Some(("c".to_owned(), 0x3f8)));
    }
}
