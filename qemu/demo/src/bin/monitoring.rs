// SPDX-License-Identifier: GPL-2.0
//! `make monitoring-plot`: provokes a hung task, a soft and a hard lockup in a guest, reads
//! `vigilctl metrics` each second meanwhile, and draws what Prometheus would show.

use anyhow::{Context, Result};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::{collections::BTreeMap, env, path::PathBuf, time::Duration};
use vigil_vm::{Config, Vm};

const PROVOKE: &str = "/sys/kernel/debug/vigil_provoke";
const VIGILCTL: &str = "/vm/vigilctl";

/// A stall to provoke.
struct Stall {
    what: &'static str,
    /// Ends when the stall is over.
    script: &'static str,
}

const STALLS: [Stall; 3] = [
    Stall {
        what: "hung task",
        script: "mkdir /sys/fs/cgroup/web; echo 0 > /sys/fs/cgroup/web/cgroup.procs
            echo 'mutex secs=20' > block_me",
    },
    Stall {
        what: "soft lockup",
        script: "mkdir /sys/fs/cgroup/batch; echo 0 > /sys/fs/cgroup/batch/cgroup.procs
            exec taskset -c 1 dash -c 'echo 12000 > spin_me'",
    },
    Stall {
        what: "hard lockup",
        script: "echo 'irqs_off cpu=1 ms=10000' > run
            until grep -q ' irqs_off ' lockups; do sleep 0.2; done",
    },
];

/// What vigil is loaded with.
const PARAMETERS: &str =
    "hung_task_timeout_secs=5 hung_task_check_interval_secs=1 watchdog_thresh=2";

/// What a line of the plot shows.
struct Series {
    name: &'static str,
    metric: &'static str,
    /// Which samples of the metric count, by a label; all without one.
    label: Option<&'static str>,
    color: RGBColor,
}

const BLUE: RGBColor = RGBColor(31, 119, 180);
const ORANGE: RGBColor = RGBColor(214, 110, 0);
const PURPLE: RGBColor = RGBColor(130, 60, 160);

/// A metric of one kind of incident.
const fn of_kind(metric: &'static str, kind: usize) -> Series {
    let (name, label, color) = match kind {
        0 => ("root-cause", "kind=\"root-cause\"", BLUE),
        1 => ("soft-lockup", "kind=\"soft-lockup\"", ORANGE),
        _ => ("hard-lockup", "kind=\"hard-lockup\"", PURPLE),
    };
    Series {
        name,
        metric,
        label: Some(label),
        color,
    }
}

const AGE: &str = "vigil_oldest_incident_age_seconds";
const TOTAL: &str = "vigil_incidents_total";

/// The plots, from top to bottom.
const PLOTS: [(&str, &[Series]); 3] = [
    (
        "stuck now",
        &[
            Series {
                name: "vigil_hung_tasks",
                metric: "vigil_hung_tasks",
                label: None,
                color: BLUE,
            },
            Series {
                name: "vigil_stuck_cpus",
                metric: "vigil_stuck_cpus",
                label: None,
                color: ORANGE,
            },
        ],
    ),
    (
        "vigil_oldest_incident_age_seconds, by kind",
        &[of_kind(AGE, 0), of_kind(AGE, 1), of_kind(AGE, 2)],
    ),
    (
        "vigil_incidents_total, by kind",
        &[of_kind(TOTAL, 0), of_kind(TOTAL, 1), of_kind(TOTAL, 2)],
    ),
];

/// What `vigilctl metrics` printed, and when: seconds since the guest's boot.
struct Sample {
    time: f64,
    /// By name with labels, as printed.
    values: BTreeMap<String, f64>,
}

impl Sample {
    fn of(&self, series: &Series) -> Option<f64> {
        let key = match series.label {
            Some(label) => format!("{}{{{label}}}", series.metric),
            None => series.metric.to_owned(),
        };
        self.values.get(&key).copied()
    }
}

/// A stall that is over.
struct Span {
    what: &'static str,
    began: f64,
    ended: f64,
}

