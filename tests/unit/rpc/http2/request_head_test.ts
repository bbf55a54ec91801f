import assert from "node:assert/strict";
import { ERROR, Http2Error } from "../../../../src/rpc/http2/frames.ts";
import { checkFields, fieldOf, readRequestHead } from "../../../../src/rpc/http2/request_head.ts";
import { Peer } from "../../../support/http2_peer.ts";

const BASE = [":method", "POST", ":scheme", "http", ":path", "/a?b", ":authority", "host:1"];

const isMalformed = (error: unknown) =>
  error instanceof Http2Error && error.code === ERROR.PROTOCOL_ERROR && error.streamId === 9;

Deno.test("readRequestHead() takes a head apart", () => {
  const fields = ["te", "trailers", "content-length", "12", "x-a", "1", "x-a", "2"];
  const head = readRequestHead([...BASE, ...fields], 9);
  assert.deepEqual(head, {
    method: "POST",
    scheme: "http",
    path: "/a?b",
    authority: "host:1",
    fields,
    contentLength: 12,
    note: undefined,
  });
  assert.equal(fieldOf(head.fields, "x-a"), "1");
  assert.equal(fieldOf(head.fields, "x-b"), undefined);
});

Deno.test("readRequestHead() takes the host where there is no authority", () => {
  const head = readRequestHead([...BASE.slice(0, 6), "host", "other"], 9);
  assert.equal(head.authority, "other");
  assert.equal(readRequestHead(BASE.slice(0, 6), 9).authority, "");
});

const MALFORMED: Record<string, readonly string[]> = {
  "no :method": BASE.slice(2),
  "no :scheme": [...BASE.slice(0, 2), ...BASE.slice(4)],
  "no :path": [...BASE.slice(0, 4), ...BASE.slice(6)],
  "an empty :path": [...BASE.slice(0, 4), ":path", "", ...BASE.slice(6)],
  "a :path without a slash": [...BASE.slice(0, 4), ":path", "a", ...BASE.slice(6)],
  "a :path that is a whole URL": [...BASE.slice(0, 4), ":path", "http://host:1/a"],
  "a :path that is a query only": [...BASE.slice(0, 4), ":path", "?a", ...BASE.slice(6)],
  "* without OPTIONS": [...BASE.slice(0, 4), ":path", "*", ...BASE.slice(6)],
  "more than * with OPTIONS": [":method", "OPTIONS", ":scheme", "http", ":path", "*/a"],
  "CONNECT with a :path": [":method", "CONNECT", ":path", "/", ":authority", "a:1"],
  "CONNECT with all of a usual head": [":method", "CONNECT", ...BASE.slice(2)],
  "CONNECT without an authority": [":method", "CONNECT"],
  "an empty list": [],
  "a pseudo field twice": [...BASE, ":path", "/a"],
  "an unknown pseudo field": [":what", "x", ...BASE],
  "a response's pseudo field": [":status", "200", ...BASE],
  "a pseudo field behind others": [...BASE.slice(0, 6), "x", "y", ":authority", "host:1"],
  "a name in upper case": [...BASE, "X-A", "1"],
  "an empty name": [...BASE, "", "1"],
  "a space in a name": [...BASE, "x a", "1"],
  "a colon in a name": [...BASE, "x:a", "1"],
  "a byte above ASCII in a name": [...BASE, "x\xe4", "1"],
  "a control character in a name": [...BASE, "x\x7f", "1"],
  "NUL in a value": [...BASE, "x", "a\0b"],
  "CR in a value": [...BASE, "x", "a\rb"],
  "LF in a value": [...BASE, "x", "a\nb"],
  "LF in :path": [":method", "GET", ":scheme", "http", ":path", "/\n"],
  "a space before a value": [...BASE, "x", " a"],
  "a tab behind a value": [...BASE, "x", "a\t"],
  "connection": [...BASE, "connection", "close"],
  "proxy-connection": [...BASE, "proxy-connection", "close"],
  "keep-alive": [...BASE, "keep-alive", "1"],
  "transfer-encoding": [...BASE, "transfer-encoding", "chunked"],
  "upgrade": [...BASE, "upgrade", "h2c"],
  "te that is not trailers": [...BASE, "te", "gzip"],
  "a content-length that is no number": [...BASE, "content-length", "1x"],
  "a negative content-length": [...BASE, "content-length", "-1"],
  "a content-length beyond all bounds": [...BASE, "content-length", "9".repeat(16)],
  "an empty content-length": [...BASE, "content-length", ""],
  "two content-lengths": [...BASE, "content-length", "1", "content-length", "2"],
  "a host that is not the authority": [...BASE, "host", "other:1"],
  "a host on another port than the authority": [...BASE, "host", "host:2"],
  "a host without the authority's port": [...BASE, "host", "host"],
  "an empty host beside an authority": [...BASE, "host", ""],
  "two hosts of which one is not the authority": [...BASE, "host", "host:1", "host", "other:1"],
  "two hosts that differ, without an authority": [...BASE.slice(0, 6), "host", "a", "host", "b"],
  "CONNECT with another host": [":method", "CONNECT", ":authority", "a:1", "host", "a:2"],
};

