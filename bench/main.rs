//! Measures the cost of each operation, and its floor: the cost of the same work without this program. Both are measured in
//! turn, in one run, because absolute times depend on the load of the machine.
//!
//! `bench/run` calls this program on the test machines. `bench measure direct|peers|systemd|wireguard FILE` writes the measured times. `bench
//! table FILE...` prints the table; `bench report DIRECTORY FILE...` also creates `results.json` and the plot. `bench floor …` is
//! the floor of some operations.

mod direct;
mod floor;
mod hook;
mod list;
mod measure;
mod peers;
mod plot;
mod report;
mod systemd;
mod throughput;
mod tunnel;
mod update;

use std::env;
use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, bail};

use measure::Measured;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["measure", "direct", file] => write(file, &measure_direct()?),
        ["measure", "peers", file] => write(file, &peers::measure()?),
        ["measure", "systemd", file] => write(file, &systemd::measure()?),
        ["measure", "wireguard", file] => write(file, &tunnel::measure()?),
        ["table", files @ ..] => report::print(files),
        ["report", directory, files @ ..] => report::report(Path::new(directory), files),
        ["floor", arguments @ ..] => floor::run(arguments),
        _ => bail!(
            "usage: bench measure direct|peers|systemd|wireguard FILE | table FILE... | report DIRECTORY FILE... | floor ..."
        ),
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
    // This process can be PID 1, whose first thread determines the namespace of the host. So another thread enters namespaces.
    thread::spawn(all).join().unwrap_or_else(|_| bail!("the thread that measures died"))
}

fn write(file: &str, measured: &Measured) -> Result<()> {
    fs::write(file, serde_json::to_vec_pretty(measured)?).with_context(|| format!("cannot write {file}"))
}
