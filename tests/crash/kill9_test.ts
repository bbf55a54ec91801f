import assert from "node:assert/strict";
import { firstSeed, reached, wanted } from "../support/ladder.ts";
import { withDirectory } from "../support/server.ts";
import { kill9 } from "./kill9.ts";

Deno.test("kill -9 under concurrent writers loses nothing that was acknowledged [E1, E6, E11]", () =>
  withDirectory(async (directory) => {
    const rounds = wanted("kill9");
    const seed = firstSeed();
    const report = await kill9({ rounds, seed, writers: 9, data: `${directory}/data` });
    assert.deepEqual(report.losses, []);
    assert.ok(report.acknowledged > 0 && report.replayed > 0, JSON.stringify(report));
    const { acknowledged, replayed, killedStarts } = report;
    reached("kill9", report.rounds, rounds, { acknowledged, replayed, killedStarts });
  }));
