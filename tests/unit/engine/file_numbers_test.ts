import assert from "node:assert/strict";
import { KIND_PUT } from "../../../src/engine/mod.ts";
import { utf8 } from "../../../src/model/mod.ts";
import { engineWorld, openTestEngine } from "../../support/engine.ts";

Deno.test("a file number is never used twice, also when the file with the highest is gone [E27]", async () => {
  const used: number[] = [];
  const world = engineWorld({
    hook: ({ op, path }) => {
      const number = /(\d{6})(\.\w+)?$/.exec(path)?.[1];
      if (op === "create" && number !== undefined) used.push(Number(number));
      return undefined;
    },
  });
  for (let life = 0; life < 4; life++) {
    const engine = await openTestEngine(world);
    const tree = await engine.createTree("short-lived");
    for (let i = 0; i < 2; i++) {
      await engine.write([{ tree, kind: KIND_PUT, key: utf8("k"), value: utf8("v") }]);
      await engine.flush();
    }
    await engine.compact();
    // Its table had the highest number, and nothing on the disk shows that now.
    await engine.dropTree(tree);
    await engine.close();
  }
  assert.equal(new Set(used).size, used.length, `used: ${used}`);
  assert.deepEqual(used, used.toSorted((a, b) => a - b), "they rise");
  assert.ok(used.length >= 12);
  // A job that died has left a table that nobody heard of: another must not take its place.
  const engine = await openTestEngine(world);
  await engine.createTree("lasting");
  await engine.close();
  const dir = world.disk.list("/data/tenants").find((name) => name.startsWith("lasting"))!;
  const left = used.at(-1)! + 30;
  world.disk.create(`/data/tenants/${dir}/${String(left).padStart(6, "0")}.sst`).close();
  used.length = 0;
  const again = await openTestEngine(world);
  const tree = again.tree("lasting")!;
  await again.write([{ tree, kind: KIND_PUT, key: utf8("k"), value: utf8("v") }]);
  await again.flush();
  assert.ok(
    used.length >= 2 && used.every((number) => number > left),
    `used: ${used}, not ${left}`,
  );
  await again.close();
});
