/**
 * The page at `/`: who answers here, how it is, and how to try it. One file, no script, nothing
 * fetched from elsewhere.
 * @module
 */

/** What the page shows. Everything is escaped. */
export interface LandingFacts {
  readonly nodeId: string;
  readonly version: string;
  /** "healthy", or what is wrong. */
  readonly status: string;
  /** Whether the status is good news. */
  readonly good: boolean;
  /** Host and port as the visitor named them. */
  readonly host: string;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --line: #d9dee4; --card: #fff;
  --paper: #f5f6f8; --good: #1a7f4b; --bad: #b3261e; --link: #0b5cad }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --soft: #9aa4af; --line: #30363d; --card: #1a1e23; --paper: #101317;
    --good: #4cc38a; --bad: #ff8a80; --link: #79b8ff } }
* { box-sizing: border-box }
body { margin: 0; padding: 6vh 1.25rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif }
main { max-width: 46rem; margin: 0 auto }
h1 { margin: 0; font-size: 2rem; letter-spacing: -.02em }
p { margin: .35rem 0 1.6rem; color: var(--soft) }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1px; margin: 0 0 2rem;
  border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; background: var(--line) }
dl div { padding: .8rem 1rem; background: var(--card) }
dt { color: var(--soft); font-size: .8rem }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere }
.good { color: var(--good) } .bad { color: var(--bad) }
h2 { margin: 0 0 .5rem; font-size: 1rem }
pre { margin: 0 0 1.4rem; padding: .9rem 1rem; overflow-x: auto; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; font: 13px/1.6 ui-monospace, monospace }
nav a { margin-right: 1.2rem; color: var(--link) }`;

/** The page as HTML. */
export function landingPage(facts: LandingFacts): string {
  const base = `http://${facts.host === "" ? "127.0.0.1:50052" : facts.host}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>PairDB ${escapeHtml(facts.nodeId)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>PairDB</h1>
<p>A multi-tenant key-value store. gRPC, gRPC-Web and Connect are served on this port.</p>
<dl>
<div><dt>Node</dt><dd>${escapeHtml(facts.nodeId)}</dd></div>
<div><dt>Version</dt><dd>${escapeHtml(facts.version)}</dd></div>
<div><dt>Status</dt><dd class="${facts.good ? "good" : "bad"}">${
    escapeHtml(facts.status)
  }</dd></div>
</dl>
<h2>Store a value (bytes travel as base64)</h2>
<pre>${escapeHtml(call(base, "Put", '{"tenantId":"t1","key":"k1","value":"aGVsbG8="}'))}</pre>
<h2>Read it back</h2>
<pre>${escapeHtml(call(base, "Get", '{"tenantId":"t1","key":"k1"}'))}</pre>
<nav><a href="/metrics">metrics</a><a href="/healthz">health</a><a href="/readyz">readiness</a></nav>
</main>
</body>
</html>
`;
}

function call(base: string, method: string, json: string): string {
  return `curl -H 'content-type: application/json' \\\n  -d '${json}' \\\n  ${base}/pairdb.v1.KeyValueService/${method}`;
}

/** Text that is safe between tags and in quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
