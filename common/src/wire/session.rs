//! Sessions: how the version manager knows a client, and how a repeated request is recognised.

use crate::id::{SessionId, VolumeId, VolumeVersion};
use crate::wire::Holds;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Marks one change of one session, so that a repetition after a time-out is answered and not carried out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestKey {
    /// The session.
    pub session: SessionId,
    /// Its own count of changes, from 1.
    pub sequence: u64,
    /// Every change below this one was answered; the server forgets those answers.
    pub answered_below: u64,
}

/// Who made a change, as `weft log` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Author {
    /// User id on the client's host.
    pub uid: u32,
    /// Host name of the client.
    pub host: String,
    /// Name of the process (Linux `comm`), empty if unknown.
    pub program: String,
}

/// Asked of the version manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionRequest {
    /// A new client.
    Open {
        /// Its host, for logs.
        host: String,
        /// What it is: `mount /mnt/show`, `weft restore`.
        purpose: String,
    },
    /// Still here. Answer: `Renewed`.
    Renew {
        /// The session.
        session: SessionId,
        /// Its own count of renewals, from 1: one that comes late, behind a newer one, changes nothing.
        number: u64,
        /// The epoch of an answer such that whatever the client had begun to use before that answer is used no more, or is in
        /// `holds`. 0 if there is none yet.
        knows: u64,
        /// What it uses of the past, all of it.
        holds: Holds,
    },
    /// Done: everything the session holds goes now.
    Close(SessionId),
    /// The sessions that are open, for `weft status`.
    List,
}

/// The version manager's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionReply {
    /// To `Open`.
    Opened {
        /// The new session.
        session: SessionId,
        /// It lapses when not renewed for this long.
        lease: Duration,
    },
    /// To `Renew`.
    Renewed {
        /// The manager's epoch: the number of the newest command that it has carried out.
        epoch: u64,
        /// When to renew again: soon, if something waits to be collected until it is known whether this client uses it.
        again_in: Duration,
        /// Those of the versions it holds that are not kept any more. It lets go of them once nothing uses them.
        let_go: Vec<(VolumeId, VolumeVersion)>,
    },
    /// To `Close`.
    Done,
    /// To `List`.
    Sessions(Vec<SessionInfo>),
}

/// An open session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The session.
    pub session: SessionId,
    /// Host of the client.
    pub host: String,
    /// What it is.
    pub purpose: String,
    /// When it was opened.
    pub opened: crate::time::Timestamp,
}
