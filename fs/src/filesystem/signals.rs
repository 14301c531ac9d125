//! Signals that programs get while they wait for an answer.
//!
//! The kernel tells a filesystem of them by a request of its own (`FUSE_INTERRUPT`), which the FUSE library does not hand on. Until a call
//! is answered not even SIGKILL ends its program. So whatever waits for long looks at what the kernel says of the thread.

use super::Caller;
use std::time::Duration;

/// Between two looks: not felt by who presses Ctrl-C, and nothing beside the waiting.
const PAUSE: Duration = Duration::from_millis(50);
/// What takes longer than this waits for servers that are away.
const LONG: Duration = Duration::from_secs(1);

/// Returns when a signal waits for the caller that ends its call, or the caller is gone. Never, if the kernel does not tell.
pub(super) async fn interrupted(caller: Caller) {
    look_for(caller, PAUSE, is_signalled).await;
}

/// Returns when the caller has been waiting for long and was killed. Never, if the kernel does not tell.
pub(crate) async fn killed(caller: Caller) {
    look_for(caller, LONG, is_killed).await;
}

async fn look_for(caller: Caller, pause: Duration, is_so: fn(&str) -> bool) {
    loop {
        tokio::time::sleep(pause).await;
        match std::fs::read_to_string(format!("/proc/{}/status", caller.pid)) {
            Ok(status) if is_so(&status) => return,
            Ok(_) => {}
            // A thread of a process namespace that is not seen from here has the number 0.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && caller.pid != 0 && is_told() => return,
            Err(_) => {}
        }
    }
}

/// Whether this process sees processes at all.
fn is_told() -> bool {
    std::path::Path::new("/proc/self/status").exists()
}

fn mask(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Reads `/proc/TID/status`: whether SIGKILL is pending. Every other deadly signal becomes one.
fn is_killed(status: &str) -> bool {
    let pending = mask(status, "SigPnd:").unwrap_or_default() | mask(status, "ShdPnd:").unwrap_or_default();
    pending & bit(libc::SIGKILL) != 0
}

/// Reads `/proc/TID/status`: whether a signal is pending that is neither blocked nor ignored, and does not merely stop the process.
fn is_signalled(status: &str) -> bool {
    let mask = |name: &str| mask(status, name);
    let (Some(own), Some(shared), Some(blocked), Some(ignored), Some(caught)) =
        (mask("SigPnd:"), mask("ShdPnd:"), mask("SigBlk:"), mask("SigIgn:"), mask("SigCgt:"))
    else {
        return false;
    };
    let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].iter().fold(0, |all, signal| all | bit(*signal));
    (own | shared) & !blocked & !ignored & !(stops & !caught) != 0
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(own: u64, shared: u64, blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tcat\nSigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn a_signal_counts_if_it_would_be_delivered() {
        let (interrupt, stop) = (bit(libc::SIGINT), bit(libc::SIGTSTP));
        assert!(is_signalled(&status(interrupt, 0, 0, 0, 0)) && is_signalled(&status(0, interrupt, 0, 0, interrupt)));
        assert!(!is_signalled(&status(0, 0, 0, 0, interrupt)), "none is there");
        assert!(!is_signalled(&status(0, interrupt, interrupt, 0, 0)) && !is_signalled(&status(interrupt, 0, 0, interrupt, 0)));
        assert!(!is_signalled(&status(stop, 0, 0, 0, 0)) && is_signalled(&status(stop, 0, 0, 0, stop)));
        assert!(!is_signalled("no status"));
    }

    #[test]
    fn only_sigkill_kills() {
        let (kill, interrupt) = (bit(libc::SIGKILL), bit(libc::SIGINT));
        assert!(is_killed(&status(kill, 0, 0, 0, 0)) && is_killed(&status(interrupt, kill, u64::MAX, 0, 0)));
        assert!(!is_killed(&status(interrupt, interrupt, 0, 0, 0)) && !is_killed("no status"));
    }

    #[tokio::test]
    async fn a_thread_that_is_gone_is_interrupted_and_one_that_lives_is_not() {
        let caller = |pid| Caller { uid: 0, gid: 0, pid };
        interrupted(caller(i32::MAX as u32)).await;
        let own = tokio::time::timeout(4 * PAUSE, interrupted(caller(std::process::id())));
        assert!(own.await.is_err());
    }
}
