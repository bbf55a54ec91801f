/**
 * Which certificates are good under the CAs of now.
 *
 * A resumed session shows the certificate of its first handshake, and the platform does not verify it
 * again, not even after the CAs were replaced (Deno 2.9.6 keeps its sessions then, and has no switch that
 * would end them). So it is done here: what a resumed session shows has to be issued by one of the CAs, or
 * to have passed a full handshake since they are what they are.
 * @module
 */
import { X509Certificate } from "node:crypto";

/** Certificates that are remembered; the oldest goes for a new one. */
const MAX_REMEMBERED = 4096;
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of clients, under one set of CAs. */
export class VerifiedPeers {
  readonly #cas: readonly X509Certificate[];
  readonly #passed = new Set<string>();

  /** @param ca  PEM of the CAs. @throws Error when it is none */
  constructor(ca: Uint8Array) {
    const blocks = new TextDecoder().decode(ca).match(PEM) ?? [];
    this.#cas = blocks.map((pem) => new X509Certificate(pem));
    if (this.#cas.length === 0) throw new Error("there is no certificate in it");
  }

  /** A full handshake verified this one. */
  pass({ fingerprint256 }: X509Certificate): void {
    const passed = this.#passed;
    if (passed.has(fingerprint256)) return;
    if (passed.size >= MAX_REMEMBERED) {
      for (const oldest of passed) {
        passed.delete(oldest);
        break;
      }
    }
    passed.add(fingerprint256);
  }

  /** Whether one that a resumed session shows is good. That it has not expired is for others to see. */
  knows(certificate: X509Certificate): boolean {
    return this.#passed.has(certificate.fingerprint256) ||
      this.#cas.some((ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
  }
}
