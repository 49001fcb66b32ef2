// The strategy `{{name}}`: one half of the devices, a pause, then the other half.
//
// `bindings/strategy.h` has the contract's types: a list or a text is `ptr` and `len`, an option `is_some` and `val`, a
// variant `tag` and `val`. A function that returns false has put the reason into `err`.
//
// Each call has a new memory, so what a call is given, or allocates, need not be freed. But an answer is freed after the
// server has read it: all that it points to comes from `malloc`, and no two parts of it share memory.
#include <string.h>

#include "bindings/strategy.h"
#include "config.h"
#include "text.h"

#define NAME "{{name}}"
#define VERSION "0.1.0"
#define SUMMARY "One half of the devices, a pause, then the other half."

static const char SCHEMA[] = {
#embed "schema.json"
    , 0};

typedef exports_tidegate_plugin_rollout_observation_t observation_t;
typedef exports_tidegate_plugin_rollout_decision_t decision_t;
typedef exports_tidegate_plugin_rollout_policy_verdict_t policy_verdict_t;
typedef tidegate_plugin_types_wave_report_t wave_t;
typedef tidegate_plugin_types_counts_t counts_t;

/// The config in the contract's units.
typedef struct {
    uint64_t pause_milliseconds;
    uint64_t success_basis_points;
} config_t;

static bool read_config(const text_t *json, config_t *config, text_t *err) {
    number_t numbers[] = {{"pause_hours", 24}, {"success_percent", 90}};
    if (!read_numbers(json, numbers, 2)) {
        *err = text_of("the config is not an object with the numbers `pause_hours` and `success_percent`");
        return false;
    }
    config->pause_milliseconds = (uint64_t)(numbers[0].value * 3600000 + 0.5);
    config->success_basis_points = (uint64_t)(numbers[1].value * 100 + 0.5);
    return true;
}

static uint64_t ended(const counts_t *counts) {
    return counts->completed + counts->failed + counts->timed_out + counts->cancelled + counts->rejected;
}

static bool has_ended(const wave_t *wave) {
    return wave->counts.pending + wave->counts.offered + wave->counts.in_progress == 0;
}

static bool have_all_ended(const observation_t *observation) {
    for (size_t index = 0; index < observation->waves.len; index++) {
        if (!has_ended(&observation->waves.ptr[index])) return false;
    }
    return true;
}

/// The first verdict of a kind; NULL if there is none.
static const policy_verdict_t *find_verdict(const observation_t *observation, uint8_t tag) {
    for (size_t index = 0; index < observation->verdicts.len; index++) {
        const policy_verdict_t *policy = &observation->verdicts.ptr[index];
        if (policy->verdict.tag == tag) return policy;
    }
    return NULL;
}

/// The first verdict that is not `healthy`, which has a reason; NULL if there is none.
static const policy_verdict_t *find_unsure(const observation_t *observation) {
    for (size_t index = 0; index < observation->verdicts.len; index++) {
        const policy_verdict_t *policy = &observation->verdicts.ptr[index];
        if (policy->verdict.tag != TIDEGATE_PLUGIN_TYPES_HEALTH_VERDICT_HEALTHY) return policy;
    }
    return NULL;
}

/// Whether an operator has resumed the campaign since the wave ended.
static bool was_resumed(const observation_t *observation, const wave_t *wave) {
    uint64_t ended_at = wave->last_progress_at.is_some ? wave->last_progress_at.val : 0;
    for (size_t index = 0; index < observation->operator_.len; index++) {
        const exports_tidegate_plugin_rollout_operator_act_t *act = &observation->operator_.ptr[index];
        if (act->kind.tag == EXPORTS_TIDEGATE_PLUGIN_ROLLOUT_OPERATOR_ACT_KIND_RESUMED && act->at > ended_at) return true;
    }
    return false;
}

