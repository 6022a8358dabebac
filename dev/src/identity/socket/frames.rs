//! What a client sends, with `:authority` replaced in its header blocks (RFC 9113). Python's, Java's and Swift's gRPC put
//! the path of the socket there, which is no authority; our server's HTTP/2 resets such streams, and cannot be told
//! otherwise. Every other byte passes as it came, also of what is no HTTP/2 at all.

use std::io;

use bytes::BytesMut;

use super::fields::Fields;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_LENGTH: usize = 9;
/// Frame types (RFC 9113 §6) and flags of header frames.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_LENGTH: usize = 5;
/// Largest frame that our server takes (§6.5.2, the default), and longest header block.
const FRAME_LENGTH_MAX: usize = 16 * 1024;
const BLOCK_LENGTH_MAX: usize = 64 * 1024;

/// One connection's bytes from the client, on their way.
#[derive(Debug)]
pub(super) struct Frames {
    at: At,
    fields: Fields,
    /// A header block of which more is to come.
    open: Option<Block>,
}

/// Where in the bytes we are.
#[derive(Debug)]
enum At {
    /// So many bytes into the preface.
    Preface(usize),
    /// It is no HTTP/2: everything passes.
    Opaque,
    /// In a frame's head.
    Head(Vec<u8>),
    /// In the payload of a frame that passes; so much is left.
    Passing(usize),
    /// In the payload of a header frame, which is held; so much is left.
    Holding(Head, Vec<u8>, usize),
}

#[derive(Clone, Copy, Debug)]
struct Head {
    kind: u8,
    flags: u8,
    stream: [u8; 4],
}

#[derive(Debug)]
struct Block {
    head: Head,
    priority: Vec<u8>,
    fields: Vec<u8>,
}

impl Default for Frames {
    fn default() -> Self {
        Self { at: At::Preface(0), fields: Fields::default(), open: None }
    }
}

impl Frames {
    /// Takes the next bytes of the client and appends to `out` what the server is to read.
    ///
    /// # Errors
    /// A header frame that no server takes: the connection has to end.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut BytesMut) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = self.step(bytes, out)?;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes at least one byte.
    fn step(&mut self, bytes: &[u8], out: &mut BytesMut) -> io::Result<usize> {
        let pass = |length: usize, out: &mut BytesMut| {
            let some = bytes.get(..length).unwrap_or(bytes);
            out.extend_from_slice(some);
            some.len()
        };
        match &mut self.at {
            At::Opaque => Ok(pass(bytes.len(), out)),
            At::Preface(seen) => {
                let expected = PREFACE.get(*seen..).unwrap_or_default();
                let same = bytes.iter().zip(expected).take_while(|(one, other)| one == other).count();
                let taken = pass(same, out);
                *seen = seen.saturating_add(taken);
                if taken == expected.len() {
                    self.at = At::Head(Vec::new());
                } else if taken < bytes.len() {
                    self.at = At::Opaque;
                    return Ok(taken.saturating_add(pass_rest(bytes, taken, out)));
                }
                Ok(taken)
            }
            At::Head(head) => {
                let missing = HEAD_LENGTH.saturating_sub(head.len());
                let some = bytes.get(..missing).unwrap_or(bytes);
                head.extend_from_slice(some);
                let whole: Option<[u8; HEAD_LENGTH]> = head.as_slice().try_into().ok();
                if let Some(head) = whole {
                    self.begin(head, out)?;
                }
                Ok(some.len())
            }
            At::Passing(left) => {
                let taken = pass(*left, out);
                *left = left.saturating_sub(taken);
                if *left == 0 {
                    self.at = At::Head(Vec::new());
                }
                Ok(taken)
            }
            At::Holding(head, payload, left) => {
                let some = bytes.get(..*left).unwrap_or(bytes);
                payload.extend_from_slice(some);
                *left = left.saturating_sub(some.len());
                if *left == 0 {
                    let (head, payload) = (*head, std::mem::take(payload));
                    self.at = At::Head(Vec::new());
                    self.held(head, &payload, out)?;
                }
                Ok(some.len())
            }
        }
    }

