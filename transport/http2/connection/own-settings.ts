// What a connection tells its peer of itself, and whether that can be told at all.
import { DEFAULT_WINDOW_BYTES, MIN_MAX_FRAME_BYTES, SettingId } from '../frames/constants.ts';
import { INITIAL_TABLE_BYTES } from '../hpack/dynamic-table.ts';
import type { ConnectionOptions } from './connection-state.ts';

/** @throws RangeError for what HTTP/2 does not allow. */
export function checkOptions(options: ConnectionOptions): ConnectionOptions {
  const { streamWindowBytes, connectionWindowBytes, maxFrameBytes } = options;
  if (Math.min(streamWindowBytes, connectionWindowBytes) < DEFAULT_WINDOW_BYTES) {
    throw new RangeError(`windows are ${DEFAULT_WINDOW_BYTES} bytes at least`);
  }
  if (maxFrameBytes < MIN_MAX_FRAME_BYTES) {
    throw new RangeError(`maxFrameBytes is ${MIN_MAX_FRAME_BYTES} at least`);
  }
  return options;
}

/** Ids and values in turn, of what is not the default. */
export function ownSettings(options: ConnectionOptions): number[] {
  const settings: number[] = options.isServer
    ? [SettingId.MAX_CONCURRENT_STREAMS, options.limits.concurrentStreams]
    : [SettingId.ENABLE_PUSH, 0];
  settings.push(
    SettingId.INITIAL_WINDOW_SIZE,
    options.streamWindowBytes,
    SettingId.MAX_HEADER_LIST_SIZE,
    options.limits.headerListBytes,
  );
  if (options.maxFrameBytes !== MIN_MAX_FRAME_BYTES) {
    settings.push(SettingId.MAX_FRAME_SIZE, options.maxFrameBytes);
  }
  if (options.headerTableBytes !== INITIAL_TABLE_BYTES) {
    settings.push(SettingId.HEADER_TABLE_SIZE, options.headerTableBytes);
  }
  return settings;
}
