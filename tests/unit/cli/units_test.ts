import assert from "node:assert/strict";
import fc from "fast-check";
import {
  formatDuration,
  formatSize,
  parseDuration,
  parseQuietHours,
  parseSize,
  roughDuration,
  roughSize,
} from "../../../src/cli/units.ts";

Deno.test("parseDuration() reads every unit, sums, and plain milliseconds", () => {
  const cases: [string | number, number][] = [
    ["100ms", 100],
    ["10s", 10_000],
    ["1.5s", 1500],
    ["5m", 300_000],
    ["168h", 604_800_000],
    ["7d", 604_800_000],
    ["1h30m", 5_400_000],
    ["0ms", 0],
    ["250", 250],
    [250, 250],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, String(text));
});

Deno.test("parseDuration() refuses what is no duration or no whole number of ms", () => {
  for (const text of ["", "s", "10 s", "-1s", "1e3s", "10S", "1y", "0.5ms", "s10", "10s "]) {
    assert.equal(parseDuration(text), undefined, JSON.stringify(text));
  }
  for (const count of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assert.equal(parseDuration(count), undefined, String(count));
  }
  assert.equal(parseDuration(`${2 ** 53}`), undefined);
});

Deno.test("parseSize() tells 1024s from 1000s", () => {
  const cases: [string | number, number][] = [
    ["4096", 4096],
    [4096, 4096],
    ["512B", 512],
    ["64KiB", 65_536],
    ["64MiB", 67_108_864],
    ["64 MiB", 67_108_864],
    ["64MB", 64_000_000],
    ["1GiB", 1_073_741_824],
    ["1.5GiB", 1_610_612_736],
    ["1TB", 1e12],
  ];
  for (const [text, bytes] of cases) assert.equal(parseSize(text), bytes, String(text));
  for (const text of ["", "64M", "64mib", "MiB", "-1MiB", "0.3B", "1 000", "0x10"]) {
    assert.equal(parseSize(text), undefined, JSON.stringify(text));
  }
});

Deno.test("what the formatters write, the parsers read back", () => {
  fc.assert(fc.property(fc.nat({ max: 2 ** 52 }), (count) => {
    assert.equal(parseDuration(formatDuration(count)), count);
    assert.equal(parseSize(formatSize(count)), count);
  }));
  assert.equal(formatDuration(604_800_000), "168h");
  assert.equal(formatDuration(90_000), "90s");
  assert.equal(formatSize(67_108_864), "64MiB");
  assert.equal(formatSize(64_000_000), "62500KiB");
});

Deno.test("rough figures are short", () => {
  assert.equal(roughSize(0), "0 B");
  assert.equal(roughSize(1_300_000_000), "1.21 GiB");
  assert.equal(roughDuration(5), "5ms");
  assert.equal(roughDuration(90_061_000), "1d 1h");
});

Deno.test("parseQuietHours() reads hours of the day, also past midnight, and days; nothing else", () => {
  assert.deepEqual(parseQuietHours("08:00-18:30"), { fromMs: 28_800_000, toMs: 66_600_000 });
  assert.deepEqual(parseQuietHours("22:00-06:00"), { fromMs: 79_200_000, toMs: 21_600_000 });
  const days = (text: string) => parseQuietHours(`${text} 08:00-18:00`)?.days;
  assert.deepEqual(days("mon-fri"), [0, 1, 2, 3, 4]);
  assert.deepEqual(days("sat-mon,wed"), [5, 6, 0, 2]);
  assert.deepEqual(days("sun"), [6]);
  for (
    const bad of ["", "mon", "8-18", "24:00-01:00", "08:00-18:00 mon", "mon - fri 08:00-18:00"]
  ) {
    assert.equal(parseQuietHours(bad), undefined, bad);
  }
});
