import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import { AdminService } from "../../../../src/gen/pairdb/v1/admin_pb.ts";
import { KeyValueService } from "../../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { Health } from "../../../../src/gen/grpc/health/v1/health_pb.ts";
import {
  admit,
  ANONYMOUS,
  authoriseMessage,
  checkHolds,
  type Credentials,
  CredentialsAuthority,
  OPEN_AUTHORITY,
  ruleOf,
} from "../../../../src/rpc/auth/mod.ts";
import { memoryLog, SimClock } from "../../../../src/runtime/mod.ts";
import { certificateOf, tokenOf } from "./support.ts";

const CLIENT = tokenOf(1);
const READER = tokenOf(2, { read_only: true });
const OPERATOR = tokenOf(3, { role: "operator", tenants: "*" });
const PASSING = tokenOf(4, { expires_at: "2026-01-01T00:00:10.000Z" });
const NODE = certificateOf("URI:spiffe://example.org/node/1");
const ALL: Credentials = {
  version: 1,
  tokens: [CLIENT.entry, READER.entry, OPERATOR.entry, PASSING.entry],
  certificates: [NODE, certificateOf("DNS:other", { role: "operator" })],
};
const PUT = ruleOf(KeyValueService.method.put);
const GET = ruleOf(KeyValueService.method.get);

function authorityOf(accepts = { tokens: true, certificates: true }) {
  const clock = new SimClock();
  const log = memoryLog();
  const authority = new CredentialsAuthority({ clock, log, credentials: ALL, accepts });
  const peer = (...names: string[]) => ({ names, expiresAtMs: clock.wallMs() + 60_000 });
  return { authority, clock, log, peer };
}

function codeOf(run: () => unknown): Code | "ok" {
  try {
    run();
  } catch (error) {
    assert(error instanceof ConnectError, String(error));
    return error.code;
  }
  return "ok";
}

Deno.test("authenticate() knows a token, however the scheme is written", () => {
  const { authority } = authorityOf();
  for (const scheme of ["Bearer", "bearer", "BEARER", "Bearer "]) {
    for (let time = 0; time < 2; time++) {
      const identity = authority.authenticate(`${scheme} ${CLIENT.text}`, undefined);
      assert.equal(identity.kind, "client");
      assert.equal(identity.name, `token ${CLIENT.entry.id}`);
    }
  }
});

Deno.test("authenticate() refuses everything that is no token of ours", () => {
  const { authority, peer } = authorityOf();
  const stranger = tokenOf(99).text;
  const forged = CLIENT.text.slice(0, 13) + stranger.slice(13);
  const headers = [
    "",
    "Bearer",
    "Bearer ",
    CLIENT.text,
    `Basic ${CLIENT.text}`,
    `Bearer ${stranger}`,
    `Bearer ${forged}`,
    `Bearer ${CLIENT.text}x`,
    `Bearer ${CLIENT.text.toUpperCase()}`,
    `Bearer ${CLIENT.text}, Bearer ${OPERATOR.text}`,
    `Bearer\t${CLIENT.text}`,
    `Bearer ${"x".repeat(10_000)}`,
  ];
  for (const header of headers) {
    assert.equal(codeOf(() => authority.authenticate(header, undefined)), Code.Unauthenticated);
    // A good certificate does not make up for a bad token.
    assert.equal(
      codeOf(() => authority.authenticate(header, peer(NODE.san))),
      Code.Unauthenticated,
    );
  }
  assert.equal(codeOf(() => authority.authenticate(undefined, undefined)), Code.Unauthenticated);
});

Deno.test("a token is none any more from its moment on, also when it was just used", async () => {
  const { authority, clock } = authorityOf();
  const header = `Bearer ${PASSING.text}`;
  const identity = authority.authenticate(header, undefined);
  await clock.advance(9_999);
  authority.authenticate(header, undefined);
  checkHolds(authority, identity);
  await clock.advance(1);
  assert.equal(codeOf(() => authority.authenticate(header, undefined)), Code.Unauthenticated);
  assert.equal(codeOf(() => checkHolds(authority, identity)), Code.Unauthenticated);
});

