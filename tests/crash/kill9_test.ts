import assert from "node:assert/strict";
import { withDirectory } from "../support/server.ts";
import { kill9 } from "./kill9.ts";

Deno.test("kill -9 under concurrent writers loses nothing that was acknowledged (8 rounds)", () =>
  withDirectory(async (directory) => {
    const report = await kill9({ rounds: 8, seed: 2, writers: 9, data: `${directory}/data` });
    assert.deepEqual(report.losses, []);
    assert.equal(report.rounds, 8);
    assert.ok(report.acknowledged > 0 && report.replayed > 0, JSON.stringify(report));
  }));
