//! Traces at the border of the pod (W3C Trace Context). Inside, each exchange has a trace id of the sidecar's own
//! making, by which calls that bear it can be found again: a handle in effect, so it stays inside and is never printed.
//! Outside, the caller's trace goes on. No id that a caller chose is ever a key.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use identity::Refusal;

/// Carries a trace from caller to callee (W3C Trace Context §3.2).
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Length of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The one flag that version 00 knows (§3.2.2.5.1).
const SAMPLED: u8 = 1;

/// The id of a trace. It has no `Debug`: that of an exchange finds a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TraceId([u8; 16]);

/// A place in a trace: which one, below which span, and whether it is recorded.
#[derive(Clone, Copy)]
pub(crate) struct TraceContext {
    trace: TraceId,
    parent: [u8; 8],
    sampled: bool,
}

impl TraceContext {
    /// A place in a new trace.
    ///
    /// # Errors
    /// [`Refusal::FaultOverloaded`] without random bits.
    pub(crate) fn random(sampled: bool) -> Result<Self, Refusal> {
        let (mut trace, mut parent) = ([0; 16], [0; 8]);
        aws_lc_rs::rand::fill(&mut trace).map_err(|_unspecified| Refusal::FaultOverloaded)?;
        aws_lc_rs::rand::fill(&mut parent).map_err(|_unspecified| Refusal::FaultOverloaded)?;
        Ok(Self { trace: TraceId(trace), parent, sampled })
    }

    /// Reads a `traceparent`; `None` for what the standard calls invalid (§3.2.2). A later version is read as 00 as far
    /// as it is the same (§4.2.2.1).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let mut parts = known.split('-');
        let [version] = bytes(parts.next()?)?;
        let (trace, parent, [flags]) = (bytes(parts.next()?)?, bytes(parts.next()?)?, bytes(parts.next()?)?);
        let ends = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        let valid = ends && version != u8::MAX && parts.next().is_none() && trace != [0; 16] && parent != [0; 8];
        valid.then_some(Self { trace: TraceId(trace), parent, sampled: flags & SAMPLED != 0 })
    }

    /// Which trace.
    pub(crate) const fn trace(&self) -> TraceId {
        self.trace
    }

    /// As a `traceparent`.
    fn text(&self) -> String {
        format!("00-{}-{}-{:02x}", hex(&self.trace.0), hex(&self.parent), u8::from(self.sampled))
    }
}

/// The trace that the only `traceparent` of `headers` names. Several are none (§4.3: such a header is invalid).
pub(crate) fn of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (only, None) = (values.next()?, values.next()) else { return None };
    TraceContext::parse(only.to_str().ok()?)
}

/// Whether `headers` name several traces, or one of them several times.
pub(crate) fn are_several(headers: &HeaderMap) -> bool {
    headers.get_all(TRACEPARENT).iter().count() > 1
}

/// The two traces of an exchange: the one inside of the pod and the one outside.
pub(crate) struct Traces {
    inner: TraceContext,
    outer: TraceContext,
}

impl Traces {
    /// A new one inside; outside that of the caller goes on, or a new one begins.
    ///
    /// # Errors
    /// As [`TraceContext::random`].
    pub(crate) fn new(caller: Option<TraceContext>) -> Result<Self, Refusal> {
        // Without a word from the caller the app records what it would have recorded without us.
        let sampled = caller.is_none_or(|caller| caller.sampled);
        let outer = caller.map_or_else(|| TraceContext::random(sampled), Ok)?;
        Ok(Self { inner: TraceContext::random(sampled)?, outer })
    }

    /// By what calls are found again.
    pub(crate) const fn key(&self) -> TraceId {
        self.inner.trace
    }

    /// The `traceparent` for the app, as text: it may stand in a message too.
    pub(crate) fn inward(&self) -> String {
        self.inner.text()
    }

    /// Puts the outer trace on a call that leaves the pod, and takes out what else holds the inner one.
    pub(crate) fn leave(&self, headers: &mut HeaderMap) {
        self.take_out(headers);
        if let Ok(value) = HeaderValue::try_from(self.outer.text()) {
            headers.insert(TRACEPARENT, value);
        }
    }

    /// Takes out of a head that leaves the pod what holds the inner trace. Others than the standard split the id, write
    /// half of it, or write halves as decimal numbers (X-Ray, B3, Datadog): half of it is telling enough.
    pub(crate) fn take_out(&self, headers: &mut HeaderMap) {
        let number = u128::from_be_bytes(self.key().0);
        let halves = [number >> 64, number & u128::from(u64::MAX)];
        let marks = halves.map(|half| [format!("{half:016x}"), half.to_string()]);
        let tells = |value: &HeaderValue| {
            let plain: Vec<u8> =
                value.as_bytes().iter().filter(|byte| **byte != b'-').map(u8::to_ascii_lowercase).collect();
            marks.as_flattened().iter().any(|mark| position(&plain, mark.as_bytes()).is_some())
        };
        let names: Vec<HeaderName> =
            headers.iter().filter(|(_, value)| tells(value)).map(|(name, _)| name.clone()).collect();
        for name in names {
            headers.remove(name);
        }
    }

    /// A message that leaves the pod, with the outer trace wherever the inner one stood: MCP clients write it into
    /// `_meta`. The inner id is random, so nothing else is ever mistaken for it.
    pub(crate) fn leave_message(&self, message: Bytes) -> Bytes {
        replaced(message, &hex(&self.key().0), &hex(&self.outer.trace.0))
    }
}

/// `text` with `to` in the place of each `from`; itself where there is none.
fn replaced(text: Bytes, from: &str, to: &str) -> Bytes {
    let mut changed: Option<Vec<u8>> = None;
    let mut rest = text.as_ref();
    while let Some((before, after)) = position(rest, from.as_bytes()).and_then(|at| rest.split_at_checked(at)) {
        let out = changed.get_or_insert_with(|| Vec::with_capacity(text.len()));
        out.extend_from_slice(before);
        out.extend_from_slice(to.as_bytes());
        rest = after.get(from.len()..).unwrap_or_default();
    }
    match changed {
        None => text,
        Some(mut out) => {
            out.extend_from_slice(rest);
            out.into()
        }
    }
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Lower-case hexadecimal digits, exactly `N` pairs (§3.2.2: others are invalid).
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        _other => None,
    };
    let pairs: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
            _odd => None,
        })
        .collect();
    pairs?.try_into().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(LENGTH), |mut text, byte| {
        for half in [byte >> 4, byte & 0x0f] {
            text.extend(char::from_digit(u32::from(half), 16));
        }
        text
    })
}
