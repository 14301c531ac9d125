//! The manual holds what the programs hold: every command and flag of `weft`, every `-o` option of `mount.weft`,
//! every key of `weftd.toml`, stands in its page.

use clap::Command;
use std::path::Path;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether a page has `macro word`, on a line of its own or among other macros: `.It Fl -local Ar DIR`.
fn has(page: &str, macro_name: &str, word: &str) -> bool {
    let mut tokens = page.lines().filter(|line| line.starts_with('.')).flat_map(|line| {
        let line = line.trim_start_matches('.').replace(',', " ");
        line.split_whitespace().map(str::to_owned).chain(["\n".into()]).collect::<Vec<_>>()
    });
    // A macro holds until the next one: `Cm nosuid , nodev`.
    let mut current = String::new();
    tokens.any(|token| {
        let is_macro = token == "\n" || (token.len() == 2 && token.starts_with(|c: char| c.is_ascii_uppercase()));
        if is_macro {
            current = token;
            return false;
        }
        current == macro_name && token == word
    })
}

/// The lines from a command's heading to the next, or the whole page if it has none.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let Some(start) = page.find(&format!("\n{heading}\n")) else { return page };
    let rest = &page[start + 1..];
    let end = rest[1..].find("\n.S").map_or(rest.len(), |end| end + 1);
    &rest[..end]
}

fn missing_in(page: &str, command: &Command, path: &str, missing: &mut Vec<String>) {
    let shared = section(page, ".Sh DESCRIPTION");
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        if let Some(long) = argument.get_long() {
            let flag = format!("-{long}");
            let own = section(page, &format!(".Ss {}", path.split(' ').take(2).collect::<Vec<_>>().join(" ")));
            if !has(own, "Fl", &flag) && !has(shared, "Fl", &flag) {
                missing.push(format!("{path} --{long}"));
            }
        }
    }
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        if !has(page, "Cm", sub.get_name()) {
            missing.push(format!("{path} {}", sub.get_name()));
        }
        missing_in(page, sub, &format!("{path} {}", sub.get_name()), missing);
    }
}

fn assert_complete(page_name: &str, mut command: Command) {
    command.build();
    let mut missing = Vec::new();
    let name = command.get_name().to_owned();
    missing_in(&page(page_name), &command, &name, &mut missing);
    assert!(missing.is_empty(), "not in man/{page_name}:\n{}", missing.join("\n"));
}

#[test]
fn weft_1_is_complete() {
    assert_complete("weft.1", weft_fs::cli::command());
}

#[test]
fn weftd_8_is_complete() {
    assert_complete("weftd.8", weft_server::cli::command());
}

#[test]
fn weftd_toml_5_has_every_key_and_no_other() {
    let page = page("weftd.toml.5");
    let described: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".It Ic ")).collect();
    let keys: Vec<&str> = weft_server::config::KEYS.iter().map(|(key, _)| *key).collect();
    assert_eq!(described, keys, "man/weftd.toml.5 describes other keys than there are");
}

#[test]
fn mount_weft_8_has_every_mount_flag_as_an_option() {
    let page = page("mount.weft.8");
    let command = weft_fs::cli::command();
    let mount = command.find_subcommand("mount").expect("weft mount");
    let flags = mount.get_arguments().filter_map(|argument| argument.get_long());
    // --local is the store folder in place of the URL; the helper always goes into the background.
    for flag in flags.filter(|flag| !["local", "daemon", "help"].contains(flag)) {
        let option = flag.replace('-', "_");
        assert!(has(&page, "Cm", &option), "-o {option} is not in man/mount.weft.8");
        let value =
            if mount.get_arguments().any(|argument| argument.get_long() == Some(flag) && argument.get_action().takes_values()) {
                match flag {
                    "timeout" => "=5s",
                    "page-size" | "memory" => "=64K",
                    "fan-out" => "=2",
                    _ => "=x",
                }
            } else {
                ""
            };
        let line = format!("/store /mnt -o {option}{value}");
        weft_fs::cli::check_helper(&line.split(' ').map(Into::into).collect::<Vec<_>>())
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn every_page_has_the_sections_that_readers_look_for() {
    for name in ["weft.1", "mount.weft.8", "weftfs.7", "weftd.8", "weftd.toml.5"] {
        let page = page(name);
        for heading in ["NAME", "DESCRIPTION", "FILES", "EXAMPLES", "ERRORS", "SEE ALSO"] {
            assert!(page.contains(&format!(".Sh {heading}\n")), "man/{name} has no section {heading}");
        }
    }
}

#[test]
fn what_is_missing_is_found() {
    let page = ".Bl -tag\n.It Fl -there Ar X , Fl -also\n.It Cm a , b Ns = Ns Ar C\n--absent in prose\n";
    for (macro_name, word) in [("Fl", "-there"), ("Fl", "-also"), ("Cm", "a"), ("Cm", "b")] {
        assert!(has(page, macro_name, word), "{word}");
    }
    assert!(!has(page, "Fl", "-absent") && !has(page, "Cm", "C") && !has(page, "Fl", "-the"));
}
