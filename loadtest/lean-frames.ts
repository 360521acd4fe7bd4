// The bytes of a client that sends the same unary call again and again: written once, then only
// the stream's id changes.
import {
  CLIENT_PREFACE,
  DEFAULT_WINDOW_BYTES,
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_WINDOW_BYTES,
  MIN_MAX_FRAME_BYTES,
  SettingId,
} from '../transport/http2/frames/constants.ts';

/** A frame's header stands with 0 for its stream. */
export function frame(
  type: number,
  flags: number,
  payload: Uint8Array | readonly number[],
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  writeUint24(bytes, 0, payload.length);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

function writeUint24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value;
}

export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  writeUint24(bytes, at + 1, value);
}

function uint32(value: number): readonly number[] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

/** Adds `byBytes` to the connection's window. */
export function windowUpdate(byBytes: number): Uint8Array<ArrayBuffer> {
  return frame(FrameType.WINDOW_UPDATE, 0, uint32(byBytes));
}

/**
 * The start of a connection. No table for headers: a block then means the same each time, whatever
 * came before it. Windows as wide as they get: no answer waits for us.
 */
export function opening(pingBytes: Uint8Array): Uint8Array {
  const settings = [
    ...[0, SettingId.HEADER_TABLE_SIZE, ...uint32(0)],
    ...[0, SettingId.ENABLE_PUSH, ...uint32(0)],
    ...[0, SettingId.INITIAL_WINDOW_SIZE, ...uint32(MAX_WINDOW_BYTES)],
  ];
  return Buffer.concat([
    CLIENT_PREFACE,
    frame(FrameType.SETTINGS, 0, settings),
    windowUpdate(MAX_WINDOW_BYTES - DEFAULT_WINDOW_BYTES),
    frame(FrameType.PING, 0, pingBytes),
  ]);
}

export interface CallTemplate {
  readonly bytes: Uint8Array;
  /** Where the id of the stream goes. */
  readonly idsAt: readonly number[];
  /** What it takes of the peer's windows. */
  readonly bodyBytes: number;
}

/** @param head the header block; @param body with gRPC's prefix, cut into frames as needed. */
export function callTemplate(head: Uint8Array, body: Uint8Array): CallTemplate {
  const frames = [frame(FrameType.HEADERS, Flag.END_HEADERS, head)];
  let at = 0;
  do {
    const end = Math.min(body.length, at + MIN_MAX_FRAME_BYTES);
    const flags = end === body.length ? Flag.END_STREAM : 0;
    frames.push(frame(FrameType.DATA, flags, body.subarray(at, end)));
    at = end;
  } while (at < body.length);
  const idsAt: number[] = [];
  let start = 0;
  for (const { length } of frames) {
    idsAt.push(start + FRAME_HEADER_BYTES - 4);
    start += length;
  }
  return { bytes: Buffer.concat(frames), idsAt, bodyBytes: body.length };
}
