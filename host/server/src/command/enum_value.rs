use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use strum::VariantNames;

/// A parser for a flag whose values are the names of an enum. The help lists them, and other values are refused.
pub(super) fn enum_value<T>() -> impl TypedValueParser<Value = T>
where
    T: FromStr + VariantNames + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(T::VARIANTS)
        .try_map(|name| name.parse().map_err(|_| "there is no such value"))
}
