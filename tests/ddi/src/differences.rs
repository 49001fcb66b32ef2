/// The known differences of Tidegate from hawkBit, by number.
pub const DIFFERENCES: [(u8, &str); 17] = [
    (1, "reading an ended update does not change it"),
    (
        2,
        "`canceled` accepts a cancellation as `closed` does, and a settled cancellation is never reopened",
    ),
    (
        3,
        "repeated feedback is stored once, and concurrent feedback is never a conflict",
    ),
    (
        4,
        "feedback that ends an update is always accepted; too many or too long messages are cut, and text may look like HTML",
    ),
    (
        5,
        "the files of the installed firmware can be downloaded again",
    ),
    (6, "progress and intermediate steps are stored and shown"),
    (7, "an update without reports times out"),
    (
        8,
        "a firmware can require verification that the device really runs it",
    ),
    (9, "a campaign can let `denied` end the update"),
    (
        10,
        "tokens are stored as hashes, and proxy headers are read from known proxies only",
    ),
    (
        11,
        "`sleep` is always hours, minutes and seconds of less than a day",
    ),
    (
        12,
        "outside its maintenance window a device is offered nothing, unless it may prefetch",
    ),
    (
        13,
        "update ids fit 32 bits, and links to updates always have a `c`",
    ),
    (14, "`Content-Disposition` has the whole name of a file"),
    (
        15,
        "an update fails if its device refuses it, reads it again and refuses it again",
    ),
    (16, "attributes may have characters of any language"),
    (
        17,
        "a device id is in normal form, without invisible or bidirectional characters, and no word of a route",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_numbered_from_one() {
        assert!(DIFFERENCES.iter().map(|(number, _)| *number).eq(1..=17));
    }
}
