/**
 * Bugs to plant in the engine, one at a time, each of which a test must find (planted_test.ts).
 *
 * They are mistakes that engines have been bitten by, or that would be easy to make here. A bug that no
 * test finds is a hole in the tests. `find` stands in its file exactly once; when the code moves on, the
 * bug moves with it.
 * @module
 */

/** A suite, with how far it goes (PAIRDB_LADDER_COUNT). */
export interface Suite {
  readonly file: string;
  readonly count?: number;
  /** Only tests whose names contain this. */
  readonly filter?: string;
}

/** What must find the bugs. */
export const SUITES = {
  crash: { file: "tests/crash/engine_crash_test.ts", count: 4500 },
  killed: { file: "tests/crash/kill_then_power_loss_test.ts" },
  io: { file: "tests/crash/io_errors_test.ts", count: 1 },
  corruption: {
    file: "tests/crash/corruption_test.ts",
    count: 1,
    filter: "/flipped byte of (wal.000023|tenants.notes)/",
  },
  misplaced: { file: "tests/crash/misplaced_test.ts" },
  numbers: { file: "tests/unit/engine/file_numbers_test.ts" },
  recovery: { file: "tests/crash/recovery_flush_test.ts" },
  newest: { file: "tests/crash/lost_segment_test.ts" },
  checkpoint: { file: "tests/oracle/checkpoint_test.ts" },
  checkpoints: { file: "tests/unit/engine/checkpoint/checkpoint_test.ts" },
  merge: { file: "tests/unit/engine/compaction/merge_test.ts" },
  cursors: { file: "tests/unit/engine/cursor_test.ts" },
  strategies: {
    file: "tests/unit/engine/compaction/strategies_test.ts",
    filter: "side by side",
  },
  disk: { file: "tests/unit/runtime/deno_disk_test.ts" },
  oracle: { file: "tests/oracle/engine_test.ts", count: 120_000 },
  fuzz: {
    file: "tests/fuzz/engine_decoders_test.ts",
    count: 4000,
    filter: "/a list of versions|a frame and its records/",
  },
  wal: { file: "tests/unit/engine/wal/log_test.ts" },
  manifest: { file: "tests/unit/engine/manifest/manifest_test.ts" },
  directory: { file: "tests/unit/engine/directory_test.ts" },
  memtable: { file: "tests/unit/engine/memtable/memtable_test.ts" },
  tables: { file: "tests/unit/engine/sstable/table_kinds_test.ts" },
} satisfies Record<string, Suite>;

/** One planted bug. */
export interface Bug {
  readonly name: string;
  /** What goes wrong in the world because of it. */
  readonly breaks: string;
  readonly file: string;
  /** Text that stands in the file once. */
  readonly find: string;
  readonly replace: string;
  /** The same for a second place in the file, where a mistake is made in two. */
  readonly also?: { readonly find: string; readonly replace: string };
  readonly foundBy: keyof typeof SUITES;
}

