/// Where Tidegate answers otherwise than hawkBit, on purpose, by number.
pub const DIFFERENCES: [(u8, &str); 15] = [
    (1, "reading an update that is closed changes nothing of it"),
    (
        2,
        "`canceled` agrees to a call back as `closed` does, and nothing opens a settled one again",
    ),
    (
        3,
        "the same feedback twice is kept once, and feedback at the same time is never a conflict",
    ),
    (
        4,
        "what closes an update is always taken; too many or too long messages are cut, and any text is text",
    ),
    (5, "the files of what is installed can be fetched again"),
    (6, "progress and intermediate steps are kept and shown"),
    (7, "an update that goes silent times out"),
    (
        8,
        "a firmware may ask for proof that the device really runs it",
    ),
    (9, "a campaign may have `denied` end the update"),
    (
        10,
        "tokens are kept as hashes, and proxies must be known to be heard",
    ),
    (
        11,
        "`sleep` is always hours, minutes and seconds of less than a day",
    ),
    (12, "both pairs of file links are always there"),
    (
        13,
        "outside its window a device is offered nothing, unless it may fetch ahead",
    ),
    (
        14,
        "update ids fit 32 bits, and links to updates always have a `c`",
    ),
    (15, "the name of a file is never cut"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_numbered_from_one() {
        assert!(DIFFERENCES.iter().map(|(number, _)| *number).eq(1..=15));
    }
}
