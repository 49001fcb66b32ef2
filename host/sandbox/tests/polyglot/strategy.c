// A strategy in C with one wave, whose devices are all released at once. Like `strategy.js`, it shows that the contract
// does not depend on Rust. `tests/it/polyglot.rs` builds and runs it.
#include <stdlib.h>
#include <string.h>

#include "strategy.h"

typedef strategy_string_t text;

static text text_of(const char *chars) {
    text copy;
    strategy_string_dup(&copy, chars);
    return copy;
}

static const char *const SCHEMA =
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","
    "\"properties\":{\"wave\":{\"type\":\"string\",\"default\":\"all\",\"pattern\":\"^[a-z]*$\"}},"
    "\"additionalProperties\":false}";

// The wave's name. The schema allows only configs in which the last string is the name.
static bool read_config(const text *config, text *name) {
    const char *from = (const char *)config->ptr, *end = from + config->len;
    if (config->len < 2 || from[0] != '{' || end[-1] != '}') return false;
    const char *last = end, *first;
    while (last > from && last[-1] != '"') last--;
    if (last == from) {
        *name = text_of("all");
        return true;
    }
    for (first = --last; first > from && first[-1] != '"';) first--;
    strategy_string_dup_n(name, first, last - first);
    return true;
}

bool exports_tidegate_plugin_meta_describe(exports_tidegate_plugin_meta_description_t *ret, text *err) {
    (void)err;
    memset(ret, 0, sizeof *ret);
    ret->name = text_of("acme/all-at-once-c");
    ret->version = text_of("0.1.0");
    ret->summary = text_of("Releases every device at once");
    ret->config_schema = text_of(SCHEMA);
    ret->state_schema = 1;
    return true;
}

bool exports_tidegate_plugin_meta_wants(text *config, exports_tidegate_plugin_meta_interests_t *ret, text *err) {
    (void)config, (void)err;
    memset(ret, 0, sizeof *ret);
    return true;
}

bool exports_tidegate_plugin_meta_validate(text *config, exports_tidegate_plugin_meta_list_field_error_t *ret,
                                           text *err) {
    (void)err;
    text name = {0};
    memset(ret, 0, sizeof *ret);
    if (!read_config(config, &name) || name.len == 0) {
        ret->ptr = calloc(1, sizeof *ret->ptr);
        ret->len = 1;
        ret->ptr->path = text_of("/wave");
        ret->ptr->message = text_of("name it");
    }
    return true;
}

bool exports_tidegate_plugin_rollout_plan(exports_tidegate_plugin_rollout_plan_input_t *input,
                                          exports_tidegate_plugin_rollout_wave_plan_t *ret, text *err) {
    text name;
    if (!read_config(&input->config, &name)) {
        *err = text_of("the config is not an object");
        return false;
    }
    memset(ret, 0, sizeof *ret);
    ret->waves.ptr = calloc(1, sizeof *ret->waves.ptr);
    ret->waves.len = 1;
    ret->waves.ptr->name = name;
    ret->waves.ptr->members.tag = EXPORTS_TIDEGATE_PLUGIN_ROLLOUT_MEMBERS_REST;
    return true;
}

bool exports_tidegate_plugin_rollout_decide(exports_tidegate_plugin_rollout_observation_t *observation,
                                            exports_tidegate_plugin_rollout_decision_t *ret, text *err) {
    size_t waves = observation->waves.len;
    if (waves > 99) {
        *err = text_of("there are more than 99 waves");
        return false;
    }
    char line[] = {'0' + waves / 10, '0' + waves % 10, ' ', 'w', 'a', 'v', 'e', 's', 0};
    text message = text_of(line[0] == '0' ? line + 1 : line);
    tidegate_plugin_log_line(&message);

    memset(ret, 0, sizeof *ret);
    ret->outcome.tag = EXPORTS_TIDEGATE_PLUGIN_ROLLOUT_OUTCOME_COMPLETE;
    ret->releases.ptr = calloc(waves, sizeof *ret->releases.ptr);
    ret->releases.len = waves;
    for (uint32_t wave = 0; wave < waves; wave++) {
        ret->releases.ptr[wave].wave = wave;
        ret->releases.ptr[wave].devices = observation->waves.ptr[wave].size;
        if (observation->waves.ptr[wave].counts.pending > 0) {
            ret->outcome.tag = EXPORTS_TIDEGATE_PLUGIN_ROLLOUT_OUTCOME_PROCEED;
        }
    }
    ret->explain.ptr = calloc(1, sizeof *ret->explain.ptr);
    ret->explain.len = 1;
    ret->explain.ptr[0] = text_of("every device at once");
    return true;
}
