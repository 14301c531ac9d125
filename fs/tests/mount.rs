//! A local volume, really mounted: programs' view through the kernel. Everything else about operations is tested without one.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking, like the test")]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Runtime;
use weft_common::client::{ClientOptions, Cluster, Volume};
use weft_common::limits::{FAN_OUT_DEFAULT, PAGE_SIZE_MIN};
use weft_common::weave::Geometry;
use weft_common::wire::VolumeSettings;
use weft_fs::{MountError, MountHandle, MountOptions, mount};
use weft_server::node::{LocalNode, start_local};

/// A volume of its own cluster, mounted twice: as two machines would. Unmounts when it is dropped, also in a panic.
struct Mounted {
    // In order of dropping: first the mounts, then the servers, then their threads, then the folders.
    mounts: Vec<MountHandle>,
    _volumes: Vec<Arc<Volume>>,
    node: Option<LocalNode>,
    runtime: Runtime,
    folder: tempfile::TempDir,
}

impl Mounted {
    fn new(prepare: impl Fn(MountOptions) -> MountOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let node = runtime.block_on(start_local(&folder.path().join("data"))).unwrap();
        let mut mounted = Self { mounts: Vec::new(), _volumes: Vec::new(), node: Some(node), runtime, folder };
        for name in ["here", "there"] {
            mounted.mount(name, &prepare);
        }
        mounted
    }

    fn mount(&mut self, name: &str, prepare: impl Fn(MountOptions) -> MountOptions) {
        let mountpoint = self.folder.path().join(name);
        fs::create_dir(&mountpoint).unwrap();
        let node = self.node.as_ref().unwrap();
        let (rpc, managers) = (node.rpc(), node.managers());
        let options = prepare(MountOptions::new(&mountpoint, "weft://local/show"));
        let client = ClientOptions { purpose: format!("mount {name}"), ..ClientOptions::default() };
        let volume = self.runtime.block_on(async {
            let cluster = Cluster::connect(rpc, managers, client).await.unwrap();
            if self._volumes.is_empty() {
                let geometry = Geometry::new(PAGE_SIZE_MIN, FAN_OUT_DEFAULT).unwrap();
                cluster.create_volume("show", VolumeSettings { geometry, copies: 1 }, (0, 0)).await.unwrap();
            }
            cluster.open_volume("show").await.unwrap()
        });
        self._volumes.push(Arc::clone(&volume));
        self.mounts.push(mount(volume, &options, self.runtime.handle()).unwrap());
    }

    fn here(&self) -> PathBuf {
        self.folder.path().join("here")
    }

    fn there(&self) -> PathBuf {
        self.folder.path().join("there")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mounts = std::mem::take(&mut self.mounts);
        for mount in &mounts {
            // A test that failed has files open; it has said why already.
            let _ = self.runtime.block_on(mount.unmount());
        }
        drop(mounts);
        if let Some(node) = self.node.take() {
            let _ = self.runtime.block_on(node.stop());
        }
    }
}

fn clustered() -> Mounted {
    Mounted::new(|options| options)
}

fn newest(root: &Path) -> u64 {
    let names = fs::read_dir(root.join(".versions")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).max().unwrap_or(0)
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.expect_err("a failure").raw_os_error().expect("an error number")
}