Deno.test("replace() revokes at once and leaves the others as they are", () => {
  const { authority } = authorityOf();
  const gone = authority.authenticate(`Bearer ${CLIENT.text}`, undefined);
  const kept = authority.authenticate(`Bearer ${OPERATOR.text}`, undefined);
  authority.replace({ ...ALL, tokens: ALL.tokens.slice(1) });
  assert(!authority.holds(gone));
  assert(authority.holds(kept));
  assert.equal(
    codeOf(() => authority.authenticate(`Bearer ${CLIENT.text}`, undefined)),
    Code.Unauthenticated,
  );
  assert.equal(authority.authenticate(`Bearer ${OPERATOR.text}`, undefined), kept);
});

Deno.test("an entry that changed gives a new identity, and the old one holds no more", () => {
  const { authority } = authorityOf();
  const old = authority.authenticate(`Bearer ${CLIENT.text}`, undefined);
  const tokens = ALL.tokens.map((entry) =>
    entry.id === CLIENT.entry.id ? { ...entry, read_only: true } : entry
  );
  authority.replace({ ...ALL, tokens });
  assert(!authority.holds(old));
  const now = authority.authenticate(`Bearer ${CLIENT.text}`, undefined);
  assert.equal(codeOf(() => authority.authoriseMethod(now, PUT)), Code.PermissionDenied);
});

Deno.test("a certificate counts by one known name, and only while it lasts", async () => {
  const { authority, clock, peer } = authorityOf();
  const node = peer("DNS:node-1.example.org", NODE.san);
  assert.equal(authority.authenticate(undefined, node).kind, "node");
  for (
    const bad of [peer(), peer("URI:spiffe://example.org/node/2"), peer(NODE.san, "DNS:other")]
  ) {
    assert.equal(codeOf(() => authority.authenticate(undefined, bad)), Code.Unauthenticated);
  }
  // The kind of a name is part of it.
  const confused = peer(NODE.san.replace("URI:", "DNS:"));
  assert.equal(codeOf(() => authority.authenticate(undefined, confused)), Code.Unauthenticated);
  await clock.advance(60_000);
  assert.equal(codeOf(() => authority.authenticate(undefined, node)), Code.Unauthenticated);
});

Deno.test("a kind of credentials that is not accepted is not looked at", () => {
  const tokens = authorityOf({ tokens: true, certificates: false });
  assert.equal(
    codeOf(() => tokens.authority.authenticate(undefined, tokens.peer(NODE.san))),
    Code.Unauthenticated,
  );
  const certificates = authorityOf({ tokens: false, certificates: true });
  const header = `Bearer ${OPERATOR.text}`;
  assert.equal(
    codeOf(() => certificates.authority.authenticate(header, undefined)),
    Code.Unauthenticated,
  );
  const peer = certificates.peer(NODE.san);
  assert.equal(certificates.authority.authenticate(header, peer).kind, "node");
});

