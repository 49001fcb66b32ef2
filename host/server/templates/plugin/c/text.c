#include "text.h"

#include <stdlib.h>
#include <string.h>

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory) __builtin_trap();
    return memory;
}

static void append_bytes(text_t *text, const void *bytes, size_t length) {
    if (length == 0) return;
    uint8_t *longer = realloc(text->ptr, text->len + length);
    if (!longer) __builtin_trap();
    memcpy(longer + text->len, bytes, length);
    text->ptr = longer;
    text->len += length;
}

text_t text_of(const char *chars) {
    text_t text = {0};
    append_chars(&text, chars);
    return text;
}

text_t copy_of(const text_t *text) {
    text_t copy = {0};
    append(&copy, text);
    return copy;
}

text_t number_text(uint64_t number) {
    text_t text = {0};
    append_number(&text, number);
    return text;
}

void append(text_t *text, const text_t *more) {
    append_bytes(text, more->ptr, more->len);
}

void append_chars(text_t *text, const char *more) {
    append_bytes(text, more, strlen(more));
}

void append_number(text_t *text, uint64_t number) {
    char digits[20];
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    append_bytes(text, digits + first, sizeof digits - first);
}
