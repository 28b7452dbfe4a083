//! The layers of an instance: plugin, `default.conf`, `TYPE.conf`, `TYPE-NAME.conf`.
//!
//! The first two are settled here. The names of the other two are put together by the wrapper, as a plugin may change
//! `NSTYPE`, or `TYPE.conf` `NSNAME`, and whether they have to exist is for `NO_CONFIG_REQUIRED` to say, which any
//! file may set.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};

use crate::declared::Declared;
use crate::name::{Instance, Phase};
use crate::paths::Paths;
use crate::plugin;

/// The longest file that is looked into, in bytes.
const LONGEST: u64 = 1 << 18;

/// What is sourced for an instance, in this order.
#[derive(Debug)]
pub struct Layers {
    /// `TYPE.sh`
    pub plugin: PathBuf,
    /// `default.conf`, where there is one.
    pub default: Option<DefaultConf>,
    /// The directory of `TYPE.conf` and `TYPE-NAME.conf`.
    pub conf: PathBuf,
    /// What stands in all of them, `None` for one that is not there; `None` at all where bash has to see for itself.
    pub texts: Option<[Option<String>; 4]>,
    /// What they come to, where that is certain already.
    pub settled: Option<Settled>,
}

/// What the layers come to that declare things and do nothing: functions in the plugin, variables in all of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled {
    functions: Vec<String>,
    /// The files that are there, in their order.
    pub files: Vec<PathBuf>,
}

impl Settled {
    /// Whether there is a function of that name.
    #[must_use]
    pub fn defines(&self, function: &str) -> bool {
        self.functions.iter().any(|name| name == function)
    }

    /// `files` are the four layers, with their texts. `None` where bash, or a variable that it looks at, could be affected, or where
    /// the plugin's wish for a `.conf` is not met.
    fn of(files: [&PathBuf; 4], texts: &[Option<String>; 4]) -> Option<Self> {
        let mut functions = Vec::new();
        let mut unconfigured = true;
        for (layer, text) in texts.iter().enumerate() {
            let Some(text) = text else { continue };
            let declared = Declared::read(text)?;
            let names = declared.variables.iter().map(|(name, _)| name).chain(&declared.functions);
            let affects = |name: &str| {
                !name.contains('_')
                    || ["BASH", "LC_", "POSIXLY_", "__netns_"].iter().any(|start| name.starts_with(start))
            };
            if names.into_iter().any(|name| affects(name)) || layer > 0 && !declared.functions.is_empty() {
                return None;
            }
            functions.extend(declared.functions.iter().map(ToString::to_string));
            if let Some((_, value)) =
                declared.variables.iter().rfind(|(name, _)| *name == "NO_CONFIG_REQUIRED")
            {
                unconfigured = value.is_empty() || value.contains('$');
            }
            unconfigured &= layer < 2;
        }
        let there = files.into_iter().zip(texts).filter(|(_, text)| text.is_some());
        (!unconfigured).then(|| Self { functions, files: there.map(|(file, _)| file.clone()).collect() })
    }
}

/// Whether the environment brings functions, or a variable that the host looks at.
fn environment_affects() -> bool {
    env::vars_os()
        .any(|(name, _)| name == "NO_CONFIG_REQUIRED" || name.as_encoded_bytes().starts_with(b"BASH_FUNC_"))
}

/// `default.conf` and whether it needs to be parsed before it can be trusted to be sourced.
#[derive(Debug)]
pub struct DefaultConf {
    /// The file.
    pub path: PathBuf,
    /// It holds blank lines, comments and simple assignments alone, so it cannot have a syntax error.
    pub plain: bool,
}

impl Layers {
    /// Finds the layers of an instance.
    ///
    /// # Errors
    /// No usable plugin. On `up`, a `default.conf` that is there but cannot be read; on `down` that is only warned of.
    pub fn of(paths: &Paths, instance: &Instance, phase: Phase) -> Result<Self> {
        let plugin = plugin::find(paths, &instance.nstype)?;
        let default = match (default_conf(paths.default_conf(), phase), phase) {
            (Err(error), Phase::Down) => {
                crate::warn(&format!("{error:#}; going on without it"));
                None
            }
            (found, _) => found?,
        };
        let files =
            [&plugin, &paths.default_conf(), &paths.conf_of_type(&instance.nstype), &paths.conf_of(instance)];
        let texts = texts(files).ok();
        let settled =
            texts.as_ref().filter(|_| !environment_affects()).and_then(|texts| Settled::of(files, texts));
        Ok(Self { plugin, default, conf: paths.conf.clone(), texts, settled })
    }
}

