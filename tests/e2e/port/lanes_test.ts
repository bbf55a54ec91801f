/**
 * The two lanes of unary gRPC, over the same connection: whatever bytes a request has and however they are cut
 * into frames, both give the same answer; and a method finds and leaves the same in its context.
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { create, fromBinary } from "@bufbuild/protobuf";
import { createPipeline } from "../../../src/rpc/pipeline.ts";
import { DEFAULT_PORT_LIMITS } from "../../../src/rpc/limits.ts";
import { openTransport } from "../../../src/rpc/port.ts";
import { bind, routesOf } from "../../../src/rpc/router.ts";
import { ErrorCode, ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { denoClock, denoNetwork, silentLog } from "../../../src/runtime/mod.ts";
import { Registry } from "../../../src/web/mod.ts";
import { Hono } from "hono";
import { HOT_NAMES, type HotName, inputOf } from "../../support/lanes.ts";
import {
  type Fields,
  type Http2Answer,
  Http2Peer,
  joined,
  type Piece,
  postFields,
} from "../../support/http2_by_hand.ts";
import { until, withPort } from "../../support/port.ts";
import { envelope } from "../../support/raw_rpc.ts";
import { prepare } from "../../support/rpc_examples.ts";
import {
  answerBy,
  bodyOf,
  headersOf,
  LONG,
  outcomeOf,
  SHORT,
  type Way,
  waysOf,
} from "../../support/ways.ts";
import { messageBytes, type Picker } from "../../support/wire_messages.ts";

/** A request as frames. */
interface Cut {
  readonly name: HotName;
  readonly pieces: readonly Piece[];
  /** A frame without bytes ends the body. */
  readonly emptyEnd: boolean;
  /** All frames in one go, or each by itself. */
  readonly slowly: boolean;
}

const picker: fc.Arbitrary<Picker> = fc.gen().map((gen): Picker => ({
  below: (limit) => gen(fc.nat, { max: limit - 1 }),
}));

/** Bodies: mostly one message, tame or wild; sometimes none, two, half of one, or with a flag. */
const body = fc.record({
  pick: picker,
  name: fc.constantFrom(...HOT_NAMES),
  wild: fc.boolean(),
  shape: fc.constantFrom("one", "one", "one", "one", "none", "two", "half", "flag", "bare"),
}).map(({ pick, name, wild, shape }) => {
  const one = envelope(Uint8Array.from(messageBytes(pick, inputOf(name), wild)));
  switch (shape) {
    case "none":
      return { name, bytes: new Uint8Array(0) };
    case "two":
      return { name, bytes: joined([one, one]) };
    case "half":
      return { name, bytes: one.slice(0, pick.below(one.length)) };
    case "flag":
      one[0] = 1 + pick.below(255);
      return { name, bytes: one };
    case "bare":
      return { name, bytes: one.slice(5) };
    default:
      return { name, bytes: one };
  }
});

/** Cut anywhere, into empty frames too, with padding or without. */
const cut: fc.Arbitrary<Cut> = fc.record({
  body,
  cuts: fc.array(fc.nat({ max: 40 }), { maxLength: 6 }),
  paddings: fc.array(fc.option(fc.constantFrom(0, 1, 255), { nil: undefined }), {
    minLength: 7,
    maxLength: 7,
  }),
  emptyEnd: fc.boolean(),
  slowly: fc.nat({ max: 5 }).map((n) => n === 0),
}).map(({ body: { name, bytes }, cuts, paddings, emptyEnd, slowly }) => {
  const edges = [0, ...cuts.map((at) => Math.min(at, bytes.length)).sort((a, b) => a - b)];
  const pieces = edges.map((from, i): Piece => ({
    bytes: bytes.subarray(from, edges[i + 1] ?? bytes.length),
    ...(paddings[i] === undefined ? {} : { padding: paddings[i] }),
  }));
  return { name, pieces, emptyEnd, slowly };
});

async function send(way: Way, peer: Http2Peer, { name, pieces, emptyEnd, slowly }: Cut): Promise<
  Http2Answer
