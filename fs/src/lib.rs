//! The WeftFS client: a FUSE mount of one volume, and the `weft` tools.

pub mod cli;

/// Locks a mutex that no panic can leave half-changed: what it guards is replaced, never mended in steps.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