#[test]
fn files_and_directories_work_and_are_the_same_on_both_mounts() {
    let mounted = clustered();
    let (here, there) = (mounted.here(), mounted.there());
    fs::create_dir_all(here.join("shots/a")).unwrap();
    let data: Vec<u8> = (0..1_000_000u32).map(|at| (at % 251) as u8).collect();
    fs::write(here.join("shots/a/frame.exr"), &data).unwrap();
    assert_eq!(fs::read(there.join("shots/a/frame.exr")).unwrap(), data);
    assert_eq!(fs::metadata(there.join("shots/a/frame.exr")).unwrap().len(), 1_000_000);

    fs::rename(there.join("shots/a/frame.exr"), there.join("shots/b.exr")).unwrap();
    assert!(!here.join("shots/a/frame.exr").exists());
    assert_eq!(fs::read(here.join("shots/b.exr")).unwrap(), data);
    fs::hard_link(here.join("shots/b.exr"), here.join("shots/c.exr")).unwrap();
    assert_eq!(fs::metadata(there.join("shots/b.exr")).unwrap().nlink(), 2);
    symlink("b.exr", here.join("shots/link")).unwrap();
    assert_eq!(fs::read(there.join("shots/link")).unwrap(), data);
    fs::set_permissions(here.join("shots/b.exr"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(fs::metadata(there.join("shots/c.exr")).unwrap().mode() & 0o7777, 0o640);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    File::open(here.join("shots/b.exr")).unwrap().set_modified(time).unwrap();
    assert_eq!(fs::metadata(there.join("shots/b.exr")).unwrap().modified().unwrap(), time);

    let mut names: Vec<_> = fs::read_dir(there.join("shots")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "b.exr", "c.exr", "link"]);
    assert_eq!(errno(fs::remove_dir(here.join("shots"))), libc::ENOTEMPTY);
    fs::remove_dir_all(here.join("shots")).unwrap();
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
}

#[test]
fn what_is_closed_here_is_seen_there_at_the_next_open() {
    let mounted = clustered();
    let (here, there) = (mounted.here(), mounted.there());
    for round in 0..20u8 {
        let data = vec![round; 1000 + usize::from(round) * 777];
        fs::write(here.join("frame"), &data).unwrap();
        assert_eq!(fs::read(there.join("frame")).unwrap(), data, "round {round}");
        let temporary = there.join("frame.tmp");
        fs::write(&temporary, b"renamed over").unwrap();
        fs::rename(&temporary, there.join("frame")).unwrap();
        assert_eq!(fs::read(here.join("frame")).unwrap(), b"renamed over", "round {round}");
    }
}

#[test]
fn an_open_file_is_never_a_mix() {
    let mounted = clustered();
    let (here, there) = (mounted.here(), mounted.there());
    fs::write(there.join("frame"), vec![b'a'; 300_000]).unwrap();
    let mut reader = File::open(here.join("frame")).unwrap();
    let mut head = vec![0; 100_000];
    reader.read_exact(&mut head).unwrap();
    fs::write(there.join("frame"), vec![b'b'; 350_000]).unwrap();
    assert_eq!(fs::read(here.join("frame")).unwrap(), vec![b'b'; 350_000], "a new open gets the new version");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 200_000);
    assert!(rest.iter().all(|byte| *byte == b'a'), "the old one goes on in the old version");
    assert_eq!(reader.metadata().unwrap().len(), 300_000);

    // And a log is followed.
    fs::write(there.join("log"), "one\n").unwrap();
    let mut log = File::open(here.join("log")).unwrap();
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    OpenOptions::new().append(true).open(there.join("log")).unwrap().write_all(b"two\n").unwrap();
    log.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\ntwo\n");
}

#[test]
fn writes_of_every_kind_arrive() {
    let mounted = clustered();
    let (here, there) = (mounted.here(), mounted.there());
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(here.join("file")).unwrap();
    let page = u64::from(PAGE_SIZE_MIN);
    file.write_all_at(b"tail", 3 * page + 5).unwrap();
    file.write_all_at(&vec![7; PAGE_SIZE_MIN as usize], page).unwrap();
    file.set_len(3 * page + 7).unwrap();
    let mut seen = vec![1; 10];
    file.read_exact_at(&mut seen, page - 5).unwrap();
    assert_eq!(seen, [0, 0, 0, 0, 0, 7, 7, 7, 7, 7]);
    assert_eq!(fs::metadata(there.join("file")).unwrap().len(), 0, "nothing is published yet");
    file.sync_all().unwrap();
    let published = fs::read(there.join("file")).unwrap();
    assert_eq!(published.len() as u64, 3 * page + 7);
    assert_eq!(&published[3 * page as usize + 5..], b"ta");
    drop(file);

    let appenders: Vec<_> = [&here, &there]
        .into_iter()
        .map(|root| OpenOptions::new().append(true).create(true).open(root.join("log")).unwrap())
        .collect();
    for round in 0..10 {
        for (side, mut appender) in appenders.iter().enumerate() {
            appender.write_all(format!("{side} {round}\n").as_bytes()).unwrap();
            appender.sync_data().unwrap();
        }
    }
    drop(appenders);
    let log = fs::read_to_string(here.join("log")).unwrap();
    assert_eq!(log.lines().count(), 20);
    assert!(log.lines().all(|line| line.len() == 3), "{log}");

    let mut direct =
        OpenOptions::new().write(true).create(true).truncate(true).custom_flags(libc::O_SYNC).open(here.join("sync")).unwrap();
    direct.write_all(b"at once").unwrap();
    assert_eq!(fs::read(there.join("sync")).unwrap(), b"at once");
}

