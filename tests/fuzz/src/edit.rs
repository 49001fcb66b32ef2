use proptest::prelude::{Arbitrary, BoxedStrategy, Just, Strategy as _, any, prop_oneof};
use proptest::sample::{Index, select};

/// A change of an input. Places are shares of what there is, so that an edit fits every input.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    /// One more or one less: what limits and lengths are sensitive to.
    Step(Index, bool),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Insert(Index, &'static [u8]),
    /// Over what is there: the length stays.
    Put(Index, &'static [u8]),
    Cut(Index),
    /// A part of another input.
    Take(Index, Index, Index),
}

/// What parsers stumble over.
const WORDS: [&[u8]; 34] = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\0\0\0\0",
    b"\x80",
    b"\xc3\x28",
    b"\xf0\x9f\xa6\x80",
    b"\xef\xbb\xbf",
    b"\n",
    b"\r\n",
    b"\\",
    b"\"",
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b"(",
    b")",
    b",",
    b";",
    b"=",
    b"-",
    b"*",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"4294967296",
    b"00000000",
    b"FFFFFFFF",
    b"../",
];

impl Arbitrary for Edit {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let place = any::<Index>;
        prop_oneof![
            (place(), any::<u8>()).prop_map(|(at, byte)| Self::Set(at, byte)),
            (place(), 0..8_u8).prop_map(|(at, bit)| Self::Flip(at, bit)),
            (place(), any::<bool>()).prop_map(|(at, up)| Self::Step(at, up)),
            (place(), 1..64_usize).prop_map(|(at, count)| Self::Remove(at, count)),
            (
                place(),
                1..32_usize,
                prop_oneof![Just(1_usize), Just(16), Just(2000)]
            )
                .prop_map(|(at, count, times)| Self::Repeat(at, count, times)),
            (place(), select(&WORDS[..])).prop_map(|(at, word)| Self::Insert(at, word)),
            (place(), select(&WORDS[..])).prop_map(|(at, word)| Self::Put(at, word)),
            place().prop_map(Self::Cut),
            (place(), place(), place()).prop_map(|(at, other, from)| Self::Take(at, other, from)),
        ]
        .boxed()
    }
}

impl Edit {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>, corpus: &[(String, Vec<u8>)]) {
        match self {
            Self::Insert(at, word) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, word.iter().copied());
            }
            Self::Take(at, other, from) => {
                let other = &corpus[other.index(corpus.len())].1;
                let part = &other[from.index(other.len() + 1)..];
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, part.iter().copied());
            }
            // The others change what is there.
            _ if bytes.is_empty() => {}
            Self::Set(at, byte) => *at.get_mut(bytes) = *byte,
            Self::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
            Self::Step(at, up) => {
                let byte = at.get_mut(bytes);
                *byte = byte.wrapping_add(if *up { 1 } else { u8::MAX });
            }
            Self::Remove(at, count) => {
                let at = at.index(bytes.len());
                bytes.drain(at..bytes.len().min(at + count));
            }
            Self::Repeat(at, count, times) => {
                let at = at.index(bytes.len());
                let part = bytes[at..bytes.len().min(at + count)].repeat(*times);
                bytes.splice(at..at, part);
            }
            Self::Put(at, word) => {
                let at = at.index(bytes.len());
                for (byte, new) in bytes[at..].iter_mut().zip(*word) {
                    *byte = *new;
                }
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}