/** All of them. */
export const BUGS: readonly Bug[] = [
  // ---- the log
  {
    name: "acknowledge before the sync",
    breaks: "a power loss takes acknowledged writes",
    file: "src/engine/wal/log.ts",
    find: "      await this.#syncGroup(group.records);",
    replace: "      void this.#syncGroup(group.records);",
    foundBy: "crash",
  },
  {
    name: "retry a failed sync",
    breaks: "the kernel has dropped the bytes and says that all is well the second time",
    file: "src/engine/wal/log.ts",
    find: "      await this.#syncGroup(group.records);",
    replace:
      "      try {\n        await this.#syncGroup(group.records);\n      } catch {\n        await this.#syncGroup(group.records);\n      }",
    foundBy: "io",
  },
  {
    name: "go on after a failed append",
    breaks: "writes are acknowledged behind a hole in the log",
    file: "src/engine/wal/log.ts",
    find: "    this.#file.append(bytes);\n    this.groups++;",
    replace: "    try { this.#file.append(bytes); } catch { /* planted */ }\n    this.groups++;",
    foundBy: "io",
  },
  {
    name: "begin a segment before the one before is durable",
    breaks: "the log has a hole in its middle after a power loss",
    file: "src/engine/wal/log.ts",
    find: "    await file.sync();\n    while (this.#syncing !== undefined) await this.#syncing;",
    replace: "    while (this.#syncing !== undefined) await this.#syncing;",
    foundBy: "crash",
  },
  {
    name: "do not sync the log's directory",
    breaks: "a whole segment of acknowledged writes loses its name",
    file: "src/engine/wal/log.ts",
    find: "      this.#disk.syncDir(this.#files.walDir);",
    replace: "      // planted",
    foundBy: "crash",
  },
  {
    name: "leave waiting frames sealed for the segment before",
    breaks: "recovery takes the first writes of a segment for damage",
    file: "src/engine/wal/log.ts",
    find: "    this.#replace();",
    replace: "",
    foundBy: "oracle",
  },
  {
    name: "accept a corrupt middle as a torn tail",
    breaks: "writes that were durable vanish without a word",
    file: "src/engine/wal/replay.ts",
    find: "if (found.limit === undefined && !wasDurable(disk, found.path, salt, at, next)) break;",
    replace: "if (found.limit === undefined) break;",
    foundBy: "corruption",
  },
  {
    name: "do not check a frame's checksum",
    breaks: "damaged bytes are served as data",
    file: "src/engine/wal/format.ts",
    find: "bytes.getUint32(at + 4, true) === crc32cOf(bytes, at + 8, end, base + at) ? end : 0;",
    replace: "end;",
    foundBy: "corruption",
  },
  {
    name: "leave a frame's place out of its checksum",
    breaks: "a frame inside a value passes for one of the log",
    file: "src/engine/wal/format.ts",
    find: "crc32cOf(bytes, at + 8, end, base + at)",
    replace: "crc32cOf(bytes, at + 8, end)",
    also: { find: "crc32c(into, at + 8, end, offset));", replace: "crc32c(into, at + 8, end));" },
    foundBy: "wal",
  },
  {
    name: "acknowledge without a sync where it would be made here",
    breaks: "a power loss takes acknowledged writes of a fast disk",
    file: "src/engine/wal/log.ts",
    find: "    this.#file.syncNow();\n    this.#pacer.here(",
    replace: "    this.#pacer.here(",
    foundBy: "crash",
  },
  // ---- recovery
  {
    name: "apply what is in tables already",
    breaks: "merge operands count twice after a crash",
    file: "src/engine/recovery.ts",
    find: "    if (tree === undefined || seq <= tree.flushedSeq) return;",
    replace: "    if (tree === undefined) return;",
    foundBy: "crash",
  },
  {
    name: "skip one entry too many in recovery",
    breaks: "the first write after a flush is lost",
    file: "src/engine/recovery.ts",
    find: "    if (tree === undefined || seq <= tree.flushedSeq) return;",
    replace: "    if (tree === undefined || seq <= tree.flushedSeq + 1) return;",
    foundBy: "crash",
  },
  {
    name: "do not make the end of a killed process's log durable",
    breaks: "what readers have seen after a restart is gone after a power loss",
    file: "src/engine/recovery.ts",
    find: "failureOf(disk.syncFileAsync(newest.path));",
    replace: "failureOf(Promise.resolve());",
    foundBy: "killed",
  },
  {
    name: "use sequences again after recovery",
    breaks: "new writes stand behind old ones",
    file: "src/engine/engine.ts",
    find: "Math.max(this.#lastSeq, state.lastSeq, found.lastSeq);",
    replace: "state.lastSeq;",
    foundBy: "oracle",
  },
  {
    name: "use file numbers again after a crash",
    breaks: "a new table has the name of one that a crash left",
    file: "src/engine/engine.ts",
    find: "this.#manifest.nextFile(Math.max(0, highestFile + 1 - state.nextFile));",
    replace: "void highestFile;",
    foundBy: "crash",
  },
  {
    name: "wait for ever for a flush that failed",
    breaks: "opening hangs on a full disk",
    file: "src/engine/maintenance.ts",
    find:
      "      // The flush has told that it ended before its failure was known here.\n      this.#signalProgress();",
    replace: "",
    foundBy: "recovery",
  },
  {
    name: "do not miss the newest segment",
    breaks: "a segment that vanished takes its writes without a word",
    file: "src/engine/recovery.ts",
    find: "findSegments(disk, files, state.oldestLog, state.newestLog);",
    replace: "findSegments(disk, files, state.oldestLog);",
    foundBy: "newest",
  },
  {
    name: "do not make the name of a killed process's log durable",
    breaks: "an empty segment is told lost after the next power loss",
    file: "src/engine/recovery.ts",
    find: "    if (newest !== undefined) disk.syncDir(files.walDir);",
    replace: "",
    foundBy: "killed",
  },
  {
    name: "miss a segment that is no longer needed",
    breaks: "a sound store says that it has lost something",
    file: "src/engine/wal/replay.ts",
    find: "  if (newest > 0 && newest >= oldest) miss(newest, 0);",
    replace: "  if (newest > 0) miss(newest, 0);",
    foundBy: "wal",
  },
  // ---- the manifest
  {
    name: "take an edit for durable before its sync",
    breaks: "the log of a table is removed while the manifest may not know the table",
    file: "src/engine/manifest/manifest.ts",
    find: "        await file.sync();",
    replace: "        void file.sync();",
    foundBy: "crash",
  },
  {
    name: "switch CURRENT before the manifest is durable",
    breaks: "CURRENT names an empty file after a power loss",
    file: "src/engine/manifest/manifest.ts",
    find: "  file.append(first);\n  file.syncNow();",
    replace: "  file.append(first);",
    foundBy: "crash",
  },
  {
    name: "switch CURRENT before its content is durable",
    breaks: "CURRENT is full of zeros after a power loss",
    file: "src/engine/manifest/manifest.ts",
    find: "    pointer.syncNow();",
    replace: "",
    foundBy: "crash",
  },
  {
    name: "do not persist the next file number",
    breaks: "a number is given out twice",
    file: "src/engine/manifest/manifest.ts",
    find: "nextFile: this.state.nextFile };",
    replace: "};",
    foundBy: "numbers",
  },
  {
    name: "go on after a failed edit",
    breaks: "edits stand behind a hole in the manifest",
    file: "src/engine/manifest/manifest.ts",
    find: "        throw this.#poison(cause);\n      }\n      this.state.apply(edit);",
    replace: "        throw cause;\n      }\n      this.state.apply(edit);",
    foundBy: "io",
  },
  // ---- flushes and compactions
  {
    name: "register a table that is not durable",
    breaks: "a table is cut or empty after a power loss, and its log is gone",
    file: "src/engine/sstable/writer.ts",
    find: "    this.#file.syncNow();",
    replace: "",
    foundBy: "crash",
  },
  {
    name: "do not sync a tree's directory after a job",
    breaks: "a table loses its name in a power loss",
    file: "src/engine/compaction/job.ts",
    find: "    if (finished.length > 0) disk.syncDir(job.dir);",
    replace: "",
    foundBy: "crash",
  },
  {
    name: "flush what the log does not have yet",
    breaks: "a table holds writes that a power loss takes from the log before it: half a batch",
    file: "src/engine/flusher.ts",
    find: "    await this.#parts.log()?.sync();",
    replace: "",
    foundBy: "crash",
  },
  {
    name: "record too high a flushed sequence",
    breaks: "writes that came while a flush ran are skipped by recovery",
    file: "src/engine/flusher.ts",
    find: "      flushed: [{ tree: tree.id, seq: memtable.maxSeq }],",
    replace: "      flushed: [{ tree: tree.id, seq: this.#parts.lastSeq() }],",
    foundBy: "crash",
  },
  {
    name: "drop log segments that a tree still needs",
    breaks: "the writes of a quiet tree are lost in the next crash",
    file: "src/engine/flusher.ts",
    find: "      if (seq !== undefined && seq < oldest) oldest = seq;",
    replace: "      if (seq !== undefined && tree === flushed && seq < oldest) oldest = seq;",
    foundBy: "crash",
  },
  {
    name: "drop a tombstone one level early",
    breaks: "a deleted key comes back",
    file: "src/engine/compaction/plan.ts",
    find:
      "  for (let level = outputLevel + 1; level < levels.length; level++) {\n    if (levels[level].some(stays))",
    replace:
      "  for (let level = outputLevel + 2; level < levels.length; level++) {\n    if (levels[level].some(stays))",
    foundBy: "oracle",
  },
  {
    name: "leave out an overlapping table of the level below",
    breaks: "tables of one level overlap, and old versions hide new ones",
    file: "src/engine/compaction/plan.ts",
    find: "    if (compareBytes(properties.largest, largest) > 0) largest = properties.largest;",
    replace: "",
    foundBy: "oracle",
  },
  {
    name: "ignore snapshots in a merge",
    breaks: "a snapshot loses what it had seen",
    file: "src/engine/compaction/merge.ts",
    find: "  while (stripe < snapshots.length && snapshots[stripe] < seq) stripe++;",
    replace: "",
    foundBy: "oracle",
  },
  {
    name: "fold operands that rest on a deeper level",
    breaks: "what was merged before is lost",
    file: "src/engine/compaction/merge.ts",
    find: "  if (base === undefined && !oldest) {",
    replace: "  if (base === undefined && !oldest && held.length < 2) {",
    foundBy: "oracle",
  },
  {
    name: "delete a table under a reader",
    breaks: "a long scan fails, or reads another file",
    file: "src/engine/engine.ts",
    find: "    const version = tree.version.acquire();",
    replace: "    const version = tree.version;",
    foundBy: "oracle",
  },
  {
    name: "part the versions of one key",
    breaks: "an older version of a key stands in another table of its level",
    file: "src/engine/compaction/job.ts",
    find: " &&\n      writer.isNewKey(entry)\n",
    replace: "\n",
    foundBy: "oracle",
  },
  {
    name: "leave out the end of the log in a checkpoint",
    breaks: "a backup misses acknowledged writes",
    file: "src/engine/checkpoint/create.ts",
    find: "log.segments.slice(0, -1).filter(({ lastSeq }) => lastSeq >= oldest);",
    replace: "log.segments.slice(0, -2).filter(({ lastSeq }) => lastSeq >= oldest);",
    foundBy: "checkpoint",
  },
  {
    name: "restore a checkpoint without verifying it",
    breaks: "damage is restored as data",
    file: "src/engine/checkpoint/restore.ts",
    find: "  if (problems.length > 0) throw damaged(from, problems);",
    replace: "",
    foundBy: "checkpoints",
  },
  {
    name: "purge what has not been dead for the grace time",
    breaks: "a delete that others have not seen is forgotten",
    file: "src/engine/compaction/merge.ts",
    find: "return deadSince > 0 && deadSince <= purgeBeforeMs;",
    replace: "return deadSince > 0;",
    foundBy: "merge",
  },
  {
    name: "compact what another job is compacting",
    breaks: "two jobs replace one table, and one of them brings old versions back",
    file: "src/engine/compaction/plan.ts",
    find: "  if (plan.inputs.some(({ number }) => busy.tables.has(number))) return false;",
    replace: "  if (plan.inputs.length >= 0) return true;",
    foundBy: "strategies",
  },
  // ---- tables and caches
  {
    name: "do not verify a block",
    breaks: "damaged bytes are served as data",
    file: "src/engine/sstable/format.ts",
    find: "  if (found !== expected) throw checksumFailed(",
    replace: "  if (found !== expected && expected === -1) throw checksumFailed(",
    foundBy: "corruption",
  },
  {
    name: "leave a section's place out of its checksum",
    breaks: "a sound block in the wrong place is served",
    file: "src/engine/sstable/format.ts",
    find: "crc32c(bytes, start, end, crc32cU48(offset, crc32cU48(table)));",
    replace: "crc32c(bytes, start, end, crc32cU48(table));",
    foundBy: "misplaced",
  },
  {
    name: "leave the table's number out of its checksums",
    breaks: "another table's content is served",
    file: "src/engine/sstable/format.ts",
    find: "crc32c(bytes, start, end, crc32cU48(offset, crc32cU48(table)));",
    replace: "crc32c(bytes, start, end, crc32cU48(offset));",
    foundBy: "misplaced",
  },
  {
    name: "share cached blocks between tables",
    breaks: "a block of one table is served as another's",
    file: "src/engine/sstable/reader.ts",
    find: "    this.#cached = cache?.register(this.blocks + this.partitions);",
    replace:
      "    this.#cached = cache && ((cache as unknown as { one: CachedBlocks }).one ??= cache.register(1000));",
    foundBy: "oracle",
  },
  {
    name: "miss keys in the filter",
    breaks: "a key that is there is not found",
    file: "src/engine/sstable/filter.ts",
    find: "    for (let i = from; i < to; i++) {",
    replace: "    for (let i = from + 1; i < to; i++) {",
    foundBy: "oracle",
  },
  {
    name: "land behind the restart that a seek is for",
    breaks: "the first keys of a stretch are not found",
    file: "src/engine/sstable/block.ts",
    find: "    this.#enter(low);\n    this.#advance(key, seq);",
    replace:
      "    this.#enter(Math.min(low + 1, this.#restarts - 1));\n    this.#advance(key, seq);",
    foundBy: "oracle",
  },
  {
    name: "search one block too late",
    breaks: "a key that ends a block is not found",
    file: "src/engine/sstable/index.ts",
    find: "this.#ends[middle], key, 0, key.length) < 0) {",
    replace: "this.#ends[middle], key, 0, key.length) <= 0) {",
    foundBy: "oracle",
  },
  {
    name: "take a short write for a whole one",
    breaks: "a record is cut in the middle and acknowledged",
    file: "src/runtime/deno/disk.ts",
    find: "    done += count;\n    took(count);",
    replace: "    done = bytes.length;\n    took(count);",
    foundBy: "disk",
  },
  {
    name: "go back by two in a block",
    breaks: "a reverse scan skips a key",
    file: "src/engine/sstable/block.ts",
    find: "    this.seek(key, Infinity);\n    if (this.valid) this.prev();",
    replace:
      "    this.seek(key, Infinity);\n    if (this.valid) this.prev();\n    if (this.valid) this.prev();",
    foundBy: "oracle",
  },
  {
    name: "turn a merge around without its other inputs",
    breaks: "a cursor that turns misses what is in other tables",
    file: "src/engine/cursor.ts",
    find: "      if (cursor === top) continue;",
    replace: "      continue;",
    foundBy: "cursors",
  },
  {
    name: "take a shared beginning for the whole answer",
    breaks: "a seek ends before the key that it is for",
    file: "src/engine/sstable/block.ts",
    find: "      if (shared < equal) return;",
    replace: "      if (shared <= equal && equal > 0) return;",
    foundBy: "oracle",
  },
  {
    name: "keep a row that a later write has replaced",
    breaks: "a reader gets an old value for ever",
    file: "src/engine/tree.ts",
    find:
      "    return !this.dropped && seq >= this.flushedSeq && !holdsLater(this.active, key, seq) &&\n      !this.immutables.some((memtable) => holdsLater(memtable, key, seq));",
    replace: "    return !this.dropped;",
    foundBy: "oracle",
  },
  {
    name: "do not tell the row cache of a write",
    breaks: "a reader gets what was there before",
    file: "src/engine/engine.ts",
    find: "      if (!this.#rows.empty) tree.writeRow(firstSeq + i, kind, key, value);",
    replace: "",
    foundBy: "oracle",
  },
  {
    name: "serve a row to a reader of an older moment",
    breaks: "a snapshot changes under its reader",
    file: "src/engine/row_cache/row_cache.ts",
    find: "    if (seqOf(words, w) > seq) {",
    replace: "    if (seqOf(words, w) > seq && seq < 0) {",
    foundBy: "oracle",
  },
  {
    name: "ask the filter of another partition",
    breaks: "a key that is there is not found",
    file: "src/engine/sstable/reader.ts",
    find: "    return this.#enterPartition(index).mayContain(hash1, hash2);",
    replace: "    return this.#enterPartition(Math.max(0, index - 1)).mayContain(hash1, hash2);",
    foundBy: "oracle",
  },
  // ---- reads and writes
  {
    name: "show writes before they are committed",
    breaks: "a reader sees what a crash takes back",
    file: "src/engine/engine.ts",
    find: "    this.#lastSeq += records.length;",
    replace: "    this.#lastSeq += records.length;\n    this.#visible = this.#lastSeq;",
    foundBy: "oracle",
  },
  {
    name: "read level 0 in any order",
    breaks: "an old version hides a new one",
    file: "src/engine/version.ts",
    find:
      "      b.meta.properties.maxSeq - a.meta.properties.maxSeq || b.meta.number - a.meta.number",
    replace: "      a.meta.number - b.meta.number",
    foundBy: "oracle",
  },
  {
    name: "look past the frozen memtables",
    breaks: "acknowledged writes cannot be read while a flush runs",
    file: "src/engine/tree.ts",
    find: "    for (const memtable of view.immutables) {",
    replace: "    for (const memtable of view.immutables.slice(1)) {",
    foundBy: "oracle",
  },
  {
    name: "lose operands that stand in several places",
    breaks: "a merge forgets what is in newer tables",
    file: "src/engine/tree.ts",
    find: "      (this.#operands ??= []).push(this.#copies.copy(buffer, start, end));",
    replace: "      this.#operands = [this.#copies.copy(buffer, start, end)];",
    foundBy: "oracle",
  },
  {
    name: "leave a row as it is when its key is written",
    breaks: "the row cache answers with an old value once the write is in a table",
    file: "src/engine/engine.ts",
    find: "      if (!this.#rows.empty) tree.writeRow(",
    replace: "      if (firstSeq < 0) tree.writeRow(",
    foundBy: "oracle",
  },
  {
    name: "keep rows that an older moment read",
    breaks: "the row cache shows a snapshot's value to everyone",
    file: "src/engine/tree.ts",
    find: "    return !this.dropped && seq >= this.flushedSeq &&",
    replace: "    return !this.dropped &&",
    foundBy: "oracle",
  },
  {
    name: "accept a padded or cut number",
    breaks: "equal states have different bytes",
    file: "src/model/bytes.ts",
    find: 'if (byte === 0 && i > 0) throw this.damaged("a varint has a needless byte");',
    replace: "",
    foundBy: "fuzz",
  },
  {
    name: "allocate what a length in a file says",
    breaks: "a damaged byte takes all memory",
    file: "src/model/bytes.ts",
    find: "  raw(count: number): Uint8Array {\n    this.#need(count);",
    replace:
      "  raw(count: number): Uint8Array {\n    new Uint8Array(Math.min(count, 2 ** 31));\n    this.#need(count);",
    foundBy: "fuzz",
  },
  {
    name: "give the directory back while files are still removed",
    breaks: "files go that the next process has made its own",
    file: "src/engine/engine.ts",
    find: "      await this.#manifest.close();\n      await this.#removals.settle();",
    replace: "      await this.#manifest.close();",
    foundBy: "directory",
  },
  {
    name: "copy replayed entries as if their bytes lay on whole words",
    breaks: "recovery puts wrong bytes into memtables",
    file: "src/engine/memtable/memtable.ts",
    find: "    const shift = (offset & 3) << 3;",
    replace: "    const shift = 0;",
    foundBy: "memtable",
  },
  {
    name: "end a walk's scan where what lies ahead cannot be read",
    breaks: "a bad sector hides the entries before it",
    file: "src/engine/sstable/section_reader.ts",
    find:
      "        if (!(error instanceof PairError)) throw error;\n        return this.read(handle);",
    replace: "        throw error;",
    foundBy: "tables",
  },
  {
    name: "digest a table without verifying it",
    breaks: "a snapshot of a damaged table passes for a sound one",
    file: "src/engine/checkpoint/file_jobs.ts",
    find: "  if (table !== undefined) verifyTableFile(disk, from, table);",
    replace: "",
    foundBy: "checkpoints",
  },
  {
    name: "leave out the mark behind a durable edit",
    breaks: "damage to the last edit passes for a torn one: what it said is undone without a word",
    file: "src/engine/manifest/manifest.ts",
    find: "      else this.#mark(file);",
    replace: "",
    foundBy: "manifest",
  },
  {
    name: "take a lost mark for a damaged edit",
    breaks: "a power loss makes a store that does not open",
    file: "src/engine/manifest/manifest.ts",
    find: "      if (frameEnd(bytes, behindMark, number) !== undefined) {",
    replace: "      if (behindMark < 0) {",
    foundBy: "crash",
  },
];