    fn begin(&mut self, head: [u8; HEAD_LENGTH], out: &mut BytesMut) -> io::Result<()> {
        let [high, middle, low, kind, flags, stream @ ..] = head;
        let length = [high, middle, low].into_iter().fold(0, |length, byte| (length << 8_u32) | usize::from(byte));
        let frame = Head { kind, flags, stream };
        if !matches!(kind, HEADERS | CONTINUATION) {
            out.extend_from_slice(&head);
            self.at = if length == 0 { At::Head(Vec::new()) } else { At::Passing(length) };
            return Ok(());
        }
        if length > FRAME_LENGTH_MAX {
            return Err(refused("a header frame is too large"));
        }
        self.at = At::Head(Vec::new());
        if length == 0 {
            return self.held(frame, &[], out);
        }
        self.at = At::Holding(frame, Vec::with_capacity(length), length);
        Ok(())
    }

    /// A header frame is whole.
    fn held(&mut self, head: Head, payload: &[u8], out: &mut BytesMut) -> io::Result<()> {
        let mut block = match (self.open.take(), head.kind) {
            (None, HEADERS) => Block::of(head, payload).ok_or_else(|| refused("a header frame is malformed"))?,
            (Some(mut block), CONTINUATION) if block.head.stream == head.stream => {
                block.fields.extend_from_slice(payload);
                block
            }
            (None | Some(_), _) => return Err(refused("header frames are out of order")),
        };
        if block.fields.len() > BLOCK_LENGTH_MAX {
            return Err(refused("a header block is too long"));
        }
        if head.flags & END_HEADERS == 0 {
            self.open = Some(block);
            return Ok(());
        }
        if let Some(rewritten) = self.fields.rewrite(&block.fields) {
            block.fields = rewritten;
        }
        block.write(out);
        Ok(())
    }
}

impl Block {
    /// Takes padding and priority apart from the fields (§6.2).
    fn of(head: Head, payload: &[u8]) -> Option<Self> {
        let mut rest = payload;
        if head.flags & PADDED != 0 {
            let (padding, unpadded) = rest.split_first()?;
            rest = unpadded.get(..unpadded.len().checked_sub(usize::from(*padding))?)?;
        }
        let prioritised = if head.flags & PRIORITY == 0 { 0 } else { PRIORITY_LENGTH };
        let (priority, fields) = rest.split_at_checked(prioritised)?;
        Some(Self { head, priority: priority.to_vec(), fields: fields.to_vec() })
    }

    /// As frames, without padding.
    fn write(&self, out: &mut BytesMut) {
        let first = self.fields.len().min(FRAME_LENGTH_MAX.saturating_sub(self.priority.len()));
        let (first, rest) = self.fields.split_at_checked(first).unwrap_or((&self.fields, &[]));
        let mut chunks = rest.chunks(FRAME_LENGTH_MAX).peekable();
        let mut frame = |kind: u8, flags: u8, parts: [&[u8]; 2], last: bool| {
            let length = parts.iter().fold(0, |sum: usize, part| sum.saturating_add(part.len()));
            out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes().into_iter().skip(1));
            out.extend([kind, if last { flags | END_HEADERS } else { flags }]);
            out.extend(self.head.stream);
            parts.iter().for_each(|part| out.extend_from_slice(part));
        };
        let kept = self.head.flags & (END_STREAM | PRIORITY);
        frame(HEADERS, kept, [&self.priority, first], chunks.peek().is_none());
        while let Some(chunk) = chunks.next() {
            frame(CONTINUATION, 0, [chunk, &[]], chunks.peek().is_none());
        }
    }
}

fn pass_rest(bytes: &[u8], from: usize, out: &mut BytesMut) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    out.extend_from_slice(rest);
    rest.len()
}

