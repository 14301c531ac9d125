//! `weft send` and `weft receive`: a version, or the difference of two, as one file that can be checked.
//!
//! ```text
//! "WEFTSEND" format │ frame │ frame │ … │ End
//! frame = length of head, length of body │ head: a [`Frame`](frame::Frame) as postcard │ body: bytes of a file │ CRC-64
//! ```
//!
//! Each frame's checksum covers the one before it too: a frame that is damaged, missing, doubled or moved is found where it is
//! read, and a file that was cut short lacks its `End`. `weft receive` reads a whole file before it changes anything.
//!
//! A difference is what `weft diff` finds ([`Comparison`](super::diff::Comparison)), with the ranges of files that the two
//! trees do not share; so its size follows the difference. It fits only what was received up to its base, and was not
//! changed since: the top directory says in an extended attribute what it holds ([`receive::RECEIVED`]).

mod content;
mod frame;
mod receive;
mod send;

pub(super) use frame::StreamError;
pub(super) use receive::run as receive;
pub(super) use send::run as send;
