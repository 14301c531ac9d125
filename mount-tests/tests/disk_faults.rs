//! Disks that lie, tear, fill up or belong to somebody else: never wrong bytes, never a lost acknowledged version, one clear message.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use weft_mount_tests::binaries::path_of;
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::damage::{damage_page, segments};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::process::{refuse, succeed};
use weft_mount_tests::random::Random;

const ONE_COPY: Shape = Shape { page_kib: 64, fan_out: 2, copies: 1 };
const TWO_COPIES: Shape = Shape { copies: 2, ..ONE_COPY };

/// Writes a file and has it on stable storage; the standard library's `write` does not look at what `close` answers.
fn try_write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn write(path: &Path, content: &[u8]) {
    try_write(path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[test]
fn a_damaged_page_is_read_from_the_other_copy_and_without_one_never_returned() {
    let mut cluster = Cluster::start(2, 2);
    let content = Random::new(7).bytes(50_000);
    for (volume, shape) in [("single", ONE_COPY), ("double", TWO_COPIES)] {
        cluster.create_volume(volume, shape);
        let mount = cluster.mount(volume);
        write(&mount.path().join("frame"), &content);
        write(&mount.path().join("other"), b"untouched");
        mount.unmount();
    }
    // Both copies of `single` and one of the two of `double` are damaged: whatever lies on the first provider, and what `single` has.
    let first = damage_page(&cluster, "data1", &content);
    assert!(first > 0, "the frame is on the first provider");
    let double = cluster.mount("double");
    let read = fs::read(double.path().join("frame")).expect("the other copy");
    let wrong: Vec<usize> = (0..content.len()).filter(|place| read.get(*place) != content.get(*place)).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} bytes are wrong, from {:?} on, of {}",
        wrong.len(),
        content.len(),
        wrong.first(),
        read.len()
    );

    let single = cluster.mount("single");
    if first < 2 {
        assert_eq!(damage_page(&cluster, "data2", &content), 2, "the frame of `single` and the second copy of `double`");
    }
    let error = fs::read(single.path().join("frame")).expect_err("damaged bytes are never returned");
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    assert_eq!(fs::read(single.path().join("other")).expect("an undamaged file"), b"untouched");
    assert!(single.output().contains("damaged"), "the mount's log names the damage:\n{}", single.output());
}

#[test]
fn a_damaged_node_is_an_error_and_not_a_hole() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", ONE_COPY);
    let mount = cluster.mount("show");
    write(&mount.path().join("frame"), &[7; 300_000]);
    mount.unmount();
    for path in segments(&cluster, "metadata1", "metadata") {
        let bytes = fs::read(&path).expect("a segment");
        let last = bytes.iter().rposition(|byte| *byte != 0).expect("the end of the last node");
        let file = OpenOptions::new().write(true).open(&path).expect("a segment");
        file.write_all_at(&[bytes[last] ^ 0x10], last as u64).expect("a flipped bit");
    }
    let mount = cluster.mount("show");
    let error = fs::read(mount.path().join("frame")).expect_err("a frame without its node");
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    assert_eq!(fs::metadata(mount.path().join("frame")).expect("its attributes").len(), 300_000);
}

#[test]
fn a_torn_end_of_the_version_log_is_cut_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", ONE_COPY);
    let mount = cluster.mount("show");
    let frames: Vec<(String, Vec<u8>)> = (0..20).map(|n| (format!("frame{n}"), Random::new(n).bytes(5000))).collect();
    for (name, content) in &frames {
        write(&mount.path().join(name), content);
    }
    cluster.server("manager").kill();
    let log = newest_file(&cluster.folder().join("manager/manager/log"));
    let torn = OpenOptions::new().append(true).open(&log).and_then(|mut file| file.write_all(&[0x42; 37]));
    torn.expect("half a record");
    cluster.crash();
    for (name, content) in &frames {
        assert!(fs::read(mount.path().join(name)).expect("an acknowledged frame") == *content, "{name}");
    }
    fs::write(mount.path().join("next"), b"after").expect("the log goes on");
    let output = cluster.server("manager").output();
    assert!(output.contains("WARN") && output.contains("37"), "the cut bytes are named:\n{output}");
}

fn newest_file(folder: &Path) -> PathBuf {
    let listed = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    listed.map(|entry| entry.expect("an entry").path()).max().expect("a file")
}

#[test]
fn a_store_folder_of_another_cluster_is_refused() {
    let first = Cluster::start(1, 1);
    let second = Cluster::start(1, 1);
    let stolen = first.folder().join("data1");
    drop_server(first, |first| {
        let config = second.folder().join("stolen.toml");
        let text = format!(
            "roles = [\"data\"]\nlisten = \"127.0.0.1:0\"\nmanagers = [\"{}\"]\nidentity = \"cluster/identity\"\nstore = \"{}\"\n",
            second.manager(),
            stolen.display()
        );
        fs::write(&config, text).expect("a configuration");
        first.server("data1").kill();
        let mut command = Command::new(path_of("weftd"));
        command.arg("--config").arg(&config);
        let message = refuse(command);
        assert!(message.contains("cluster") && message.contains("data1"), "{message}");
    });
}

fn drop_server(mut cluster: Cluster, test: impl FnOnce(&mut Cluster)) {
    test(&mut cluster);
}

/// An ext4 filesystem of its own in a file; unmounted when dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn new(mebibytes: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("image");
        File::create(&image).and_then(|file| file.set_len(mebibytes << 20)).expect("an image");
        let disk = Self { folder };
        fs::create_dir(disk.path()).expect("a mountpoint");
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-m", "0"]).arg(&image);
        succeed(mkfs);
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(&image).arg(disk.path());
        succeed(mount);
        disk
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).output();
    }
}

#[test]
fn a_full_disk_refuses_new_bytes_and_keeps_the_old_ones() {
    let disk = SmallDisk::new(256);
    let folder = tempfile::tempdir().expect("a folder");
    let mount = Mount::local(&disk.path().join("store"), &folder.path().join("mnt"), &[]);
    let mut kept = Vec::new();
    let error = loop {
        let name = mount.path().join(format!("frame{}", kept.len()));
        let content = Random::new(kept.len() as u64).bytes(4 << 20);
        match try_write(&name, &content) {
            Ok(()) => kept.push((name, content)),
            Err(error) => break error,
        }
        assert!(kept.len() < 128, "256 MiB cannot hold {} frames of 4 MiB", kept.len());
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    assert!(kept.len() > 10, "only {} frames of 4 MiB went onto 256 MiB", kept.len());
    for (name, content) in &kept {
        assert!(fs::read(name).expect("a frame that was acknowledged") == *content, "{}", name.display());
    }
    let (name, _) = kept.pop().expect("a frame");
    fs::remove_file(&name).expect("deleting on a full disk");
    fs::read_dir(mount.path()).expect("listing on a full disk");
    mount.unmount();
}
