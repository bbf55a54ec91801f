import assert from "node:assert/strict";
import fc from "fast-check";
import {
  ByteWriter,
  type ClockEntry,
  ContextSeals,
  EMPTY_CLOCK,
  normalizeClock,
  putU32,
  SipHash,
  utf8,
  type VectorClock,
} from "../../../src/model/mod.ts";

const SECRET = Uint8Array.from({ length: 16 }, (_, i) => 200 - i);
const seals = new ContextSeals(SECRET);
const refused = { code: 1000, details: { reason: "context_seal" } };

// Plain ones of any length, and such as take more bytes than characters.
const text = fc.oneof(
  fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 }),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }),
).filter((text) => text.isWellFormed());
const counter = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.maxSafeNat().map((n) => n || 1));
const event: fc.Arbitrary<ClockEntry> = fc.record({
  node: fc.oneof(text, fc.constantFrom("a", "b")),
  counter,
});
const clock = fc.record({
  entries: fc.array(event, { maxLength: 3 }),
  dots: fc.array(event, { maxLength: 3 }),
}).map(normalizeClock).filter(({ entries, dots }) => entries.length + dots.length > 0);

/** The seal as its description has it: the message as bytes, and all of them hashed. */
function byTheBook(tenant: string, key: string, { entries, dots }: VectorClock): number {
  const writer = new ByteWriter();
  const numbers = (low: number, high: number) => {
    const bytes = new Uint8Array(8);
    putU32(bytes, 0, low);
    putU32(bytes, 4, high);
    writer.raw(bytes);
  };
  const padded = (text: string) => {
    const bytes = utf8(text);
    writer.raw(bytes).raw(new Uint8Array((8 - bytes.length % 8) % 8));
  };
  numbers(
    utf8(tenant).length + utf8(key).length * 2 ** 16,
    entries.length + dots.length * 2 ** 16,
  );
  padded(tenant);
  padded(key);
  for (const { node, counter } of [...entries, ...dots]) {
    numbers(counter % 2 ** 32, Math.floor(counter / 2 ** 32) + utf8(node).length * 2 ** 24);
    padded(node);
  }
  const hash = new SipHash(SECRET);
  hash.padded(writer.view());
  hash.end();
  return (hash.high >>> 0) % 2 ** 21 * 2 ** 32 + (hash.low >>> 0);
}

Deno.test("a seal is the hash of tenant, key and clock that docs/formats.md describes", () => {
  fc.assert(fc.property(text, text, clock, (tenant, key, clock) => {
    const seal = byTheBook(tenant, key, clock);
    assert.ok(Number.isSafeInteger(seal) && seal >= 0);
    assert.deepEqual(seals.seal(tenant, key, clock), { ...clock, seal });
    // The key may be its bytes.
    assert.equal(seals.sealOf(tenant, utf8(key), clock), seal);
  }));
});

Deno.test("a sealed context is taken for its key, and for none else, and not when anything of it was changed", () => {
  const other = (given: string) => text.filter((text) => text !== given);
  const cases = fc.tuple(text, text, clock).chain(([tenant, key, clock]) =>
    fc.record({
      tenant: fc.constant(tenant),
      key: fc.constant(key),
      clock: fc.constant(clock),
      otherTenant: other(tenant),
      otherKey: other(key),
      bit: fc.nat({ max: 63 }),
      at: fc.nat({ max: clock.entries.length + clock.dots.length - 1 }),
      by: fc.constantFrom(1, 2, 2 ** 31, 2 ** 32, 2 ** 52),
      node: text,
    })
  );
  fc.assert(fc.property(cases, ({ tenant, key, clock, ...changes }) => {
    const { seal } = seals.seal(tenant, key, clock);
    const takes = (...how: Parameters<ContextSeals["check"]>) => seals.check(...how);
    takes(tenant, key, clock, seal);
    takes(tenant, utf8(key), clock, seal);
    new ContextSeals(SECRET.slice(), true).check(tenant, key, clock, seal);
    const no = (...how: Parameters<ContextSeals["check"]>) =>
      assert.throws(() => seals.check(...how), refused);
    no(changes.otherTenant, key, clock, seal);
    no(tenant, changes.otherKey, clock, seal);
    // What stands between tenant and key counts, too.
    const [first, ...rest] = key;
    no(tenant + first, rest.join(""), clock, seal);
    const flipped = Number(BigInt(seal!) ^ 1n << BigInt(changes.bit));
    no(tenant, key, clock, flipped);
    no(tenant, key, undefined, seal);
    no(tenant, key, EMPTY_CLOCK, seal);
    const changed = (change: (event: ClockEntry) => readonly ClockEntry[]) => {
      const { entries, dots } = clock;
      const { at } = changes;
      if (at < entries.length) {
        return { entries: entries.toSpliced(at, 1, ...change(entries[at])), dots };
      }
      const place = at - entries.length;
      return { entries, dots: dots.toSpliced(place, 1, ...change(dots[place])) };
    };
    no(tenant, key, changed(() => []), seal);
    no(tenant, key, changed((event) => [event, event]), seal);
    no(tenant, key, changed(({ node, counter }) => [{ node: `${node}x`, counter }]), seal);
    no(
      tenant,
      key,
      changed(({ node, counter }) => [{ node, counter: (counter + changes.by) % 2 ** 53 }]),
      seal,
    );
    // A dot is no entry.
    no(tenant, key, { entries: clock.dots, dots: clock.entries }, seal);
    assert.throws(
      () => new ContextSeals(SECRET.map((byte) => byte ^ 1)).check(tenant, key, clock, seal),
      refused,
    );
  }));
});

Deno.test("a context without a seal is taken, unless one is required; without events it needs none", () => {
  const clock = { entries: [{ node: "a", counter: 1 }], dots: [] };
  const strict = new ContextSeals(SECRET, true);
  seals.check("t", "k", clock, undefined);
  assert.throws(() => strict.check("t", "k", clock, undefined), refused);
  assert.throws(() => strict.check("t", "k", clock, undefined, 3), {
    details: { reason: "context_seal", item: 3 },
  });
  for (const each of [seals, strict]) {
    each.check("t", "k", undefined, undefined);
    each.check("t", "k", EMPTY_CLOCK, undefined);
    assert.equal(each.seal("t", "k", EMPTY_CLOCK), EMPTY_CLOCK);
  }
});
