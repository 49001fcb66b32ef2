use std::{error::Error, fmt, iter};

/// An error with all its causes, for the field `error` of a log line: `tracing::warn!(error = %chain(&error), ...)`.
/// tracing's own `error as &dyn Error` loses the causes in the JSON format.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> ErrorChain<'a> {
    ErrorChain(error)
}

/// The result of [`chain`]. A cause whose text its effect already ends with is left out.
#[derive(Debug)]
pub struct ErrorChain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut effect = self.0.to_string();
        f.write_str(&effect)?;
        for cause in iter::successors(self.0.source(), |&cause| cause.source()) {
            let cause = cause.to_string();
            if !effect.ends_with(&cause) {
                write!(f, ": {cause}")?;
            }
            effect = cause;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct TestError {
        text: &'static str,
        source: Option<Box<TestError>>,
    }

    fn nested(texts: &[&'static str]) -> TestError {
        let (text, causes) = texts.split_first().expect("a text");
        let source = (!causes.is_empty()).then(|| Box::new(nested(causes)));
        TestError { text, source }
    }

    #[test]
    fn every_cause_is_shown_once() {
        for (texts, expected) in [
            (&["one"][..], "one"),
            (&["one", "two", "three"], "one: two: three"),
            (&["one: two", "two", "three"], "one: two: three"),
        ] {
            assert_eq!(chain(&nested(texts)).to_string(), expected);
        }
    }
}