fn refused(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// What comes out when `sent` is pushed in pieces of `size`.
    fn through(sent: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let (mut frames, mut out) = (Frames::default(), BytesMut::new());
        for piece in sent.chunks(size) {
            frames.push(piece, &mut out)?;
        }
        Ok(out.to_vec())
    }

    const BLOCK: &[u8] = b"\x83\x41\x05a%2Fb\x86";
    const MENDED: &[u8] = b"\x83\x41\x01x\x86";

    #[test]
    fn header_frames_are_mended_and_all_else_passes_whatever_the_pieces() {
        let others = [frame(4, 0, 0, b"\0\x02\0\0\0\0"), frame(0, 1, 1, b"\0\0\0\0\0"), frame(4, 1, 0, b"")].concat();
        let sent = [PREFACE, &others, &frame(HEADERS, END_HEADERS, 1, BLOCK), &others].concat();
        let expected = [PREFACE, &others, &frame(HEADERS, END_HEADERS, 1, MENDED), &others].concat();
        for size in 1..sent.len() {
            assert_eq!(through(&sent, size).expect("passes"), expected, "pieces of {size}");
        }
    }

    #[test]
    fn padding_goes_priority_stays_and_continuations_become_one() {
        let priority = b"\x80\0\0\x03\x0f";
        let (one, other) = BLOCK.split_at(4);
        let padded = [&[3][..], priority, one, &[0; 3]].concat();
        let sent = [
            PREFACE,
            &frame(HEADERS, PADDED | PRIORITY | END_STREAM, 5, &padded),
            &frame(CONTINUATION, 0, 5, &other[..1]),
            &frame(CONTINUATION, END_HEADERS, 5, &other[1..]),
        ];
        let whole = frame(HEADERS, PRIORITY | END_STREAM | END_HEADERS, 5, &[priority, MENDED].concat());
        assert_eq!(through(&sent.concat(), 7).expect("passes"), [PREFACE, &whole].concat());
    }

    #[test]
    fn a_long_block_comes_out_in_frames_that_the_server_takes() {
        let field = |length: usize| [b"\x00\x01k\x7f\x81\x7f".as_slice(), &vec![b'v'; length]].concat();
        let field = field(127 + 1 + (127 << 7));
        let sent = [
            PREFACE,
            &frame(HEADERS, 0, 1, BLOCK),
            &frame(CONTINUATION, 0, 1, &field[..FRAME_LENGTH_MAX]),
            &frame(CONTINUATION, END_HEADERS, 1, &field[FRAME_LENGTH_MAX..]),
        ];
        let out = through(&sent.concat(), 4096).expect("passes");
        let block = [MENDED, &field].concat();
        let (first, rest) = block.split_at(FRAME_LENGTH_MAX);
        let expected = [PREFACE, &frame(HEADERS, 0, 1, first), &frame(CONTINUATION, END_HEADERS, 1, rest)];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn what_is_no_http_2_passes() {
        for sent in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"PRI * HTTP/2.0\r\n\r\nXX", b"PRI"] {
            for size in 1..=sent.len() {
                assert_eq!(through(sent, size).expect("passes"), sent, "pieces of {size}");
            }
        }
    }

    #[test]
    fn header_frames_that_no_server_takes_end_the_connection() {
        let large = [&[0xff, 0xff, 0xff, HEADERS, 0, 0, 0, 0, 1][..]].concat();
        let endless: Vec<u8> = (0..5)
            .flat_map(|number| frame(if number == 0 { HEADERS } else { CONTINUATION }, 0, 1, &[0; FRAME_LENGTH_MAX]))
            .collect();
        for sent in [
            large,
            endless,
            frame(CONTINUATION, END_HEADERS, 1, BLOCK),
            [frame(HEADERS, 0, 1, BLOCK), frame(HEADERS, 0, 3, BLOCK)].concat(),
            [frame(HEADERS, 0, 1, BLOCK), frame(CONTINUATION, END_HEADERS, 3, BLOCK)].concat(),
            frame(HEADERS, PADDED | END_HEADERS, 1, &[9, 0]),
            frame(HEADERS, PRIORITY | END_HEADERS, 1, &[0; 4]),
            frame(HEADERS, PADDED | END_HEADERS, 1, &[]),
        ] {
            assert!(through(&[PREFACE, &sent].concat(), 1024).is_err(), "{:?}", sent.get(..20));
        }
    }
}
