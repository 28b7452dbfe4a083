//! The report: a table, `results.json` and a plot.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use tabwriter::TabWriter;

use crate::measure::{Measured, Row, Unit};
use crate::plot;

/// The format of `results.json`.
#[derive(Serialize)]
struct Results<'a> {
    version: u32,
    processors: usize,
    rows: &'a [Row],
    curves: &'a [crate::measure::Curve],
}

/// Combines the results of parts, and prints the table.
pub fn print(files: &[&str]) -> Result<()> {
    print_table(&read(files)?.rows)
}

/// Combines the results of all parts: prints the table, and writes `results.json` and the plot.
pub fn report(directory: &Path, files: &[&str]) -> Result<()> {
    let all = read(files)?;
    let processors = std::thread::available_parallelism()?.get();
    let results = Results { version: 1, processors, rows: &all.rows, curves: &all.curves };
    fs::write(directory.join("results.json"), serde_json::to_string_pretty(&results)? + "\n")?;
    plot::plot(&directory.join("results.svg"), &all.curves)?;
    print_table(&all.rows)
}

fn read(files: &[&str]) -> Result<Measured> {
    let mut all = Measured::default();
    for file in files {
        let text = fs::read(file).with_context(|| format!("cannot read {file}"))?;
        let Measured { rows, curves } = serde_json::from_slice(&text)?;
        all.rows.extend(rows);
        all.curves.extend(curves);
    }
    Ok(all)
}

#[allow(clippy::print_stdout)] // the table has no foreign text
fn print_table(rows: &[Row]) -> Result<()> {
    print!("{}", table(rows)?);
    Ok(())
}

/// Formats the table in Markdown.
fn table(rows: &[Row]) -> Result<String> {
    let mut writer = TabWriter::new(Vec::new()).padding(1);
    writeln!(writer, "| what\t| floor\t| floor, median\t| ours, median\t| ratio\t| reach\t| reached\t|")?;
    writeln!(writer, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")?;
    for row in rows {
        let Row { what, floor, ratio, reach, .. } = row;
        let reached = if row.reached { "yes" } else { "no" };
        let [floor_median, median] =
            [row.floor_median, row.median].map(|figure| format_figure(figure, row.unit));
        writeln!(
            writer,
            "| {what}\t| {floor}\t| {floor_median}\t| {median}\t| {ratio:.2}\t| {reach}\t| {reached}\t|"
        )?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn format_figure(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::Kilobytes => format!("{figure:.0} kB"),
        Unit::Seconds if figure < 0.1 => format!("{:.2} ms", figure * 1e3),
        Unit::Seconds => format!("{figure:.2} s"),
    }
}