> {
  const method = KeyValueService.method[name];
  const path = `/${KeyValueService.typeName}/${method.name}`;
  const headers = headersOf(way, { method, body: new Uint8Array(0) });
  const id = peer.begin(postFields(path, Object.fromEntries(headers)));
  const answer = peer.answer(id);
  const all = emptyEnd ? [...pieces, { bytes: new Uint8Array(0) }] : pieces;
  if (!slowly) {
    await peer.body(id, all);
    return await answer;
  }
  for (const [i, piece] of all.entries()) {
    await peer.body(id, [piece], i === all.length - 1);
    // The server takes each frame on its own; what comes of it does not depend on that.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return await answer;
}

Deno.test("lanes: the same bytes, cut anywhere, get the same answer", () =>
  withPort(async (short) => {
    await prepare(short.node);
    await withPort(async (long) => {
      await prepare(long.node);
      const peers = [await Http2Peer.open(short.port.port), await Http2Peer.open(long.port.port)];
      const codes = new Map<string, number>();
      try {
        // The nodes are the same after each request, for they are asked the same.
        await fc.assert(
          fc.asyncProperty(cut, async (cut) => {
            const answers = [await send(SHORT, peers[0], cut), await send(LONG, peers[1], cut)];
            assert.deepEqual(answers[0], answers[1]);
            const status = answers[0].trailer.find(([name]) => name === "grpc-status")?.[1] ?? "";
            codes.set(status, (codes.get(status) ?? 0) + 1);
          }),
          { numRuns: 1000, endOnFailure: true },
        );
      } finally {
        for (const peer of peers) await peer.close();
      }
      assert.ok((codes.get("0") ?? 0) > 20, "some are good");
      assert.ok((codes.get("3") ?? 0) > 60, "many are bad");
      assert.ok((codes.get("12") ?? 0) > 40, "some have no message or two");
      for (const { logged } of [short, long]) {
        assert.deepEqual(logged.filter(({ level }) => level === "error"), []);
      }
    });
  }));

Deno.test("lanes: what waits is not written over by what comes after it", () =>
  withPort(async ({ port, node }) => {
    const { put } = KeyValueService.method;
    const gate = Promise.withResolvers<void>();
    node.gate = gate.promise;
    const peer = await Http2Peer.open(port.port);
    try {
      const calls: Promise<Http2Answer>[] = [];
      const valueOf = (i: number) => new Uint8Array(i % 3 === 0 ? 3000 : 30).fill(i);
      for (let i = 0; i < 300; i++) {
        const body = bodyOf(SHORT, put, [
          create(put.input, { tenantId: "t", key: `key-${i}`, value: valueOf(i) }),
        ]);
        const fields = postFields(`/${KeyValueService.typeName}/Put`, {});
        calls.push(peer.call([...fields, ...headersOf(SHORT, { method: put, body })], body));
        // In one chunk with others, or alone.
        if (i % 7 === 0) await until(() => node.putsBegun === i + 1);
      }
      await until(() => node.putsBegun === 300);
      gate.resolve();
      await Promise.all(calls);
      for (let i = 0; i < 300; i++) {
        const { value } = node.get("t", `key-${i}`)?.winner ?? {};
        assert.deepEqual(value && Uint8Array.from(value), valueOf(i), `key-${i}`);
      }
    } finally {
      await peer.close();
    }
  }));

Deno.test("lanes: an answer that is too large is 2008, and counted so, every way", () =>
  withPort(async ({ port, node }) => {
    node.plant("t", "k", [new Uint8Array(2000)]);
    const peer = await Http2Peer.open(port.port);
    try {
      const { get, scan } = KeyValueService.method;
      for (const method of [get, scan]) {
        const init = method === get ? { tenantId: "t", key: "k" } : { tenantId: "t" };
        for (const way of waysOf(method)) {
          const body = bodyOf(way, method, [create(method.input, init)]);
          const answer = await answerBy(way, { url: port.url, peer }, { method, body });
          const { code, details } = outcomeOf(way, method, answer);
          const name = `${method.name}, ${way.name}`;
          assert.equal(code, "resource_exhausted", name);
          const [[type, hex]] = details.map((each) => each.split(" "));
          assert.equal(type, ErrorDetailSchema.typeName, name);
          const detail = fromBinary(ErrorDetailSchema, Uint8Array.fromHex(hex));
          assert.equal(detail.code, ErrorCode.RESOURCE_EXHAUSTED, name);
        }
        const metrics = await (await fetch(`${port.url}/metrics`)).text();
        const counted = metrics.split("\n").filter((line) =>
          line.startsWith("pairdb_rpc_calls_total{") && line.includes(`method="${method.name}"`)
        );
        assert.equal(counted.length, 1, "all are counted by the code that their clients saw");
        assert.match(
          counted[0],
          new RegExp(`code="resource_exhausted"} ${waysOf(method).length}$`),
        );
        assert.match(metrics, /^pairdb_rpc_running 0$/m);
      }
    } finally {
      await peer.close();
    }
  }, { limits: { writeMaxBytes: 1000 } }));

/** What a method saw of its call. */
interface Seen {
  readonly context: Record<string, unknown>;
  readonly signal: AbortSignal;
}

Deno.test("lanes: a method finds the same in its context, and adds the same to its answer", async () => {
  const clock = denoClock();
  const registry = new Registry();
  const limits = { ...DEFAULT_PORT_LIMITS, shutdownTimeoutMs: 100, writeMaxBytes: 1000 };
  const pipeline = createPipeline({ clock, log: silentLog, registry });
  const seen: Seen[] = [];
  const look = (context: HandlerContext) => {
    const { method, service, protocolName, requestMethod, url, requestHeader, signal } = context;
    const left = context.timeoutMs();
    seen.push({
      context: {
        method,
        service,
        protocolName,
        requestMethod,
        url,
        header: [...requestHeader].filter(([name]) => name !== "content-type"),
        hasTime: left !== undefined && left > 0 && left <= 5000,
        aborted: signal.aborted,
      },
      signal,
    });
    context.responseHeader.append("x-head", "one");
    context.responseHeader.append("x-head", "two");
    context.responseTrailer.set("x-tail-bin", "AAEC");
  };
  const transport = await openTransport({
    clock,
    network: denoNetwork(),
    log: silentLog,
    host: "127.0.0.1",
    port: 0,
    limits,
    registry,
    pipeline,
    web: new Hono(),
    judge: () => ({ kind: "serve", headers: [] }),
    routes: routesOf([
      bind(KeyValueService, {
        get({ key }, context) {
          look(context);
          if (key === "bad") {
            throw new ConnectError("no: 100 %, é", Code.Aborted, {
              "x-why": "so",
              "x-tail-bin": "BAUG",
            });
          }
          if (key === "secret") throw new TypeError("a secret");
          return { value: new Uint8Array(key === "large" ? 2000 : 2) };
        },
      }),
    ], { clock, limits, pipeline }),
  });
  const peer = await Http2Peer.open(transport.port);
  try {
    const { get } = KeyValueService.method;
    for (const key of ["good", "bad", "secret", "large"]) {
      const answers: Http2Answer[] = [];
      for (const way of [SHORT, LONG]) {
        const body = bodyOf(way, get, [create(get.input, { key })]);
        const headers = headersOf(way, { method: get, body, timeout: "5S" });
        const fields = postFields(`/${KeyValueService.typeName}/Get`, {});
        const own: Fields = [["x-list", "a"], ["x-list", "b"], ["x-data-bin", "AAE"]];
        answers.push(await peer.call([...fields, ...headers, ...own], body));
      }
      assert.deepEqual(answers[0], answers[1], key);
      const [short, long] = seen.splice(0);
      assert.deepEqual(short.context, long.context);
      assert.ok(short.context.hasTime);
      assert.ok(short.signal.aborted && long.signal.aborted, "the signal ends with the call");
      const failed = answers[0].trailer.find(([name]) => name === "grpc-status")?.[1];
      assert.equal(failed, { good: "0", bad: "10", secret: "13", large: "8" }[key]);
    }
  } finally {
    await peer.close();
    await transport.close();
  }
});
