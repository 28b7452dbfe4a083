//! Runs nft(8) in the network namespace of this thread.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::sys::package;
use crate::sys::program::{Output, Program};

/// The timeout of a short command. Without a timeout, another program with the name `nft` could run without end. Then the
/// namespace would never be closed.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The modules of the kernel for the words of rules (`MODULE_ALIAS_NFT_EXPR` in its sources).
const MODULES: [(&str, &str); 7] = [
    ("ct", "nft_ct"),
    ("dnat", "nft_nat"),
    ("fib", "nft_fib_inet"),
    ("masquerade", "nft_masq"),
    ("redirect", "nft_redir"),
    ("reject", "nft_reject_inet"),
    ("snat", "nft_nat"),
];

/// Runs `nft`, and returns its output.
/// Errors: nft is not installed, or fails. The error contains the message of nft.
pub fn run(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let label = format!("nft {}", arguments.join(" "));
    Ok(nft().label(label).args(arguments).input(input).run()?.success()?.stdout)
}

/// Runs `nft --json list`, and returns the listed objects.
/// Errors: nft is not installed, fails, or prints invalid JSON.
pub fn list(what: &[&str]) -> Result<Vec<Value>> {
    let output = run(&[&["--json", "list"], what].concat(), b"")?;
    let mut list: Value = serde_json::from_slice(&output).context("cannot parse the output of nft")?;
    match list["nftables"].take() {
        Value::Array(objects) => Ok(objects),
        _ => bail!("unknown output of nft"),
    }
}

/// Runs one command of `nft`, with a timeout of 15 seconds.
/// Errors: nft is not installed, fails or times out.
pub fn command(command: &str) -> Result<()> {
    within_timeout(nft().args([command]))?.success().map(drop)
}

/// Loads rules in one transaction, with a timeout of 15 seconds. Errors do not count the first `skipped` lines.
/// Errors: nft is not installed, times out, or refuses the rules. The error has the line, and the message of nft; or the modules that the
/// kernel lacks.
pub fn load(rules: &str, skipped: usize) -> Result<()> {
    let answer = within_timeout(nft().args(["--file", "-"]).input(rules))?;
    let message = answer.message();
    if !answer.status.success() {
        let modules = missing_modules(rules, &message);
        ensure!(
            modules.is_empty(),
            "the kernel does not have the modules for it: {0}; `modprobe --all {0}` prints the cause; {1}",
            modules.join(" "),
            package::hint(package::KERNEL)
        );
    }
    let lines: Vec<String> = message.lines().map(|line| renumbered(line, skipped)).collect();
    ensure!(answer.status.success(), "{}", lines.join("\n"));
    Ok(())
}

/// The modules without which the kernel has refused the rules.
fn missing_modules(rules: &str, message: &str) -> Vec<String> {
    // Without nf_tables, nft has not read the rules.
    if ["cache initialization failed", "Unable to initialize Netlink socket"]
        .iter()
        .any(|start| message.contains(start))
    {
        return vec!["nf_tables".to_owned()];
    }
    let mut modules: Vec<String> = message
        .lines()
        .filter(|line| line.contains(": No such file or directory"))
        .filter_map(|line| {
            let (number, columns) = line.strip_prefix("/dev/stdin:")?.split_once(':')?;
            let column: usize = columns.split('-').next()?.parse().ok()?;
            let line = rules.lines().nth(number.parse::<usize>().ok()?.checked_sub(1)?)?;
            let word = line.get(column.checked_sub(1)?..)?.split([' ', ';']).next()?;
            if line.trim_start().starts_with("type ") {
                return Some(format!("nft_chain_{word}")); // the type of a chain
            }
            MODULES.iter().find(|(known, _)| *known == word).map(|(_, module)| (*module).to_owned())
        })
        .collect();
    modules.sort_unstable();
    modules.dedup();
    modules
}

/// Changes the line number in the first line of a message of nft, `/dev/stdin:LINE:COLUMNS: TEXT`.
fn renumbered(line: &str, skipped: usize) -> String {
    let number = || {
        let (number, rest) = line.strip_prefix("/dev/stdin:")?.split_once(':')?;
        Some(format!("line {}:{rest}", number.parse::<usize>().ok()?.checked_sub(skipped)?))
    };
    number().unwrap_or_else(|| line.to_owned())
}

/// Checks a file of rules without loading it. Returns the errors that `nft` prints, or an empty string.
/// Errors: nft is not installed, or times out.
pub fn check(file: &Path) -> Result<String> {
    let answer = within_timeout(nft().args(["--check", "--file"]).args([file]))?;
    Ok(if answer.status.success() {
        String::new()
    } else {
        String::from_utf8_lossy(&answer.stderr).into_owned()
    })
}

fn within_timeout(program: Program) -> Result<Output> {
    let timed_out = || format!("`nft` did not end within {} seconds", TIMEOUT.as_secs());
    program.run_within(TIMEOUT)?.with_context(timed_out)
}

fn nft() -> Program {
    Program::new("nft").package("nftables")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_modules_are_those_of_the_marked_words() {
        let rules = "table inet t {\nchain from { ct state new accept\n}\nchain post {\ntype nat hook postrouting priority srcnat;\nmasquerade\n}\n}";
        // From nft 1.0.6.
        let message = "/dev/stdin:5:6-8: Error: No such file or directory; did you mean chain ‘post’ in table inet ‘t’?\n\
             type nat hook postrouting priority srcnat;\n     ^^^\n\
             /dev/stdin:2:14-21: Error: Could not process rule: No such file or directory\n\
             /dev/stdin:4:7-10: Error: Could not process rule: No such file or directory\n";
        assert_eq!(missing_modules(rules, message), ["nft_chain_nat", "nft_ct"]);
        let message = "/dev/stdin:6:1-10: Error: Could not process rule: No such file or directory";
        assert_eq!(missing_modules(rules, message), ["nft_masq"]);
        assert_eq!(
            missing_modules(rules, "netlink: Error: cache initialization failed: Invalid argument"),
            ["nf_tables"]
        );
        let unknown = "/dev/stdin:2:26-31: Error: Could not process rule: No such file or directory";
        assert!(missing_modules(rules, unknown).is_empty());
        assert!(missing_modules(rules, "/dev/stdin:2:14-15: Error: syntax error").is_empty());
    }
}
