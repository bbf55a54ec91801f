/**
 * HPACK's static table (RFC 7541, Appendix A): 61 fields that both ends know by number.
 * @module
 */

const FIELDS: readonly (readonly [name: string, value: string])[] = Object.freeze([
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
]);

/** Entries of the static table; the dynamic one goes on after them. */
export const STATIC_COUNT = FIELDS.length;

/** Names by index. They count from 1: the empty string at 0 is none of them. */
export const STATIC_NAMES: readonly string[] = Object.freeze(["", ...FIELDS.map(([name]) => name)]);

/** Values by index, as the names; the empty string where the entry has a name only. */
export const STATIC_VALUES: readonly string[] = Object.freeze([
  "",
  ...FIELDS.map(([, value]) => value),
]);

/** Where a name stands. */
export interface StaticName {
  /** The first index with this name. */
  readonly index: number;
  /** Its values, each with the index of the entry that has just both. */
  readonly values: ReadonlyMap<string, number>;
}

/** The table by name, for who encodes. */
export const STATIC_PLACES: ReadonlyMap<string, StaticName> = ((): Map<string, StaticName> => {
  const places = new Map<string, { index: number; values: Map<string, number> }>();
  for (const [at, [name, value]] of FIELDS.entries()) {
    const place = places.get(name) ?? { index: at + 1, values: new Map<string, number>() };
    place.values.set(value, at + 1);
    places.set(name, place);
  }
  return places;
})();
