/**
 * Units: durations and sizes as people write them, to milliseconds and bytes and back. What
 * `format…` writes, `parse…` reads back to the same number.
 * @module
 */

const MS_PER: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const BYTES_PER: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/**
 * Milliseconds of a duration such as `100ms`, `1.5s`, `10m`, `168h`, `7d` or `1h30m`; a number alone
 * counts milliseconds.
 * @returns undefined when it is none, or no whole number of milliseconds up to 2^53 - 1
 */
export function parseDuration(text: string | number): number | undefined {
  if (typeof text === "number" || /^\d+$/.test(text)) return whole(Number(text));
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let ms = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    ms += Number(count) * MS_PER[unit];
  }
  return whole(ms);
}

/**
 * Bytes of a size such as `4096`, `64MiB` (1024s) or `64MB` (1000s).
 * @returns undefined when it is none, or no whole number of bytes up to 2^53 - 1
 */
export function parseSize(text: string | number): number | undefined {
  if (typeof text === "number" || /^\d+$/.test(text)) return whole(Number(text));
  const parts = /^(\d+(?:\.\d+)?) ?([KMGT]i?B|B)$/.exec(text);
  return parts === null ? undefined : whole(Number(parts[1]) * BYTES_PER[parts[2]]);
}

const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY = `(?:${WEEKDAYS.join("|")})`;
const DAYS = `${DAY}(?:-${DAY})?(?:,${DAY}(?:-${DAY})?)*`;
const TIME = "(?:[01]\\d|2[0-3]):[0-5]\\d";
/** What {@link parseQuietHours} reads, or nothing. */
export const QUIET_HOURS = new RegExp(`^(?:(?:(${DAYS}) )?(${TIME})-(${TIME}))?$`);

/**
 * Hours of the day, and days of the week where they are not for all, such as `mon-fri 22:00-06:30`: in ms since
 * midnight, and with 0 for Monday.
 * @returns undefined when there are none
 */
export function parseQuietHours(
  text: string,
): { fromMs: number; toMs: number; days?: readonly number[] } | undefined {
  const [, days, from, to] = QUIET_HOURS.exec(text) ?? [];
  if (from === undefined) return undefined;
  const hours = { fromMs: parseTime(from), toMs: parseTime(to) };
  return days === undefined ? hours : { ...hours, days: days.split(",").flatMap(parseDays) };
}

function parseTime(text: string): number {
  const [hours, minutes] = text.split(":").map(Number);
  return (hours * 60 + minutes) * 60_000;
}

/** A day, or one to another, which may be over the end of the week. */
function parseDays(text: string): number[] {
  const [from, to = from] = text.split("-").map((day) => WEEKDAYS.indexOf(day));
  return Array.from({ length: (to - from + 7) % 7 + 1 }, (_, i) => (from + i) % 7);
}

/** The duration with the largest unit that divides it. */
export function formatDuration(ms: number): string {
  // Days are read but not written: people configure `168h`, and it reads the same everywhere.
  for (const unit of ["h", "m", "s"]) {
    if (ms > 0 && ms % MS_PER[unit] === 0) return `${ms / MS_PER[unit]}${unit}`;
  }
  return `${ms}ms`;
}

/** The size with the largest 1024-unit that divides it; plain bytes when none does. */
export function formatSize(bytes: number): string {
  for (const unit of ["TiB", "GiB", "MiB", "KiB"]) {
    if (bytes > 0 && bytes % BYTES_PER[unit] === 0) return `${bytes / BYTES_PER[unit]}${unit}`;
  }
  return `${bytes}`;
}

/** The size for people to glance at: three digits or so, such as `1.21 GiB`. Not read back. */
export function roughSize(bytes: number): string {
  for (const unit of ["TiB", "GiB", "MiB", "KiB"]) {
    const count = bytes / BYTES_PER[unit];
    if (count >= 1) return `${count.toPrecision(count >= 1000 ? 4 : 3)} ${unit}`;
  }
  return `${bytes} B`;
}

/** The duration for people to glance at: its two weightiest units, such as `3d 4h`. Not read back. */
export function roughDuration(ms: number): string {
  const parts: string[] = [];
  let rest = Math.floor(ms);
  for (const unit of ["d", "h", "m", "s"]) {
    const count = Math.floor(rest / MS_PER[unit]);
    rest -= count * MS_PER[unit];
    if (count > 0 || parts.length > 0) parts.push(`${count}${unit}`);
    if (parts.length === 2) break;
  }
  return parts.length === 0 ? `${rest}ms` : parts.join(" ");
}

function whole(count: number): number | undefined {
  // A sum such as 0.1 * 1000 may miss by a rounding error; a real fraction is refused.
  const rounded = Math.round(count);
  return Number.isSafeInteger(rounded) && Math.abs(rounded - count) < 1e-6 && count >= 0
    ? rounded
    : undefined;
}
