// SPDX-License-Identifier: GPL-2.0
//! The document of tiny data, compared with what it has to be; and the one of the tree, with its data.

use std::{fs, path::Path};
use vigil_bench::{
    render,
    results::{Axis, Bound, Cell, Measured, PartFile, Plot, Series, Spread, Table},
};

const TEMPLATE: &str =
    "# Title\n\n{{bounds}}\n\n## Pulse\n\n{{pulse}}\n\nWhy.\n\n## Other\n\n{{other}}\n";

const DOCUMENT: &str = "\
# Title

| part | bound | measured | at most | |
|---|---|---|---|---|
| [pulse](#pulse) | a pulse, times the other | 1.250 | 1.100 | **does not hold** |
| [pulse](#pulse) | bytes | 1,445 | 1,024 | **does not hold**: a snapshot |
| [pulse](#pulse) | steps | 0.00250 | 0.01000 | holds |

## Pulse

`make bench PART=pulse`, commit `0123456`, on 7.3:

Instructions.

|  | pulse | times | bound |
| --- | --- | --- | --- |
| old | 4,975 (4,970, 5,000) |  |  |
| new | 6,219 | 1.25 | a pulse, times the other: 1.250 of 1.100, **does not hold**; bytes: 1,445 of 1,024, **does not hold**: a snapshot; steps: 0.00250 of 0.01000, holds |

![Pulses](benchmarks/pulses.svg)

Why.

## Other

Not measured: `make bench PART=other`.
";

fn part() -> PartFile {
    let mut table = Table::new("Instructions.", ["", "pulse", "times"]);
    let spread = Spread::of([4975.0, 5000.0, 4970.0]).unwrap();
    table.row(
        [Cell::text("old"), Cell::Spread(spread, 0), Cell::None],
        Vec::new(),
    );
    table.row(
        [Cell::text("new"), Cell::Count(6219), Cell::Number(1.25, 2)],
        vec![
            Bound::new("pulse", "a pulse, times the other", 1.25, 1.1),
            Bound::new("bytes", "bytes", 1445.0, 1024.0),
            Bound::new("steps", "steps", 0.0025, 0.01),
        ],
    );
    let line = |name: &str, points: &[(f64, f64)]| Series {
        name: name.to_owned(),
        points: points.to_vec(),
    };
    PartFile {
        part: "pulse".to_owned(),
        command: "make bench PART=pulse".to_owned(),
        commit: "0123456".to_owned(),
        kernel: "7.3".to_owned(),
        measured: Measured {
            tables: vec![table],
            plots: vec![Plot {
                name: "pulses".to_owned(),
                title: "Pulses".to_owned(),
                x: Axis::log("CPUs"),
                y: Axis::linear("instructions"),
                series: vec![
                    line("old", &[(2.0, 10.0), (64.0, 12.0)]),
                    line("new", &[(2.0, -1.0), (64.0, 20.0)]),
                ],
            }],
        },
    }
}

#[test]
fn the_document_has_all_figures() {
    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join("benchmarks/stale.svg");
    let figures = render::beside(folder.path());
    part().write(&figures).unwrap();
    fs::write(&stale, "").unwrap();
    let reasons = [("bytes", "a snapshot")];
    let broken = render::write_with(folder.path(), TEMPLATE, &reasons, &[part()]).unwrap();
    let text = fs::read_to_string(folder.path().join("benchmarks.md")).unwrap();
    assert_eq!(text, DOCUMENT);
    // What has no reason makes the command fail.
    let broken: Vec<&str> = broken.iter().map(|bound| bound.id.as_str()).collect();
    assert_eq!(broken, ["pulse"]);

    let plot = fs::read_to_string(folder.path().join("benchmarks/pulses.svg")).unwrap();
    for words in ["Pulses", "CPUs", "instructions", "old", "new"] {
        assert!(plot.contains(words), "{words} in {plot}");
    }
    assert!(!stale.exists());
    // The data are for the next time.
    assert_eq!(PartFile::read(&figures, "pulse").unwrap(), Some(part()));
}

#[test]
fn a_part_without_a_place_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = render::write_with(folder.path(), "{{other}}\n", &[], &[part()]).unwrap_err();
    assert!(error.to_string().contains("pulse"), "{error}");
}

#[test]
fn a_row_that_does_not_fit_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut part = part();
    part.measured.tables[0].columns.pop();
    assert!(render::write_with(folder.path(), "{{pulse}}\n", &[], &[part]).is_err());
}

#[test]
fn the_page_is_made_of_the_data_beside_it() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let parts = render::parts().into_iter().map(|part| {
        let file = PartFile::read(&render::beside(&docs), part).unwrap();
        file.unwrap_or_else(|| panic!("{part} was not measured: `make bench PART={part}`"))
    });
    let parts: Vec<PartFile> = parts.collect();
    for file in &parts {
        // Else the commit that stands there is not what was measured.
        assert!(
            !file.commit.ends_with("-dirty"),
            "{}: {}",
            file.part,
            file.commit
        );
    }

    let folder = tempfile::tempdir().unwrap();
    let broken = render::write(folder.path(), &parts).unwrap();
    assert_eq!(broken, [], "bounds that do not hold, without a reason");
    let plots = parts.iter().flat_map(|file| &file.measured.plots);
    let plots = plots.map(|plot| format!("benchmarks/{}.svg", plot.name));
    for path in plots.chain(["benchmarks.md".to_owned()]) {
        let made = fs::read_to_string(folder.path().join(&path)).unwrap();
        let there = fs::read_to_string(docs.join(&path)).unwrap();
        assert!(
            made == there,
            "docs/{path} is to be made by `make bench PART=--render`"
        );
    }
}