#[test]
fn the_past_can_be_entered_and_not_changed() {
    let mounted = clustered();
    let here = mounted.here();
    fs::create_dir(here.join("shots")).unwrap();
    fs::write(here.join("shots/f.exr"), "one").unwrap();
    let before = newest(&here);
    fs::write(here.join("shots/f.exr"), "second").unwrap();
    fs::remove_file(here.join("shots/f.exr")).unwrap();

    let old = here.join(format!(".versions/{before}/shots"));
    assert_eq!(fs::read_to_string(old.join("f.exr")).unwrap(), "one");
    assert_eq!(fs::read_dir(&old).unwrap().count(), 1);
    let same = here.join(format!("shots/.versions/{before}/f.exr"));
    assert_eq!(fs::read_to_string(&same).unwrap(), "one");
    assert_eq!(errno(File::create(old.join("new"))), libc::EROFS);
    assert_eq!(errno(OpenOptions::new().write(true).open(&same)), libc::EROFS);
    assert_eq!(errno(fs::remove_file(&same)), libc::EROFS);
    assert_eq!(errno(fs::metadata(here.join(".versions/999999"))), libc::ENOENT);
    assert_eq!(errno(fs::write(here.join("x".repeat(256)), "")), libc::ENAMETOOLONG);

    let history = here.join("shots/.history/f.exr");
    let mut states: Vec<_> =
        fs::read_dir(&history).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    states.sort();
    assert!(states.contains(&"one".to_owned()) && states.contains(&"second".to_owned()), "{states:?}");
    assert_eq!(fs::read_dir(&here).unwrap().count(), 1, "nothing of it is listed");
}

#[test]
fn a_mapped_file_is_written_and_an_unlinked_one_lives_on() {
    let mounted = clustered();
    let (here, there) = (mounted.here(), mounted.there());
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(here.join("scratch")).unwrap();
    file.write_all(b"scratch").unwrap();
    fs::remove_file(here.join("scratch")).unwrap();
    file.sync_all().unwrap();
    file.write_all(b" space").unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "scratch space");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    drop(file);

    // dd maps nothing, but the shell's copy of a program is mapped when it runs.
    fs::copy("/bin/true", here.join("program")).unwrap();
    let status = std::process::Command::new(there.join("program")).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_local_mount_caches_and_is_told_what_others_change() {
    let mounted = Mounted::new(MountOptions::local);
    let (here, there) = (mounted.here(), mounted.there());
    fs::create_dir(here.join("made")).unwrap();
    fs::write(here.join("made/file"), "one").unwrap();
    let until = |done: &dyn Fn() -> bool| {
        (0..200).any(|_| {
            done() || {
                std::thread::sleep(Duration::from_millis(50));
                false
            }
        })
    };
    assert!(until(&|| fs::read_to_string(there.join("made/file")).is_ok_and(|text| text == "one")));
    fs::rename(there.join("made/file"), there.join("moved")).unwrap();
    assert!(until(&|| !here.join("made/file").exists() && here.join("moved").exists()));
}

#[test]
fn mountpoints_in_use_are_refused_with_a_remedy() {
    let mut mounted = clustered();
    let node = mounted.node.as_ref().unwrap();
    let (rpc, managers) = (node.rpc(), node.managers());
    let volume = mounted.runtime.block_on(async {
        let cluster = Cluster::connect(rpc, managers, ClientOptions::default()).await.unwrap();
        cluster.open_volume("show").await.unwrap()
    });
    let options = MountOptions::new(mounted.here(), "weft://local/show");
    let refused = mount(volume, &options, mounted.runtime.handle()).unwrap_err();
    assert!(matches!(refused, MountError::Mounted { .. }), "{refused}");
    assert!(refused.to_string().contains("weft umount"), "{refused}");

    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = table.lines().find(|line| line.contains(mounted.here().to_str().unwrap())).unwrap();
    assert!(line.starts_with("weft://local/show ") && line.contains(" fuse.weft "), "{line}");
    assert!(line.contains("nosuid") && line.contains("nodev") && line.contains("default_permissions"), "{line}");

    // In use: it is detached, and what was written is there all the same.
    let mut file = File::create(mounted.here().join("unclosed")).unwrap();
    file.write_all(b"kept").unwrap();
    let first = mounted.mounts.remove(0);
    let detached = mounted.runtime.block_on(first.unmount());
    assert!(matches!(detached, Err(MountError::Detached(_))), "{detached:?}");
    assert_eq!(fs::read(mounted.there().join("unclosed")).unwrap(), b"kept");
}