for (const [what, headers] of Object.entries(MALFORMED)) {
  Deno.test(`readRequestHead() refuses ${what}`, () => {
    assert.throws(() => readRequestHead(headers, 9), isMalformed);
  });
}

Deno.test("readRequestHead() takes what is odd and not malformed", () => {
  const fields = ["x", "", "y", "a b\tc\xff", "te", "trailers", "!#$%&'*+-.^_`|~09az", "v"];
  assert.deepEqual(readRequestHead([...BASE, ...fields], 9).fields, fields);
  assert.equal(
    readRequestHead([...BASE, "content-length", "07", "content-length", "7"], 9).contentLength,
    7,
  );
  assert.equal(readRequestHead([":method", "CONNECT", ":authority", "a:1"], 9).path, "");
  assert.equal(
    readRequestHead([":method", "OPTIONS", ":scheme", "http", ":path", "*"], 9).path,
    "*",
  );
});

Deno.test("readRequestHead() takes a host that names the authority, however it is written", () => {
  const same: (readonly [scheme: string, authority: string, host: string])[] = [
    ["http", "host:1", "host:1"],
    ["http", "host:1", "HOST:1"],
    ["http", "Host.Example", "host.example:80"],
    ["http", "host:80", "host"],
    ["http", "host", "host:"],
    ["https", "host:443", "host"],
    ["HTTPS", "[::1]", "[::1]:443"],
  ];
  for (const [scheme, authority, host] of same) {
    const list = [":method", "GET", ":scheme", scheme, ":path", "/", ":authority", authority];
    const head = readRequestHead([...list, "host", host], 9);
    assert.equal(head.authority, authority);
    assert.deepEqual(head.fields, ["host", host], "handlers see it as it came");
  }
  const twice = [...BASE.slice(0, 6), "host", "a", "host", "A:80"];
  assert.equal(readRequestHead(twice, 9).authority, "a");
});

Deno.test("readRequestHead() knows which scheme a port is the default of", () => {
  const list = (scheme: string) => [":method", "GET", ":scheme", scheme, ":path", "/"];
  for (const [scheme, port] of [["http", 443], ["https", 80], ["other", 80]]) {
    const fields = [":authority", "host", "host", `host:${port}`];
    assert.throws(() => readRequestHead([...list(String(scheme)), ...fields], 9), isMalformed);
  }
  // An address in brackets that ends as a port would is not one.
  const v6 = [...list("http"), ":authority", "[fe::80]", "host", "[fe:]"];
  assert.throws(() => readRequestHead(v6, 9), isMalformed);
});

Deno.test("checkFields() refuses pseudo fields in trailers", () => {
  checkFields(["x", "y"], 9);
  assert.throws(() => checkFields([":path", "/"], 9), isMalformed);
});

Deno.test("heads are remembered for one connection only, and as long as their bytes mean the same", () => {
  const paths = (peer: Peer) => [...peer.users.values()].map(({ head }) => head.path);
  const peers = [new Peer(), new Peer()];
  // The same bytes, whose table entries differ from one connection to the other.
  for (const [i, peer] of peers.entries()) {
    for (let call = 0; call < 4; call++) peer.send(peer.request(2 * call + 1, true, [], `/${i}`));
    peer.exchange();
  }
  assert.deepEqual(paths(peers[0]), ["/0", "/0", "/0", "/0"]);
  assert.deepEqual(paths(peers[1]), ["/1", "/1", "/1", "/1"]);
  const [peer] = peers;
  const heads = [...peer.users.values()].map(({ head }) => head);
  assert.equal(heads[2], heads[3], "the same bytes are read once");
  // The table moves on: the index means another path now.
  peer.send(peer.request(9, true, [], "/new"), peer.request(11, true, [], "/0"));
  peer.send(peer.request(13, true, [], "/new"));
  assert.deepEqual(paths(peer).slice(4), ["/new", "/0", "/new"]);
});
