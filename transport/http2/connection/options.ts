// The defaults of a connection, for either end.
import { BlockPool } from '../frames/output.ts';
import { INITIAL_TABLE_BYTES } from '../hpack/dynamic-table.ts';
import type { ConnectionOptions } from './connection-state.ts';
import { DEFAULT_LIMITS } from './limits.ts';

const STREAM_WINDOW_BYTES = 1_048_576;
const CONNECTION_WINDOW_BYTES = 4_194_304;
const MAX_FRAME_BYTES = 16_384;

/** The blocks of a thread: its connections run one at a time. */
const THREAD_POOL = new BlockPool();

export function connectionOptions(
  isServer: boolean,
  changes: Partial<ConnectionOptions> = {},
): ConnectionOptions {
  return {
    isServer,
    limits: DEFAULT_LIMITS,
    streamWindowBytes: STREAM_WINDOW_BYTES,
    connectionWindowBytes: CONNECTION_WINDOW_BYTES,
    mostStreamWindowBytes: STREAM_WINDOW_BYTES,
    windowGrowthBytes: 0,
    maxFrameBytes: MAX_FRAME_BYTES,
    headerTableBytes: INITIAL_TABLE_BYTES,
    pool: THREAD_POOL,
    ...changes,
  };
}
