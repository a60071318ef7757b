//! What others encoded, walked once before any parser sees it: with bounds on its size, its depth and
//! its number of values, and with BER's looser forms turned into DER's.
//!
//! The walk keeps its own stack, so that nesting costs no more than its bound. Indefinite lengths get
//! definite ones, and OCTET STRINGs in segments become whole.

use std::borrow::Cow;

use super::asn1::{OCTET_STRING, write_head};

/// How much of an encoding is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The length in bytes.
    pub(super) bytes: usize,
    /// How deep values may lie in each other.
    pub(super) depth: usize,
    /// How many values there may be.
    pub(super) values: usize,
}

/// Of a certificate: the largest that are met have some KB and a depth of 9.
pub(super) const CERTIFICATE: Limits = Limits {
    bytes: 64 * 1024,
    depth: 24,
    values: 2048,
};

/// Why an encoding is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BerError {
    /// It is longer than anything that is expected here.
    #[error("it has {found} bytes, expected at most {most}")]
    TooLarge {
        /// The length.
        found: usize,
        /// The bound.
        most: usize,
    },
    /// Its values lie deeper in each other than is expected here.
    #[error("its values are nested deeper than {0}")]
    TooDeep(usize),
    /// It has more values than is expected here.
    #[error("it has more than {0} values")]
    TooMany(usize),
    /// It ends before it should.
    #[error("it ends in the middle of a value, at byte {0}")]
    Truncated(usize),
    /// It goes on after its end.
    #[error("{0} bytes follow after its end")]
    Trailing(usize),
    /// A form that no encoder uses here.
    #[error("byte {at} is {what}")]
    Odd {
        /// Where.
        at: usize,
        /// What is there.
        what: &'static str,
    },
}

/// A value: where its content is, and where the values inside it end.
struct Node {
    tag: u8,
    content: (usize, usize),
    /// The number of the first node that is not inside.
    after: usize,
}

/// A constructed value whose end has not come yet.
struct Open {
    node: usize,
    /// Where it ends, or at the latest ends when its length is indefinite.
    end: usize,
    is_indefinite: bool,
}

const CONSTRUCTED: u8 = 0x20;
const SEGMENTED: u8 = OCTET_STRING | CONSTRUCTED;
const HIGH_TAG: u8 = 0x1f;

/// The one value in `bytes`, in DER's lengths and with whole OCTET STRINGs.
pub(super) fn normal(bytes: &[u8], limits: Limits) -> Result<Cow<'_, [u8]>, BerError> {
    let (nodes, is_loose) = walk(bytes, limits)?;
    match is_loose {
        true => Ok(Cow::Owned(written(bytes, &nodes)?)),
        false => Ok(Cow::Borrowed(bytes)),
    }
}

/// The values of `bytes` in the order of their beginnings, and whether there are loose forms.
fn walk(bytes: &[u8], limits: Limits) -> Result<(Vec<Node>, bool), BerError> {
    if bytes.len() > limits.bytes {
        return Err(BerError::TooLarge {
            found: bytes.len(),
            most: limits.bytes,
        });
    }
    let mut nodes: Vec<Node> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    let mut is_loose = false;
    loop {
        while let Some(innermost) = open.last()
            && !innermost.is_indefinite
            && innermost.end == at
        {
            nodes[innermost.node].after = nodes.len();
            open.pop();
        }
        let end = open.last().map_or(bytes.len(), |innermost| innermost.end);
        if let Some(innermost) = open.last()
            && innermost.is_indefinite
            && bytes[at..end].starts_with(&[0, 0])
        {
            nodes[innermost.node].after = nodes.len();
            open.pop();
            at += 2;
            continue;
        }
        if open.is_empty() && !nodes.is_empty() {
            return match bytes.len() - at {
                0 => Ok((nodes, is_loose)),
                more => Err(BerError::Trailing(more)),
            };
        }
        if nodes.len() == limits.values {
            return Err(BerError::TooMany(limits.values));
        }
        let head = head(bytes, at, end)?;
        is_loose |= head.is_loose || head.tag == SEGMENTED;
        let (start, stop) = (head.start, head.end.unwrap_or(end));
        nodes.push(Node {
            tag: head.tag,
            content: (start, stop),
            after: nodes.len() + 1,
        });
        if head.tag & CONSTRUCTED == 0 {
            at = stop;
            continue;
        }
        if open.len() == limits.depth {
            return Err(BerError::TooDeep(limits.depth));
        }
        open.push(Open {
            node: nodes.len() - 1,
            end: stop,
            is_indefinite: head.end.is_none(),
        });
        at = start;
    }
}

struct Head {
    tag: u8,
    start: usize,
    /// `None`: the length is indefinite.
    end: Option<usize>,
    /// Whether the length is not written as DER would.
    is_loose: bool,
}

