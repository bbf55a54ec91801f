/**
 * The examples of RFC 7541, Appendix C, both ways, with what the dynamic table holds after each.
 * @module
 */
import assert from "node:assert/strict";
import { HpackDecoder, HpackEncoder } from "../../../../src/rpc/http2/mod.ts";
import { fromHex, toHex } from "../../../support/hpack.ts";

interface Example {
  readonly name: string;
  readonly hex: string;
  readonly headers: readonly string[];
  readonly entries: readonly (readonly [string, string])[];
  readonly bytes: number;
}

/** A run of blocks on one connection, whose table may have so many bytes. */
function check(tableBytes: number, examples: readonly Example[]): void {
  Deno.test(`decode() reads ${examples[0].name} to ${examples.at(-1)!.name} of RFC 7541`, () => {
    const decoder = new HpackDecoder({ maxTableBytes: tableBytes, maxListBytes: 65536 });
    if (tableBytes === 256) decoder.decode(fromHex("3fe101"), 0, 3);
    for (const { name, hex, headers, entries, bytes } of examples) {
      // Between other bytes, as a block lies in a frame.
      const block = fromHex(`ff ff ${hex} ff`);
      assert.deepEqual(
        decoder.decode(block, 2, block.length - 1),
        { headers, tooLarge: false },
        name,
      );
      assert.deepEqual(decoder.table.entries(), entries, name);
      assert.equal(decoder.table.bytes, bytes, name);
    }
  });
}

const CUSTOM = ["custom-key", "custom-value"] as const;
const AUTHORITY = [":authority", "www.example.com"] as const;
const NO_CACHE = ["cache-control", "no-cache"] as const;

check(4096, [{
  name: "C.2.1",
  hex: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
  headers: ["custom-key", "custom-header"],
  entries: [["custom-key", "custom-header"]],
  bytes: 55,
}]);
check(4096, [{
  name: "C.2.2",
  hex: "040c 2f73 616d 706c 652f 7061 7468",
  headers: [":path", "/sample/path"],
  entries: [],
  bytes: 0,
}]);
check(4096, [{
  name: "C.2.3",
  hex: "1008 7061 7373 776f 7264 0673 6563 7265 74",
  headers: ["password", "secret"],
  entries: [],
  bytes: 0,
}]);
check(4096, [{ name: "C.2.4", hex: "82", headers: [":method", "GET"], entries: [], bytes: 0 }]);

const FIRST_REQUEST = [":method", "GET", ":scheme", "http", ":path", "/", ...AUTHORITY];
const SECOND_REQUEST = [...FIRST_REQUEST, ...NO_CACHE];
const THIRD_REQUEST = [
  ...[":method", "GET", ":scheme", "https", ":path", "/index.html"],
  ...AUTHORITY,
  ...CUSTOM,
];

/** The three requests of C.3 and C.4. */
function requests(section: string, [first, second, third]: readonly string[]): Example[] {
  const name = (number: number) => `${section}.${number}`;
  return [
    { name: name(1), hex: first, headers: FIRST_REQUEST, entries: [AUTHORITY], bytes: 57 },
    {
      name: name(2),
      hex: second,
      headers: SECOND_REQUEST,
      entries: [NO_CACHE, AUTHORITY],
      bytes: 110,
    },
    {
      name: name(3),
      hex: third,
      headers: THIRD_REQUEST,
      entries: [CUSTOM, NO_CACHE, AUTHORITY],
      bytes: 164,
    },
  ];
}

const CODED_REQUESTS = [
  "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
  "8286 84be 5886 a8eb 1064 9cbf",
  "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
];

check(
  4096,
  requests("C.3", [
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
  ]),
);
check(4096, requests("C.4", CODED_REQUESTS));

const DATE_21 = ["date", "Mon, 21 Oct 2013 20:13:21 GMT"] as const;
const DATE_22 = ["date", "Mon, 21 Oct 2013 20:13:22 GMT"] as const;
const PRIVATE = ["cache-control", "private"] as const;
const LOCATION = ["location", "https://www.example.com"] as const;
const STATUS_302 = [":status", "302"] as const;
const STATUS_307 = [":status", "307"] as const;
const GZIP = ["content-encoding", "gzip"] as const;
const COOKIE = [
  "set-cookie",
  "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
] as const;

/** The three responses of C.5 and C.6, whose table of 256 bytes overflows. */
function responses(section: string, [first, second, third]: readonly string[]): Example[] {
  const name = (number: number) => `${section}.${number}`;
  return [
    {
      name: name(1),
      hex: first,
      headers: [...STATUS_302, ...PRIVATE, ...DATE_21, ...LOCATION],
      entries: [LOCATION, DATE_21, PRIVATE, STATUS_302],
      bytes: 222,
    },
    {
      name: name(2),
      hex: second,
      headers: [...STATUS_307, ...PRIVATE, ...DATE_21, ...LOCATION],
      entries: [STATUS_307, LOCATION, DATE_21, PRIVATE],
      bytes: 222,
    },
    {
      name: name(3),
      hex: third,
      headers: [":status", "200", ...PRIVATE, ...DATE_22, ...LOCATION, ...GZIP, ...COOKIE],
      entries: [COOKIE, GZIP, DATE_22],
      bytes: 215,
    },
  ];
}

check(
  256,
  responses("C.5", [
    `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
     2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
     6c65 2e63 6f6d`,
    "4803 3330 37c1 c0bf",
    `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
     54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
     5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
     3d31`,
  ]),
);
check(
  256,
  responses("C.6", [
    `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
     2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
    "4883 640e ffc1 c0bf",
    `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
     77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
     9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
  ]),
);

/** What the encoder makes of a list. */
function encoded(encoder: HpackEncoder, headers: readonly string[]): string {
  const into = new Uint8Array(1000);
  return toHex(into.subarray(0, encoder.encode(headers, into, 0)));
}

Deno.test("encode() writes C.4 of RFC 7541, byte by byte", () => {
  const encoder = new HpackEncoder();
  const lists = [FIRST_REQUEST, SECOND_REQUEST, THIRD_REQUEST];
  const expected = CODED_REQUESTS.map((hex) => toHex(fromHex(hex)));
  // We make no entry of a name of which nothing is known.
  expected[2] = expected[2].replace("bf4088", "bf0088");
  assert.deepEqual(lists.map((headers) => encoded(encoder, headers)), expected);
  assert.deepEqual(encoder.table.entries(), [NO_CACHE, AUTHORITY].map((entry) => [...entry]));
  assert.equal(encoder.table.bytes, 110);
});

Deno.test("encode() writes the first of C.6 of RFC 7541, but makes no entries of dates and locations", () => {
  const encoder = new HpackEncoder();
  encoder.setMaxTableBytes(256);
  const block = encoded(encoder, [...STATUS_302, ...PRIVATE, ...DATE_21, ...LOCATION]);
  const expected = fromHex(
    `3fe1 01 4882 6402 5885 aec3 771a 4b 0f12 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
     2d1b ff 0f1f 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
  );
  assert.equal(block, toHex(expected));
  assert.deepEqual(encoder.table.entries(), [[...PRIVATE], [...STATUS_302]]);
});

Deno.test("integers are those of C.1 of RFC 7541, in a prefix of five bits", () => {
  const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 4096 });
  const encoder = new HpackEncoder();
  for (const [hex, value] of [["2a", 10], ["3f9a0a", 1337]] as const) {
    decoder.decode(fromHex(hex), 0, hex.length / 2);
    assert.equal(decoder.table.maxBytes, value);
    encoder.setMaxTableBytes(value);
    assert.ok(encoded(encoder, []).endsWith(hex));
  }
});
