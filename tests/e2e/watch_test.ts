/**
 * Watches of the real program: through gRPC and plain HTTP, over a kill -9, by a client that does not read,
 * and when the program is told to stop.
 * @module
 */
import assert from "node:assert/strict";
import { type ServiceError, status } from "@grpc/grpc-js";
import {
  KeyValueService,
  type WatchEvent,
  WatchEventType,
  type WatchResponse,
} from "../../src/gen/pairdb/v1/kv_pb.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import { GrpcJsClient } from "../support/grpc_js.ts";
import { missingProgram, testNeeding } from "../support/needs.ts";
import { callJson, Server, within, withServer } from "../support/server.ts";

const KV = KeyValueService.method;
const tenantId = "t";

function lineOf({ type, key, value, reason }: WatchEvent): string {
  const name = WatchEventType[type];
  if (type === WatchEventType.GAP) return `${name} ${reason}`;
  return `${name}${key && ` ${key}`}${value === undefined ? "" : `=${fromUtf8(value)}`}`;
}

/** Events of a stream, one by one. */
async function* eventsOf(stream: AsyncIterable<WatchResponse>): AsyncGenerator<WatchEvent> {
  for await (const { events } of stream) yield* events;
}

async function withClient(
  { port }: { readonly port: number },
  body: (client: GrpcJsClient) => Promise<void>,
): Promise<void> {
  const client = new GrpcJsClient(port);
  try {
    await body(client);
  } finally {
    client.close();
  }
}

Deno.test("grpc-js watches, goes on after it left, and is told of a gap after a kill -9 [B8]", () =>
  withServer(async (server) => {
    let token = "";
    const next = async (events: AsyncGenerator<WatchEvent>) => {
      const event: WatchEvent = (await within("an event", events.next())).value;
      token = event.resumeToken || token;
      return lineOf(event);
    };
    await withClient(server, async (client) => {
      const put = (key: string, value: string) =>
        client.unary(KV.put, { tenantId, key, value: utf8(value) });
      await put("a/1", "one");
      const events = eventsOf(client.stream(KV.watch, { tenantId, prefix: "a/", initial: true }));
      assert.equal(await next(events), "INITIAL a/1=one");
      assert.equal(await next(events), "PROGRESS");
      await put("a/2", "two");
      await put("b", "other");
      await client.unary(KV.delete, { tenantId, key: "a/1" });
      assert.equal(await next(events), "PUT a/2=two");
      assert.equal(await next(events), "DELETE a/1");
      await events.return(undefined);
      await put("a/3", "three");
      const again = eventsOf(
        client.stream(KV.watch, { tenantId, prefix: "a/", resumeToken: token }),
      );
      assert.equal(await next(again), "PROGRESS");
      assert.equal(await next(again), "PUT a/3=three");
      await again.return(undefined);
    });
    await server.kill();
    await using restarted = await Server.start({ data: server.data });
    await withClient(restarted, async (client) => {
      const request = { tenantId, prefix: "a/", resumeToken: token };
      const plain = eventsOf(client.stream(KV.watch, request));
      assert.equal(await next(plain), "GAP unknown");
      assert.equal(await next(plain), "PROGRESS");
      await plain.return(undefined);
      const whole = eventsOf(
        client.stream(KV.watch, { ...request, resumeToken: "A".repeat(22), initial: true }),
      );
      const lines = [await next(whole), await next(whole), await next(whole), await next(whole)];
      const expected = ["GAP unknown", "INITIAL a/2=two", "INITIAL a/3=three", "PROGRESS"];
      assert.deepEqual(lines, expected);
      await whole.return(undefined);
    });
  }));

