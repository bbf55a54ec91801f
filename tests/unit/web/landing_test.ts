import assert from "node:assert/strict";
import { escapeHtml, landingPage } from "../../../src/web/landing.ts";

Deno.test("landingPage() escapes everything that it is given", () => {
  const evil = `"><script>alert('x')</script>&`;
  const page = landingPage({ nodeId: evil, version: evil, status: evil, good: false, host: evil });
  assert.doesNotMatch(page, /<script/);
  assert.equal(page.split(escapeHtml(evil)).length - 1, 6, "title, three facts, two examples");
});

Deno.test("landingPage() fetches nothing from elsewhere", () => {
  const page = landingPage({ nodeId: "n", version: "1", status: "ok", good: true, host: "h:1" });
  assert.doesNotMatch(page, /<(link|img|script|iframe)|url\(|@import|src=/);
  assert.match(page, /http:\/\/h:1\/pairdb\.v1\.KeyValueService\/Put/);
});
