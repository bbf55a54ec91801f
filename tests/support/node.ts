/**
 * A storage node for tests: on an engine in memory, in a simulated world that a test can move.
 * @module
 */
import assert from "node:assert/strict";
import type { Engine } from "../../src/engine/mod.ts";
import { PairError, VERSION_OPERATORS } from "../../src/model/mod.ts";
import { openStorageNode, type StorageNode, type StorageNodeOptions } from "../../src/node/mod.ts";
import { type Runtime, type SimRuntime, simRuntime } from "../../src/runtime/mod.ts";
import { MemoryEngine, type MemoryEngineOptions } from "./memory_engine.ts";

/** A node and the parts it stands on. */
export interface TestNode {
  readonly node: StorageNode;
  readonly engine: MemoryEngine;
  readonly world: SimRuntime;
}

/** A node called `n1`, which makes tenants on their first write. */
export function testNode(
  options: Partial<StorageNodeOptions> = {},
  engineOptions: MemoryEngineOptions = {},
): TestNode {
  const world = simRuntime();
  world.disk.makeDir("/data");
  const engine = new MemoryEngine({
    operators: VERSION_OPERATORS,
    wallMs: () => world.clock.wallMs(),
    ...engineOptions,
  });
  return { node: nodeOn(engine, world, options), engine, world };
}

/** A node called `n1` on an engine that is open, which makes tenants on their first write. */
export function nodeOn(
  engine: Engine,
  runtime: Runtime,
  options: Partial<StorageNodeOptions> = {},
): StorageNode {
  return openStorageNode({
    engine,
    runtime,
    nodeId: "n1",
    version: "0.0.0-test",
    dataDir: "/data",
    tenantAutoCreate: true,
    ...options,
  });
}

/** The bytes of a text. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The text of bytes, a byte order mark included; undefined stays. */
export function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes && new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

/** Lets everything run that is ready to. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Demands that `run` fails, at once or later, with this code. */
export async function rejectsCode(run: () => unknown, code: number): Promise<void> {
  await assert.rejects(
    async () => await run(),
    (error) => {
      assert.ok(error instanceof PairError, `not a PairError: ${error}`);
      assert.equal(error.code, code, error.message);
      return true;
    },
  );
}