/// The tag and length at `at` of a value that ends at `end` at the latest.
fn head(bytes: &[u8], at: usize, end: usize) -> Result<Head, BerError> {
    let truncated = BerError::Truncated(end);
    let odd = |what| Err(BerError::Odd { at, what });
    let [tag, length, rest @ ..] = &bytes[at..end] else {
        return Err(truncated);
    };
    if tag & HIGH_TAG == HIGH_TAG {
        return odd("a tag number above 30");
    }
    if *tag == 0 {
        return odd("an end of contents without a beginning");
    }
    let (digits, length) = match *length {
        short @ 0..=0x7f => (0, usize::from(short)),
        0x80 if tag & CONSTRUCTED != 0 => {
            return Ok(Head {
                tag: *tag,
                start: at + 2,
                end: None,
                is_loose: true,
            });
        }
        0x80 => return odd("an indefinite length of a value that has no parts"),
        long @ 0x81..=0x84 => {
            let count = usize::from(long - 0x80);
            let digits = rest.get(..count).ok_or_else(|| truncated.clone())?;
            let length = digits.iter().fold(0, |sum, &d| sum << 8 | usize::from(d));
            (count, length)
        }
        _ => return odd("a length of more than four bytes"),
    };
    let start = at + 2 + digits;
    if length > end - start {
        return Err(truncated);
    }
    let shortest = match length {
        0..=0x7f => 0,
        0x80..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    };
    Ok(Head {
        tag: *tag,
        start,
        end: Some(start + length),
        is_loose: digits != shortest,
    })
}

/// The nodes as DER, as far as lengths and segments go.
fn written(bytes: &[u8], nodes: &[Node]) -> Result<Vec<u8>, BerError> {
    // The length of each content, from the innermost outwards.
    let mut lengths = vec![0_usize; nodes.len()];
    for (number, node) in nodes.iter().enumerate().rev() {
        if node.tag & CONSTRUCTED == 0 {
            lengths[number] = node.content.1 - node.content.0;
            continue;
        }
        let mut inner = number + 1;
        while inner < node.after {
            let length = lengths[inner];
            lengths[number] += match node.tag == SEGMENTED {
                false => head_length(length) + length,
                true if matches!(nodes[inner].tag, OCTET_STRING | SEGMENTED) => length,
                true => {
                    return Err(BerError::Odd {
                        at: nodes[inner].content.0,
                        what: "in a segment that is no OCTET STRING",
                    });
                }
            };
            inner = nodes[inner].after;
        }
    }
    let mut out = Vec::with_capacity(lengths.first().map_or(0, |length| length + 6));
    // The number of the node after the OCTET STRING whose segments are being joined.
    let mut joined = 0;
    for (number, node) in nodes.iter().enumerate() {
        let is_segment = number < joined;
        if !is_segment {
            let tag = match node.tag {
                SEGMENTED => OCTET_STRING,
                tag => tag,
            };
            write_head(&mut out, tag, lengths[number]);
            if node.tag == SEGMENTED {
                joined = node.after;
            }
        }
        if node.tag & CONSTRUCTED == 0 {
            out.extend_from_slice(&bytes[node.content.0..node.content.1]);
        }
    }
    Ok(out)
}

/// How many bytes a tag and this length take.
const fn head_length(length: usize) -> usize {
    match length {
        0..=0x7f => 2,
        0x80..=0xff => 3,
        0x100..=0xffff => 4,
        0x1_0000..=0xff_ffff => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Limits = Limits {
        bytes: 100_000,
        depth: 8,
        values: 50,
    };

    #[test]
    fn indefinite_lengths_and_segments_become_definite_and_whole() {
        let loose = [
            0x30, 0x80, 0x24, 0x80, 4, 1, b'a', 0x24, 5, 4, 3, b'b', b'c', b'd', 0, 0, 2, 1, 7, 0,
            0,
        ];
        let tight = [0x30, 9, 4, 4, b'a', b'b', b'c', b'd', 2, 1, 7];
        assert_eq!(*normal(&loose, SMALL).unwrap(), tight);
        // Lengths with more digits than they need.
        assert_eq!(
            *normal(&[0x30, 0x82, 0, 3, 2, 1, 7], SMALL).unwrap(),
            [0x30, 3, 2, 1, 7]
        );
    }

    #[test]
    fn what_is_der_is_not_copied() {
        let read = normal(&[0x30, 3, 2, 1, 7], SMALL).unwrap();
        assert!(matches!(read, Cow::Borrowed(_)));
    }

    #[test]
    fn every_bound_has_its_name() {
        let refused = |bytes: &[u8]| normal(bytes, SMALL).unwrap_err();
        let (found, most) = (100_001, 100_000);
        assert_eq!(
            refused(&vec![0; 100_001]),
            BerError::TooLarge { found, most }
        );
        assert_eq!(refused(&[0x30, 0x80].repeat(30_000)), BerError::TooDeep(8));
        let many = [vec![0x30, 120], [5, 0].repeat(60)].concat();
        assert_eq!(refused(&many), BerError::TooMany(50));
        assert_eq!(refused(&[0x30, 5, 2, 1, 7]), BerError::Truncated(5));
        assert_eq!(refused(&[0x30, 0x80, 2, 1, 7]), BerError::Truncated(5));
        assert_eq!(refused(&[2, 1, 7, 0, 0]), BerError::Trailing(2));
        assert_eq!(refused(&[]), BerError::Truncated(0));
        for odd in [&[0x3f, 0x81][..], &[0, 0], &[4, 0x80], &[4, 0x85, 0]] {
            assert!(matches!(refused(odd), BerError::Odd { .. }), "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(read) = normal(&bytes, SMALL) {
                // What is normal stays as it is.
                prop_assert!(matches!(normal(&read, SMALL), Ok(Cow::Borrowed(_))));
            }
        }
    }
}
