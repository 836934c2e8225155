// SPDX-License-Identifier: GPL-2.0
//! A plot as SVG.

use super::numbers::{number, with_commas};
use crate::results::{Axis, Plot};
use anyhow::{Context, Result};
use plotters::{
    coord::{
        combinators::{IntoLogRange, LogCoord},
        ranged1d::{DefaultFormatting, KeyPointHint, Ranged},
        types::RangedCoordf64,
    },
    prelude::*,
};
use std::{ops::Range, path::Path};

const SIZE: (u32, u32) = (760, 420);
const FONT: (&str, u32) = ("sans-serif", 13);
const COLORS: [RGBColor; 5] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 110, 0),
    RGBColor(130, 60, 160),
    RGBColor(40, 130, 60),
    RGBColor(120, 120, 120),
];

/// A linear or a logarithmic range.
enum Coord {
    Linear(RangedCoordf64),
    Log(LogCoord<f64>),
}

impl Coord {
    fn new(axis: &Axis, range: Range<f64>) -> Self {
        match axis.is_log {
            true => Self::Log(range.log_scale().into()),
            false => Self::Linear(range.into()),
        }
    }
}

impl Ranged for Coord {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        match self {
            Self::Linear(coord) => coord.map(value, limit),
            Self::Log(coord) => coord.map(value, limit),
        }
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match self {
            Self::Linear(coord) => coord.key_points(hint),
            Self::Log(coord) => coord.key_points(hint),
        }
    }

    fn range(&self) -> Range<f64> {
        match self {
            Self::Linear(coord) => coord.range(),
            Self::Log(coord) => coord.range(),
        }
    }
}

/// The range of an axis, from the values on it.
fn range(axis: &Axis, values: impl Iterator<Item = f64> + Clone) -> Result<Range<f64>> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(f64::NEG_INFINITY, f64::max);
    anyhow::ensure!(least.is_finite() && most.is_finite(), "nothing to plot");
    Ok(match axis.is_log {
        true => {
            anyhow::ensure!(least > 0.0, "{least} on a logarithmic axis");
            least / 1.5..most * 1.5
        }
        false => {
            let room = (most - least.min(0.0)).max(1.0) * 0.08;
            let bottom = if least < 0.0 { least - room } else { 0.0 };
            bottom..most + room
        }
    })
}

pub(super) fn draw(path: &Path, plot: &Plot) -> Result<()> {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let x = range(&plot.x, points().map(|point| point.0)).context(plot.title.clone())?;
    let y = range(&plot.y, points().map(|point| point.1)).context(plot.title.clone())?;
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .caption(&plot.title, ("sans-serif", 15))
        .x_label_area_size(40)
        .y_label_area_size(78)
        .build_cartesian_2d(Coord::new(&plot.x, x), Coord::new(&plot.y, y))?;
    let label = |value: &f64| match *value {
        value if value.abs() >= 1e6 => format!("{} M", value / 1e6),
        value if value.fract() == 0.0 => with_commas(&format!("{value:.0}")),
        value => number(value),
    };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(&plot.x.label)
        .y_desc(&plot.y.label)
        .x_labels(8)
        .y_labels(8)
        .x_label_formatter(&label)
        .y_label_formatter(&label)
        .label_style(FONT)
        .draw()?;
    for (series, color) in plot.series.iter().zip(COLORS.iter().cycle()) {
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(series.points.iter().copied(), style))?
            .label(&series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        let dots = series.points.iter();
        chart.draw_series(dots.map(|point| Circle::new(*point, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(FONT)
        .draw()?;
    root.present()?;
    Ok(())
}
