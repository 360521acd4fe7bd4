// A blob arrives whole over a network that is cut again and again, from whichever service has it.
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ExecutionContext } from 'ava';
import { systemClock } from '../../common/clock.ts';
import { untilTrue } from '../../test/support/redis-server.ts';
import { type TcpProxy, tcpProxy } from '../../test/support/tcp-proxy.ts';
import type { BlobReader, BlobStore } from './blobs.ts';
import { resumed } from './resumed.ts';

const BLOB_BYTES = 6 * 1024 * 1024;
const CUT_EVERY_BYTES = 1024 * 1024;

export interface CutService {
  readonly port: number;
  /** The store through another port of this host. */
  open(port: number): Promise<BlobStore>;
}

/** A reading of which something has come, from a store that may be too hasty at times. */
export async function begun(store: BlobReader, sha256: string): Promise<AsyncIterator<Uint8Array>> {
  let reading: AsyncIterator<Uint8Array> | undefined;
  await untilTrue('it is being read', async () => {
    reading = store.read(sha256)[Symbol.asyncIterator]();
    return (await reading.next()).done !== true;
  });
  if (reading === undefined) throw new Error('it was not read');
  return reading;
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
