/**
 * A node that does not sync, behind one of two ports; for the bench alone.
 *
 *     ours      the product's own port: its frames, its short lane for unary gRPC
 *     replaced  node:http2, and the RPC library's universal handlers by its own adapter for Node: what the
 *               product had before, and what most servers in TypeScript have
 *
 * Both have the same node and the same pipeline of interceptors, so that what differs is the way from a socket
 * to the service and back.
 *
 *     deno run -A bench/server/lane.ts ours|replaced DIRECTORY
 * @module
 */
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import {
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { DEFAULT_ENGINE_OPTIONS } from "../../src/engine/options.ts";
import { machine, openNode } from "../../src/embedded/mod.ts";
import type { StorageNode } from "../../src/node/mod.ts";
import { createPipeline } from "../../src/rpc/pipeline.ts";
import { DEFAULT_PORT_LIMITS, openPort } from "../../src/rpc/mod.ts";
import { Readiness } from "../../src/rpc/readiness.ts";
import { createRoutes } from "../../src/rpc/router.ts";
import { type Runtime, silentLog } from "../../src/runtime/mod.ts";
import { Registry } from "../../src/web/mod.ts";

const [lane, dataDir] = Deno.args;
const runtime = machine({ workers: 1, log: silentLog });
const node = await openNode(runtime, {
  dataDir,
  version: "bench",
  engine: {
    ...DEFAULT_ENGINE_OPTIONS,
    log: { ...DEFAULT_ENGINE_OPTIONS.log, syncMode: "none" },
  },
});
const port = lane === "ours" ? await ours(runtime, node) : await replaced(runtime, node);
// deno-lint-ignore no-console -- whoever started it waits for this line
console.log(`ready on http://127.0.0.1:${port}`);

async function ours(runtime: Runtime, node: StorageNode): Promise<number> {
  return (await openPort({ runtime, node, host: "127.0.0.1", port: 0, version: "bench" })).port;
}

function replaced({ clock, log }: Runtime, node: StorageNode): Promise<number> {
  const routes = createRoutes({
    node,
    clock,
    limits: DEFAULT_PORT_LIMITS,
    readiness: new Readiness(node),
    pipeline: createPipeline({ clock, log, registry: new Registry() }),
  });
  const server = createServer(
    { settings: { maxConcurrentStreams: 1000, initialWindowSize: 1 << 20 } },
    async (request, response) => {
      const route = routes.get(request.url)!;
      const answer = await route.handle(
        universalRequestFromNodeRequest(request, response, undefined, undefined),
      );
      await universalResponseToNodeResponse(answer, response);
    },
  );
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}
