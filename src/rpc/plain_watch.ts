/**
 * Watch over plain HTTP: `GET /v1/tenants/{tenant}/watch?prefix=...` is a call of KeyValueService.Watch whose
 * answer has a line of JSON for each event, or is a stream of server-sent events where the client asks for
 * `text/event-stream`, as a browser's EventSource does.
 *
 *     {"type":"PUT","key":"cart/42","value":"aGVsbG8=",...,"resumeToken":"..."}
 *     {"error":{"code":"unavailable","message":"...","details":[...]}}       the last line, after a failure
 *
 * It is translated to a Connect call in JSON and back, so that it is let in, counted and bounded as every
 * other call is. An error before the first event is an HTTP status with the JSON of a Connect error.
 * @module
 */
import { codeFromString, codeToHttpStatus } from "@connectrpc/connect/protocol-connect";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import { Code } from "@connectrpc/connect";
import { KeyValueService } from "../gen/pairdb/v1/kv_pb.ts";
import { type Answer, pathOf, urlOf } from "./exchange.ts";
import type { Route } from "./router.ts";

/** The method that it calls. */
export const WATCH_PATH = `/${KeyValueService.typeName}/${KeyValueService.method.watch.name}`;

const ASCII = /^[\x21-\x7e]*$/;
const PATH = /^\/v1\/tenants\/([^/]+)\/watch$/;
const TEXTS: Readonly<Record<string, string>> = {
  key: "key",
  prefix: "prefix",
  start: "start",
  end: "end",
  resume_token: "resumeToken",
  progress_ms: "progressMs",
};
const FLAGS: Readonly<Record<string, string>> = { initial: "initial", keys_only: "keysOnly" };
const FLAG_VALUES: Readonly<Record<string, boolean>> = {
  "": true,
  "1": true,
  "true": true,
  "0": false,
  "false": false,
};
const TYPE_PREFIX = "WATCH_EVENT_TYPE_";
/** An envelope is a byte of flags, four of length, and the message. */
const HEAD_BYTES = 5;
const END_STREAM = 2;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What of a request decides. */
export interface PlainRequest {
  readonly method: string;
  readonly target: string;
  readonly header: Headers;
}

/** The HTTP methods of its path. */
export const PLAIN_WATCH_METHODS: readonly string[] = ["GET", "OPTIONS"];

/** Whether a path is that of a watch. */
export function isWatchPath(path: string): boolean {
  return PATH.test(path);
}

/** Whether a request is one of these. */
export function isPlainWatch({ method, target }: PlainRequest): boolean {
  return method === "GET" && isWatchPath(pathOf(target));
}

/**
 * Answers one.
 * @param route    of {@link WATCH_PATH}
 * @param request  as the client made it, with its signal and who it is
 */
export async function plainWatch(
  route: Route,
  request: UniversalServerRequest,
  target: string,
): Promise<Answer> {
  const message = messageOf(target, request.header);
  if (typeof message === "string") {
    const text = JSON.stringify({ code: "invalid_argument", message });
    return { status: 400, header: typed("application/json"), body: once(encoder.encode(text)) };
  }
  const header = new Headers(request.header);
  for (const name of ["content-length", "content-encoding", "connect-accept-encoding"]) {
    header.delete(name);
  }
  header.set("content-type", "application/connect+json");
  const answer = await route.handle({
    ...request,
    method: "POST",
    url: urlOf(WATCH_PATH),
    header,
    body: once(enveloped(encoder.encode(JSON.stringify(message)))),
  });
  const envelopes = readEnvelopes(answer.body ?? once(new Uint8Array(0)));
  const first = await envelopes.next();
  if (first.done === true) return { ...answer, body: once(new Uint8Array(0)) };
  const failure = first.value.isEnd ? errorIn(first.value.text) : undefined;
  if (failure !== undefined) {
    const status = codeToHttpStatus(codeFromString(failure.code) ?? Code.Unknown);
    const text = JSON.stringify(failure);
    return { status, header: typed("application/json"), body: once(encoder.encode(text)) };
  }
  const isEvents = header.get("accept")?.toLowerCase().includes("text/event-stream") ?? false;
  const lines = isEvents ? serverSentEvents : jsonLines;
  const shown = typed(isEvents ? "text/event-stream" : "application/x-ndjson");
  shown.set("cache-control", "no-store");
  return { status: 200, header: shown, body: lines(first.value, envelopes) };
}

