import assert from "node:assert/strict";
import { Reloader } from "../../../../src/rpc/auth/mod.ts";
import { type SimRuntime, simRuntime } from "../../../../src/runtime/mod.ts";

const FILE = "auth/credentials.json";

function write({ disk }: SimRuntime, text: string): void {
  disk.makeDir("auth");
  if (disk.stat("auth/new") !== undefined) disk.remove("auth/new");
  const file = disk.create("auth/new");
  file.append(new TextEncoder().encode(text));
  file.close();
  disk.rename("auth/new", FILE);
}

function watching() {
  const world = simRuntime();
  const reloader = new Reloader({ ...world, intervalMs: 1000 });
  const taken: (string | undefined)[] = [];
  const watch = () =>
    reloader.watch("credentials", [FILE], ([bytes]) => {
      const text = bytes === undefined ? undefined : new TextDecoder().decode(bytes);
      if (text?.startsWith("bad")) throw new Error("it is bad");
      taken.push(text);
    });
  return { world, reloader, taken, watch };
}

Deno.test("Reloader takes a file at once, and again when its bytes have changed", async () => {
  const { world, reloader, taken, watch } = watching();
  watch();
  assert.deepEqual(taken, [undefined]);
  reloader.start();
  write(world, "a");
  await world.clock.advance(999);
  assert.equal(taken.length, 1);
  await world.clock.advance(1);
  assert.deepEqual(taken, [undefined, "a"]);
  write(world, "a");
  await world.clock.advance(5000);
  assert.equal(taken.length, 2);
  // As long, and in the same moment.
  write(world, "b");
  reloader.check();
  assert.deepEqual(taken.at(-1), "b");
  reloader.stop();
  assert.equal(world.clock.pendingCount, 0);
});

Deno.test("Reloader keeps what it has when a file cannot be used, and says so once", async () => {
  const { world, reloader, taken, watch } = watching();
  write(world, "good");
  watch();
  reloader.start();
  write(world, "bad 1");
  await world.clock.advance(5000);
  assert.deepEqual(taken, ["good"]);
  assert.equal(world.log.named("reload_failed").length, 1);
  write(world, "bad 2");
  await world.clock.advance(5000);
  assert.equal(world.log.named("reload_failed").length, 1);
  write(world, "better");
  await world.clock.advance(1000);
  assert.deepEqual(taken, ["good", "better"]);
  write(world, "bad 1");
  await world.clock.advance(1000);
  assert.equal(world.log.named("reload_failed").length, 2);
  reloader.stop();
});

Deno.test("Reloader does not start with what cannot be used", async () => {
  const { world, reloader, taken, watch } = watching();
  write(world, "bad");
  assert.throws(watch, /it is bad/);
  write(world, "good");
  reloader.start();
  await world.clock.advance(1000);
  assert.deepEqual(taken, []);
  reloader.stop();
});

Deno.test("Reloader reads no file that is too large to be one of these", () => {
  const { world, reloader, taken, watch } = watching();
  watch();
  write(world, "x".repeat(5 * 1024 * 1024));
  reloader.check();
  assert.deepEqual(taken, [undefined]);
  assert.equal(world.log.named("reload_failed").length, 1);
});
