// SPDX-License-Identifier: GPL-2.0
//! `make measure`: what vigil costs, and how late it is, beside the in-tree
//! detectors in the same boot.

mod causes;
mod heartbeat;
mod lateness;
mod looks;
mod nmis;

use anyhow::{bail, Result};
use std::env;

/// Does its measurements in a guest of its own, and prints them.
type Part = fn() -> Result<()>;

const PARTS: [(&str, Part); 5] = [
    ("looks", looks::run_all),
    ("lateness", lateness::run_all),
    ("heartbeat", heartbeat::run_all),
    ("nmis", nmis::run_all),
    ("causes", causes::run_all),
];

fn main() -> Result<()> {
    let wanted: Vec<String> = env::args().skip(1).collect();
    if let Some(unknown) = wanted
        .iter()
        .find(|word| PARTS.iter().all(|(name, _)| name != word))
    {
        bail!("there is no part '{unknown}': looks, lateness, heartbeat, nmis, causes");
    }
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("== {name}");
            run()?;
        }
    }
    Ok(())
}
