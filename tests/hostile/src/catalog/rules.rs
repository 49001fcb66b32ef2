//! Well-formed outputs that the contract forbids.

use anyhow::Result;

use super::{HostileCase, TEXT, fails, storing};
use crate::build::Function;

/// The function, what it returns, the words of its output, the bytes at [`TEXT`], and a part of the message.
type Row = (
    Function,
    &'static str,
    Vec<(u32, u32)>,
    Vec<u8>,
    &'static str,
);

/// A list of attributes with one of this key, and an empty value.
fn attribute(key: &str) -> Vec<u8> {
    let pair = [TEXT + 16, key.len() as u32, TEXT, 0];
    let mut bytes: Vec<u8> = pair.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend(key.as_bytes());
    bytes
}

/// A list of texts with one of this length.
fn text_of(length: usize) -> Vec<u8> {
    let mut bytes = [(TEXT + 8).to_le_bytes(), (length as u32).to_le_bytes()].concat();
    bytes.extend(b"x".repeat(length));
    bytes
}

pub(super) fn cases() -> Result<Vec<HostileCase>> {
    use Function::{Assign, Check, Decide, Describe, Evaluate, Plan, Validate, Wants};
    let long = "x".repeat(1025);
    let none = Vec::new;
    let rows: Vec<Row> = vec![
        (
            Describe,
            "a summary of 1025 bytes",
            vec![(276, TEXT), (280, 1025)],
            long.clone().into(),
            "the summary has 1025 bytes",
        ),
        (
            Describe,
            "an unknown key",
            vec![(296, TEXT), (300, 1)],
            attribute("icon"),
            "`extras` has the key `icon`",
        ),
        (
            Wants,
            "65 attributes",
            vec![(340, TEXT), (344, 65)],
            none(),
            "at most 64 attributes",
        ),
        (
            Wants,
            "a metric without a name",
            vec![(348, TEXT), (352, 1)],
            text_of(0),
            "at most 64 metrics",
        ),
        (
            Wants,
            "a fact with a name of 129 bytes",
            vec![(356, TEXT), (360, 1)],
            text_of(129),
            "at most 64 facts",
        ),
        (
            Wants,
            "an unknown key",
            vec![(364, TEXT), (368, 1)],
            attribute("class-counts"),
            "`class-counts`",
        ),
        (
            Plan,
            "a share of 10,001 basis points",
            vec![(808, 1), (816, 10_001)],
            none(),
            "the share of wave 0 is 10001 basis points",
        ),
        (
            Plan,
            "a wave's name of 1025 bytes",
            vec![(800, TEXT), (804, 1025)],
            long.clone().into(),
            "the name of wave 0 has 1025 bytes",
        ),
        (
            Plan,
            "an unknown key of a wave",
            vec![(824, TEXT), (828, 1)],
            attribute("only-when"),
            "`only-when`",
        ),
        (
            Plan,
            "an unknown key",
            vec![(528, TEXT), (532, 1)],
            attribute("x"),
            "`x`",
        ),
        (
            Assign,
            "a row too many",
            vec![(512, 0), (516, TEXT), (520, 9)],
            none(),
            "it has 9 results for 8 rows",
        ),
        (
            Assign,
            "no rows",
            vec![(512, 0), (516, TEXT), (520, 0)],
            none(),
            "it has 0 results for 8 rows",
        ),
        (
            Decide,
            "a state of 64 KiB and a byte",
            vec![(696, TEXT), (700, 65_537)],
            none(),
            "the state has 65537 bytes; the maximum is 65536",
        ),
        (
            Decide,
            "17 sentences",
            vec![(704, TEXT), (708, 17)],
            none(),
            "`explain` has 17 sentences",
        ),
        (
            Decide,
            "a sentence of 257 bytes",
            vec![(704, TEXT), (708, 1)],
            text_of(257),
            "has 257 bytes; the maximum is 256",
        ),
        (
            Decide,
            "a reason of 1025 bytes",
            vec![(656, 2), (660, TEXT), (664, 1025)],
            long.clone().into(),
            "a reason has 1025 bytes",
        ),
        (
            Decide,
            "the scope `other`",
            vec![
                (656, 3),
                (660, 2),
                (664, TEXT),
                (668, 1),
                (672, TEXT),
                (676, 1),
            ],
            b"x".to_vec(),
            "a scope is `other`",
        ),
        (
            Decide,
            "65 keys",
            vec![(712, TEXT), (716, 65)],
            none(),
            "`extras` has 65 entries",
        ),
        (
            Decide,
            "an unknown key",
            vec![(712, TEXT), (716, 1)],
            attribute("withdraw"),
            "`withdraw`",
        ),
        (
            Check,
            "no verdict",
            vec![(520, 0)],
            none(),
            "it has 0 results for 1 classes",
        ),
        (
            Check,
            "a verdict too many",
            vec![(520, 2)],
            none(),
            "it has 2 results for 1 classes",
        ),
        (
            Check,
            "a reason of 1025 bytes",
            vec![(800, 1), (804, TEXT), (808, 1025)],
            long.clone().into(),
            "a reason has 1025 bytes",
        ),
        (
            Check,
            "a needed version of 1025 bytes",
            vec![(800, 2), (804, TEXT), (808, 1025), (812, TEXT), (816, 1)],
            long.clone().into(),
            "a needed version has 1025 bytes",
        ),
        (
            Evaluate,
            "the verdict `other`",
            vec![(516, 4), (520, TEXT), (524, 1)],
            b"x".to_vec(),
            "the verdict is `other`",
        ),
        (
            Evaluate,
            "the scope `other`",
            vec![
                (516, 3),
                (520, 2),
                (524, TEXT),
                (528, 1),
                (532, TEXT),
                (536, 1),
            ],
            b"x".to_vec(),
            "a scope is `other`",
        ),
        (
            Evaluate,
            "a confidence of 65,535 basis points",
            vec![(540, 65_535)],
            none(),
            "the confidence is 65535 basis points",
        ),
        (
            Evaluate,
            "a state of 64 KiB and a byte",
            vec![(544, TEXT), (548, 65_537)],
            none(),
            "the state has 65537 bytes",
        ),
        (
            Evaluate,
            "17 sentences",
            vec![(552, TEXT), (556, 17)],
            none(),
            "`explain` has 17 sentences",
        ),
        (
            Evaluate,
            "an unknown key",
            vec![(560, TEXT), (564, 1)],
            attribute("priority"),
            "`priority`",
        ),
        (
            Evaluate,
            "a reason of 1025 bytes",
            vec![(516, 2), (520, TEXT), (524, 1025)],
            long.into(),
            "a reason has 1025 bytes",
        ),
        (
            Validate,
            "a path outside the memory",
            vec![(20, TEXT), (24, 1)],
            [0xff; 16].to_vec(),
            "out of bounds of memory",
        ),
    ];
    rows.into_iter()
        .map(|(function, what, words, text, message)| {
            let hooks = storing(function, &words, text);
            fails(
                format!("{function:?} returns {what}"),
                &hooks,
                function,
                "invalid-answer",
                message,
            )
        })
        .collect()
}
