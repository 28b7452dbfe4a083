//! `netnsctl`: the applets under one name.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{Ctl, Verb};

pub(super) fn run(options: &Ctl) -> Result<ExitCode> {
    match &options.verb {
        Verb::Update(options) => super::update::run(options),
        Verb::Save(options) => super::nft_save::run(options),
    }
}
