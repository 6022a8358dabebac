//! HTTP/2 frame by frame (RFC 9113), to do what no client would.

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// RFC 9113 §7.
const CANCEL: u32 = 8;
const END_HEADERS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A connection on which frames are written by hand.
#[derive(Debug)]
pub struct Frames<I> {
    io: I,
    /// Streams that the server lets us have at once.
    pub streams: u32,
    /// Bytes of one stream that it takes unread.
    pub window: u32,
    next: u32,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Frames<I> {
    /// Greets, and takes the server's settings.
    ///
    /// # Panics
    /// Where it has none.
    pub async fn open(mut io: I) -> Self {
        io.write_all(PREFACE).await.expect("written");
        let mut frames = Self { io, streams: u32::MAX, window: 65_535, next: 1 };
        frames.send(SETTINGS, 0, 0, &[]).await;
        let (kind, _stream, payload) = frames.read().await.expect("a frame");
        assert_eq!(kind, SETTINGS, "settings come first");
        for setting in payload.chunks_exact(6) {
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            match u16::from_be_bytes([setting[0], setting[1]]) {
                MAX_CONCURRENT_STREAMS => frames.streams = value,
                INITIAL_WINDOW_SIZE => frames.window = value,
                _others => {}
            }
        }
        frames
    }

    /// Begins to post a form to `path`, and says no more; the stream.
    pub async fn begin_form(&mut self, path: &str) -> u32 {
        // RFC 7541 appendix A: 3 POST, 6 http, 4 :path, 1 :authority, 31 content-type; literals are not indexed.
        let mut block = vec![0x83, 0x86];
        literal(&mut block, &[0x04], path);
        literal(&mut block, &[0x01], "broker.agents.svc");
        literal(&mut block, &[0x0f, 0x10], "application/x-www-form-urlencoded");
        let stream = self.next;
        self.next += 2;
        self.send(HEADERS, END_HEADERS, stream, &block).await;
        stream
    }

    /// Takes back what was asked.
    pub async fn take_back(&mut self, stream: u32) {
        self.send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()).await;
    }

    /// Whether the server has seen all that was sent, and keeps the connection.
    pub async fn is_heard(&mut self) -> bool {
        self.send(PING, 0, 0, &[0; 8]).await;
        loop {
            match self.read().await {
                Some((PING, _connection, _echo)) => return true,
                Some(_other) => {}
                None => return false,
            }
        }
    }

    /// Waits until the server has ended the connection.
    ///
    /// # Panics
    /// Where it has not in ten seconds.
    pub async fn ended(&mut self) {
        let ended = async { while self.read().await.is_some() {} };
        timeout(std::time::Duration::from_secs(10), ended).await.expect("the server ends the connection");
    }

    /// The first stream that the server resets, and why (RFC 9113 §7).
    ///
    /// # Panics
    /// Where it resets none in ten seconds.
    pub async fn reset(&mut self) -> (u32, u32) {
        let found = timeout(std::time::Duration::from_secs(10), async {
            loop {
                let (kind, stream, payload) = self.read().await.expect("a frame");
                if kind == RST_STREAM {
                    return (stream, u32::from_be_bytes(payload.try_into().expect("a code")));
                }
            }
        });
        found.await.expect("a stream is reset")
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.io.write_all(&frame).await.expect("written");
    }

    async fn read(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.io.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).ok()?];
        self.io.read_exact(&mut payload).await.ok()?;
        Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }
}

fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend(name);
    block.push(u8::try_from(value.len()).expect("short"));
    block.extend(value.as_bytes());
}
