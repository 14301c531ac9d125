//! What the kernel tells of a process's other descriptors.

use super::Caller;
use crate::inode::NodeId;

/// Whether `caller` has a descriptor by which it can write the file `node` (a file of that inode number, to be exact; a namesake on
/// another filesystem merely makes the answer `true` too often). `false` if the kernel does not tell.
///
/// `close(2)` takes a descriptor out of the table before it asks for the flush, so the one being closed is not seen here.
pub(super) fn can_still_write(caller: Caller, node: NodeId) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{}/fdinfo", caller.pid)) else { return false };
    let texts = descriptors.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    texts.into_iter().any(|text| is_writer(&text, node))
}

/// Reads a file of `/proc/PID/fdinfo`: `flags` in octal, and since Linux 5.14 `ino`.
fn is_writer(text: &str, node: NodeId) -> bool {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let inode = field("ino:").and_then(|number| number.parse().ok());
    let flags = field("flags:").and_then(|flags| i32::from_str_radix(flags, 8).ok());
    inode == Some(node.0) && flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_duplicate_is_seen_until_it_is_closed() {
        let file = tempfile::tempfile().unwrap();
        let node = NodeId(file.metadata().unwrap().ino());
        let caller = Caller { pid: std::process::id(), uid: 0, gid: 0 };
        let duplicate = file.try_clone().unwrap();
        drop(file);
        assert!(can_still_write(caller, node));
        drop(duplicate);
        assert!(!can_still_write(caller, node));
        assert!(!can_still_write(Caller { pid: 0, ..caller }, node), "a process of a namespace that is not seen here");
    }

    #[test]
    fn a_reader_is_no_writer() {
        let text = |flags: &str| format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t25\nino:\t17\n");
        assert!(is_writer(&text("0100001"), NodeId(17)) && is_writer(&text("0100002"), NodeId(17)));
        assert!(!is_writer(&text("0100000"), NodeId(17)) && !is_writer(&text("0100001"), NodeId(18)));
        assert!(!is_writer("pos:\t0\nflags:\t0100001\n", NodeId(17)), "a kernel that does not tell inode numbers");
    }
}