Deno.test("a client that does not read is overrun, is told so, and ends with what is there [B8]", () =>
  withServer(
    (server) =>
      withClient(server, async (client) => {
        const stream = client.stream(KV.watch, { tenantId, initial: true });
        const events = eventsOf(stream);
        assert.equal(lineOf((await events.next()).value), "PROGRESS");
        const value = new Uint8Array(100_000);
        const latest = new Map<string, string>();
        for (let i = 0; i < 400; i++) {
          value[0] = i;
          const key = `k${i % 7}`;
          latest.set(key, `${i % 256}`);
          await client.unary(KV.put, { tenantId, key, value });
        }
        const seen = new Map<string, string>();
        let gaps = 0;
        const isDone = () => [...latest].every(([key, byte]) => seen.get(key) === byte);
        while (!isDone()) {
          const { type, key, value } = (await within("an event", events.next()))
            .value as WatchEvent;
          if (type === WatchEventType.GAP) {
            gaps++;
            seen.clear();
          }
          if (value !== undefined) seen.set(key, `${value[0]}`);
        }
        assert.ok(gaps > 0, "it was overrun");
        const metrics = await (await fetch(`${server.url}/metrics`)).text();
        assert.match(metrics, /^pairdb_watchers 1$/m);
        assert.match(metrics, /^pairdb_watch_gaps_total [1-9]/m);
        assert.match(metrics, /^pairdb_watch_events_total [1-9]/m);
        const held = Number(/^pairdb_watch_history_bytes (\d+)$/m.exec(metrics)![1]);
        assert.ok(held > 0 && held <= 1024 * 1024);
        await events.return(undefined);
      }),
    ["--set", "watch.history_size=1MiB"],
  ));

Deno.test("a node that is told to stop ends its watches at once [B8]", () =>
  withServer((server) =>
    withClient(server, async (client) => {
      const events = eventsOf(client.stream(KV.watch, { tenantId }));
      assert.equal(lineOf((await events.next()).value), "PROGRESS");
      const end = events.next().then(() => undefined, (error: ServiceError) => error);
      const from = performance.now();
      const code = server.stop();
      const error = await within("the end of the watch", end);
      assert.equal(error?.code, status.UNAVAILABLE);
      assert.equal(await code, 0);
      assert.ok(performance.now() - from < 20_000, "not when time was up");
    })
  ));

testNeeding(
  "curl watches over HTTP/1.1, and as a Connect stream [B8]",
  missingProgram("curl"),
  () =>
    withServer(async (server) => {
      const put = (key: string, text: string) =>
        callJson(server, "KeyValueService/Put", { tenantId, key, value: btoa(text) });
      await put("k", "one");
      const child = new Deno.Command("curl", {
        args: ["-sN", "--http1.1", "--noproxy", "*", "--max-time", "60"].concat(
          `${server.url}/v1/tenants/t/watch?key=k&initial`,
        ),
        stdin: "null",
        stdout: "piped",
        stderr: "null",
      }).spawn();
      let out = "";
      const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      const lines = async (count: number) => {
        while (out.split("\n").length <= count) {
          const { value, done } = await within("a line", reader.read());
          assert.ok(!done);
          out += value;
        }
        return out.trimEnd().split("\n").map((line) => JSON.parse(line));
      };
      await lines(2);
      await put("other", "x");
      await put("k", "two");
      const events = await lines(3);
      assert.deepEqual(
        events.map(({ type, value }) => [type, value && atob(value)]),
        [["INITIAL", "one"], ["PROGRESS", undefined], ["PUT", "two"]],
      );
      child.kill("SIGTERM");
      await reader.cancel();
      await child.status;

      // The flags and the length before a message of a Connect stream.
      const message = JSON.stringify({ tenantId, key: "k", initial: true });
      const body = `\0\0\0\0${String.fromCharCode(message.length)}${message}`;
      const gone = new AbortController();
      const response = await fetch(`${server.url}/pairdb.v1.KeyValueService/Watch`, {
        method: "POST",
        headers: { "content-type": "application/connect+json" },
        body,
        signal: gone.signal,
      });
      const connect = response.body!.getReader();
      const { value } = await within("a message", connect.read());
      const { events: [initial] } = JSON.parse(fromUtf8(value!.subarray(5)));
      assert.deepEqual([initial.type, atob(initial.value)], ["WATCH_EVENT_TYPE_INITIAL", "two"]);
      gone.abort();
      await connect.cancel().catch(() => {});
    }),
);
