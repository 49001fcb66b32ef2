// Configs that are a JSON object of numbers, such as {"pause_hours": 0.5}.
#pragma once

#include "text.h"

/// A member of the object, with its default.
typedef struct {
    const char *name;
    double value;
} number_t;

/// Replaces the values of the numbers that the object has. False if the text is something else, or has another member.
bool read_numbers(const text_t *json, number_t *numbers, size_t count);
