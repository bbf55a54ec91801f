/**
 * Shell: what every command gets, and how it answers: as text for people, as JSON for programs.
 * @module
 */
import type { PairDB } from "../client/mod.ts";
import type { Process } from "../runtime/mod.ts";
import { readText } from "./input.ts";

/** Where a command runs, with the flags that all commands share. */
export interface Shell {
  readonly process: Process;
  readonly output: "table" | "json";
  /** The server to talk to. */
  readonly server: string;
  /** Milliseconds for one call; 0: no limit. */
  readonly timeoutMs: number;
  /** Who we are to the server; undefined: nobody. */
  readonly token: string | undefined;
  /** Files of PEM: the CA that the server's certificate is from, our own certificate, and its key. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** Bad usage: the command line itself is wrong. Exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** A client of the shell's server. The client is loaded here, so that other commands start without it. */
export async function connect(shell: Shell): Promise<PairDB> {
  const { PairDB } = await import("../client/mod.ts");
  const { server, timeoutMs, token, tls, process } = shell;
  const read = (path: string | undefined) =>
    path === undefined ? undefined : readText(process, path);
  const files = { ca: read(tls.ca), cert: read(tls.cert), key: read(tls.key) };
  const plain = Object.values(files).every((text) => text === undefined);
  return PairDB.connect(server, { timeoutMs, token, tls: plain ? undefined : files });
}

/** Prints an answer: lines of text, or one line of JSON. */
export function print(shell: Shell, lines: string | readonly string[], json: unknown): void {
  if (shell.output === "json") shell.process.out(`${JSON.stringify(json)}\n`);
  else for (const line of [lines].flat()) shell.process.out(`${line}\n`);
}
