"""The strategy `{{name}}`: one half of the devices, a pause, then the other half.

How componentize-py maps the contract's types: names are in snake case; a variant has a class for each case, with its
content in `value`; an absent `option` is None. `raise Err("...")` is the `err` of a call; any other exception is a trap.
Clocks do not work, and random numbers are those of the build. `make bindings` writes the types for your editor.
"""

import json
import math

from wit_world import exports
from wit_world.exports.meta import Description, Interests
from wit_world.exports.rollout import (
    Decision,
    Members_Rest,
    Members_Share,
    OperatorActKind_Resumed,
    Outcome_Complete,
    Outcome_Hold,
    Outcome_Proceed,
    Outcome_RollBack,
    Release,
    Wave,
    WavePlan,
)
from wit_world.imports.types import HealthVerdict_Healthy, HealthVerdict_Hold, HealthVerdict_RollBack
from componentize_py_types import Err

NAME = "{{name}}"
VERSION = "0.1.0"
SUMMARY = "One half of the devices, a pause, then the other half."
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Two halves",
    "description": SUMMARY,
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "pause_hours": {
            "title": "Pause in hours",
            "description": "How long after the first half opened the second may follow.",
            "type": "number",
            "minimum": 0,
            "maximum": 8760,
            "default": 24,
        },
        "success_percent": {
            "title": "Success in percent",
            "description": "The share of the first half that must be updated before the second half follows.",
            "type": "number",
            "minimum": 0,
            "maximum": 100,
            "default": 90,
        },
    },
    "examples": [{}, {"pause_hours": 0.5, "success_percent": 95}],
}


class Meta(exports.Meta):
    def describe(self):
        return Description(NAME, VERSION, SUMMARY, json.dumps(SCHEMA), state_schema=1, extras=[])

    # What the schema cannot say: here nothing. The server has checked the config against the schema.
    def validate(self, config):
        Config(config)
        return []

    # Device attributes, metrics and facts that the plugin has to be shown.
    def wants(self, config):
        Config(config)
        return Interests(attributes=[], metrics=[], facts=[], extras=[])


class Rollout(exports.Rollout):
    # Once at the start: the waves, in order.
    def plan(self, input):
        Config(input.config)
        waves = [
            Wave("first half", Members_Share(5000), extras=[]),
            Wave("second half", Members_Rest(), extras=[]),
        ]
        return WavePlan(waves, parallel=False, dynamic=False, extras=[])

    # At every tick: how many devices of each wave may have been released in total by now.
    def decide(self, observation):
        config = Config(observation.config)
        waves, verdicts = observation.waves, [policy.verdict for policy in observation.verdicts]
        for verdict in verdicts:
            if isinstance(verdict, HealthVerdict_RollBack):
                return decision(Outcome_RollBack(verdict.value), verdict.value.reason)
        if all(map(has_ended, waves)):
            return decision(Outcome_Complete(None), "All devices have ended.")
        for verdict in verdicts:
            if isinstance(verdict, HealthVerdict_Hold):
                return decision(Outcome_Hold(verdict.value), verdict.value)
        for index, wave in enumerate(waves):
            if wave.released == wave.size:
                continue
            closed = None
            if index > 0 and wave.released == 0:
                closed = gate(observation, config, waves[index - 1], wave)
            return closed or release(observation, index)
        return decision(Outcome_Proceed(), "All devices are released.")


class Config:
    """In milliseconds and basis points, as in the contract."""

    def __init__(self, text):
        try:
            config = json.loads(text)
            self.pause = round(config.get("pause_hours", 24) * 3600000)
            self.success = round(config.get("success_percent", 90) * 100)
        except (ValueError, AttributeError, TypeError) as error:
            raise Err(f"invalid config: {error}")


def gate(observation, config, before, following):
    """The decision while the gate before a wave is closed; None if it is open."""
    # An operator said "go on".
    if following.advanced_at is not None:
        return None
    for policy in observation.verdicts:
        if not isinstance(policy.verdict, HealthVerdict_Healthy):
            return decision(Outcome_Proceed(), f"Waits for policy {policy.policy}: {policy.verdict.value}")
    counts = before.counts
    required = math.ceil((before.size - counts.cancelled) * config.success / 10000)
    if counts.completed < required:
        progress = f"{counts.completed} devices of the first half are updated, {required} are required."
        if not has_ended(before):
            return decision(Outcome_Proceed(), progress)
        if was_resumed(observation.operator, before):
            return None
        return decision(Outcome_Hold(progress), progress)
    left = (before.opened_at or 0) + config.pause - observation.context.now
    if left > 0:
        sentence = f"The second half may follow in {math.ceil(left / 60000)} minutes."
        return decision(Outcome_Proceed(), sentence, wake_after=left)
    return None


def release(observation, index):
    """Releases as many devices of a wave as the campaign's limit of devices in flight allows."""
    wave, limit = observation.waves[index], observation.context.max_in_flight
    more = wave.size - wave.released
    if limit is not None:
        more = min(more, max(0, limit - sum(map(outstanding, observation.waves))))
    level = wave.released + more
    result = decision(Outcome_Proceed(), f"Wave '{wave.name}': {level} of {wave.size} devices are released.")
    result.releases = [Release(index, level)] if more > 0 else []
    return result


def outstanding(wave):
    counts = wave.counts
    ended = counts.completed + counts.failed + counts.timed_out + counts.cancelled + counts.rejected
    return max(counts.offered + counts.in_progress, wave.released - ended)


def was_resumed(operator, wave):
    """Whether an operator has resumed the campaign since the wave ended."""
    ended_at = wave.last_progress_at or 0
    return any(isinstance(act.kind, OperatorActKind_Resumed) and act.at > ended_at for act in operator)


def has_ended(wave):
    return wave.counts.pending + wave.counts.offered + wave.counts.in_progress == 0


def decision(outcome, sentence, wake_after=None):
    return Decision(
        releases=[], outcome=outcome, wake_after=wake_after, state=b"", explain=[sentence], extras=[]
    )
