//! WeftFS's cores, driven by hand: what the micro benches and the measurements of growth and scale share.
//!
//! | part | is |
//! |---|---|
//! | [`clerk`] | the version manager's state machine, command by command |
//! | [`loom`] | nodes of trees, woven and read without a network |
//! | [`stage`] | a cluster in this process, every message of which is counted |

pub mod clerk;
pub mod loom;
pub mod stage;

/// What a bench comes to, with an error that says what failed.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
