/**
 * Running a store's process and seeing what it takes.
 * @module
 */

/** What a finished process leaves. */
export interface Measured {
  /** Standard output. */
  readonly output: string;
  /** Peak resident memory, bytes; 0 where the system does not say. */
  readonly peakBytes: number;
}

/** How often a process's memory is looked at, in ms; the system itself keeps the peak. */
const LOOK_EVERY_MS = 100;

/**
 * Runs a program to its end.
 * @throws Error with what it wrote to standard error when it fails
 */
export async function runMeasured(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Measured> {
  const child = new Deno.Command(program, {
    args: [...args],
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let peakBytes = 0;
  const look = () => {
    peakBytes = Math.max(peakBytes, peakOf(child.pid));
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  try {
    const { success, code, stdout, stderr } = await child.output();
    const output = new TextDecoder().decode(stdout);
    if (!success) {
      const said = new TextDecoder().decode(stderr);
      throw new Error(`${program} ended with ${code}: ${said}${output}`);
    }
    return { output, peakBytes };
  } finally {
    clearInterval(timer);
  }
}

function peakOf(pid: number): number {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  } catch (error) {
    // It has just ended, or this system has no /proc.
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/** Number and bytes of the files below a directory whose names match. */
export function filesBelow(dir: string, name: RegExp): { files: number; bytes: number } {
  let files = 0;
  let bytes = 0;
  for (const entry of Deno.readDirSync(dir)) {
    const path = `${dir}/${entry.name}`;
    if (entry.isDirectory) {
      const inner = filesBelow(path, name);
      files += inner.files;
      bytes += inner.bytes;
    } else if (name.test(entry.name)) {
      files++;
      bytes += Deno.statSync(path).size;
    }
  }
  return { files, bytes };
}
