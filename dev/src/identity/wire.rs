//! The control channel's protocol: one JSON object a line in each direction, over a socketpair.
//! Both ends read through here, and no line may be longer than [`LINE_LENGTH_MAX`].

use std::io;

use identity::SpiffeId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Lives, OddX509, Old};

/// Longest line in bytes: 16 identities of 2 KiB fit.
const LINE_LENGTH_MAX: u64 = 64 * 1024;

/// A numbered command; the answer has the same number.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) command: Command,
}

/// What a supervisor may ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Command {
    Register {
        pid: u32,
        identities: Vec<Identity>,
    },
    Remove {
        pid: u32,
    },
    RotateCa {
        old: Old,
    },
    RotateJwtKey {
        old: Old,
    },
    SetLives(Lives),
    /// Publishes the keys of another trust domain, too.
    Federate {
        trust_domain: String,
    },
    ForgeJwt {
        federated: bool,
        header: Map<String, Value>,
        claims: Value,
    },
    ForgeX509 {
        of: Identity,
        odd: OddX509,
    },
}

/// An identity and the hint that tells it from others of the same process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    #[serde(serialize_with = "write_id", deserialize_with = "read_id")]
    pub(super) spiffe_id: SpiffeId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) hint: String,
}

/// Whether the command was done, and what it gave.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) number: u64,
    /// Why not, when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
    /// What was forged: a token, or certificate and key in base64url.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) given: Vec<String>,
}

/// Reads one line; `None` when the other end is closed. Dropped half-way, what was read of the line is lost.
pub(crate) async fn read<T: DeserializeOwned>(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    if from.take(LINE_LENGTH_MAX).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if !line.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of the control channel is too long or cut"));
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

/// Writes one line. Dropped half-way, the channel is unusable.
pub(crate) async fn write(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line).await
}

fn write_id<S: Serializer>(id: &SpiffeId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn read_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SpiffeId, D::Error> {
    SpiffeId::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_from(mut bytes: &[u8]) -> io::Result<Option<Request>> {
        read(&mut bytes).await
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_refused() {
        let line = vec![b' '; usize::try_from(LINE_LENGTH_MAX).expect("fits") + 1];
        assert_eq!(read_from(&line).await.expect_err("too long").kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_cut_line_an_unknown_command_and_a_bad_id_are_refused() {
        for line in [
            r#"{"number":1,"command":{"remove":{"pid":1}}}"#,
            "{\"number\":1,\"command\":{\"sign\":{}}}\n",
            "{\"number\":1,\"command\":{\"register\":{\"pid\":1,\"identities\":[{\"spiffe_id\":\"spiffe://a//b\"}]}}}\n",
            "{\"number\":1,\"command\":{\"set_lives\":{\"x509\":0,\"jwt\":1}}}\n",
        ] {
            assert!(read_from(line.as_bytes()).await.is_err(), "{line}");
        }
    }

    #[tokio::test]
    async fn a_closed_end_is_no_error() {
        assert!(read_from(b"").await.expect("closed").is_none());
    }
}
