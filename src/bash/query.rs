//! Questions that bash answers of an instance: it reads the layers as in a hook, and calls no hook.

use anyhow::Result;

use super::run::run;
use super::runtime::RUNTIME;
use super::{CHECK, REQUIRES, SHOW, quote};
use crate::config::layers::Layers;
use crate::name::{Instance, Side};
use crate::paths::Paths;
use crate::sys::program::Output;
use crate::trust;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// What the layers set, and where (`show.sh`).
    Values {
        /// The plugin looks whether that is valid, too (`configure_TYPE_validate`).
        validate: bool,
    },
    /// What the instance requires (`requires.sh`), by the values of these settings, too.
    Requirements(&'a [String]),
    /// What is not as `up` has left it, on one side (`check.sh`).
    Check(Side),
}

impl Question<'_> {
    /// The bash text, for behind what every question needs.
    fn text(self, instance: &Instance) -> String {
        match self {
            Self::Values { validate } => {
                format!("__netns_validates={}\n{SHOW}", if validate { "y" } else { "" })
            }
            Self::Requirements(settings) => format!("__netns_settings=({})\n{REQUIRES}", settings.join(" ")),
            Self::Check(side) => {
                format!("__netns_function={}\n{CHECK}", check_function(instance, side))
            }
        }
    }
}

/// The function of a plugin that compares one side with what `up` has left.
#[must_use]
pub fn check_function(instance: &Instance, side: Side) -> String {
    format!("configure_{}_check_{side}", instance.nstype)
}

/// Has bash read the layers, in the network namespace of this thread, and answer. What they do besides setting variables, they do.
/// Errors: others can write one of the files ([`trust::Refused`]), or one cannot be read, or bash cannot be run, or does not come to an end.
pub fn ask(paths: &Paths, instance: &Instance, layers: &Layers, question: Question) -> Result<Output> {
    trust::require(&paths.root, layers.paths_to_check(paths))?;
    for layer in layers.present() {
        layer.is_usable()?;
    }
    let Instance { nstype, name } = instance;
    let files: Vec<String> = layers.present().map(|layer| quote(layer.path.as_os_str())).collect();
    let text = format!(
        "NSTYPE={nstype} NSNAME={name} UPDOWN=up INOUT=outside\n\
         __netns_dir={} __netns_state={} __netns_layers=({})\n{RUNTIME}\n\
         remember() {{ :; }} # what the live instance remembers is not touched\n{}",
        quote(paths.netns.as_os_str()),
        quote(paths.remembered(instance).as_os_str()),
        files.join(" "),
        question.text(instance),
    );
    run(&text, &[nstype.as_ref(), name.as_ref(), "up", "outside"])
}
