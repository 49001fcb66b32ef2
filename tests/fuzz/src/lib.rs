//! Feeds a parser what it does not expect.
//!
//! A target is a test beside the parser: `explore("range", |bytes| ...)`. It is given every input of
//! `tests/fuzz/corpus/range`, and then changed ones: bytes that are others, that are gone or there twice, parts of other
//! inputs, and what parsers stumble over. A target fails by a panic, or when an input takes it too long. proptest draws
//! the changes, always the same ones, and when a target fails takes back those that do not matter. What is left is
//! printed; keep it in the corpus.
//!
//! `TIDEGATE_FUZZ_CASES=1000000` goes on for longer, `TIDEGATE_FUZZ_SEED=7` takes another way.

mod edit;

use std::{
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use proptest::{
    collection::vec,
    prelude::{Strategy as _, any},
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};

use edit::Edit;

/// How many changed inputs a target is given.
const CASES: u32 = 3000;
/// A target that takes longer in all, on a slow machine, is given fewer.
const MOST_TIME: Duration = Duration::from_secs(4);
/// An input may take this long, built without optimisation.
const MOST_TIME_FOR_ONE: Duration = Duration::from_secs(2);
/// Most changes of one input.
const MOST_EDITS: usize = 6;

/// Gives a target its inputs. Panics when it does, and when there is no corpus.
pub fn explore(name: &str, target: impl Fn(&[u8])) {
    let corpus = corpus(name);
    for (file, bytes) in &corpus {
        run(&target, bytes).unwrap_or_else(|reason| panic!("{file} in the corpus: {reason}"));
    }
    let changed = (0..corpus.len(), vec(any::<Edit>(), 1..=MOST_EDITS));
    let changed = changed.prop_map(|(index, edits)| {
        let mut bytes = corpus[index].1.clone();
        for edit in &edits {
            edit.apply(&mut bytes, &corpus);
        }
        Input(bytes)
    });
    let number = |variable| {
        env::var(variable)
            .ok()
            .and_then(|text| text.parse::<u32>().ok())
    };
    let cases = number("TIDEGATE_FUZZ_CASES");
    let config = Config {
        cases: cases.unwrap_or(CASES),
        failure_persistence: None,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number("TIDEGATE_FUZZ_SEED").unwrap_or(0).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let began = Instant::now();
    let result = TestRunner::new_with_rng(config, rng).run(&changed, |input| {
        if cases.is_none() && began.elapsed() > MOST_TIME {
            return Ok(());
        }
        run(&target, &input.0).map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
}

fn run(target: &impl Fn(&[u8]), bytes: &[u8]) -> Result<(), String> {
    let began = Instant::now();
    target(bytes);
    let took = began.elapsed();
    if took < MOST_TIME_FOR_ONE {
        Ok(())
    } else {
        Err(format!("it took {took:?}"))
    }
}

/// The kept inputs of a target by their names.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut corpus: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            let bytes =
                fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.display().to_string(), bytes)
        })
        .collect();
    corpus.sort();
    assert!(
        !corpus.is_empty(),
        "there is nothing in {}",
        folder.display()
    );
    corpus
}

/// Bytes, shown as they would be written in a test.
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, panic};

    use super::*;

    #[test]
    fn what_a_target_stumbles_over_is_found_and_cut_down() {
        let stumble = || {
            explore("range", |bytes| {
                assert!(
                    !bytes.windows(2).any(|pair| pair == b"\xff\xff"),
                    "two in a row"
                );
            });
        };
        let found = panic::catch_unwind(stumble).expect_err("it is found");
        let message = found.downcast_ref::<String>().expect("a message");
        assert!(
            message.contains("two in a row") && message.contains(r"\xff\xff"),
            "{message}"
        );
    }

    #[test]
    fn it_goes_the_same_way_each_time() {
        let walk = || {
            let sum = Cell::new(0_u64);
            explore("range", |bytes| {
                let add = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
                sum.set(bytes.iter().fold(sum.get(), add));
            });
            sum.get()
        };
        assert_eq!(walk(), walk());
    }
}
