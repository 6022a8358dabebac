//! How much one HTTP/2 connection may have under way. What a door does not read lies in our memory, so a door that takes
//! only forms gives less than one that passes bodies on.

use super::STREAMS_MAX;

/// Bounds of one HTTP/2 connection (RFC 9113 §5.1.2, §6.9). What lies unread for all streams together is not less than one
/// form each where strangers come, so that none waits for another's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    /// Requests at once.
    pub(super) at_once: u32,
    /// Bytes of one request's body that may lie unread.
    pub(super) unread_each: u32,
    /// Bytes of all of them.
    pub(super) unread: u32,
}

impl Streams {
    /// Bodies are passed on as they come: a full pipe to a callee some milliseconds away.
    pub const PROXY: Self = Self { at_once: STREAMS_MAX, unread_each: 1024 * 1024, unread: 1024 * 1024 };
    /// Forms of workloads: each is read at once, and no longer than this.
    pub const FORMS: Self = Self { at_once: STREAMS_MAX, unread_each: 64 * 1024, unread: 1024 * 1024 };
    /// Forms of strangers, who wait for their turn unread: 4096 connections hold 256 MiB at most. RFC 9113 has no smaller
    /// window for a connection.
    pub const STRANGERS: Self = Self { at_once: 16, unread_each: 4096, unread: 65_535 };
}

impl Default for Streams {
    fn default() -> Self {
        Self::PROXY
    }
}