impl Layers {
    /// What is read for an instance, for [`crate::trust`]: the directory in which files are looked for, and those that are there.
    #[must_use]
    pub fn read(&self, paths: &Paths, instance: &Instance) -> Vec<PathBuf> {
        let files = [
            self.plugin.clone(),
            paths.default_conf(),
            paths.conf_of_type(&instance.nstype),
            paths.conf_of(instance),
        ];
        let is_there = |layer: usize| self.texts.as_ref().is_none_or(|texts| texts[layer].is_some());
        let there = files.into_iter().enumerate().filter(|(layer, _)| is_there(*layer)).map(|(_, file)| file);
        [paths.conf.clone()].into_iter().chain(there).collect()
    }
}

fn texts(files: [&PathBuf; 4]) -> io::Result<[Option<String>; 4]> {
    let mut texts = [const { None }; 4];
    for (text, file) in texts.iter_mut().zip(files) {
        *text = text_of(file)?;
    }
    Ok(texts)
}

/// The text of a regular file, `None` where there is nothing. A FIFO is left for bash to read, and so is what is longer than
/// files of people are.
pub(crate) fn text_of(path: &Path) -> io::Result<Option<String>> {
    let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?;
    if !found.is_file() || found.len() > LONGEST {
        return Err(ErrorKind::InvalidInput.into());
    }
    // By `take`, as a file by itself would be asked for its length twice more.
    let mut text = String::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 1);
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(Some(text))
}

fn default_conf(path: PathBuf, phase: Phase) -> Result<Option<DefaultConf>> {
    let found = match fs::metadata(&path) {
        Ok(found) if found.is_dir() => bail!("{} is a directory, not a file", path.display()),
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            bail!("{} is a symbolic link to nothing", path.display())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
    };
    access(&path, AccessFlags::R_OK).with_context(|| format!("cannot read {}", path.display()))?;
    // Asked on `down` alone, and of a regular file alone: reading a FIFO would take its content from bash.
    let plain =
        || Declared::read(&fs::read_to_string(&path).ok()?).map(|declared| declared.functions.is_empty());
    let plain = phase == Phase::Up || !found.is_file() || plain() == Some(true);
    Ok(Some(DefaultConf { path, plain }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(layers: [&str; 4]) -> Option<Settled> {
        let files = ["t.sh", "default.conf", "t.conf", "t-a.conf"].map(PathBuf::from);
        Settled::of(files.each_ref(), &layers.map(|text| (text != "-").then(|| text.to_owned())))
    }

    const PLUGIN: &str = "configure_t_up_inside() {\n  :\n}\n";

    #[test]
    fn functions_in_the_plugin_and_variables_anywhere_are_settled() {
        let settled = settled([PLUGIN, "H_A=1", "-", "T_A=$H_A"]).unwrap();
        assert!(settled.defines("configure_t_up_inside"));
        assert!(!settled.defines("configure_t_up_outside"));
        assert_eq!(settled.files, ["t.sh", "default.conf", "t-a.conf"].map(PathBuf::from));
    }

    #[test]
    fn what_bash_or_the_host_looks_at_is_not_settled() {
        for layers in [
            [PLUGIN, "-", "NSNAME=b", "-"],
            [PLUGIN, "-", "BASH_ENV=b", "-"],
            [PLUGIN, "-", "LC_ALL=C", "-"],
            [PLUGIN, "-", "POSIXLY_CORRECT=y", "-"],
            [PLUGIN, "-", "PATH=/bin", "-"],
            [PLUGIN, "-", "-", "__netns_done=y"],
            ["echo() {\n:\n}", "-", "A_B=1", "-"],
        ] {
            assert_eq!(settled(layers), None, "{layers:?}");
        }
    }

    #[test]
    fn a_function_in_a_conf_is_for_bash_to_find() {
        assert_eq!(settled([PLUGIN, "-", "-", PLUGIN]), None);
    }

    #[test]
    fn without_a_conf_it_depends_on_what_the_plugin_wants() {
        for (wish, met) in [
            ("", false),
            ("NO_CONFIG_REQUIRED=yes\n", true),
            ("NO_CONFIG_REQUIRED=\n", false),
            ("NO_CONFIG_REQUIRED=$A_B\n", false),
            ("NO_CONFIG_REQUIRED=yes\nNO_CONFIG_REQUIRED=\n", false),
        ] {
            assert_eq!(settled([&(wish.to_owned() + PLUGIN), "-", "-", "-"]).is_some(), met, "{wish}");
        }
    }
}
