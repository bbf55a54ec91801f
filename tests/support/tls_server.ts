/**
 * The real program with TLS: a node with a certificate that was made on the spot, for 127.0.0.1 and
 * localhost, and its files for clients that want files.
 * @module
 */
import { type Pem, TestCa } from "./certificates.ts";
import { type Server, withDirectory, withServer } from "./server.ts";

/** What a client needs to know of the node's TLS. */
export interface ServerTls {
  /** Who signed the node's certificate, and signs those of clients where they are asked for. */
  readonly ca: TestCa;
  /** The file with the CA's certificate. */
  readonly caFile: string;
  /** Flags with which the node speaks TLS again after a restart. */
  readonly args: readonly string[];
  /** Writes a certificate and its key. @returns their files */
  write(name: string, pem: Pem): { readonly certFile: string; readonly keyFile: string };
}

/** Runs `body` with a node on a new directory that speaks nothing but TLS; both go afterwards. */
export function withTlsServer(
  body: (server: Server, tls: ServerTls) => Promise<void>,
  /** More options of the configuration, by what they are told of files. */
  options: (tls: Omit<ServerTls, "args">) => Readonly<Record<string, string>> = () => ({}),
): Promise<void> {
  return withDirectory(async (directory) => {
    const ca = new TestCa("tls");
    const caFile = `${directory}/ca.pem`;
    await Deno.writeFile(caFile, ca.pem);
    const write = (name: string, { cert, key }: Pem) => {
      const certFile = `${directory}/${name}.pem`;
      const keyFile = `${directory}/${name}.key.pem`;
      Deno.writeFileSync(certFile, cert);
      Deno.writeFileSync(keyFile, key);
      return { certFile, keyFile };
    };
    const names = ["DNS:localhost", "IP:127.0.0.1"];
    const { certFile, keyFile } = write("server", ca.issue("server", { names }));
    const files = { "tls.cert_file": certFile, "tls.key_file": keyFile };
    const all = { ...files, ...options({ ca, caFile, write }) };
    const args = Object.entries(all).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
    await withServer((server) => body(server, { ca, caFile, args, write }), args);
  });
}
