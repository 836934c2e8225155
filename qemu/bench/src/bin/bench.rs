// SPDX-License-Identifier: GPL-2.0
//! `make bench`: measures the parts, writes each one's figures as data, and renders
//! `benchmarks.md` from the figures of all.

use anyhow::{bail, Context, Result};
use clap::Parser;
use std::{path::PathBuf, time::Instant};
use vigil_bench::{
    parts, render,
    results::{Outcome, PartFile},
};
use vigil_vm::Artifacts;

/// Measures what vigil costs and how late it is, beside the in-tree detectors.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// What `make` calls the kernel.
    #[arg(long)]
    kernel: String,
    /// The commit of the tree.
    #[arg(long)]
    commit: String,
    /// Where benchmarks.md is written.
    #[arg(long)]
    docs: PathBuf,
    /// Only writes benchmarks.md, from figures of earlier runs.
    #[arg(long)]
    render: bool,
    /// What to measure; all without one.
    parts: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(unknown) = arguments
        .parts
        .iter()
        .find(|word| parts::ALL.iter().all(|part| part.name != *word))
    {
        let all: Vec<&str> = parts::ALL.iter().map(|part| part.name).collect();
        bail!("there is no part '{unknown}': {}", all.join(", "));
    }
    let artifacts = Artifacts::from_env()?;
    let folder = artifacts.folder().join("bench");
    let mut failed = Vec::new();
    for part in parts::ALL.iter().filter(|_| !arguments.render) {
        if !arguments.parts.is_empty() && !arguments.parts.iter().any(|word| word == part.name) {
            continue;
        }
        println!("== {}", part.name);
        let start = Instant::now();
        let measured = match (part.run)(&artifacts) {
            Ok(Outcome::Measured(measured)) => measured,
            Ok(Outcome::LeftOut(why)) => {
                println!("left out: {why}");
                continue;
            }
            // The other parts are measured all the same.
            Err(error) => {
                println!("failed: {error:#}");
                failed.push(part.name);
                continue;
            }
        };
        let file = PartFile {
            part: part.name.to_owned(),
            command: format!("make bench KERNEL={} PART={}", arguments.kernel, part.name),
            commit: arguments.commit.clone(),
            kernel: artifacts.release().unwrap_or_default(),
            measured,
        };
        file.write(&folder)?;
        println!("{} s", start.elapsed().as_secs());
    }

    let mut files = Vec::new();
    for part in parts::ALL {
        let own = PartFile::read(&folder, part.name)?;
        // What only another kernel can tell.
        let other = match part.kernel {
            Some(kernel) if own.is_none() => {
                let out = artifacts.folder().parent().context("no folder out")?;
                PartFile::read(&out.join(kernel).join("bench"), part.name)?
            }
            _ => None,
        };
        files.extend(own.or(other));
    }
    let broken = render::write(&arguments.docs, &files)?;
    println!("wrote {}", arguments.docs.join("benchmarks.md").display());
    for bound in &broken {
        println!(
            "does not hold: {}: {} of at most {}",
            bound.says, bound.value, bound.limit
        );
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    if !broken.is_empty() {
        bail!("{} bounds do not hold", broken.len());
    }
    Ok(())
}
