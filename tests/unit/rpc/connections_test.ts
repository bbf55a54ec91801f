import assert from "node:assert/strict";
import { protocolOf } from "../../../src/rpc/connections.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

Deno.test("protocolOf() waits for the whole preface and for nothing else", () => {
  for (let i = 0; i < PREFACE.length; i++) {
    assert.equal(protocolOf(bytes(PREFACE.slice(0, i))), undefined);
    const wrong = protocolOf(bytes(PREFACE.slice(0, i) + "x"));
    assert.equal(wrong, PREFACE.slice(0, i).includes("\n") ? "none" : "http1");
  }
  assert.equal(protocolOf(bytes(PREFACE)), "http2");
  assert.equal(protocolOf(bytes(`${PREFACE}more`)), "http2");
  for (const text of ["NONSENSE\r\n", "PRI * HTTP/2.0\r\nx", "\n", "GET / HTTP/3.0\r\nhost: x"]) {
    assert.equal(protocolOf(bytes(text)), "none", text);
  }
  for (
    const text of [
      "G",
      "POST / HTTP/1.1",
      "GET / HTTP/1.0\n\n",
      "POST / HTTP/1.1\r\nx",
      "PUT",
      "\x16\x03\x01",
    ]
  ) {
    assert.equal(protocolOf(bytes(text)), "http1", text);
  }
});
