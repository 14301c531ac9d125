use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/weft/weftd.toml")).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_complains(text: &str, parts: &[&str]) {
    let error = parse(text).unwrap_err();
    assert!(!error.contains('\n'), "one line, not {error:?}");
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn the_least_that_is_needed() {
    let config = parse("roles = [\"version-manager\"]").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:9338");
    assert_eq!(config.advertise.0, "127.0.0.1:9338");
    assert_eq!(config.managers, [Address("127.0.0.1:9338".into())]);
    assert_eq!(config.identity, Path::new("/etc/weft/identity"));
    assert_eq!(config.manager_store, Path::new("/etc/weft/store/manager"));
    assert_eq!((config.zone.as_str(), config.log.as_str()), ("default", "info"));
    assert_eq!(config.deletes_per_second.get(), 2000);
}

#[test]
fn everything_set() {
    let config = parse(
        "roles = ['data', 'metadata']\nlisten = '[::]:7000'\nadvertise = 'server-2:7000'\nmanagers = ['server-1', '[fe80::1]:9', '10.0.0.1:3']\n\
         identity = '/keys'\nstore = '/srv'\ndata_store = '/disk1/data'\nzone = 'rack 3'\ndeletes_per_second = 50\nlog = 'warn,weft_server=debug'",
    )
    .unwrap();
    assert!(config.has(Role::Data) && config.has(Role::Metadata) && !config.has(Role::VersionManager));
    let managers: Vec<_> = config.managers.iter().map(|manager| manager.0.as_str()).collect();
    assert_eq!(managers, ["server-1:9338", "[fe80::1]:9", "10.0.0.1:3"]);
    assert_eq!(config.identity, Path::new("/keys"));
    assert_eq!(config.deletes_per_second.get(), 50);
    assert_eq!(config.metadata_store, Path::new("/srv/metadata"));
    assert_eq!(config.data_store, Path::new("/disk1/data"));
}

#[test]
fn an_unknown_key_names_itself_its_line_and_the_keys_that_exist() {
    assert_complains("roles = ['data']\n\nlisen = 'x'", &["/etc/weft/weftd.toml line 3", "`lisen`", "`listen`", "`managers`"]);
}

#[test]
fn wrong_values_say_what_would_be_right() {
    assert_complains("", &["line 1", "missing field `roles`"]);
    assert_complains("roles = []", &["roles: empty", "\"metadata\""]);
    assert_complains("roles = ['storage']", &["line 1", "storage", "version-manager"]);
    assert_complains("roles = ['data']\nlisten = 7", &["line 2", "expected a string"]);
    assert_complains("roles = ['data'", &["line 1"]);
    assert_complains("roles = ['data']", &["managers: missing"]);
    assert_complains("roles = ['version-manager']\nlisten = 'localhost:1'", &["listen: 'localhost:1'"]);
    assert_complains("roles = ['version-manager']\nlisten = '0.0.0.0:1'", &["advertise: missing", "0.0.0.0:1"]);
    assert_complains("roles = ['version-manager']\nadvertise = 'a b'", &["advertise: 'a b'"]);
    assert_complains("roles = ['data']\nmanagers = ['weft://server']", &["managers: 'weft://server'"]);
    assert_complains("roles = ['data']\nmanagers = ['server:0']", &["managers"]);
    assert_complains("roles = ['version-manager']\nzone = ''", &["zone"]);
    assert_complains("roles = ['version-manager']\ndeletes_per_second = 0", &["line 2", "nonzero"]);
    assert_complains("roles = ['version-manager']\nlog = 'a=b=c'", &["log: 'a=b=c'"]);
    let shared = "roles = ['version-manager', 'data']\nmanager_store = '/x'\ndata_store = '/x'";
    assert_complains(shared, &["data_store: /x is manager_store already"]);
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let error = Config::load(Path::new("/nonexistent/weftd.toml")).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/weftd.toml") && error.contains("weftd init"), "{error}");
}

#[test]
fn the_list_of_keys_is_what_the_parser_takes() {
    let error = parse("no_such_key = 1").unwrap_err();
    let (_, expected) = error.split_once("expected one of ").unwrap();
    let parsed: Vec<_> = expected.split(", ").map(|key| key.trim_matches('`')).collect();
    let listed: Vec<_> = KEYS.iter().map(|(key, _)| *key).collect();
    assert_eq!(parsed, listed);
}

#[test]
fn the_example_is_valid_and_shows_every_key() {
    let text = example("0.0.0.0:9338", "server-1:9338");
    let config = parse(&text).unwrap();
    assert_eq!(config.advertise.0, "server-1:9338");
    for (key, meaning) in KEYS {
        assert!(text.contains(&format!("{key} = ")) && text.contains(meaning), "{key}");
    }
    // What is commented out shows the default.
    let uncommented = text
        .replace("# manager_store", "manager_store")
        .replace("# data_store", "data_store")
        .replace("# deletes_per_second", "deletes_per_second")
        .replace("# metadata_store", "metadata_store");
    assert_eq!(parse(&uncommented).unwrap(), config);
}
