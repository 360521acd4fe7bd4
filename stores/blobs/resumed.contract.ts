// A blob arrives whole over a network that is cut again and again, from whichever service has it.
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ExecutionContext } from 'ava';
import { systemClock } from '../../common/clock.ts';
import { type TcpProxy, tcpProxy } from '../../test/support/tcp-proxy.ts';
import type { BlobStore } from './blobs.ts';
import { resumed } from './resumed.ts';

const BLOB_BYTES = 6 * 1024 * 1024;
const CUT_EVERY_BYTES = 1024 * 1024;

export interface CutService {
  readonly port: number;
  /** The store through another port of this host. */
  open(port: number): Promise<BlobStore>;
}

export async function survivesCuts(t: ExecutionContext, { port, open }: CutService): Promise<void> {
  const proxy: TcpProxy = await tcpProxy(port);
  t.teardown(() => proxy.end());
  const direct = await open(port);
  t.teardown(() => direct.close());
  const through = await open(proxy.port);
  t.teardown(() => through.close());
  const bytes = randomBytes(BLOB_BYTES);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  await direct.write(Readable.from([bytes]), { maxBytes: BLOB_BYTES });
  let [read, nextCut, cuts] = [0, CUT_EVERY_BYTES, 0];
  const parts: Uint8Array[] = [];
  for await (const part of resumed(through, sha256, systemClock)) {
    parts.push(part);
    read += part.length;
    if (read < nextCut) continue;
    nextCut = read + CUT_EVERY_BYTES;
    cuts += 1;
    proxy.restore();
  }
  t.true(Buffer.concat(parts).equals(bytes));
  t.true(cuts >= 3, `${cuts} cuts`);
}
