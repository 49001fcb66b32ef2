// A strategy in JavaScript with one wave, whose devices are all released at once. It shows that neither the contract
// nor the engine's configuration depends on Rust. `tests/it/polyglot.rs` builds and runs it.
import { line } from "tidegate:plugin/log@1.0.0";

export const meta = {
  describe() {
    return {
      name: "acme/all-at-once-js",
      version: "0.1.0",
      summary: "Releases every device at once",
      configSchema: JSON.stringify({
        $schema: "https://json-schema.org/draft/2020-12/schema",
        type: "object",
        properties: { wave: { type: "string", default: "all" } },
        additionalProperties: false,
      }),
      stateSchema: 1,
      extras: [],
    };
  },

  wants() {
    return { attributes: [], metrics: [], facts: [], extras: [] };
  },

  validate(config) {
    return JSON.parse(config).wave === "" ? [{ path: "/wave", message: "name it" }] : [];
  },
};

export const rollout = {
  plan(input) {
    const name = JSON.parse(input.config).wave ?? "all";
    const wave = { name, members: { tag: "rest" }, extras: [] };
    return { waves: [wave], parallel: false, dynamic: false, extras: [] };
  },

  decide(observation) {
    line(`${observation.waves.length} waves`);
    const pending = observation.waves.some((wave) => wave.counts.pending > 0n);
    return {
      releases: observation.waves.map((wave, index) => ({ wave: index, devices: wave.size })),
      outcome: pending ? { tag: "proceed" } : { tag: "complete", val: undefined },
      wakeAfter: undefined,
      state: new Uint8Array(),
      explain: ["every device at once"],
      extras: [],
    };
  },
};
