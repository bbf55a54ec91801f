/**
 * The contract: every RPC answers the same whatever way it is called, in messages, codes, texts, details,
 * metadata, counts and log lines. Between the two lanes of gRPC every byte is the same.
 * @module
 */
import assert from "node:assert/strict";
import { create, type DescMethod, fromBinary, type Message } from "@bufbuild/protobuf";
import { ErrorCode, ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { MAX_VALUE_BYTES, PairError } from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import { DEFAULT_PORT_LIMITS } from "../../../src/rpc/limits.ts";
import { createPipeline } from "../../../src/rpc/pipeline.ts";
import { Readiness } from "../../../src/rpc/readiness.ts";
import { createRoutes } from "../../../src/rpc/router.ts";
import { type Clock, denoClock, silentLog, SimClock } from "../../../src/runtime/mod.ts";
import { Registry } from "../../../src/web/mod.ts";
import { FakeNode } from "../../support/fake_node.ts";
import { type Http2Answer, Http2Peer } from "../../support/http2_by_hand.ts";
import { withPort } from "../../support/port.ts";
import { envelope } from "../../support/raw_rpc.ts";
import { type Example, EXAMPLES, prepare } from "../../support/rpc_examples.ts";
import {
  answerBy,
  bodyOf,
  isEnveloped,
  LONG,
  type Outcome,
  outcomeOf,
  type Sent,
  SHORT,
  type Target,
  type Way,
  waysOf,
} from "../../support/ways.ts";

/** Small, so that tests need no large messages. */
const READ_MAX_BYTES = 20_000;

/** A call of a script. */
interface Case {
  readonly what: string;
  /** Undefined: this way cannot say it. */
  readonly send: (way: Way, example: Example) => Omit<Sent, "method"> | undefined;
  /** How it ends, whatever the method. */
  readonly status: string;
  /** The text of the error is the codec's or the protocol's own. */
  readonly ownText?: boolean;
  /** What the node throws meanwhile. */
  readonly failure?: unknown;
}

const good = (way: Way, { method, good, endless }: Example) => ({
  body: bodyOf(way, method, [messageOf(method, good)]),
  ...(endless ? { timeout: milliseconds(way, 100) } : {}),
});

/** The same for every RPC. @returns undefined where it makes no sense */
const CASES: readonly Case[] = [
  {
    what: "malformed bytes",
    status: "invalid_argument",
    // Of a field that none has: what a message does with one of its own that has another type is its own affair.
    ownText: true,
    send: (way, { method }) => ({
      body: wrapped(
        way,
        method,
        way.json ? new TextEncoder().encode("{") : Uint8Array.of(122, 127),
      ),
    }),
  },
  {
    what: "half a message",
    status: "invalid_argument",
    send: (way, { method }) =>
      isEnveloped(way, method) ? { body: Uint8Array.of(0, 0, 0, 0, 9, 10, 1) } : undefined,
  },
  {
    what: "a flag for compression without an encoding",
    status: "internal",
    send: (way, { method }) =>
      isEnveloped(way, method) ? { body: Uint8Array.of(1, 0, 0, 0, 0) } : undefined,
  },
  ...[2, 0x40, 0x80].map((flags): Case => ({
    what: `a message with the flags ${flags}`,
    status: "internal",
    send(way, { method, good }) {
      // 2 ends a stream of Connect's.
      const isEnd = way.protocol === "Connect" && flags === 2;
      if (!isEnveloped(way, method) || isEnd) return undefined;
      const body = bodyOf(way, method, [messageOf(method, good)]);
      body[0] = flags;
      return { body };
    },
  })),
  {
    what: "an unknown encoding",
    status: "unimplemented",
    send: (way, it) => ({ ...good(way, it), encoding: "lzma" }),
  },
  {
    what: "a message over the limit",
    status: "resource_exhausted",
    ownText: true,
    send(way, { method }) {
      if (way.protocol === "Connect GET") return undefined;
      return { body: wrapped(way, method, new Uint8Array(READ_MAX_BYTES + 1).fill(32)) };
    },
  },
  {
    what: "a timeout that is none",
    status: "invalid_argument",
    ownText: true,
    send: (way, it) => ({ ...good(way, it), timeout: "1x" }),
  },
  {
    what: "a timeout over the ceiling",
    status: "invalid_argument",
    ownText: true,
    send: (way, it) => ({ ...good(way, it), timeout: isGrpc(way) ? "99999999H" : "9999999999" }),
  },
  {
    what: "a deadline that has passed",
    status: "deadline_exceeded",
    send: (way, it) => ({ ...good(way, it), timeout: milliseconds(way, 0) }),
  },
];

const NO_MESSAGE: Case = {
  what: "no message",
  status: "unimplemented",
  send: (way, { method }) => isEnveloped(way, method) ? { body: new Uint8Array(0) } : undefined,
};

const TWO_MESSAGES: Case = {
  what: "two messages",
  status: "unimplemented",
  send(way, { method, good }) {
    if (!isEnveloped(way, method)) return undefined;
    const message = messageOf(method, good);
    return { body: bodyOf(way, method, [message, message]) };
  },
};

const FAILURES: readonly Case[] = [
  { what: "a node that fails", status: "internal", send: good, failure: new Error("a secret") },
  {
    what: "a node that is not there",
    status: "unavailable",
    send: good,
    failure: new PairError("Unavailable", "The node\nis closed: 100 % é", { a: 1, b: "é" }),
  },
];

/** All calls of one RPC's script. */
function scriptOf(it: Example): Case[] {
  const single = it.method.methodKind === "unary" || it.method.methodKind === "server_streaming";
  return [
    ...it.refused.map(({ what, init, status }): Case => ({
      what,
      status,
      send: (way, { method }) => ({ body: bodyOf(way, method, [messageOf(method, init)]) }),
    })),
    ...CASES,
    ...(single ? [NO_MESSAGE, TWO_MESSAGES] : []),
    ...(it.usesNode ? FAILURES : []),
    { what: "a good call", status: it.ends ?? "ok", send: good },
  ];
}

/** What a script leaves behind. */
interface Played {
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** As they are on the wire. */
  readonly answers: ReadonlyMap<string, Http2Answer>;
  readonly counts: readonly string[];
  readonly logged: readonly string[];
  /** What the node was asked, call by call. */
  readonly asked: readonly string[];
}

/** Plays the calls that `only` takes, on a node of their own. */
async function play(way: Way, it: Example, only: (what: string) => boolean): Promise<Played> {
  const node = new WatchedNode();
  await prepare(node.fake);
  const outcomes = new Map<string, Outcome>();
  const answers = new Map<string, Http2Answer>();
  const asked: string[] = [];
  let counts: string[] = [];
  let events: string[] = [];
  await withPort(async ({ port, logged }) => {
    const peer = await Http2Peer.open(port.port);
    const target: Target = { url: port.url, peer };
    try {
      for (const { what, send, failure } of scriptOf(it)) {
        const sent = send(way, it);
        if (sent === undefined || !only(what)) continue;
        node.failure = failure;
        node.asked = [];
        const answer = await answerBy(way, target, { method: it.method, ...sent });
        node.failure = undefined;
        answers.set(what, answer);
        outcomes.set(what, outcomeOf(way, it.method, answer));
        asked.push(`${what}: ${node.asked.join(" ")}`);
      }
    } finally {
      await peer.close();
    }
    const metrics = await (await fetch(`${port.url}/metrics`)).text();
    counts = metrics.split("\n").filter((line) =>
      /^pairdb_rpc_(calls_total|duration_seconds_count|running)\b/.test(line)
    );
    events = logged.filter(({ event }) => event.startsWith("rpc")).map(
      ({ level, event, fields }) => {
        const { elapsedMs: _, error, ...rest } = { elapsedMs: 0, error: "", ...fields };
        return JSON.stringify([level, event, rest, String(error).split("\n")[0]]);
      },
    );
  }, { node: node.proxy, clock: stillWallClock(), limits: { readMaxBytes: READ_MAX_BYTES } });
  return { outcomes, answers, counts, logged: events, asked };
}

/** Real time passes, but stamps are all the same. */
function stillWallClock(): Clock {
  const clock = denoClock();
  return {
    wallMs: () => 1_700_000_000_000,
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, run) => clock.after(delayMs, run),
    soon: (run) => clock.soon(run),
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
  };
}

