/**
 * A web page against the real program, in headless Chromium. The page comes from another origin, so
 * that the browser itself holds the server to its CORS answers; its script is bundled from
 * browser_page.ts.
 * @module
 */
import assert from "node:assert/strict";
import { type Browser, chromium, type Page } from "playwright-core";
import { missingProgram, testNeeding } from "../../support/needs.ts";
import { withDirectory, withServer } from "../../support/server.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
const PROGRAMS = ["chromium-headless-shell", "chromium"];

/** Nothing that a browser does by itself; nobody's sandbox. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-proxy-server",
];

async function withBrowser(body: (browser: Browser) => Promise<void>): Promise<void> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", PROGRAMS.map((name) => `command -v ${name}`).join(" || ")],
  }).output();
  const executablePath = new TextDecoder().decode(stdout).trim();
  const browser = await chromium.launch({ executablePath, args: FLAGS, headless: true });
  try {
    await body(browser);
  } finally {
    await browser.close();
  }
}

/** The page's script, as one file for browsers. */
async function bundle(directory: string): Promise<string> {
  const output = `${directory}/page.js`;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "browser", "--output", output, "browser_page.ts"],
    cwd: `${ROOT}tests/e2e/clients`,
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return await Deno.readTextFile(output);
}

/** Serves a page with this script from an origin of its own. */
async function withPage(
  script: string,
  body: (origin: string) => Promise<void>,
  hostname = "127.0.0.1",
): Promise<void> {
  const server = Deno.serve({ port: 0, hostname, onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/page.js") {
      return new Response(script, { headers: { "content-type": "text/javascript" } });
    }
    const page =
      '<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>';
    return new Response(page, { headers: { "content-type": "text/html" } });
  });
  try {
    await body(`http://${hostname}:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

/** Opens an address and returns the page's text once it ends with `done`. */
async function textOf(page: Page, url: string): Promise<string[]> {
  await page.goto(url);
  await page.waitForFunction("document.body?.textContent.endsWith('done\\n')");
  return (await page.textContent("body"))!.trimEnd().split("\n");
}

testNeeding(
  "browser: a page of another origin puts, gets, scans and sees an error's code",
  missingProgram(...PROGRAMS),
  () =>
    withDirectory(async (directory) => {
      const script = await bundle(directory);
      await withServer((server) =>
        withPage(script, (origin) =>
          withBrowser(async (browser) => {
            for (const [i, protocol] of ["json", "binary", "grpcweb"].entries()) {
              const page = await browser.newPage();
              const query = new URLSearchParams({ server: server.url, protocol });
              assert.deepEqual(await textOf(page, `${origin}/?${query}`), [
                `put: counter ${i + 1}`,
                "get: Grüße from a browser",
                "scan: 600 keys up to many/599, several messages",
                "error: NotFound, 1001 KeyNotFound",
                "done",
              ], protocol);
              await page.close();
            }
          }))
      );
      // The browser keeps a page out that the server does not name.
      await withServer((server) =>
        withPage(script, (origin) =>
          withBrowser(async (browser) => {
            const page = await browser.newPage();
            const query = new URLSearchParams({ server: server.url, protocol: "json" });
            const [failed] = await textOf(page, `${origin}/?${query}`);
            assert.match(failed, /^failed: .*Failed to fetch/);
            await page.close();
          })), ["--set", "server.cors_origins=https://example.org"]);
    }),
);

testNeeding(
  "browser: the landing page",
  missingProgram(...PROGRAMS),
  () =>
    withServer((server) =>
      withBrowser(async (browser) => {
        const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
        const problems: string[] = [];
        page.on("console", (message) => problems.push(message.text()));
        page.on("pageerror", (error) => problems.push(String(error)));
        const response = await page.goto(server.url);
        assert.equal(response?.status(), 200);
        assert.equal(await page.title(), `PairDB ${server.nodeId}`);
        const text = await page.innerText("main");
        for (
          const part of [
            "PairDB",
            server.nodeId,
            "healthy",
            `${server.url}/pairdb.v1.KeyValueService/Put`,
          ]
        ) {
          assert.ok(text.includes(part), `${part} is not in:\n${text}`);
        }
        // The style sheet took effect: the page's own content policy has to allow it.
        const width = await page.locator("main").evaluate((main) =>
          main.getBoundingClientRect().width
        );
        assert.ok(width < 800, `the page is ${width} wide`);
        const screenshot = Deno.env.get("PAIRDB_SCREENSHOT");
        if (screenshot !== undefined) await page.screenshot({ path: screenshot });
        // A favicon that is not there is a line in the console, and nothing to anybody.
        assert.deepEqual(problems.filter((text) => !text.includes("404")), []);
        for (
          const [name, expected] of [["metrics", "# HELP"], ["health", "ok"], ["readiness", "ok"]]
        ) {
          await page.goto(server.url);
          await page.click(`nav a:text-is("${name}")`);
          assert.ok((await page.innerText("body")).includes(expected), name);
        }
        await page.close();
      })
    ),
);
