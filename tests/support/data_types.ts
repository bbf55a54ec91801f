/**
 * Models of the built-in data types: what each shows of the operations that are known, for tests that keep all
 * of them in mind.
 */
import fc from "fast-check";
import { compareBytes, DATA_TYPES, type DataType, utf8 } from "../../src/model/mod.ts";
import type { Operation } from "./replicas.ts";

/** What a data type shows of operations that have survived deletes, of all that are known. */
export interface Model {
  readonly type: DataType;
  readonly values: fc.Arbitrary<string>;
  show(alive: readonly Operation[], known: readonly Operation[]): string;
}

const name = fc.constantFrom("a", "b", "ä", "\ud83d\ude00", "\uffff", "", "2", "10", "__proto__");
const names = fc.array(name, { maxLength: 3 });
const byBytes = (a: string, b: string) => compareBytes(utf8(a), utf8(b));

function added(operation: Operation): readonly string[] {
  const json = JSON.parse(operation.value!);
  return Array.isArray(json) ? json : json.add ?? [];
}

function touched(operation: Operation): readonly string[] {
  return [...added(operation), ...JSON.parse(operation.value!).remove ?? []];
}

/** A text stands in a set while somebody's adding of it was not seen by one who named it since. */
function showSet(alive: readonly Operation[], known: readonly Operation[]): string {
  const puts = known.filter(({ value }) => value !== undefined);
  const present = alive.flatMap((operation) =>
    added(operation).filter((text) =>
      !puts.some((later) => later.saw.has(operation.id) && touched(later).includes(text)) ||
      puts.some((later) =>
        later.saw.has(operation.id) && added(later).includes(text) && alive.includes(later) &&
        !puts.some((last) => last.saw.has(later.id) && touched(last).includes(text))
      )
    )
  );
  return JSON.stringify([...new Set(present)].sort(byBytes));
}

function showMap(alive: readonly Operation[], known: readonly Operation[]): string {
  const puts = known.filter(({ value }) => value !== undefined);
  const fields = new Map<string, Operation>();
  for (const operation of alive) {
    for (const [field, part] of Object.entries(JSON.parse(operation.value!))) {
      const replaced = puts.some((later) =>
        later.saw.has(operation.id) && Object.hasOwn(JSON.parse(later.value!), field)
      );
      if (part === null || replaced) continue;
      const other = fields.get(field);
      const isLater = other === undefined || operation.stampMs > other.stampMs ||
        (operation.stampMs === other.stampMs && operation.node > other.node);
      if (isLater) fields.set(field, operation);
    }
  }
  const parts = [...fields].sort(([a], [b]) => byBytes(a, b)).map(([field, operation]) =>
    `${JSON.stringify(field)}:${
      JSON.stringify(Object.getOwnPropertyDescriptor(JSON.parse(operation.value!), field)!.value)
    }`
  );
  return `{${parts.join(",")}}`;
}

/** What a write asserts is the extreme of its number and of what its node showed. */
function showExtreme(pick: (a: number, b: number) => number) {
  return (alive: readonly Operation[]) =>
    String(
      alive.map(({ value, before }) =>
        before === undefined ? Number(value) : pick(Number(value), Number(before))
      ).reduce((a, b) => pick(a, b)),
    );
}

const numbers = fc.oneof(
  fc.integer({ min: -50, max: 50 }).map(String),
  fc.constantFrom("1.5", "-0.25", "1e300", "-1E+2"),
);
const setOperations = fc.oneof(
  names.map((texts) => JSON.stringify(texts)),
  fc.record({ add: names, remove: names }, { requiredKeys: [] })
    .filter(({ add = [], remove = [] }) => !add.some((text) => remove.includes(text)))
    .map((operation) => JSON.stringify(operation)),
);
const mapOperations = fc.array(
  fc.tuple(name, fc.oneof(fc.constant(null), fc.jsonValue({ maxDepth: 1 }))),
  { maxLength: 3 },
).map((fields) =>
  `{${fields.map(([field, part]) => `${JSON.stringify(field)}:${JSON.stringify(part)}`).join(",")}}`
);

/** All of them. */
export const MODELS: readonly Model[] = [
  {
    type: typeOf("counter"),
    values: fc.tuple(fc.constantFrom("", "+", "-"), fc.nat({ max: 1000 })).map((p) => p.join("")),
    show: (alive) => String(alive.reduce((sum, { value }) => sum + Number(value), 0)),
  },
  {
    type: typeOf("gset"),
    values: names.map((add) => JSON.stringify({ add })),
    show: showSet,
  },
  { type: typeOf("orset"), values: setOperations, show: showSet },
  { type: typeOf("map"), values: mapOperations, show: showMap },
  { type: typeOf("max"), values: numbers, show: showExtreme(Math.max) },
  { type: typeOf("min"), values: numbers, show: showExtreme(Math.min) },
];

function typeOf(name: string): DataType {
  return DATA_TYPES.find((type) => type.name === name)!;
}
