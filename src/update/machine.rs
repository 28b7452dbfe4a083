//! Reads the current state: the types, the requirements of instances, and the loaded units.

use anyhow::Result;

use crate::attach::{self, Attached};
use crate::config::plugin::{self, Listing};
use crate::paths::Paths;
use crate::requires::parents::Parents;
use crate::requires::{self, Graph};
use crate::systemd::systemctl::{Loaded, LoadedQuery, Systemctl};
use crate::systemd::unit_files::{self, Template};

/// The types that should have units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All types with a plugin.
    All,
    /// No type: all units are removed.
    Clean,
}

/// The state of a machine, or of an image.
#[derive(Debug)]
pub struct Machine<'a> {
    pub(super) paths: &'a Paths,
    /// systemctl; `None` if systemd is not running here.
    pub systemctl: Option<Systemctl>,
    /// The types, and problems of their files.
    pub listing: Listing,
    /// The requirements of instances.
    pub graph: Graph,
    /// The parent interfaces of instances.
    pub parents: Parents,
    /// The template units. The units of a type are copies of them.
    pub templates: Vec<Template>,
    /// The attached services, which prevent the removal of all units.
    attached: Vec<Attached>,
    /// The running query for the loaded units, if any.
    loading: Option<LoadedQuery>,
}

impl<'a> Machine<'a> {
    /// Reads the state. With `now`, the loaded units are not queried yet: [`Self::stop_all`] first stops all instances, then
    /// starts the query.
    /// Errors: a directory cannot be read, or a template or systemctl is missing.
    pub fn read(paths: &'a Paths, scope: Scope, now: bool) -> Result<Self> {
        let systemctl = Systemctl::of(paths);
        // systemctl runs in parallel with reading the files.
        let loading = match &systemctl {
            Some(systemctl) if !now => Some(systemctl.query_loaded()?),
            _ => None,
        };
        let mut machine = Self {
            paths,
            systemctl,
            listing: Listing::default(),
            graph: Graph::default(),
            parents: Parents::default(),
            templates: Vec::new(),
            attached: Vec::new(),
            loading,
        };
        match scope {
            Scope::Clean => machine.attached = attach::attached(paths)?,
            Scope::All => {
                machine.listing = plugin::list(paths)?;
                machine.graph = Graph::of_configured(paths, |_| true)?;
                machine.parents = Parents::read(paths, &machine.graph.on_parents);
                machine.templates = unit_files::templates(paths)?;
            }
        }
        Ok(machine)
    }

    /// The reasons to change nothing at all, one line each. With [`Scope::Clean`], an attached service is a reason, because
    /// its instance can require instances of any type.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let attached = self.attached.iter();
        attached.map(|one| format!("cannot remove the units of all types: {}", one.advice())).collect()
    }

    /// Stops all instances, and waits until their namespaces are deleted.
    /// Errors: systemctl fails, or an instance is still loaded after the timeout.
    pub fn stop_all(&mut self) -> Result<()> {
        if let Some(systemctl) = &self.systemctl {
            systemctl.stop_all()?;
            self.loading = Some(systemctl.query_loaded()?);
        }
        Ok(())
    }

    /// The loaded units of instances. The list is empty if systemd was not queried. This is so with `--now --dry-run`: a real
    /// run would have stopped all units at this point.
    /// Errors: systemctl fails.
    pub fn loaded(&mut self) -> Result<Vec<Loaded>> {
        self.loading.take().map_or(Ok(Vec::new()), LoadedQuery::wait)
    }

    /// Required units that systemd does not know, one line each. These are only warnings: a unit can be installed later.
    /// Errors: systemctl fails.
    pub fn unknown_units(&self) -> Result<Vec<String>> {
        if self.systemctl.is_none() {
            return Ok(Vec::new());
        }
        Ok(requires::not_found(&self.graph)?.into_iter().map(|problem| problem.message).collect())
    }
}
