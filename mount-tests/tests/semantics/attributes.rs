//! Owners, modes, lists, times, links.

use crate::{Two, errno};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use weft_common::acl;
use weft_mount_tests::mount::Mount;

/// As somebody else than root; `None` if this test's user cannot become another one.
fn as_nobody(script: &str) -> Option<bool> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let status = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script])
        .stderr(std::process::Stdio::null())
        .status();
    Some(status.expect("setpriv(1)").success())
}

fn other_users() -> Two {
    let two = Two::with(if rustix::process::geteuid().is_root() { &["--allow-other"] } else { &[] });
    // The folders of tests are for their user alone.
    for mount in [&two.a, &two.b] {
        open_up(mount);
    }
    two
}

fn open_up(mount: &Mount) {
    for folder in mount.path().ancestors().skip(1).take_while(|folder| folder.parent().is_some()) {
        let mode = fs::metadata(folder).map(|metadata| metadata.mode()).unwrap_or_default();
        if mode & 0o001 == 0 {
            let _ = fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o011));
        }
    }
}

#[test]
fn permissions_are_checked_by_the_kernel() {
    let two = other_users();
    fs::write(two.a("secret"), b"x").unwrap();
    fs::set_permissions(two.a("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(two.a.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (secret, root) = (two.b("secret"), two.b.path().to_owned());
    if let Some(read) = as_nobody(&format!("cat {}", secret.display())) {
        assert!(!read);
        fs::set_permissions(two.a("secret"), fs::Permissions::from_mode(0o604)).unwrap();
        assert_eq!(as_nobody(&format!("cat {}", secret.display())), Some(true), "changed on another mount");
        assert_eq!(as_nobody(&format!("touch {}/new", root.display())), Some(false));
    }
}

#[test]
fn access_control_lists() {
    let two = other_users();
    fs::write(two.a("f"), b"x").unwrap();
    fs::set_permissions(two.a("f"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(two.a.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // u::rw-,u:65534:r--,g::---,m::r--,o::---
    let list =
        acl::encode(&[(1, 6, acl::NOBODY), (2, 4, 65534), (4, 0, acl::NOBODY), (0x10, 4, acl::NOBODY), (0x20, 0, acl::NOBODY)]);
    let (access, default) = (str::from_utf8(acl::ACCESS).unwrap(), str::from_utf8(acl::DEFAULT).unwrap());
    let cat = format!("cat {}", two.b("f").display());
    assert_ne!(as_nobody(&cat), Some(true));
    rustix::fs::setxattr(two.a("f"), access, &list, rustix::fs::XattrFlags::empty()).unwrap();
    assert_ne!(as_nobody(&cat), Some(false), "the list lets him");
    assert_eq!(fs::metadata(two.b("f")).unwrap().mode() & 0o777, 0o640, "the group's bits are the mask");
    fs::set_permissions(two.b("f"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_ne!(as_nobody(&format!("cat {}", two.a("f").display())), Some(true), "chmod closed the mask");
    fs::create_dir(two.a("d")).unwrap();
    rustix::fs::setxattr(two.a("d"), default, &list, rustix::fs::XattrFlags::empty()).unwrap();
    File::create(two.b("d/new")).unwrap();
    let mut value = [0; 256];
    let length = rustix::fs::getxattr(two.a("d/new"), access, &mut value).unwrap();
    assert_eq!(acl::Acl::parse(&value[..length]), acl::Acl::parse(&list).map(|default| default.inherited(0o666)));
}

#[test]
fn extended_attributes_are_kept() {
    use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
    use rustix::io::Errno;
    let two = Two::start();
    fs::write(two.a("f"), b"x").unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let names: &[&str] = if is_root { &["user.note", "trusted.note", "security.note"] } else { &["user.note"] };
    for name in names {
        setxattr(two.a("f"), *name, b"kept", XattrFlags::CREATE).unwrap();
        let mut value = [0; 16];
        let length = getxattr(two.b("f"), *name, &mut value).unwrap();
        assert_eq!(&value[..length], b"kept", "{name}");
    }
    let mut version = [0; 32];
    let length = getxattr(two.b("f"), "user.weft.version", &mut version).unwrap();
    let version = str::from_utf8(&version[..length]).unwrap();
    setxattr(two.a("f"), "user.note", b"later", XattrFlags::REPLACE).unwrap();
    let mut old = [0; 16];
    let length = getxattr(two.b(&format!(".versions/{version}/f")), "user.note", &mut old).unwrap();
    assert_eq!(&old[..length], b"kept");
    let mut writer = [0; 256];
    let length = getxattr(two.b("f"), "user.weft.writer", &mut writer).unwrap();
    assert!(str::from_utf8(&writer[..length]).unwrap().contains("program="));
    let mut listed = [0; 256];
    let length = listxattr(two.b("f"), &mut listed).unwrap();
    assert!(!String::from_utf8_lossy(&listed[..length]).contains("user.weft"));
    let set = |name: &str, value: &[u8]| setxattr(two.a("f"), name, value, XattrFlags::empty());
    assert_eq!(set("user.big", &[0; 65_536]), Err(Errno::NOSPC));
    // Linux itself would let anybody set these, of anybody's files.
    for name in ["system.note", "system.posix_acl_other", "note", "other.note"] {
        assert_eq!(set(name, b"x"), Err(Errno::OPNOTSUPP), "{name}");
    }
    assert_eq!(set("user.", b"x"), Err(Errno::INVAL));
    assert_eq!(set("user.weft.version", b"1"), Err(Errno::PERM));
    assert_eq!(removexattr(two.a("f"), "user.weft.version"), Err(Errno::PERM));
    assert_eq!(removexattr(two.a("f"), str::from_utf8(acl::ACCESS).unwrap()), Ok(()), "there is none, and no harm in that");
}

#[test]
fn set_id_bits_and_capabilities_go_with_a_change() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    let two = other_users();
    let (here, there) = (two.a("program"), two.b("program"));
    for change in ["fallocate -l 100 $0", "truncate -s 7 $0", "echo x >> $0", ": > $0"] {
        fs::write(&here, b"code").unwrap();
        fs::set_permissions(&here, fs::Permissions::from_mode(0o6777)).unwrap();
        let changed = as_nobody(&change.replace("$0", here.to_str().unwrap()));
        assert_ne!(changed, Some(false), "{change}");
        if changed.is_some() {
            assert_eq!(fs::metadata(&there).unwrap().mode() & 0o7777, 0o777, "{change}");
        }
    }
    if rustix::process::geteuid().is_root() {
        // Version 2, effective: cap_net_raw.
        let capability = [&0x0200_0001u32.to_le_bytes()[..], &(1u32 << 13).to_le_bytes(), &[0; 12]].concat();
        setxattr(&here, "user.note", b"stays", XattrFlags::empty()).unwrap();
        setxattr(&here, "security.capability", &capability, XattrFlags::empty()).unwrap();
        let mut value = [0; 64];
        assert!(getxattr(&there, "security.capability", &mut value).is_ok());
        fs::OpenOptions::new().append(true).open(&there).unwrap().write_all(b"other").unwrap();
        assert_eq!(getxattr(&here, "security.capability", &mut value), Err(rustix::io::Errno::NODATA), "given to other bytes");
        assert!(getxattr(&here, "user.note", &mut value).is_ok());
    }
}

#[test]
fn times() {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let two = Two::start();
    fs::write(two.a("f"), b"x").unwrap();
    let at = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let set = Timestamps { last_access: at(1_000_000_000, 123_456_789), last_modification: at(-5, 999_999_999) };
    utimensat(CWD, two.a("f"), &set, AtFlags::empty()).unwrap();
    let seen = fs::metadata(two.b("f")).unwrap();
    assert_eq!((seen.atime(), seen.atime_nsec()), (1_000_000_000, 123_456_789));
    assert_eq!((seen.mtime(), seen.mtime_nsec()), (-5, 999_999_999));
    fs::read(two.b("f")).unwrap();
    assert_eq!(fs::metadata(two.b("f")).unwrap().atime(), 1_000_000_000, "reading is no access that is written down");
    let changed = |path| fs::metadata(path).map(|now| (now.ctime(), now.ctime_nsec())).unwrap();
    let before = changed(two.b("f"));
    fs::set_permissions(two.b("f"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(changed(two.a("f")) > before);
}

#[test]
fn hard_links_and_special_files() {
    let two = Two::start();
    fs::write(two.a("f"), b"one content").unwrap();
    fs::create_dir(two.a("d")).unwrap();
    fs::hard_link(two.a("f"), two.a("d/g")).unwrap();
    let (f, g) = (fs::metadata(two.b("f")).unwrap(), fs::metadata(two.b("d/g")).unwrap());
    assert_eq!((f.ino(), f.nlink()), (g.ino(), 2));
    fs::write(two.b("d/g"), b"another").unwrap();
    assert_eq!(fs::read(two.a("f")).unwrap(), b"another");
    symlink("d/g", two.a("l")).unwrap();
    assert_eq!((fs::read_link(two.b("l")).unwrap().to_str(), fs::read(two.b("l")).unwrap()), (Some("d/g"), b"another".to_vec()));
    rustix::fs::mknodat(rustix::fs::CWD, two.a("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(fs::metadata(two.b("pipe")).unwrap().file_type().is_fifo());
    std::thread::scope(|scope| {
        scope.spawn(|| fs::write(two.a("pipe"), b"through").unwrap());
        assert_eq!(fs::read(two.a("pipe")).unwrap(), b"through");
    });
    let _socket = std::os::unix::net::UnixListener::bind(two.a("socket")).unwrap();
    assert!(fs::metadata(two.b("socket")).unwrap().file_type().is_socket());
    if rustix::process::geteuid().is_root() {
        let null = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(rustix::fs::CWD, two.a("null"), rustix::fs::FileType::CharacterDevice, 0o666.into(), null).unwrap();
        assert_eq!(fs::metadata(two.b("null")).unwrap().rdev(), null);
        assert_eq!(errno(File::open(two.b("null"))), libc::EACCES, "mounts are nodev");
    }
}

#[test]
fn limits() {
    let two = Two::start();
    let longest = "n".repeat(255);
    fs::write(two.a(&longest), b"x").unwrap();
    assert!(two.b(&longest).exists());
    assert_eq!(errno(File::create(two.a(&"n".repeat(256)))), libc::ENAMETOOLONG);
    symlink("t".repeat(4095), two.a("l")).unwrap();
    assert_eq!(fs::read_link(two.b("l")).unwrap().as_os_str().len(), 4095);
    let file = File::create(two.a("sparse")).unwrap();
    file.set_len(i64::MAX as u64 / 2).unwrap();
    assert_eq!(errno(std::os::unix::fs::FileExt::write_at(&file, b"x", i64::MAX as u64)), libc::EINVAL);
}
