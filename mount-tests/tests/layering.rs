//! The rules of ARCHITECTURE.md, held to the code: who may name what, where `unsafe` stands, how long a file may be.
//!
//! Sources are read as text with comments and literals blanked out, so that prose may speak of what code may not.

mod source;

use source::{SourceFile, workspace_sources};

/// Files that may contain `unsafe`, each for the reason that it gives in its SAFETY comments.
const UNSAFE_FILES: [&str; 1] = ["mount-tests/src/bin/mapper.rs"];

/// Longest file, in lines.
const LINES_MAX: usize = 600;

/// A path that only some files may name.
struct Reserved {
    /// The first segment or segments of a path, as tokens.
    name: &'static str,
    /// Where it is looked for.
    within: &'static str,
    /// Files and folders that may name it.
    allowed: &'static [&'static str],
}

const RESERVED: [Reserved; 8] = [
    Reserved { name: "quinn", within: "", allowed: &["common/src/transport", "benches/src/baseline"] },
    Reserved { name: "rustls", within: "", allowed: &["common/src/transport"] },
    Reserved { name: "rcgen", within: "", allowed: &["common/src/transport"] },
    Reserved { name: "fuser", within: "", allowed: &["fs/src/fuse", "benches/src/baseline"] },
    Reserved {
        name: "redb",
        within: "",
        allowed: &["server/src/version", "benches/src/store.rs", "mount-tests/src/sim/disk/table.rs"],
    },
    Reserved { name: "weft_server", within: "fs", allowed: &["fs/src/cli/local.rs", "fs/tests/mount.rs"] },
    Reserved { name: "weft_fs", within: "common", allowed: &[] },
    Reserved { name: "weft_fs", within: "server", allowed: &[] },
];

/// What pure code must not name: I/O, threads, clocks, randomness. Times and random numbers are arguments.
const IMPURE: [&str; 12] = [
    "std::fs",
    "std::net",
    "std::io",
    "std::thread",
    "std::env",
    "std::process",
    "tokio",
    "rustix",
    "libc",
    "rand",
    "SystemTime::now",
    "Instant::now",
];

/// Queues without a bound.
const UNBOUNDED: [&str; 4] = ["unbounded_channel", "mpsc::unbounded", "mpsc::channel()", "unbounded()"];

fn is_under(path: &str, place: &str) -> bool {
    path == place || path.strip_prefix(place).is_some_and(|rest| place.is_empty() || rest.starts_with('/'))
}

fn is_pure(path: &str) -> bool {
    let pure_folder = ["common/src/weave", "common/src/wire", "common/src/blob"].iter().any(|folder| is_under(path, folder));
    let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
    !is_test && (pure_folder || path.ends_with("/core.rs") || path.contains("/core/"))
}

fn breaches_of(file: &SourceFile) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut report = |line: usize, what: String| breaches.push(format!("{}:{line}: {what}", file.path));
    for rule in RESERVED.iter().filter(|rule| is_under(&file.path, rule.within)) {
        if !rule.allowed.iter().any(|place| is_under(&file.path, place)) {
            for line in file.lines_naming(rule.name) {
                report(line, format!("`{}` may be named only in {:?}", rule.name, rule.allowed));
            }
        }
    }
    if is_pure(&file.path) {
        for name in IMPURE {
            for line in file.lines_naming(name) {
                report(line, format!("pure code names `{name}`; pass what it gives as an argument"));
            }
        }
    }
    if !UNSAFE_FILES.contains(&file.path.as_str()) {
        for line in file.lines_naming("unsafe") {
            report(line, "`unsafe` outside the listed files".into());
        }
    }
    for name in UNBOUNDED {
        for line in file.lines_naming(name) {
            report(line, format!("`{name}` has no bound"));
        }
    }
    let lines = file.code.lines().count();
    if lines > LINES_MAX {
        report(lines, format!("{lines} lines; a file has at most {LINES_MAX}"));
    }
    breaches
}

#[test]
fn every_source_file_keeps_the_rules() {
    let sources = workspace_sources();
    assert!(sources.len() > 20, "only {} source files found: is the test looking in the right place?", sources.len());
    let breaches: Vec<String> = sources.iter().flat_map(breaches_of).collect();
    assert!(breaches.is_empty(), "{} breaches of ARCHITECTURE.md's rules:\n{}", breaches.len(), breaches.join("\n"));
}

#[test]
fn packages_depend_downwards_only() {
    for (package, forbidden) in [("common", &["weft-server", "weft-fs"][..]), ("server", &["weft-fs"][..])] {
        let manifest = source::read(&format!("{package}/Cargo.toml"));
        for name in forbidden {
            assert!(!manifest.contains(name), "{package} must not depend on {name}");
        }
    }
}

#[test]
fn listed_files_exist() {
    for path in UNSAFE_FILES {
        assert!(source::root().join(path).is_file(), "{path} is listed for `unsafe` but does not exist");
    }
}

#[test]
fn planted_breaches_are_found() {
    let plants = [
        ("fs/src/read/plan.rs", "use quinn::Endpoint;"),
        ("server/src/data/mod.rs", "fn f(s: rustls::ServerConfig) {}"),
        ("fs/src/filesystem/read.rs", "use fuser::ReplyData;"),
        ("fs/src/cli/mount.rs", "weft_server::node::Node::start()"),
        ("common/src/weave/build.rs", "let now = std::time::Instant::now();"),
        ("common/src/weave/build.rs", "use std::{collections::BTreeMap, fs};"),
        ("server/src/placement/core.rs", "tokio::spawn(x)"),
        ("server/src/version/core.rs", "let x = rand::random();"),
        ("common/src/client/mod.rs", "let (a, b) = tokio::sync::mpsc::unbounded_channel();"),
        ("common/src/client/mod.rs", "let (a, b) = mpsc::channel();"),
        ("common/src/client/mod.rs", "let (a, b) = mpsc::channel ::<u8> ();"),
        ("common/src/client/mod.rs", "unsafe { x() }"),
    ];
    for (path, code) in plants {
        let file = SourceFile::new(path.into(), code);
        assert_eq!(breaches_of(&file).len(), 1, "{path}: {code}: {:?}", breaches_of(&file));
    }
    let innocent = [
        (
            "common/src/weave/build.rs",
            "// tokio, std::fs and Instant::now() are not for us\n/* unsafe */ let x = \"std::fs\"; let s = 'a';",
        ),
        ("common/src/weave/build.rs", "fn operand(my_tokio: u8) -> &'static str { r#\"unsafe \" rand\"# }"),
        ("common/src/transport/mod.rs", "use quinn::Endpoint;"),
        ("common/src/client/mod.rs", "let (a, b) = mpsc::channel(8);"),
        ("fs/src/cli/local.rs", "weft_server::node::Node::start()"),
    ];
    for (path, code) in innocent {
        assert_eq!(breaches_of(&SourceFile::new(path.into(), code)), Vec::<String>::new(), "{path}");
    }
    assert_eq!(breaches_of(&SourceFile::new("a.rs".into(), &"\n".repeat(601))).len(), 1);
}
