/**
 * Any bytes into the hand-written decoders of hot requests: what they take, the library takes, and makes
 * the same call or the same refusal of it; the rest they pass on. Random bytes, and messages wild and tame.
 *
 * How many for each, and from which seed on, says tests/support/ladder.ts. A failure prints the seed.
 * @module
 */
import assert from "node:assert/strict";
import { SimRandom } from "../../src/runtime/mod.ts";
import { checkSame, HOT_NAMES, inputOf, LongLane } from "../support/lanes.ts";
import { firstSeed, reached, wanted } from "../support/ladder.ts";
import { messageBytes } from "../support/wire_messages.ts";

const INPUTS = wanted("fuzz");
const FIRST_SEED = firstSeed();

for (const name of HOT_NAMES) {
  Deno.test(`any bytes into the decoder of ${name} give what the library gives, or are passed on`, async () => {
    const long = new LongLane();
    let taken = 0;
    for (let i = 0; i < INPUTS; i++) {
      const seed = FIRST_SEED + i;
      const random = new SimRandom(seed);
      const bytes = random.below(10) === 0
        ? random.bytes(random.below(30))
        : Uint8Array.from(messageBytes(random, inputOf(name), random.below(2) === 0));
      try {
        if (await checkSame(long, name, bytes)) taken++;
      } catch (cause) {
        throw new Error(`seed ${seed}: ${cause}`, { cause });
      }
    }
    assert.ok(taken > INPUTS / 3, `${taken} of ${INPUTS} were taken`);
    reached("fuzz", INPUTS, INPUTS, { taken });
  });
}