/** The request in JSON, or what is wrong with it. */
function messageOf(target: string, header: Headers): Record<string, unknown> | string {
  // What such bytes mean is nobody's to guess: a watch of another name would wait in silence.
  if (!ASCII.test(target)) return "the path and the query are not percent-encoded";
  const path = pathOf(target);
  const tenantId = decoded(PATH.exec(path)![1]);
  if (tenantId === undefined) return "the tenant in the path is not UTF-8";
  const message: Record<string, unknown> = { tenantId };
  // A browser that connects again says so where it had got to.
  const last = header.get("last-event-id");
  if (last) message.resumeToken = last;
  const seen = new Set<string>();
  for (const pair of target.slice(path.length + 1).split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    const [name, value] = (at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)])
      .map((part) => decoded(part.replaceAll("+", " ")));
    if (name === undefined) return "the name of a parameter is not UTF-8";
    const isFlag = Object.hasOwn(FLAGS, name);
    if (!isFlag && !Object.hasOwn(TEXTS, name)) {
      return `there is no parameter ${JSON.stringify(name.slice(0, 40))}`;
    }
    if (value === undefined) return `${name} is not UTF-8`;
    if (seen.has(name)) return `${name} is there twice`;
    seen.add(name);
    if (isFlag) {
      if (!Object.hasOwn(FLAG_VALUES, value)) return `${name} is neither true nor false`;
      message[FLAGS[name]] = FLAG_VALUES[value];
    } else if (name !== "resume_token" || !last) message[TEXTS[name]] = value;
  }
  return message;
}

/** A percent-encoded part of a target; undefined when it is none, or not UTF-8. */
function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return undefined;
  }
}

/** One message of a Connect stream, in JSON. */
interface Envelope {
  readonly isEnd: boolean;
  readonly text: string;
}

async function* readEnvelopes(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Envelope> {
  let held = new Uint8Array(0);
  for await (const chunk of chunks) {
    held = held.length === 0 ? new Uint8Array(chunk) : joined(held, chunk);
    for (;;) {
      if (held.length < HEAD_BYTES) break;
      const end = HEAD_BYTES + new DataView(held.buffer, held.byteOffset).getUint32(1);
      if (held.length < end) break;
      const text = decoder.decode(held.subarray(HEAD_BYTES, end));
      yield { isEnd: (held[0] & END_STREAM) !== 0, text };
      held = held.subarray(end);
    }
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

async function* jsonLines(
  first: Envelope,
  rest: AsyncIterable<Envelope>,
): AsyncGenerator<Uint8Array> {
  for await (const items of itemsOf(first, rest)) {
    yield encoder.encode(items.map((item) => `${JSON.stringify(item)}\n`).join(""));
  }
}

/** With the token as the id of each event, so that a browser that connects again goes on there. */
async function* serverSentEvents(
  first: Envelope,
  rest: AsyncIterable<Envelope>,
): AsyncGenerator<Uint8Array> {
  for await (const items of itemsOf(first, rest)) {
    const texts = items.map((item) => {
      const id = typeof item.resumeToken === "string" ? `id: ${item.resumeToken}\n` : "";
      return `${id}data: ${JSON.stringify(item)}\n\n`;
    });
    yield encoder.encode(texts.join(""));
  }
}

/** The events of each message, and at the end the error, if there is one. */
async function* itemsOf(
  first: Envelope,
  rest: AsyncIterable<Envelope>,
): AsyncGenerator<Record<string, unknown>[]> {
  yield itemsIn(first);
  for await (const envelope of rest) yield itemsIn(envelope);
}

function itemsIn({ isEnd, text }: Envelope): Record<string, unknown>[] {
  if (isEnd) {
    const error = errorIn(text);
    return error === undefined ? [] : [{ error }];
  }
  const { events = [] } = JSON.parse(text) as { events?: { type: string }[] };
  return events.map(({ type, ...event }) => ({ type: type.slice(TYPE_PREFIX.length), ...event }));
}

/** The error in the end of a stream. */
function errorIn(text: string): { code: string } | undefined {
  return (JSON.parse(text) as { error?: { code: string } }).error;
}

function enveloped(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + message.length);
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, HEAD_BYTES);
  return bytes;
}

function typed(type: string): Headers {
  return new Headers({ "content-type": type });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
