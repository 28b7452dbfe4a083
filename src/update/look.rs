//! What there is: types, what instances require, the units that systemd has loaded.

use anyhow::Result;

use crate::attach::{self, Attached};
use crate::config::plugin::{self, Listing};
use crate::paths::Paths;
use crate::requires::{self, Graph};
use crate::systemd::systemctl::{Loaded, Loading, Systemctl};
use crate::systemd::unit_files::{self, Template};

/// For which types units are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// For all that have a plugin.
    All,
    /// For none.
    Clean,
}

/// What was found on a machine, or in an image of one.
#[derive(Debug)]
pub struct Machine<'a> {
    pub(super) paths: &'a Paths,
    /// `None` where there is no systemd to talk to.
    pub systemctl: Option<Systemctl>,
    /// The types, and what is wrong with the files that should tell.
    pub listing: Listing,
    /// What instances require.
    pub graph: Graph,
    /// What the units of all types are copies of.
    pub templates: Vec<Template>,
    /// The services that would lose their namespace if no type were left.
    attached: Vec<Attached>,
    /// Not asked yet where `None`.
    loading: Option<Loading>,
}

impl<'a> Machine<'a> {
    /// Looks. `now`: all instances are about to be stopped, so systemd is not asked for them yet.
    /// Errors: a directory cannot be read, a template is missing, or systemctl is.
    pub fn look(paths: &'a Paths, scope: Scope, now: bool) -> Result<Self> {
        let systemctl = Systemctl::of(paths);
        // It answers while the files are read.
        let loading = match &systemctl {
            Some(systemctl) if !now => Some(systemctl.ask_for_loaded()?),
            _ => None,
        };
        let mut machine = Self {
            paths,
            systemctl,
            listing: Listing::default(),
            graph: Graph::default(),
            templates: Vec::new(),
            attached: Vec::new(),
            loading,
        };
        match scope {
            Scope::Clean => machine.attached = attach::attached(paths)?,
            Scope::All => {
                machine.listing = plugin::list(paths)?;
                machine.graph = Graph::of_configured(paths)?;
                if machine.graph.problems.is_empty() {
                    machine.templates = unit_files::templates(paths)?;
                }
            }
        }
        Ok(machine)
    }

    /// Why nothing may be changed, not even in part, a line each: what services are attached to may require any of the other types.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let attached = self.attached.iter();
        let stay = attached.map(|one| format!("the units of all types stay: {}", one.advice()));
        stay.chain(self.graph.problems.iter().map(|problem| problem.message.clone())).collect()
    }

    /// Stops all instances, and waits until their namespaces are gone.
    /// Errors: systemctl fails, or something does not go.
    pub fn stop_all(&mut self) -> Result<()> {
        if let Some(systemctl) = &self.systemctl {
            systemctl.stop_all()?;
            self.loading = Some(systemctl.ask_for_loaded()?);
        }
        Ok(())
    }

    /// The units of instances that systemd has loaded. None where it was not asked: by `--now --dry-run`, nothing would be left.
    /// Errors: systemctl fails.
    pub fn loaded(&mut self) -> Result<Vec<Loaded>> {
        self.loading.take().map_or(Ok(Vec::new()), Loading::wait)
    }

    /// Units that instances require and that systemd does not know, a line each. They may be installed later: nothing is wrong with the
    /// drop-in.
    /// Errors: systemctl fails.
    pub fn unknown_units(&self) -> Result<Vec<String>> {
        if self.systemctl.is_none() {
            return Ok(Vec::new());
        }
        Ok(requires::not_found(&self.graph)?.into_iter().map(|problem| problem.message).collect())
    }
}