Deno.test("admit() and authoriseMessage() decide by role, access and tenant, with one text for no", () => {
  const { authority, peer } = authorityOf();
  const call = (rule: typeof PUT, who: string, tenantId: string) => {
    const identity = admit(authority, rule, `Bearer ${who}`, undefined);
    authoriseMessage(authority, identity, rule, { tenantId });
  };
  const STATUS = ruleOf(AdminService.method.status);
  const WRITE = ruleOf(StorageNodeService.method.write);
  const denied = Code.PermissionDenied;
  const cases: [typeof PUT, string, string, Code | "ok"][] = [
    [PUT, CLIENT.text, "shop", "ok"],
    [PUT, CLIENT.text, "other", denied],
    [PUT, CLIENT.text, "", denied],
    [PUT, CLIENT.text, "SHOP", denied],
    [PUT, READER.text, "shop", denied],
    [GET, READER.text, "shop", "ok"],
    [GET, READER.text, "other", denied],
    [PUT, OPERATOR.text, "anything", "ok"],
    [STATUS, OPERATOR.text, "", "ok"],
    [STATUS, CLIENT.text, "", denied],
    [WRITE, OPERATOR.text, "shop", denied],
    [WRITE, CLIENT.text, "shop", denied],
  ];
  const texts = new Set<string>();
  for (const [rule, who, tenant, expected] of cases) {
    assert.equal(codeOf(() => call(rule, who, tenant)), expected);
    try {
      call(rule, who, tenant);
    } catch (error) {
      texts.add((error as ConnectError).message);
    }
  }
  assert.equal(texts.size, 1);
  admit(authority, WRITE, undefined, peer(NODE.san));
  // Somebody who looks like a tenant's name in another type gets nowhere.
  const identity = admit(authority, PUT, `Bearer ${CLIENT.text}`, undefined);
  for (const tenantId of [undefined, null, ["shop"], { toString: () => "shop" }]) {
    assert.equal(codeOf(() => authoriseMessage(authority, identity, PUT, { tenantId })), denied);
  }
});

Deno.test("who reaches for another's tenant is named in the log, once a minute [T4]", async () => {
  const { authority, clock, log } = authorityOf();
  const identity = authority.authenticate(`Bearer ${CLIENT.text}`, undefined);
  const reach = (tenant: string) => codeOf(() => authority.authoriseTenant(identity, tenant));
  const named = () => log.named("auth_other_tenant").map(({ level, fields }) => [level, fields]);
  assert.equal(reach("shop"), "ok");
  assert.deepEqual(named(), []);
  const who = `token ${CLIENT.entry.id}`;
  for (let i = 0; i < 1000; i++) assert.equal(reach("bank"), Code.PermissionDenied);
  assert.deepEqual(named(), [["warn", { who, tenant: "bank", times: 1 }]]);
  await clock.advance(60_000);
  // What is no tenant is not written down.
  assert.equal(reach("x".repeat(100_000)), Code.PermissionDenied);
  assert.deepEqual(named()[1], ["warn", { who, tenant: undefined, times: 1000 }]);
});

Deno.test("methods for anyone look at no credentials", () => {
  const { authority } = authorityOf();
  const check = ruleOf(Health.method.check);
  for (const header of [undefined, "", "Bearer nonsense"]) {
    assert.equal(admit(authority, check, header, undefined), ANONYMOUS);
  }
  checkHolds(authority, ANONYMOUS);
});

Deno.test("the open authority lets everybody do everything", () => {
  for (const method of [...KeyValueService.methods, ...StorageNodeService.methods]) {
    const rule = ruleOf(method);
    const identity = admit(OPEN_AUTHORITY, rule, "Bearer nonsense", undefined);
    authoriseMessage(OPEN_AUTHORITY, identity, rule, { tenantId: "any" });
    checkHolds(OPEN_AUTHORITY, identity);
  }
});

Deno.test("more headers than are remembered are still verified, and nothing secret is logged", () => {
  const { authority, log } = authorityOf();
  for (let i = 0; i < 5000; i++) {
    authority.authenticate(`Bearer${" ".repeat(1 + i)}${CLIENT.text}`, undefined);
  }
  const wrong = tokenOf(50).text;
  assert.equal(codeOf(() => authority.authenticate(`Bearer ${wrong}`, undefined)), 16);
  assert.equal(codeOf(() => authority.authenticate("Bearer canary", undefined)), 16);
  const said = JSON.stringify(log.events);
  assert.match(said, /unknown_token/);
  assert.match(said, /malformed_token/);
  for (const secret of [wrong.slice(13), CLIENT.text.slice(13), "canary"]) {
    assert(!said.includes(secret));
  }
});
