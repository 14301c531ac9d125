//! `weft clone` and `cp` on real mounts: content is shared, and each copy is a file of its own from then on.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use weft_mount_tests::cluster::{Cluster, Shape, long_tests};
use weft_mount_tests::fingerprint::{differences, fingerprint};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::process::succeed;
use weft_mount_tests::random::Random;

const PAGE: usize = 64 << 10;

fn disk_bytes(folder: &Path) -> u64 {
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    fs::read_dir(folder).expect("a folder").flatten().map(size).sum()
}

fn same(one: &Path, other: &Path) {
    let tree = |path: &Path| fingerprint(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let wrong = differences(&tree(one), &tree(other));
    assert!(wrong.is_empty(), "{} and {}:\n{}", one.display(), other.display(), wrong.join("\n"));
}

/// 64 MiB, 1 GiB with `WEFT_LONG_TESTS`. The stores are measured while nothing runs, when they hold no space ahead.
#[test]
fn cp_of_a_file_stores_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, at) = (folder.path().join("data"), folder.path().join("mnt"));
    let size = if long_tests() { 1 << 30 } else { 64 << 20 };
    let mount = Mount::local(&data, &at, &[]);
    let mut random = Random::new(5);
    let file = File::create(at.join("frame")).expect("a file");
    for offset in (0..size).step_by(1 << 20) {
        file.write_all_at(&random.bytes(1 << 20), offset).expect("written");
    }
    drop(file);
    fs::write(at.join("other"), "to be replaced").expect("written");
    mount.unmount();
    let before = disk_bytes(&data);
    assert!(before > size, "{before} bytes on the disk");

    let mount = Mount::local(&data, &at, &[]);
    let begun = std::time::Instant::now();
    for copy in ["copy", "other"] {
        let mut cp = Command::new("cp");
        cp.arg(at.join("frame")).arg(at.join(copy));
        succeed(cp);
    }
    println!("cp of {size} bytes, twice: {:?}", begun.elapsed());
    mount.unmount();
    let after = disk_bytes(&data);
    assert!(after < before + size / 16, "{before} bytes before, {after} after");

    let mount = Mount::local(&data, &at, &[]);
    for copy in ["copy", "other"] {
        let mut cmp = Command::new("cmp");
        cmp.arg(at.join("frame")).arg(at.join(copy));
        succeed(cmp);
    }
    // Each is a file of its own: what is written to one shows in no other.
    OpenOptions::new().write(true).open(at.join("copy")).expect("open").write_all_at(b"mine", 70_000).expect("written");
    let byte = |name: &str| {
        let mut bytes = [0; 4];
        File::open(at.join(name)).expect("open").read_exact_at(&mut bytes, 70_000).expect("read");
        bytes
    };
    assert!(byte("copy") == *b"mine" && byte("frame") == byte("other") && byte("frame") != *b"mine");
    mount.unmount();
}

#[test]
fn every_way_of_cp_copies_what_it_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().join("mnt");
    let mount = Mount::local(&folder.path().join("data"), &at, &["--page-size", "64K"]);
    let content = Random::new(6).bytes(3 * PAGE + 11);
    fs::write(at.join("frame"), &content).expect("written");
    let sparse = File::create(at.join("sparse")).expect("a file");
    sparse.write_all_at(b"end", 10 << 20).expect("written");
    drop(sparse);
    fs::write(at.join("empty"), "").expect("written");
    let cp = |options: &[&str], from: &str, to: &str| {
        let mut cp = Command::new("cp");
        cp.args(options).arg(at.join(from)).arg(at.join(to));
        succeed(cp);
        assert!(fs::read(at.join(from)).expect("read") == fs::read(at.join(to)).expect("read"), "cp {options:?} {from} {to}");
    };
    for from in ["frame", "sparse", "empty"] {
        for (number, options) in
            [&[][..], &["-a"], &["--reflink=auto"], &["--sparse=always"], &["--reflink=never"]].iter().enumerate()
        {
            let to = format!("{from}{number}");
            cp(options, from, &to);
            cp(options, from, &to);
        }
    }
    // What is not closed yet is copied as it is read here, and the copy publishes nothing of it.
    let open = OpenOptions::new().write(true).open(at.join("frame")).expect("open");
    open.write_all_at(b"not closed", 5).expect("written");
    cp(&[], "frame", "early");
    drop(open);
    // A part, by the call itself.
    let (from, to) = (File::open(at.join("frame")).expect("open"), File::create(at.join("part")).expect("a file"));
    let (mut from_offset, mut to_offset) = (PAGE as u64 - 5, 7);
    let copied = rustix::fs::copy_file_range(&from, Some(&mut from_offset), &to, Some(&mut to_offset), 2 * PAGE);
    assert_eq!((copied, to_offset), (Ok(2 * PAGE), 7 + 2 * PAGE as u64));
    drop((from, to));
    assert!(fs::read(at.join("part")).expect("read")[7..] == fs::read(at.join("frame")).expect("read")[PAGE - 5..3 * PAGE - 5]);
    let this = OpenOptions::new().read(true).write(true).open(at.join("frame")).expect("open");
    let overlapping = rustix::fs::copy_file_range(&this, Some(&mut 0), &this, Some(&mut 10), 100);
    assert_eq!(overlapping, Err(rustix::io::Errno::INVAL));
    drop(this);
    // An old version, by its path.
    cp(&[], ".versions/2/frame", "frame");
    assert!(fs::read(at.join("frame")).expect("read") == content);
    mount.unmount();
}

