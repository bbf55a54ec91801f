/**
 * The start-up self-test of mutual TLS: dials the own port without a certificate, and must be turned
 * away. Runtimes have ignored what was asked for here before, silently; a server that believes that it
 * knows its clients is worse than one that does not start.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import type { Clock, Connection, Network } from "../../runtime/mod.ts";

/** How long the port may take to turn us away, in ms. */
const PATIENCE_MS = 10_000;
/** For what listens everywhere, an address that is there. */
const REACHABLE: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

/**
 * Proves that a listener turns away clients without a certificate.
 * @throws PairError Internal (2000) when it answers one
 */
export async function proveClientAuth(
  { network, clock }: { readonly network: Network; readonly clock: Clock },
  listener: { readonly host: string; readonly port: number },
): Promise<void> {
  let connection: Connection;
  try {
    connection = await network.connect({
      host: REACHABLE[listener.host] ?? listener.host,
      port: listener.port,
      tls: { ca: undefined, serverName: "pairdb.invalid", alpn: ["http/1.1"] },
    });
  } catch {
    // TLS 1.2 refuses in the handshake.
    return;
  }
  const answered = await answers(connection, clock);
  connection.destroy();
  if (!answered) return;
  throw new PairError(
    "Internal",
    "Cannot serve: clients are to show certificates, and one without was not turned away",
  );
}

/** With TLS 1.3 the client is done before the server has judged: only an answer, or its absence, tells. */
function answers(connection: Connection, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (answered: boolean) => {
      cancel();
      resolve(answered);
    };
    // Silence proves nothing.
    const cancel = clock.after(PATIENCE_MS, () => done(true));
    connection.once("data", () => done(true));
    connection.on("error", () => done(false));
    connection.once("end", () => done(false));
    connection.once("close", () => done(false));
    connection.write("GET /healthz HTTP/1.1\r\nhost: pairdb.invalid\r\n\r\n");
  });
}
