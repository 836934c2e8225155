// SPDX-License-Identifier: GPL-2.0
//! `make bench`: measures the parts, writes each one's figures as data, and renders
//! `benchmarks.md` from the figures of all. The data are beside the page, so that in another clone, too, a
//! part that is measured keeps the others.

use anyhow::{bail, Result};
use clap::Parser;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use vigil_bench::{
    parts::{self, Part},
    render,
    results::{Outcome, PartFile},
};
use vigil_vm::Artifacts;

/// The kernel whose page is among the documents.
const PAGE_KERNEL: &str = "7.3-cloud";

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
    /// Where benchmarks.md of that kernel is; that of another one is in its artifacts folder.
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
    let page = if arguments.kernel == PAGE_KERNEL {
        arguments.docs.clone()
    } else {
        artifacts.folder().join("bench")
    };
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
        let is_for_docs = part.kernel == Some(arguments.kernel.as_str());
        let page = if is_for_docs { &arguments.docs } else { &page };
        file.write(&render::beside(page))?;
        println!("{} s", start.elapsed().as_secs());
    }

    let mut files = Vec::new();
    for part in parts::ALL {
        files.extend(figures_of(part, &page, &arguments.docs)?);
    }
    let broken = render::write(&page, &files)?;
    println!("wrote {}", page.join("benchmarks.md").display());
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

/// The figures of a part for a page: its own, or what only another kernel can tell.
fn figures_of(part: &Part, page: &Path, docs: &Path) -> Result<Option<PartFile>> {
    let own = PartFile::read(&render::beside(page), part.name)?;
    if own.is_some() || part.kernel.is_none() {
        return Ok(own);
    }
    PartFile::read(&render::beside(docs), part.name)
}