/** A fake node that keeps what it is asked, and fails where it is to. */
class WatchedNode {
  readonly fake = new FakeNode();
  asked: string[] = [];
  failure: unknown;
  readonly proxy: StorageNode = new Proxy(this.fake as StorageNode, {
    get: (fake, name) => {
      const found = Reflect.get(fake, name, fake);
      if (typeof found !== "function") return found;
      return (...args: unknown[]) => {
        this.asked.push(String(name));
        if (this.failure !== undefined) throw this.failure;
        return found.apply(fake, args);
      };
    },
  });
}

Deno.test("contract: every RPC has an example, and no example is of another", () => {
  const clock = new SimClock();
  const log = silentLog;
  const node = new FakeNode();
  const routes = createRoutes({
    node,
    clock,
    limits: DEFAULT_PORT_LIMITS,
    readiness: new Readiness(node),
    pipeline: createPipeline({ clock, log, registry: new Registry() }),
  });
  const names = [...routes.values()].map(({ handle }) => nameOf(handle.method));
  assert.deepEqual(EXAMPLES.map(({ method }) => nameOf(method)).sort(), names.sort());
});

for (const it of EXAMPLES) {
  Deno.test(`contract: ${nameOf(it.method)} answers the same every way`, async () => {
    const script = scriptOf(it);
    const played = await play(SHORT, it, () => true);
    for (const { what, status } of script) {
      const outcome = played.outcomes.get(what);
      if (outcome === undefined) continue;
      assert.equal(outcome.code, status, `${what}: ${outcome.message}`);
      if (status === "ok") continue;
      const details = outcome.details.map((each) => each.split(" "));
      assert.deepEqual(details.map(([type]) => type), [ErrorDetailSchema.typeName], what);
      const detail = fromBinary(ErrorDetailSchema, Uint8Array.fromHex(details[0][1]));
      const refused = it.refused.find((each) => each.what === what);
      if (refused !== undefined) assert.equal(detail.code, refused.code, what);
      assert.doesNotMatch(outcome.message, /secret|[\r\n]/);
    }
    for (const way of waysOf(it.method)) {
      if (way === SHORT) continue;
      const other = await play(way, it, () => true);
      for (const { what, ownText } of script) {
        const outcome = other.outcomes.get(what);
        // One message and half a message are all the same to those who have no envelopes.
        if (outcome === undefined) continue;
        const same = played.outcomes.get(what);
        const text = ownText ? { message: "" } : {};
        assert.deepEqual({ ...outcome, ...text }, { ...same, ...text }, `${way.name}: ${what}`);
      }
      const all = script.every(({ what }) => other.outcomes.has(what));
      const told = all ? played : await play(SHORT, it, (what) => other.outcomes.has(what));
      assert.deepEqual(other.counts, told.counts, way.name);
      assert.deepEqual(other.logged, told.logged, way.name);
      assert.deepEqual(other.asked, told.asked, way.name);
      if (way === LONG) assert.deepEqual(other.answers, played.answers);
    }
  });
}

