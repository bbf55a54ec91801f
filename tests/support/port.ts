/**
 * An open port over a fake node, for tests over real sockets.
 * @module
 */
import { openPort, type Port, type PortOptions } from "../../src/rpc/mod.ts";
import {
  type Clock,
  denoClock,
  denoNetwork,
  type Log,
  type LogFields,
} from "../../src/runtime/mod.ts";
import { FakeNode } from "./fake_node.ts";

/** What a test gets. */
export interface TestPort {
  readonly port: Port;
  readonly node: FakeNode;
  /** Every event that was logged, whatever its level. */
  readonly logged: { level: string; event: string; fields: LogFields | undefined }[];
}

/** Opens a ready port on a free number, runs the test, closes the port. */
export async function withPort(
  test: (it: TestPort) => Promise<void>,
  { clock = denoClock(), ...options }: Partial<PortOptions> & { clock?: Clock } = {},
): Promise<void> {
  const node = new FakeNode();
  const logged: TestPort["logged"] = [];
  const at = (level: string) => (event: string, fields?: LogFields) => {
    logged.push({ level, event, fields });
  };
  const log: Log = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  const port = await openPort({
    runtime: { clock, network: denoNetwork(), log },
    node,
    host: "127.0.0.1",
    port: 0,
    version: "1.2.3",
    ...options,
    limits: { shutdownTimeoutMs: 20_000, ...options.limits },
  });
  try {
    port.setReady(true);
    await test({ port, node, logged });
  } finally {
    await port.close();
  }
}

/** Calls a method as bare curl would. */
export async function callJson(
  port: Port,
  method: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; header: Headers; json: Record<string, unknown> }> {
  const response = await fetch(`${port.url}/pairdb.v1.${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    header: response.headers,
    json: text === "" ? {} : JSON.parse(text),
  };
}

/** The seeds' number and name in a Connect error's detail. */
export function detailIn(json: Record<string, unknown>): { code: string; name: string } {
  const details = json.details as { type: string; debug: { code: string; name: string } }[];
  return details.filter((detail) => detail.type === "pairdb.v1.ErrorDetail")[0].debug;
}

/** Resolves once `condition` holds; the test's own time limit bounds the wait. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
