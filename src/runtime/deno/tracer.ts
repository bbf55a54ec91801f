/**
 * Spans through Deno's own OpenTelemetry, which sends them where OTEL_EXPORTER_OTLP_ENDPOINT says. Deno makes
 * spans by itself for HTTP/1.1 alone; those for calls come from us, for every protocol.
 * @module
 */
import type { Span, Tracer } from "../tracer.ts";

/** Where OpenTelemetry keeps a context's span; part of its API, for implementations have to agree. */
const SPAN_KEY = Symbol.for("OpenTelemetry Context Key SPAN");
/** A kind of span: a server's. */
const SERVER = 1;
const FAILED = 2;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;

/** As far as it is used here; Deno's types say `any`. */
interface OtelContext {
  getValue(key: symbol): unknown;
  setValue(key: symbol, value: unknown): OtelContext;
}
interface OtelSpan {
  setStatus(status: { code: number; message: string }): void;
  end(atMs: number): void;
}
interface OtelTracer {
  startSpan(name: string, options: object, context: OtelContext): OtelSpan;
}

/** Deno's tracer; undefined unless the program runs with OTEL_DENO=true. @param version  of the program */
export function denoTracer(version: string): Tracer | undefined {
  const { tracerProvider, contextManager } = Deno.telemetry;
  const tracer: OtelTracer = tracerProvider.getTracer("pairdb", version);
  const active = (): OtelContext => contextManager.active();
  try {
    // Asked for: in an executable the build decides, not the environment. Without an end it is not sent.
    tracer.startSpan("probe", {}, active());
  } catch {
    return undefined;
  }
  return { span: (span) => send(tracer, active(), span) };
}

function send(tracer: OtelTracer, context: OtelContext, span: Span): void {
  const { name, startedAtMs, elapsedMs, attributes, failure } = span;
  const options = { kind: SERVER, startTime: startedAtMs, attributes };
  const made = tracer.startSpan(name, options, under(context, span.parent));
  if (failure !== undefined) made.setStatus({ code: FAILED, message: failure });
  made.end(startedAtMs + elapsedMs);
}

/** The context of a span's parent: Deno's own span of the request, where there is one, has heard of it. */
function under(context: OtelContext, traceparent: string): OtelContext {
  if (context.getValue(SPAN_KEY) !== undefined) return context;
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent) ?? [];
  if (traceId === undefined) return context;
  const parent = { traceId, spanId, traceFlags: parseInt(flags, 16), isRemote: true };
  return context.setValue(SPAN_KEY, { spanContext: () => parent });
}
