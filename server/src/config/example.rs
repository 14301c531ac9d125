//! The `weftd.toml` that `weftd init` writes: every key, explained, with its default.

use super::KEYS;
use std::fmt::Write;

/// A configuration of all roles in one process that listens at `listen` and is reached at `advertise`.
#[must_use]
pub fn example(listen: &str, advertise: &str) -> String {
    let mut text = String::from("# weftd.toml: see weftd.toml(5). Paths are relative to the folder of this file.\n");
    for (key, meaning) in KEYS {
        let line = match *key {
            "roles" => "roles = [\"version-manager\", \"metadata\", \"data\"]".to_owned(),
            "listen" => format!("listen = \"{listen}\""),
            "advertise" => format!("advertise = \"{advertise}\""),
            "managers" => format!("managers = [\"{advertise}\"]"),
            "identity" => "identity = \"identity\"".to_owned(),
            "store" => "store = \"store\"".to_owned(),
            "manager_store" => "# manager_store = \"store/manager\"".to_owned(),
            "metadata_store" => "# metadata_store = \"store/metadata\"".to_owned(),
            "data_store" => "# data_store = \"store/data\"".to_owned(),
            "zone" => "zone = \"default\"".to_owned(),
            "deletes_per_second" => "# deletes_per_second = 2000".to_owned(),
            "log" => "log = \"info\"".to_owned(),
            other => format!("# {other} ="),
        };
        // Writing to a string does not fail.
        let _ = write!(text, "\n# {meaning}\n{line}\n");
    }
    text
}