Deno.test("contract: a value over 10 MiB is refused the same every way", async () => {
  const { method, good } = EXAMPLES[0];
  const message = messageOf(method, { ...good, value: new Uint8Array(MAX_VALUE_BYTES + 1) });
  let first: Outcome | undefined;
  for (const way of waysOf(method)) {
    await withPort(async ({ port }) => {
      const peer = await Http2Peer.open(port.port);
      try {
        const sent = { method, body: bodyOf(way, method, [message]) };
        const outcome = outcomeOf(way, method, await answerBy(way, { url: port.url, peer }, sent));
        first ??= outcome;
        assert.deepEqual(outcome, first, way.name);
        const [, hex] = outcome.details[0].split(" ");
        const { code } = fromBinary(ErrorDetailSchema, Uint8Array.fromHex(hex));
        assert.equal(code, ErrorCode.VALUE_TOO_LARGE, way.name);
      } finally {
        await peer.close();
      }
    });
  }
});

Deno.test("contract: a method that there is not is unimplemented every way", () =>
  withPort(async ({ port }) => {
    const peer = await Http2Peer.open(port.port);
    try {
      const target = { url: port.url, peer };
      for (const { method, good } of EXAMPLES.slice(0, 2)) {
        for (const way of waysOf(method)) {
          const sent = { method, as: "Nope", body: bodyOf(way, method, [messageOf(method, good)]) };
          const { code, message, details } = outcomeOf(
            way,
            method,
            await answerBy(way, target, sent),
          );
          assert.deepEqual([code, message], ["unimplemented", "there is no such method"], way.name);
          assert.equal(details.length, 1);
        }
      }
    } finally {
      await peer.close();
    }
  }));

Deno.test("contract: a content type of no RPC is HTTP 415 every way", () =>
  withPort(async ({ port }) => {
    const peer = await Http2Peer.open(port.port);
    try {
      const { method, good } = EXAMPLES[0];
      for (const way of waysOf(method)) {
        for (const type of ["application/grpc+foo", "application/grpc-web+foo", "text/plain", ""]) {
          const sent = { method, type, body: bodyOf(way, method, [messageOf(method, good)]) };
          const answer = await answerBy(way, { url: port.url, peer }, sent);
          const status = answer.header.find(([name]) => name === ":status");
          assert.equal(status?.[1], "415", `${way.name}: ${type}`);
        }
      }
    } finally {
      await peer.close();
    }
  }));

function nameOf({ parent, name }: DescMethod): string {
  return `${parent.typeName}/${name}`;
}

function messageOf(method: DescMethod, init: Record<string, unknown>): Message {
  return create(method.input, init);
}

function isGrpc({ protocol }: Way): boolean {
  return protocol === "gRPC" || protocol === "gRPC-Web";
}

function milliseconds(way: Way, ms: number): string {
  return isGrpc(way) ? `${ms}m` : String(ms);
}

function wrapped(way: Way, method: DescMethod, message: Uint8Array): Uint8Array<ArrayBuffer> {
  return isEnveloped(way, method) ? envelope(message) : Uint8Array.from(message);
}
