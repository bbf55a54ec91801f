/** Rows and who cites them, in made-up lists and tests. */
import assert from "node:assert/strict";
import {
  findCitations,
  findUnknown,
  readRows,
  report,
  reportMissing,
} from "../../../tools/rows.ts";

const LIST = `# Rows

Words - A1 is none here.

## Disk

- D1 measures
- D4 recovers
  by itself

## Settled

- X17 an alias
`;

/** A source that declares one test of that name, in a literal as given. */
const declare = (name: string) => `\nDeno.test(${name}, () => {});\n`;

Deno.test("readRows() reads each row with its section, over several lines", () => {
  assert.deepEqual(readRows(LIST, "rows.md"), {
    found: [
      { id: "D1", text: "measures", section: "Disk" },
      { id: "D4", text: "recovers by itself", section: "Disk" },
      { id: "X17", text: "an alias", section: "Settled" },
    ],
    problems: [],
  });
});

Deno.test("readRows() names a row that is there twice", () => {
  assert.deepEqual(readRows("- D1 one\n- D1 two\n", "rows.md").problems, [
    "rows.md:2: D1 is there already",
  ]);
});

Deno.test("findCitations() reads the names of tests and steps, however they are given", () => {
  const citing: [source: string, ids: string[]][] = [
    [declare('"full [D4]"'), ["D4"]],
    [declare('"full [D4, X17]"'), ["D4", "X17"]],
    [declare("`${how} [D4]`"), ["D4"]],
    ['\nDeno.test({ ignore: true, name: "full [D4]", fn() {} });', ["D4"]],
    ['\nDeno.test.only("full [D4]", () => {});', ["D4"]],
    ['\nawait t.step("full [D4]", () => {});', ["D4"]],
  ];
  for (const [source, ids] of citing) {
    assert.deepEqual(findCitations(source, "a_test.ts"), {
      found: [{ file: "a_test.ts", line: 2, ids }],
      problems: [],
    }, source);
  }
});

Deno.test("findCitations() takes no other text, and no other brackets, for a citation", () => {
  for (
    const source of [
      'const text = "full [D4]";',
      'assert.ok(true, "full [D4]");',
      `const source = \`Deno.test("full [D4]", () => {});\`;`,
      '// Deno.test("full [D4]")',
      declare('"the list [1, 2]"'),
      declare("`${names[0]} of [a, b]`"),
    ]
  ) {
    assert.deepEqual(findCitations(source, "a_test.ts"), { found: [], problems: [] }, source);
  }
});

Deno.test("findCitations() names citations in another form or place", () => {
  for (const name of ["[D4] full", "full [d4]", "full [D4,X17]", "full [D4 X17]", "full[D4]"]) {
    assert.deepEqual(findCitations(declare(`"${name}"`), "a_test.ts"), {
      found: [],
      problems: ['a_test.ts:2: rows are cited at the end of a name, like " [D4, X17]"'],
    }, name);
  }
  assert.deepEqual(findCitations(declare('"full [D4, D4]"'), "a_test.ts").problems, [
    "a_test.ts:2: cites a row twice",
  ]);
});

Deno.test("findUnknown() names a citation of a row that is not in the list", () => {
  const rows = readRows(LIST, "rows.md").found;
  const citations = findCitations(declare('"full [D4, D5]"'), "a_test.ts").found;
  assert.deepEqual(findUnknown(rows, citations), ["a_test.ts:2: there is no row D5"]);
});

Deno.test("report() has each row with its tests' files, and those without a test", () => {
  const rows = readRows(LIST, "rows.md").found;
  const citations = [
    { file: "b_test.ts", line: 1, ids: ["D4"] },
    { file: "a_test.ts", line: 1, ids: ["D4", "X17"] },
    { file: "a_test.ts", line: 2, ids: ["D4"] },
  ];
  const missing = ["without a test:", "  D1   measures", "3 rows, 2 with a test, 1 without"];
  assert.deepEqual(reportMissing(rows, citations), missing);
  assert.deepEqual(report(rows, citations), [
    "Disk",
    "  D1      0   measures",
    "  D4      3   recovers by itself",
    "              a_test.ts",
    "              b_test.ts",
    "Settled",
    "  X17     1   an alias",
    "              a_test.ts",
    "",
    ...missing,
  ]);
  assert.deepEqual(reportMissing(rows.slice(1), citations), ["2 rows, 2 with a test, 0 without"]);
});
