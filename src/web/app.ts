/**
 * The web app: probes, metrics and the page at `/`.
 * @module
 */
import { type Context, Hono } from "hono";
import type { StorageNode } from "../node/mod.ts";
import type { Log } from "../runtime/mod.ts";
import { landingPage } from "./landing.ts";
import type { Registry } from "./metrics.ts";

/** What the app tells about. */
export interface WebOptions {
  readonly node: StorageNode;
  /** What /metrics shows; undefined: there is no /metrics. */
  readonly registry: Registry | undefined;
  /** Whether calls are wanted, and why not. */
  readonly ready: () => { readonly ready: boolean; readonly reason: string };
  readonly version: string;
  readonly log: Log;
}

/** What comes with each request, as hono's environment. */
export interface WebBindings {
  /** The host and port that the client named; may be empty. */
  readonly authority: string;
  /** Whether the client may see /metrics, as the HTTP status that says so. */
  readonly admitToMetrics: () => 200 | 401 | 403;
}

/** A page that holds nothing but text and its own style needs no more than this. */
const PAGE_HEADERS = {
  "content-security-policy":
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** What is said to those who may not see something. */
const REFUSALS = {
  401: { code: "unauthenticated", message: "this needs an operator's token or certificate" },
  403: { code: "permission_denied", message: "these credentials do not allow this" },
} as const;
const CHALLENGE = { "www-authenticate": "Bearer" };

/** The app of one port. Errors are JSON: `{ "code": ..., "message": ... }`, as Connect has them. */
export function createWebApp(
  { node, registry, ready, version, log }: WebOptions,
): Hono<{ Bindings: WebBindings }> {
  const app = new Hono<{ Bindings: WebBindings }>();

  // Alive: the event loop turns. Says nothing about whether calls would succeed. (With fewer than five
  // bytes, h2spec skips its case of a flow-control window below zero.)
  const alive = (c: Context) => c.text("ok: alive\n");
  app.get("/healthz", alive);
  app.post("/healthz", alive);

  app.get("/readyz", (c) => {
    const state = ready();
    return state.ready ? c.text("ok\n") : c.text(`not ready: ${state.reason}\n`, 503);
  });

  if (registry !== undefined) {
    app.get("/metrics", (c) => {
      // Asked here, where the path is resolved: no other spelling of it gets past.
      const admitted = c.env.admitToMetrics();
      if (admitted !== 200) return c.json(REFUSALS[admitted], admitted, CHALLENGE);
      return c.body(registry.render(), 200, {
        "content-type": "text/plain; version=0.0.4; charset=utf-8",
      });
    });
  }

  app.get("/", (c) => {
    const state = ready();
    const page = landingPage({
      nodeId: node.nodeId,
      version,
      status: state.ready ? node.health().status : `not ready: ${state.reason}`,
      good: state.ready && node.health().status === "healthy",
      host: c.env.authority,
    });
    return c.html(page, 200, PAGE_HEADERS);
  });

  app.notFound((c) => c.json({ code: "not_found", message: "there is nothing here" }, 404));
  app.onError((error, c) => {
    log.error("web_internal_error", { path: c.req.path, error: error.stack ?? String(error) });
    return c.json({ code: "internal", message: "internal error" }, 500);
  });
  return app;
}