fn main() -> Result<()> {
    let path = env::args_os().nth(1).map(PathBuf::from);
    let path = path.context("usage: monitoring FILE.svg")?;
    let artifacts = vigil_vm::Artifacts::from_env()?;
    let program = artifacts.file("vigilctl").context("no vigilctl")?;
    let config = Config::new("monitoring")
        .files([program])
        .limit(Duration::from_secs(300));
    let vm = Vm::boot(config).context("the guest did not boot")?;
    let release = vm.artifacts().release().unwrap_or_default();
    println!("A guest with {release}; vigil is loaded with {PARAMETERS}.");
    vm.insmod("vigil_provoke.ko", "")?;
    // The kernel's threads are made by a CPU that does not get stuck; the console is slow.
    vm.sh_ok("sysctl -q kernel.printk=1; taskset -pc 0 2 && sleep 1")?;
    vm.load(PARAMETERS)?;

    let watch = vm.spawn_on(0, &format!("exec {VIGILCTL} watch --json --only-new"))?;
    let sampler = vm.spawn_on(
        0,
        &format!(
            "while :; do echo \"# at $(cut -d' ' -f1 /proc/uptime)\"; {VIGILCTL} metrics; sleep 1; done"
        ),
    )?;
    let rest = || vm.sh_on(0, "sleep 8");
    let mut spans = Vec::new();
    rest()?.ok()?;
    for stall in &STALLS {
        println!("provoked: a {}", stall.what);
        let began = vm.uptime()?;
        let script = format!("cd {PROVOKE}\n{}", stall.script);
        vm.sh_on(0, &script)?.ok()?;
        spans.push(Span {
            what: stall.what,
            began,
            ended: vm.uptime()?,
        });
        rest()?.ok()?;
    }
    sampler.kill()?;
    watch.kill()?;

    println!("\nvigilctl watch --json:\n{}", watch.output());
    let samples = parse(&sampler.output())?;
    for series in PLOTS[2].1 {
        let last = samples.last().and_then(|sample| sample.of(series));
        anyhow::ensure!(
            last.is_some_and(|total| total >= 1.0),
            "{} of {}",
            last.unwrap_or(0.0),
            series.name
        );
    }
    draw(&path, &samples, &spans).with_context(|| format!("drawing {}", path.display()))?;
    println!("wrote {}: {} samples", path.display(), samples.len());
    vm.unload()?;
    Ok(())
}

/// The samples that are complete.
fn parse(text: &str) -> Result<Vec<Sample>> {
    let mut samples: Vec<Sample> = Vec::new();
    // The last one may not be complete.
    let complete = text.rsplit_once("# at ").map_or("", |(before, _)| before);
    for line in complete.lines() {
        if let Some(time) = line.strip_prefix("# at ") {
            samples.push(Sample {
                time: time.parse()?,
                values: BTreeMap::new(),
            });
        } else if !line.starts_with('#') {
            let (key, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            let sample = samples.last_mut().context("values without a time")?;
            sample.values.insert(key.to_owned(), value.parse()?);
        }
    }
    Ok(samples)
}

const SIZE: (u32, u32) = (900, 780);
const FONT: (&str, u32) = ("sans-serif", 13);

fn draw(path: &std::path::Path, samples: &[Sample], spans: &[Span]) -> Result<()> {
    let first = samples.first().context("no samples")?.time;
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_evenly((PLOTS.len(), 1));
    for (area, (title, all)) in areas.iter().zip(PLOTS) {
        plot(area, title, all, first, samples, spans)?;
    }
    root.present()?;
    Ok(())
}

fn plot(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    all: &[Series],
    first: f64,
    samples: &[Sample],
    spans: &[Span],
) -> Result<()> {
    let last = samples.last().map_or(first, |sample| sample.time) - first;
    let values = all
        .iter()
        .flat_map(|series| samples.iter().filter_map(|sample| sample.of(series)));
    let top = values.fold(1.0, f64::max) * 1.35;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .caption(title, ("sans-serif", 15))
        .x_label_area_size(36)
        .y_label_area_size(40)
        .build_cartesian_2d(0.0..last, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("seconds")
        .x_labels(12)
        .y_labels(5)
        .x_label_formatter(&|x: &f64| format!("{x:.0}"))
        .y_label_formatter(&|y: &f64| {
            if y.fract() == 0.0 {
                format!("{y:.0}")
            } else {
                String::new()
            }
        })
        .label_style(FONT)
        .draw()?;
    let grey = BLACK.mix(0.6);
    let centered = FONT
        .into_text_style(area)
        .color(&grey)
        .pos(Pos::new(HPos::Center, VPos::Top));
    chart.draw_series(spans.iter().map(|span| {
        let (began, ended) = (span.began - first, span.ended - first);
        Rectangle::new([(began, 0.0), (ended, top)], BLACK.mix(0.08).filled())
    }))?;
    chart.draw_series(spans.iter().map(|span| {
        let middle = (span.began + span.ended) / 2.0 - first;
        Text::new(span.what, (middle, top * 0.98), centered.clone())
    }))?;
    for series in all {
        let points = samples
            .iter()
            .filter_map(|sample| Some((sample.time - first, sample.of(series)?)));
        // A value holds until the next sample, as with Prometheus.
        let mut steps = Vec::new();
        for (time, value) in points {
            if let Some(&(_, before)) = steps.last() {
                steps.push((time, before));
            }
            steps.push((time, value));
        }
        let style = series.color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(steps, style))?
            .label(series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(FONT)
        .draw()?;
    Ok(())
}
