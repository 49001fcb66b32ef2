// Texts of an answer. `snprintf` would need files, which a plugin does not have.
#pragma once

#include "bindings/strategy.h"

typedef strategy_string_t text_t;

/// Memory of zeros, or a trap.
void *allocate(size_t count, size_t size);

/// A copy of a C string.
text_t text_of(const char *chars);
text_t copy_of(const text_t *text);
text_t number_text(uint64_t number);

void append(text_t *text, const text_t *more);
void append_chars(text_t *text, const char *more);
void append_number(text_t *text, uint64_t number);
