//! Header blocks (RFC 7541), changed in one place: the value of `:authority`. The lines are walked over and copied as
//! they are; no value is decoded. The stand-in has one letter, so that no entry of the reader's dynamic table is larger
//! than in the writer's: whatever the writer still refers to, the reader still holds.

use std::collections::VecDeque;

const AUTHORITY: &[u8] = b":authority";
/// The same in Huffman code (RFC 7541 appendix B).
const AUTHORITY_CODED: &[u8] = &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];
/// Its place in the static table (RFC 7541 appendix A), and the first place of the dynamic one behind it.
const AUTHORITY_INDEX: usize = 1;
const DYNAMIC_BEGIN: usize = 62;
/// What every authority becomes: a literal of one letter. On a Unix socket it names nothing.
const STAND_IN: &[u8] = &[1, b'x'];
/// Most entries of the dynamic table of 4,096 bytes that our server offers: each counts 32 bytes and more (§4.1).
const ENTRIES_MAX: usize = 128;

/// What one connection's header blocks have put into the dynamic table.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Whether the name is `:authority`, of each entry, newest first.
    inserted: VecDeque<bool>,
}

impl Fields {
    /// The block with another authority; `None` if it cannot be read, and then it is the server's to refuse.
    pub(super) fn rewrite(&mut self, block: &[u8]) -> Option<Vec<u8>> {
        let mut written = Vec::with_capacity(block.len());
        let mut rest = Reader(block);
        while let Some(first) = rest.peek() {
            let begin = rest.0;
            // §6.1 indexed, §6.3 size update: nothing in them that we change.
            if first & 0x80 != 0 {
                rest.integer(7)?;
            } else if first & 0xe0 == 0x20 {
                rest.integer(5)?;
            } else {
                // §6.2: literal, put into the table or not.
                let inserts = first & 0x40 != 0;
                let is_authority = self.is_authority(&mut rest, if inserts { 6 } else { 4 })?;
                if inserts {
                    self.insert(is_authority);
                }
                let name = begin.get(..begin.len().checked_sub(rest.0.len())?)?;
                let value = rest.string()?;
                if is_authority && !value.is_empty() {
                    written.extend_from_slice(name);
                    written.extend_from_slice(STAND_IN);
                    continue;
                }
            }
            written.extend_from_slice(begin.get(..begin.len().checked_sub(rest.0.len())?)?);
        }
        Some(written)
    }

    /// Reads a literal's name.
    fn is_authority(&self, rest: &mut Reader<'_>, prefix: u32) -> Option<bool> {
        match rest.integer(prefix)? {
            0 => {
                let name = rest.string()?;
                Some(name == AUTHORITY || name == AUTHORITY_CODED)
            }
            AUTHORITY_INDEX => Some(true),
            index => {
                let entry = index.checked_sub(DYNAMIC_BEGIN).and_then(|entry| self.inserted.get(entry));
                Some(entry.copied().unwrap_or_default())
            }
        }
    }

    fn insert(&mut self, is_authority: bool) {
        self.inserted.push_front(is_authority);
        self.inserted.truncate(ENTRIES_MAX);
    }
}

/// What is left of a block.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// An integer whose first byte has `prefix` bits of it (§5.1); at most four bytes more.
    fn integer(&mut self, prefix: u32) -> Option<usize> {
        let mask = 1_u8.checked_shl(prefix)?.checked_sub(1)?;
        let first = self.byte()? & mask;
        let mut value = usize::from(first);
        if first < mask {
            return Some(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value = value.checked_add(usize::from(byte & 0x7f).checked_shl(shift)?)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The bytes of a string, coded or not (§5.2).
    fn string(&mut self) -> Option<&'b [u8]> {
        let length = self.integer(7)?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What grpcio 1.85.3 sends for `unix:///tmp/dwork/cap.sock`: every name in letters, put into the table.
    const FIRST: &[u8] =
        b"@\x05:path\"/SpiffeWorkloadAPI/FetchJWTBundles@\n:authority\x16tmp%2Fdwork%2Fcap.sock\x83\x86\
        @\x0ccontent-type\x10application/grpc\x00\x12workload.spiffe.io\x04true";
    /// Its second call refers to the entries of the first.
    const SECOND: &[u8] = b"\xc0\xbf\x83\x86\xbe\x00\x12workload.spiffe.io\x04true";

    fn replaced(block: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = block.windows(from.len()).position(|window| window == from).expect("there");
        let (before, rest) = block.split_at(at);
        [before, to, rest.strip_prefix(from).expect("found")].concat()
    }

    #[test]
    fn the_authority_of_grpc_python_is_replaced_and_all_else_stays() {
        let mut fields = Fields::default();
        let expected = replaced(FIRST, b"\x16tmp%2Fdwork%2Fcap.sock", b"\x01x");
        assert_eq!(fields.rewrite(FIRST), Some(expected));
        assert_eq!(fields.rewrite(SECOND), Some(SECOND.to_vec()));
        assert_eq!(fields.inserted, [false, true, false]);
    }

    #[test]
    fn an_authority_is_found_however_its_name_is_written() {
        let coded = [b"\x00\x88".as_slice(), AUTHORITY_CODED, b"\x03a/b"].concat();
        for block in [b"\x41\x03a/b".as_slice(), b"\x01\x03a/b", b"\x11\x83\x1c\x64\xff", &coded] {
            let rewritten = Fields::default().rewrite(block).expect("read");
            assert!(rewritten.ends_with(STAND_IN) && rewritten.len() == block.len() - 2, "{block:?}: {rewritten:?}");
        }
        // By the entry that an earlier block put into the table, behind one that came after it.
        let mut fields = Fields::default();
        fields.rewrite(b"\x41\x03a/b\x40\x01k\x01v").expect("read");
        assert_eq!(fields.rewrite(b"\x0f\x30\x03c/d"), Some(b"\x0f\x30\x01x".to_vec()), "entry 63");
        assert_eq!(fields.rewrite(b"\x0f\x2f\x03c/d"), Some(b"\x0f\x2f\x03c/d".to_vec()), "entry 62 is `k`");
    }

    #[test]
    fn an_empty_authority_and_other_fields_stay() {
        for block in [b"\x41\x00".as_slice(), b"\x82\x86\x84", b"\x3f\xe1\x1f\x88", b"\x0f\x2f\x01v", b""] {
            assert_eq!(Fields::default().rewrite(block), Some(block.to_vec()), "{block:?}");
        }
    }

    #[test]
    fn what_is_no_block_is_left_alone() {
        for block in [b"\x41".as_slice(), b"\x41\x05abc", b"\x40\x0a:auth", b"\xff\xff\xff\xff\xff\xff", b"\x00"] {
            assert_eq!(Fields::default().rewrite(block), None, "{block:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_fail_or_grow() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for _round in 0..20_000 {
            let mut fields = Fields::default();
            let block: Vec<u8> = (0..state % 40)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    state.to_be_bytes()[0]
                })
                .collect();
            state = state.wrapping_add(1);
            assert!(fields.rewrite(&block).is_none_or(|rewritten| rewritten.len() <= block.len()), "{block:?}");
        }
    }
}
