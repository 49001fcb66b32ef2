//! Exported spans without harmful characters. Devices and other servers choose some of their texts, and a collector may
//! show them on a terminal.

use std::borrow::Cow;

use opentelemetry::{Array, StringValue, Value, trace::Status};
use opentelemetry_sdk::trace::SpanData;
use tidegate_core::visible_text::visible;

/// Escapes all texts of a span and of its events.
pub(super) fn make_visible(span: &mut SpanData) {
    escape(&mut span.name);
    if let Status::Error { description } = &mut span.status {
        escape(description);
    }
    let events = &mut span.events.events;
    for event in &mut *events {
        escape(&mut event.name);
    }
    let of_events = events.iter_mut().flat_map(|event| &mut event.attributes);
    for attribute in span.attributes.iter_mut().chain(of_events) {
        match &mut attribute.value {
            Value::String(text) => escape_value(text),
            Value::Array(Array::String(texts)) => texts.iter_mut().for_each(escape_value),
            _ => {}
        }
    }
}

fn escape(text: &mut Cow<'static, str>) {
    let escaped = match visible(text) {
        Cow::Borrowed(_) => return,
        Cow::Owned(escaped) => escaped,
    };
    *text = escaped.into();
}

fn escape_value(text: &mut StringValue) {
    let escaped = match visible(text.as_str()) {
        Cow::Borrowed(_) => return,
        Cow::Owned(escaped) => escaped,
    };
    *text = escaped.into();
}
