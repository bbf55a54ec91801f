/**
 * A real port over a real node on a simulated machine: clients see over their protocols what becomes of a disk or a
 * memory that a test governs.
 * @module
 */
import type { DescMethod } from "@bufbuild/protobuf";
import type { Code } from "@connectrpc/connect";
import { type EngineOptions, openEngine } from "../../src/engine/mod.ts";
import { VERSION_OPERATORS } from "../../src/model/mod.ts";
import { openStorageNode, type StorageNode, type StorageNodeOptions } from "../../src/node/mod.ts";
import type { SimRuntime } from "../../src/runtime/mod.ts";
import { engineWorld, SMALL } from "./engine.ts";
import { bytes } from "./node.ts";
import { type TestPort, withPort } from "./port.ts";
import { callRaw, encodeMessage, type Protocol } from "./raw_rpc.ts";

/** What a test gets. */
export interface SimPort extends TestPort {
  readonly world: SimRuntime;
  readonly real: StorageNode;
}

/** How the engine and the node are, where that is not as usual. */
export interface SimPortOptions {
  readonly engine?: Partial<EngineOptions>;
  readonly node?: Partial<StorageNodeOptions>;
}

/**
 * Opens a port on a node `n1` without caches, whose tenant `t` has the keys `table 10` to `table 29` in a table and
 * `memory` in a memtable; runs the test, and closes both.
 */
export async function withSimPort(
  test: (it: SimPort) => Promise<void>,
  { engine, node }: SimPortOptions = {},
): Promise<void> {
  const world = engineWorld();
  const sizes = { rowCacheSize: 0, blockCacheSize: 0, memtableSize: 1 << 20 };
  const options = { ...SMALL, ...sizes, ...engine };
  const real = openStorageNode({
    ...node,
    engine: await openEngine(world, "/data", options, VERSION_OPERATORS),
    runtime: world,
    nodeId: "n1",
    version: "test",
    dataDir: "/data",
    tenantAutoCreate: true,
  });
  for (let i = 10; i < 30; i++) {
    await real.put("t", { key: `table ${i}`, value: bytes(`${i}`.padEnd(200)) });
  }
  await real.flush();
  await real.put("t", { key: "memory", value: bytes("v") });
  await withPort((it) => test({ ...it, world, real }), { node: real });
  await real.close();
}

/** How a call ended, in short. */
export interface ShortAnswer {
  readonly status: Code | undefined;
  /** Of the error table. */
  readonly number: number | undefined;
  readonly details: Readonly<Record<string, string>>;
}

/** A call that went well. */
export const WELL: ShortAnswer = { status: undefined, number: undefined, details: {} };

/** Calls a method over a protocol. */
export async function callShort(
  { port }: TestPort,
  protocol: Protocol,
  method: DescMethod,
  init: Record<string, unknown>,
): Promise<ShortAnswer> {
  const message = encodeMessage(protocol, method.input, init);
  const { status, detail } = await callRaw(port.url, protocol, method, message);
  return { status, number: detail?.code, details: { ...detail?.details } };
}

/** What `/metrics` says. */
export async function metricsOf({ port }: TestPort): Promise<string> {
  return await (await fetch(`${port.url}/metrics`)).text();
}
