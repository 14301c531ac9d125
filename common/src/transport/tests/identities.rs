use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

fn cluster_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    create_cluster_files(&folder.path().join("identity"), CLUSTER).unwrap();
    folder
}

#[test]
fn what_was_made_loads_and_keys_are_private() {
    let folder = cluster_folder();
    let path = folder.path().join("identity");
    for holder in [Holder::Server, Holder::Client] {
        let identity = Identity::load(&path, holder).unwrap();
        assert_eq!(identity.cluster(), CLUSTER);
        let shown = format!("{identity:?}");
        assert!(!shown.contains("key"), "{shown}");
    }
    for file in ["ca.key", "server.key", "client.key"] {
        assert_eq!(std::fs::metadata(path.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_loaded_authority_signs_for_the_same_cluster() {
    let folder = cluster_folder();
    let path = folder.path().join("identity");
    let authority = ClusterAuthority::load(&path).unwrap();
    assert_eq!(authority.cluster(), CLUSTER);
    std::fs::remove_file(path.join("client.pem")).unwrap();
    std::fs::remove_file(path.join("client.key")).unwrap();
    authority.write_identity(&path, Holder::Client, "desk-2").unwrap();
    assert_eq!(Identity::load(&path, Holder::Client).unwrap().name(), "desk-2");
}

#[test]
fn nothing_is_overwritten() {
    let folder = cluster_folder();
    let path = folder.path().join("identity");
    let before = std::fs::read(path.join("ca.pem")).unwrap();
    assert!(matches!(create_cluster_files(&path, ClusterId(9)), Err(IdentityError::Exists { .. })));
    assert_eq!(std::fs::read(path.join("ca.pem")).unwrap(), before);
}

#[track_caller]
fn load_error(path: &Path, holder: Holder) -> String {
    Identity::load(path, holder).unwrap_err().to_string()
}

#[test]
fn errors_name_the_file() {
    let (folder, other) = (cluster_folder(), cluster_folder());
    let (path, other) = (folder.path().join("identity"), other.path().join("identity"));
    let nowhere = load_error(&path.join("nowhere"), Holder::Client);
    assert!(nowhere.contains("nowhere/ca.pem is missing"), "{nowhere}");

    std::fs::rename(path.join("client.key"), path.join("kept")).unwrap();
    let missing = load_error(&path, Holder::Client);
    assert!(missing.contains("client.key is missing"), "{missing}");
    std::fs::copy(path.join("server.key"), path.join("client.key")).unwrap();
    let mismatch = load_error(&path, Holder::Client);
    assert!(mismatch.contains("client.key is not the key of"), "{mismatch}");
    std::fs::write(path.join("client.key"), "no key").unwrap();
    let malformed = load_error(&path, Holder::Client);
    assert!(malformed.contains("client.key") && malformed.contains("no private key"), "{malformed}");
    std::fs::rename(path.join("kept"), path.join("client.key")).unwrap();

    std::fs::copy(other.join("ca.pem"), path.join("ca.pem")).unwrap();
    let authority = load_error(&path, Holder::Client);
    assert!(authority.contains("client.pem was not signed by"), "{authority}");
}

#[test]
fn a_client_certificate_is_no_server_certificate() {
    let folder = cluster_folder();
    let path = folder.path().join("identity");
    std::fs::copy(path.join("client.pem"), path.join("server.pem")).unwrap();
    let error = load_error(&path, Holder::Server);
    assert!(error.contains("server.pem is not a server certificate"), "{error}");
}

#[test]
fn an_expired_certificate_says_so() {
    let folder = cluster_folder();
    let path = folder.path().join("identity");
    let authority = ClusterAuthority::load(&path).unwrap();
    let (certificate, key) = authority.sign(Holder::Client, "late", SystemTime::now() - Duration::from_secs(60)).unwrap();
    std::fs::write(path.join("client.pem"), certificate.pem()).unwrap();
    std::fs::write(path.join("client.key"), key.serialize_pem()).unwrap();
    let error = load_error(&path, Holder::Client);
    assert!(error.contains("client.pem is valid no more"), "{error}");
}
