//! The plot: the cost of operations for different numbers of objects, with a panel for each kind of object.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::measure::Curve;

/// Width and height of a panel.
const PANEL: (u32, u32) = (380, 320);
/// The number of panels in a row.
const COLUMNS: usize = 3;

/// Colours that are visible on white and on black.
const COLOURS: [RGBColor; 5] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 108, 20),
    RGBColor(44, 140, 60),
    RGBColor(170, 70, 160),
    RGBColor(120, 120, 120),
];
/// The colour of text and axes, which is visible on both, too.
const INK: RGBColor = RGBColor(128, 128, 128);

pub fn plot(file: &Path, curves: &[Curve]) -> Result<()> {
    let mut panels: Vec<&str> = Vec::new();
    for curve in curves {
        if !panels.contains(&curve.against.as_str()) {
            panels.push(&curve.against);
        }
    }
    let rows = panels.len().div_ceil(COLUMNS);
    let size = (PANEL.0 * u32::try_from(COLUMNS)?, PANEL.1 * u32::try_from(rows)?);
    let area = SVGBackend::new(file, size).into_drawing_area();
    for (panel, against) in area.split_evenly((rows, COLUMNS)).iter().zip(panels) {
        let curves: Vec<&Curve> = curves.iter().filter(|curve| curve.against == against).collect();
        draw(panel, against, &curves).map_err(|error| anyhow!("cannot draw: {error}"))?;
    }
    area.present().map_err(|error| anyhow!("cannot write {}: {error}", file.display()))
}

fn draw(
    panel: &DrawingArea<SVGBackend, Shift>,
    against: &str,
    curves: &[&Curve],
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let most = points().map(|(count, _)| *count).max().unwrap_or(1);
    let bounds =
        |figure: fn(f64, f64) -> f64, start| points().map(|(_, seconds)| seconds * 1e3).fold(start, figure);
    // The limits are powers of ten, which have labels on the axis.
    let least_time = 10f64.powf(bounds(f64::min, f64::MAX).log10().floor());
    let most_time = 10f64.powf(bounds(f64::max, 0.0).log10().ceil());
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d((1..most).log_scale(), (least_time..most_time * 1.01).log_scale())?;
    let text = ("sans-serif", 12).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(INK)
        .label_style(text.clone())
        .x_desc(against)
        .y_desc("milliseconds")
        .x_label_formatter(&|count| {
            if is_power_of_ten(f64::from(*count)) { count.to_string() } else { String::new() }
        })
        .y_label_formatter(&|time| {
            if is_power_of_ten(*time) { format!("{}", (time * 1e3).round() / 1e3) } else { String::new() }
        })
        .draw()?;
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let points = || curve.points.iter().map(|(count, seconds)| (*count, seconds * 1e3));
        chart
            .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
            .label(&curve.what)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        chart.draw_series(points().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).label_font(text).draw()?;
    Ok(())
}

fn is_power_of_ten(figure: f64) -> bool {
    let power = figure.log10();
    (power - power.round()).abs() < 1e-6
}
