/**
 * A small file system of the run's own: ext4 in a file where that can be mounted, else a tmpfs, else only a
 * directory, which is never filled.
 * @module
 */

/** Where the node keeps its data. */
export interface FileSystem {
  readonly dir: string;
  /** What it is, for the report. */
  readonly kind: string;
  /** It is the run's own, and may be filled. */
  readonly isOwn: boolean;
  /** Removes it with all that is in it. */
  remove(): Promise<void>;
}

/** Makes one. @param bytes  its size */
export async function makeFileSystem(bytes: number): Promise<FileSystem> {
  const top = await Deno.makeTempDir({ prefix: "pairdb-soak-" });
  const [image, dir] = [`${top}/image`, `${top}/disk`];
  await Deno.mkdir(dir);
  const size = `${Math.round(bytes / 2 ** 20)} MiB`;
  const remove = () => Deno.remove(top, { recursive: true });
  const removeMount = async () => {
    await run("umount", dir);
    await remove();
  };
  if (Deno.build.os === "linux") {
    await Deno.writeFile(image, new Uint8Array());
    await Deno.truncate(image, bytes);
    if (
      await run("mkfs.ext4", "-q", "-m", "0", image) && await run("mount", "-o", "loop", image, dir)
    ) {
      return { dir, kind: `ext4 of ${size} in a file`, isOwn: true, remove: removeMount };
    }
    if (await run("mount", "-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", dir)) {
      return { dir, kind: `tmpfs of ${size}`, isOwn: true, remove: removeMount };
    }
  }
  const kind = "a directory: no file system could be mounted, so no disk was filled";
  return { dir, kind, isOwn: false, remove };
}

async function run(program: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) {
      return false;
    }
    throw error;
  }
}

/** Another program's file, which takes room. */
export class Filler {
  readonly #path: string;

  constructor(dir: string) {
    this.#path = `${dir}/filler`;
  }

  /** Makes it so large. Not one byte of it is written where the file system can do without. */
  async take(bytes: number): Promise<void> {
    if (bytes <= 0) return;
    if (await run("fallocate", "-l", String(Math.floor(bytes)), this.#path)) return;
    using file = await Deno.open(this.#path, { append: true, create: true });
    const piece = new Uint8Array(1 << 20);
    for (let left = bytes; left > 0; left -= piece.length) await file.write(piece);
  }

  async remove(): Promise<void> {
    await Deno.remove(this.#path).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}
