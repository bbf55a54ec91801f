/**
 * The script of a page that uses PairDB from a browser: Connect's own client for the web with the
 * generated service. It writes what it saw into the page, one line for each step.
 *
 * The server's address and the protocol stand in the page's own: `?server=http://…&protocol=grpcweb`.
 * @module
 */
/// <reference lib="dom" />
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";

const asked = new URLSearchParams(location.search);
const baseUrl = asked.get("server")!;
const transport = {
  json: () => createConnectTransport({ baseUrl }),
  binary: () => createConnectTransport({ baseUrl, useBinaryFormat: true }),
  grpcweb: () => createGrpcWebTransport({ baseUrl }),
}[asked.get("protocol") as "json" | "binary" | "grpcweb"]();
const client = createClient(KeyValueService, transport);
const tenantId = "page";

function say(line: string): void {
  document.body.append(`${line}\n`);
}

try {
  const text = "Grüße from a browser";
  const put = await client.put({ tenantId, key: "k", value: new TextEncoder().encode(text) });
  say(`put: counter ${put.vectorClock?.entries[0].logicalTimestamp}`);
  const got = await client.get({ tenantId, key: "k" });
  say(`get: ${new TextDecoder().decode(got.value)}`);
  const items = Array.from({ length: 600 }, (_, i) => ({
    key: `many/${String(i).padStart(3, "0")}`,
    value: new Uint8Array(300),
  }));
  await client.batchPut({ tenantId, items });
  let messages = 0;
  const keys: string[] = [];
  for await (const { entries } of client.scan({ tenantId, prefix: "many/" })) {
    messages++;
    keys.push(...entries.map((entry) => entry.key));
  }
  say(
    `scan: ${keys.length} keys up to ${keys.at(-1)}, ${
      messages > 1 ? "several" : messages
    } messages`,
  );
  try {
    await client.get({ tenantId, key: "none" });
    say("error: there was none");
  } catch (error) {
    const failure = ConnectError.from(error);
    const [detail] = failure.findDetails(ErrorDetailSchema);
    say(`error: ${Code[failure.code]}, ${detail?.code} ${detail?.name}`);
  }
} catch (error) {
  say(`failed: ${error}`);
}
say("done");