/// Answers with this outcome, which `decision` has already if it has content, and a sentence that explains it.
static void decide(decision_t *decision, uint8_t outcome, text_t sentence) {
    decision->outcome.tag = outcome;
    decision->explain.ptr = allocate(1, sizeof *decision->explain.ptr);
    decision->explain.ptr[0] = sentence;
    decision->explain.len = 1;
}

static void proceed(decision_t *decision, text_t sentence) {
    decide(decision, EXPORTS_TIDEGATE_PLUGIN_ROLLOUT_OUTCOME_PROCEED, sentence);
}

static void hold(decision_t *decision, text_t reason) {
    decision->outcome.val.hold = copy_of(&reason);
    decide(decision, EXPORTS_TIDEGATE_PLUGIN_ROLLOUT_OUTCOME_HOLD, reason);
}

/// Decides while the gate before the second half is closed. False: it is open.
static bool wait_at_gate(const observation_t *observation, const config_t *config, const wave_t *before,
                         const wave_t *next, decision_t *decision) {
    // An operator said "go on".
    if (next->advanced_at.is_some) return false;
    const policy_verdict_t *unsure = find_unsure(observation);
    if (unsure) {
        text_t sentence = text_of("Waits for policy ");
        append(&sentence, &unsure->policy);
        append_chars(&sentence, ": ");
        // What the server does not know yet has a reason too.
        append(&sentence, &unsure->verdict.val.inconclusive);
        proceed(decision, sentence);
        return true;
    }
    uint64_t required = (before->size - before->counts.cancelled) * config->success_basis_points;
    required = (required + 9999) / 10000;
    if (before->counts.completed < required) {
        if (has_ended(before) && was_resumed(observation, before)) return false;
        text_t sentence = number_text(before->counts.completed);
        append_chars(&sentence, " devices of the first half are updated, ");
        append_number(&sentence, required);
        append_chars(&sentence, " are required.");
        if (has_ended(before)) {
            hold(decision, sentence);
        } else {
            proceed(decision, sentence);
        }
        return true;
    }
    uint64_t opens_at = (before->opened_at.is_some ? before->opened_at.val : 0) + config->pause_milliseconds;
    if (opens_at <= observation->context.now) return false;
    uint64_t left = opens_at - observation->context.now;
    text_t sentence = text_of("The second half may follow in ");
    append_number(&sentence, (left + 59999) / 60000);
    append_chars(&sentence, " minutes.");
    proceed(decision, sentence);
    decision->wake_after.is_some = true;
    decision->wake_after.val = left;
    return true;
}

/// How many devices may be released beside those that are outstanding.
static uint64_t free_places(const observation_t *observation) {
    if (!observation->context.max_in_flight.is_some) return UINT64_MAX;
    uint64_t outstanding = 0;
    for (size_t index = 0; index < observation->waves.len; index++) {
        const wave_t *wave = &observation->waves.ptr[index];
        uint64_t in_flight = wave->counts.offered + wave->counts.in_progress;
        uint64_t done = ended(&wave->counts);
        uint64_t released = wave->released > done ? wave->released - done : 0;
        outstanding += in_flight > released ? in_flight : released;
    }
    uint64_t limit = observation->context.max_in_flight.val;
    return limit > outstanding ? limit - outstanding : 0;
}

/// Releases as many devices of a wave as the campaign's limit of devices in flight allows.
static void release(const observation_t *observation, uint32_t index, decision_t *decision) {
    const wave_t *wave = &observation->waves.ptr[index];
    uint64_t more = wave->size - wave->released, most = free_places(observation);
    if (more > most) more = most;
    text_t sentence = text_of("Wave '");
    append(&sentence, &wave->name);
    append_chars(&sentence, "': ");
    append_number(&sentence, wave->released + more);
    append_chars(&sentence, " of ");
    append_number(&sentence, wave->size);
    append_chars(&sentence, " devices are released.");
    proceed(decision, sentence);
    if (more == 0) return;
    decision->releases.ptr = allocate(1, sizeof *decision->releases.ptr);
    decision->releases.ptr[0].wave = index;
    // A level: how many may have been released in total.
    decision->releases.ptr[0].devices = wave->released + more;
    decision->releases.len = 1;
}

