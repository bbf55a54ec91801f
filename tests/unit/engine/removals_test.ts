import assert from "node:assert/strict";
import { Removals } from "../../../src/engine/removals.ts";
import { type Log, SimDisk } from "../../../src/runtime/mod.ts";

function world(hook?: SimDisk["hook"]) {
  const disk = new SimDisk({ hook });
  for (const path of ["/t/1", "/t/2", "/t/below/3", "/a", "/b"]) {
    disk.setBytes(path, new Uint8Array(9));
  }
  const warnings: unknown[] = [];
  const log = { warn: (_: string, fields: unknown) => warnings.push(fields) } as unknown as Log;
  return { disk, warnings, removals: new Removals({ disk, log }) };
}

Deno.test("removals happen in the order that they were asked for, and not at once", async () => {
  const order: string[] = [];
  const { disk, removals } = world(({ op, path }) => {
    if (op.startsWith("remove")) order.push(path);
    return undefined;
  });
  removals.file("/a");
  removals.directory("/t");
  removals.file("/b");
  removals.directory("/none");
  assert.deepEqual(order, []);
  assert.notEqual(disk.stat("/a"), undefined);
  await removals.settle();
  assert.deepEqual(order, ["/a", "/t/1", "/t/2", "/t", "/b"]);
  assert.deepEqual(disk.list("/"), []);
});

Deno.test("a removal that fails is logged, and those behind it are carried out", async () => {
  const { disk, warnings, removals } = world(({ op, path }) =>
    op === "removeAsync" && path === "/a" ? "EIO" : undefined
  );
  removals.file("/a");
  removals.file("/none");
  removals.file("/b");
  await removals.settle();
  assert.deepEqual(disk.list("/"), ["a", "t"]);
  assert.deepEqual(warnings, [
    { file: "/a", error: "removeAsync /a: EIO (injected)" },
    { file: "/none", error: "removeAsync /none: ENOENT" },
  ]);
});
