//! WeftFS against other filesystems, on the same disk and in the same run.

use crate::run::side_by_side;
use crate::stop;
use crate::system::{Peer, RECIPES, Recipe, System};
use std::error::Error;

/// What to measure, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: crate::run::Arguments,
    /// Peers: juicefs, gluster, gluster2 (two copies), moosefs, moosefs2 (two copies), cephfs, sshfs. All that are installed if none is given;
    /// a run without any says what to install.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// What stands beside them: L, C, C2, and the baselines disk, null, proto.
    #[arg(long, value_delimiter = ',', default_value = "L,C,C2")]
    systems: Vec<String>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    arguments.run.chosen_rows()?;
    let recipes = installed(&arguments.peers, |recipe| recipe.missing())?;
    if !rustix::process::geteuid().is_root() {
        return Err("servers of peers run in namespaces of their own, which takes root".into());
    }
    stop::listen()?;
    let folder = tempfile::tempdir_in(&arguments.run.dir)?;
    let mut systems: Vec<Box<dyn System>> = Vec::new();
    for recipe in recipes {
        stop::check()?;
        eprintln!("starting {}", recipe.name);
        systems.push(Box::new(Peer::start(recipe, folder.path())?));
    }
    for name in &arguments.systems {
        stop::check()?;
        systems.push(crate::mount::start(name, folder.path(), &arguments.run.mount_options)?);
    }
    side_by_side("WeftFS beside other filesystems", &arguments.run, &mut systems, None)
}

/// The recipes that were asked for (all if none was) whose programs are there; those that are not are named.
fn installed(asked: &[String], missing: impl Fn(&Recipe) -> Vec<&'static str>) -> Result<Vec<&'static Recipe>, String> {
    if let Some(unknown) = asked.iter().find(|key| RECIPES.iter().all(|recipe| recipe.key != **key)) {
        let known: Vec<&str> = RECIPES.iter().map(|recipe| recipe.key).collect();
        return Err(format!("there is no peer {unknown:?}; there are {}", known.join(", ")));
    }
    static ALL: [Recipe; RECIPES.len()] = RECIPES;
    let (mut found, mut lacking) = (Vec::new(), Vec::new());
    for recipe in ALL.iter().filter(|recipe| asked.is_empty() || asked.iter().any(|key| key == recipe.key)) {
        match missing(recipe).as_slice() {
            [] => found.push(recipe),
            programs => lacking.push(format!("{} lacks {} ({})", recipe.name, programs.join(", "), recipe.packages)),
        }
    }
    if found.is_empty() {
        return Err(format!("none of these peers is installed:\n  {}", lacking.join("\n  ")));
    }
    if !lacking.is_empty() {
        eprintln!("left out, as they are not installed:\n  {}", lacking.join("\n  "));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(found: Vec<&'static Recipe>) -> Vec<&'static str> {
        found.iter().map(|recipe| recipe.key).collect()
    }

    #[test]
    fn a_run_without_any_peer_says_what_to_install() {
        let why = installed(&[], |_| vec!["prog"]).expect_err("nothing is installed");
        for recipe in &RECIPES {
            assert!(why.contains(recipe.packages) && why.contains(&format!("{} lacks prog", recipe.name)), "{why}");
        }
    }

    #[test]
    fn what_is_installed_and_asked_for_is_measured() {
        let only_gluster = |recipe: &Recipe| if recipe.key.starts_with("gluster") { Vec::new() } else { vec!["prog"] };
        assert_eq!(installed(&[], only_gluster).map(keys), Ok(vec!["gluster", "gluster2"]));
        assert_eq!(installed(&["gluster2".to_owned()], only_gluster).map(keys), Ok(vec!["gluster2"]));
        assert!(installed(&["sshfs".to_owned()], only_gluster).is_err_and(|why| why.contains("apt install sshfs")));
        assert!(installed(&["nfs".to_owned()], only_gluster).is_err_and(|why| why.contains("cephfs")));
    }
}