bool exports_tidegate_plugin_meta_describe(exports_tidegate_plugin_meta_description_t *ret, text_t *err) {
    (void)err;
    memset(ret, 0, sizeof *ret);
    ret->name = text_of(NAME);
    ret->version = text_of(VERSION);
    ret->summary = text_of(SUMMARY);
    ret->config_schema = text_of(SCHEMA);
    ret->state_schema = 1;
    return true;
}

// What the schema cannot say: here nothing. The server has checked the config against the schema.
bool exports_tidegate_plugin_meta_validate(text_t *json, exports_tidegate_plugin_meta_list_field_error_t *ret,
                                           text_t *err) {
    config_t config;
    memset(ret, 0, sizeof *ret);
    return read_config(json, &config, err);
}

// Device attributes, metrics and facts that the plugin has to be shown: none.
bool exports_tidegate_plugin_meta_wants(text_t *json, exports_tidegate_plugin_meta_interests_t *ret, text_t *err) {
    config_t config;
    memset(ret, 0, sizeof *ret);
    return read_config(json, &config, err);
}

// Once at the start: the waves, in order.
bool exports_tidegate_plugin_rollout_plan(exports_tidegate_plugin_rollout_plan_input_t *input,
                                          exports_tidegate_plugin_rollout_wave_plan_t *ret, text_t *err) {
    config_t config;
    if (!read_config(&input->config, &config, err)) return false;
    memset(ret, 0, sizeof *ret);
    exports_tidegate_plugin_rollout_wave_t *waves = allocate(2, sizeof *waves);
    waves[0].name = text_of("first half");
    waves[0].members.tag = EXPORTS_TIDEGATE_PLUGIN_ROLLOUT_MEMBERS_SHARE;
    waves[0].members.val.share = 5000;
    waves[1].name = text_of("second half");
    waves[1].members.tag = EXPORTS_TIDEGATE_PLUGIN_ROLLOUT_MEMBERS_REST;
    ret->waves.ptr = waves;
    ret->waves.len = 2;
    return true;
}

// At every tick: how many devices of each wave may have been released in total by now.
bool exports_tidegate_plugin_rollout_decide(observation_t *observation, decision_t *ret, text_t *err) {
    config_t config;
    if (!read_config(&observation->config, &config, err)) return false;
    memset(ret, 0, sizeof *ret);
    const policy_verdict_t *policy = find_verdict(observation, TIDEGATE_PLUGIN_TYPES_HEALTH_VERDICT_ROLL_BACK);
    if (policy) {
        text_t reason = copy_of(&policy->verdict.val.roll_back.reason);
        ret->outcome.val.roll_back = policy->verdict.val.roll_back;
        decide(ret, EXPORTS_TIDEGATE_PLUGIN_ROLLOUT_OUTCOME_ROLL_BACK, reason);
        return true;
    }
    if (have_all_ended(observation)) {
        decide(ret, EXPORTS_TIDEGATE_PLUGIN_ROLLOUT_OUTCOME_COMPLETE, text_of("All devices have ended."));
        return true;
    }
    policy = find_verdict(observation, TIDEGATE_PLUGIN_TYPES_HEALTH_VERDICT_HOLD);
    if (policy) {
        hold(ret, policy->verdict.val.hold);
        return true;
    }
    for (uint32_t index = 0; index < observation->waves.len; index++) {
        const wave_t *wave = &observation->waves.ptr[index];
        if (wave->released == wave->size) continue;
        bool is_gated = index > 0 && wave->released == 0;
        if (!is_gated || !wait_at_gate(observation, &config, wave - 1, wave, ret)) release(observation, index, ret);
        return true;
    }
    proceed(ret, text_of("All devices are released."));
    return true;
}
