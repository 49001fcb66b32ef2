// The strategy `{{name}}`: one half of the devices, a pause, then the other half.
//
// How componentize-qjs maps the contract's types: names are in camel case; `u64` is a number; a variant is
// `{ tag, val }`; an absent `option` is `null`, so compare with `== null`. An exception in `plan` and `decide` becomes
// the `err` of the call, in `describe`, `validate` and `wants` too; clocks and random numbers do not work.

const NAME = "{{name}}";
const VERSION = "0.1.0";
const SUMMARY = "One half of the devices, a pause, then the other half.";
const SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Two halves",
  description: SUMMARY,
  type: "object",
  additionalProperties: false,
  properties: {
    pause_hours: {
      title: "Pause in hours",
      description: "How long after the first half opened the second may follow.",
      type: "number",
      minimum: 0,
      maximum: 8760,
      default: 24,
    },
    success_percent: {
      title: "Success in percent",
      description: "The share of the first half that must be updated before the second half follows.",
      type: "number",
      minimum: 0,
      maximum: 100,
      default: 90,
    },
  },
  examples: [{}, { pause_hours: 0.5, success_percent: 95 }],
};

export const meta = {
  describe() {
    return {
      name: NAME,
      version: VERSION,
      summary: SUMMARY,
      configSchema: JSON.stringify(SCHEMA),
      stateSchema: 1,
      extras: [],
    };
  },

  // What the schema cannot say: here nothing. The server has checked the config against the schema.
  validate(config) {
    readConfig(config);
    return [];
  },

  // Device attributes, metrics and facts that the plugin has to be shown.
  wants(config) {
    readConfig(config);
    return { attributes: [], metrics: [], facts: [], extras: [] };
  },
};

export const rollout = {
  // Once at the start: the waves, in order.
  plan(input) {
    readConfig(input.config);
    const waves = [
      { name: "first half", members: { tag: "share", val: 5000 }, extras: [] },
      { name: "second half", members: { tag: "rest" }, extras: [] },
    ];
    return { waves, parallel: false, dynamic: false, extras: [] };
  },

  // At every tick: how many devices of each wave may have been released in total by now.
  decide(observation) {
    const config = readConfig(observation.config);
    const { waves, verdicts } = observation;
    const rollBack = verdicts.find(({ verdict }) => verdict.tag === "roll-back");
    if (rollBack) {
      return decision({ tag: "roll-back", val: rollBack.verdict.val }, rollBack.verdict.val.reason);
    }
    if (waves.every(hasEnded)) {
      return decision({ tag: "complete", val: null }, "All devices have ended.");
    }
    const hold = verdicts.find(({ verdict }) => verdict.tag === "hold");
    if (hold) {
      return decision({ tag: "hold", val: hold.verdict.val }, hold.verdict.val);
    }
    const index = waves.findIndex((wave) => wave.released < wave.size);
    if (index < 0) {
      return decision({ tag: "proceed" }, "All devices are released.");
    }
    if (index > 0 && waves[index].released === 0) {
      const closed = gate(observation, config, waves[index - 1], waves[index]);
      if (closed) return closed;
    }
    return release(observation, index);
  },
};

// The decision while the gate before a wave is closed; undefined if it is open.
function gate(observation, config, before, next) {
  // An operator said "go on".
  if (next.advancedAt != null) return undefined;
  const unsure = observation.verdicts.find(({ verdict }) => verdict.tag !== "healthy");
  if (unsure) {
    return decision({ tag: "proceed" }, `Waits for policy ${unsure.policy}: ${unsure.verdict.val}`);
  }
  const { completed, cancelled } = before.counts;
  const required = Math.ceil(((before.size - cancelled) * config.success) / 10000);
  if (completed < required) {
    const progress = `${completed} devices of the first half are updated, ${required} are required.`;
    if (!hasEnded(before)) return decision({ tag: "proceed" }, progress);
    if (wasResumed(observation.operator, before)) return undefined;
    return decision({ tag: "hold", val: progress }, progress);
  }
  const opens = (before.openedAt ?? 0) + config.pause;
  const left = opens - observation.context.now;
  if (left > 0) {
    const minutes = Math.ceil(left / 60000);
    return decision({ tag: "proceed" }, `The second half may follow in ${minutes} minutes.`, left);
  }
  return undefined;
}

// Releases as many devices of a wave as the campaign's limit of devices in flight allows.
function release({ context, waves }, index) {
  const wave = waves[index];
  const inFlight = waves.reduce((sum, { released, counts }) => {
    return sum + Math.max(counts.offered + counts.inProgress, released - ended(counts));
  }, 0);
  const free = context.maxInFlight == null ? Infinity : Math.max(0, context.maxInFlight - inFlight);
  const more = Math.min(wave.size - wave.released, free);
  const sentence = `Wave '${wave.name}': ${wave.released + more} of ${wave.size} devices are released.`;
  const releases = more > 0 ? [{ wave: index, devices: wave.released + more }] : [];
  return { ...decision({ tag: "proceed" }, sentence), releases };
}

// Whether an operator has resumed the campaign since the wave ended.
function wasResumed(operator, wave) {
  return operator.some((act) => act.kind.tag === "resumed" && act.at > (wave.lastProgressAt ?? 0));
}

function ended({ completed, failed, timedOut, cancelled, rejected }) {
  return completed + failed + timedOut + cancelled + rejected;
}

function hasEnded({ counts }) {
  return counts.pending + counts.offered + counts.inProgress === 0;
}

// In milliseconds and basis points, as in the contract.
function readConfig(text) {
  const { pause_hours = 24, success_percent = 90 } = JSON.parse(text);
  return {
    pause: Math.round(pause_hours * 3600000),
    success: Math.round(success_percent * 100),
  };
}

function decision(outcome, sentence, wakeAfter = null) {
  return {
    releases: [],
    outcome,
    wakeAfter,
    state: new Uint8Array(),
    explain: [sentence],
    extras: [],
  };
}
