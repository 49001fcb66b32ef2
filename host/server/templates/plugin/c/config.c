#include "config.h"

#include <stdlib.h>
#include <string.h>

static const char *skip_space(const char *at) {
    return at + strspn(at, " \t\r\n");
}

static bool is_end(const char *at) {
    return *skip_space(at) == '\0';
}

static number_t *find(number_t *numbers, size_t count, const char *name, size_t length) {
    for (size_t index = 0; index < count; index++) {
        number_t *number = &numbers[index];
        if (strlen(number->name) == length && memcmp(number->name, name, length) == 0) return number;
    }
    return NULL;
}

static bool is_digit(char character) {
    return '0' <= character && character <= '9';
}

/// Reads digits behind the value of those before them. Returns what follows.
static const char *read_digits(const char *at, double *value) {
    for (; is_digit(*at); at++) *value = *value * 10 + (*at - '0');
    return at;
}

/// Reads a number of JSON. Returns what follows; NULL if it is something else. `strtod` would need files.
static const char *read_number(const char *at, double *number) {
    double sign = *at == '-' ? -1 : 1, value = 0, power = 0;
    if (*at == '-') at++;
    if (!is_digit(*at)) return NULL;
    at = read_digits(at, &value);
    int places = 0;
    if (*at == '.') {
        const char *fraction = at + 1;
        at = read_digits(fraction, &value);
        places = (int)(at - fraction);
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        double power_sign = *at == '-' ? -1 : 1;
        if (*at == '-' || *at == '+') at++;
        at = read_digits(at, &power);
        power = power_sign * (power > 400 ? 400 : power);
    }
    double scale = 1;
    int exponent = (int)power - places;
    for (int left = abs(exponent); left > 0; left--) scale *= 10;
    *number = sign * (exponent < 0 ? value / scale : value * scale);
    return at;
}

/// Reads `"name": number`. Returns what follows; NULL if it is something else.
static const char *read_member(const char *at, number_t *numbers, size_t count) {
    if (*at != '"') return NULL;
    const char *name = at + 1;
    size_t length = strcspn(name, "\"");
    number_t *number = find(numbers, count, name, length);
    if (!number || name[length] != '"') return NULL;
    at = skip_space(name + length + 1);
    if (*at != ':') return NULL;
    at = read_number(skip_space(at + 1), &number->value);
    return at ? skip_space(at) : NULL;
}

static bool read_object(const char *at, number_t *numbers, size_t count) {
    at = skip_space(at);
    if (*at != '{') return false;
    at = skip_space(at + 1);
    if (*at == '}') return is_end(at + 1);
    while ((at = read_member(at, numbers, count))) {
        if (*at == '}') return is_end(at + 1);
        if (*at != ',') return false;
        at = skip_space(at + 1);
    }
    return false;
}

bool read_numbers(const text_t *json, number_t *numbers, size_t count) {
    // With an end.
    char *chars = allocate(json->len + 1, 1);
    memcpy(chars, json->ptr, json->len);
    bool is_read = read_object(chars, numbers, count);
    free(chars);
    return is_read;
}