fn make_tree(at: &Path, random: &mut Random) {
    fs::create_dir_all(at.join("inner/deep")).expect("directories");
    for number in 0..6 {
        fs::write(at.join(format!("frame.{number}")), random.bytes(PAGE * number / 2 + 100)).expect("written");
    }
    fs::write(at.join("inner/deep/f"), random.bytes(3 * PAGE)).expect("written");
    fs::hard_link(at.join("frame.3"), at.join("inner/linked")).expect("a link");
    symlink("../frame.1", at.join("inner/to")).expect("a symlink");
    fs::set_permissions(at.join("frame.2"), fs::Permissions::from_mode(0o640)).expect("mode");
}

/// The origin is changed, deleted, thinned and collected, servers are restarted in between: clones of clones stay what they are.
#[test]
fn clones_outlive_everything_that_happens_to_their_origin() {
    let mut cluster = Cluster::start(2, 2);
    cluster.create_volume("show", Shape { page_kib: 64, fan_out: 4, copies: 1 });
    let mount = cluster.mount("show");
    let (at, url) = (mount.path().to_owned(), cluster.url("show"));
    let plain = tempfile::tempdir().expect("a folder");
    let (keep, later) = (plain.path().join("keep"), plain.path().join("later"));
    make_tree(&at.join("origin"), &mut Random::new(1));
    copy_tree(&at.join("origin"), &keep);
    succeed(cluster.weft(&["tag", "add", &url, "made"]));
    let clone = |cluster: &Cluster, from: &str, to: &str| {
        succeed(cluster.weft(&["clone", at.join(from).to_str().expect("UTF-8"), at.join(to).to_str().expect("UTF-8")]))
    };
    assert!(clone(&cluster, "origin", "first").contains("/first is a clone of /origin"));
    same(&at.join("first"), &keep);
    assert_eq!(fs::metadata(at.join("first/inner/linked")).expect("metadata").nlink(), 1);
    // The origin goes on, and is cloned as it was and as it is.
    fs::write(at.join("origin/frame.1"), "changed").expect("written");
    OpenOptions::new().write(true).open(at.join("origin/inner/deep/f")).expect("open").write_all_at(b"x", 9).expect("written");
    copy_tree(&at.join("origin"), &later);
    clone(&cluster, "origin", "second");
    clone(&cluster, "origin/.versions/made", "then");
    clone(&cluster, "first", "first/../third");
    for (name, expected) in [("second", &later), ("then", &keep), ("third", &keep), ("first", &keep)] {
        same(&at.join(name), expected);
    }
    // A clone is written, and its own clone does not notice; nor does what it was cloned from.
    fs::write(at.join("first/frame.5"), "another").expect("written");
    OpenOptions::new()
        .write(true)
        .open(at.join("first/frame.4"))
        .expect("open")
        .write_all_at(b"y", PAGE as u64)
        .expect("written");
    same(&at.join("third"), &keep);
    mount.unmount();
    cluster.restart();
    let mount = cluster.mount("show");
    let at = mount.path().to_owned();
    for name in ["origin", "first"] {
        fs::remove_dir_all(at.join(name)).expect("removed");
    }
    fs::write(at.join("mark"), "so that the newest version is a plain one").expect("written");
    succeed(cluster.weft(&["tag", "rm", &url, "made"]));
    succeed(cluster.weft(&["retention", "set", &url, "--keep-all", "0s", "--force"]));
    succeed(cluster.weft(&["gc", &url]));
    mount.unmount();
    cluster.restart();
    let mount = cluster.mount("show");
    let at = mount.path();
    for (name, expected) in [("second", &later), ("then", &keep), ("third", &keep)] {
        same(&at.join(name), expected);
    }
    let before = disk_bytes(cluster.folder());
    for name in ["second", "then", "third"] {
        fs::remove_dir_all(at.join(name)).expect("removed");
    }
    fs::write(at.join("mark"), "again").expect("written");
    succeed(cluster.weft(&["gc", &url]));
    mount.unmount();
    cluster.restart();
    let after = disk_bytes(cluster.folder());
    let bytes: u64 = fingerprint_bytes(&keep);
    assert!(after + bytes / 2 < before, "{bytes} bytes were shared by what is gone; {before} before, {after} after");
}

fn copy_tree(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    cp.arg("-a").arg(from).arg(to);
    succeed(cp);
}

fn fingerprint_bytes(folder: &Path) -> u64 {
    let all = fingerprint(folder).expect("a tree");
    let size = |entry: &weft_mount_tests::fingerprint::Entry| match entry {
        weft_mount_tests::fingerprint::Entry::File { size, .. } => *size,
        _ => 0,
    };
    all.values().map(size).sum()
}

/// Whoever clones gets one whole published version, whatever is being written.
#[test]
fn a_file_that_is_being_written_elsewhere_is_cloned_whole() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", Shape { page_kib: 64, fan_out: 2, copies: 1 });
    let (writer, other) = (cluster.mount("show"), cluster.mount("show"));
    let frame = |number: u8| vec![number; 2 * PAGE + 100];
    fs::write(writer.path().join("frame"), frame(0)).expect("written");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (1..=u8::MAX).cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                fs::write(writer.path().join("frame"), frame(number)).expect("written");
            }
        });
        for number in 0..15 {
            let (clone, copy) = (other.path().join(format!("clone{number}")), other.path().join(format!("copy{number}")));
            let url = |name: &str| format!("{}/{name}", cluster.url("show"));
            succeed(cluster.weft(&["clone", &url("frame"), &url(&format!("clone{number}"))]));
            fs::copy(other.path().join("frame"), &copy).expect("copied");
            for file in [clone, copy] {
                let bytes = fs::read(&file).expect("read");
                assert!(bytes == frame(bytes[0]), "{} is of two versions, {} bytes long", file.display(), bytes.len());
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    writer.unmount();
    other.unmount();
}
