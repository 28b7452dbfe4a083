//! What things cost, each beside its floor: what the same work costs without this program. The two are measured in turn, in
//! one run, since absolute times mean little on a machine that others use, too.
//!
//! `bench/run` calls this in the places where it has to run: `bench measure direct|systemd FILE` writes what it measured, and
//! `bench report FILE...` makes the table, `results.json` and the plot of it. `bench floor …` is what some of it is
//! measured against.

mod direct;
mod floor;
mod hook;
mod list;
mod measure;
mod plot;
mod report;
mod systemd;
mod update;

use std::env;
use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, bail};

use measure::Measured;

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["measure", "direct", file] => write(file, &measure_direct()?),
        ["measure", "systemd", file] => write(file, &systemd::measure()?),
        ["report", directory, files @ ..] => report::report(Path::new(directory), files),
        ["floor", words @ ..] => floor::run(words),
        _ => bail!("usage: bench measure direct|systemd FILE | report DIRECTORY FILE... | floor ..."),
    }
}

fn measure_direct() -> Result<Measured> {
    let all = || {
        let mut measured = Measured::default();
        hook::measure(&mut measured)?;
        update::measure_idle(&mut measured)?;
        direct::measure(&mut measured)?;
        list::measure(&mut measured, "direct")?;
        Ok(measured)
    };
    // This may be PID 1 of its machine, whose first thread hooks take for the host: it stays where it is.
    thread::spawn(all).join().unwrap_or_else(|_| bail!("the thread that measures died"))
}

fn write(file: &str, measured: &Measured) -> Result<()> {
    fs::write(file, serde_json::to_vec_pretty(measured)?).with_context(|| format!("cannot write {file}"))
}
