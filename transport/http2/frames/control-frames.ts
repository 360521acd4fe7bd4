// Writes the small frames of RFC 9113 section 6, each whole, into a connection's output.
import { ErrorCode, Flag, FrameType } from './constants.ts';
import type { Output } from './output.ts';

/** @param settings flat: id, value, id, value. */
export function writeSettings(output: Output, settings: readonly number[]): void {
  output.frameHeader((settings.length / 2) * 6, FrameType.SETTINGS, 0, 0);
  for (let i = 0; i + 1 < settings.length; i += 2) {
    output.uint16(settings[i] ?? 0);
    output.uint32(settings[i + 1] ?? 0);
  }
}

export function writeSettingsAck(output: Output): void {
  output.frameHeader(0, FrameType.SETTINGS, Flag.ACK, 0);
}

/** @param bytes the 8 bytes from `at` on are the ping's own. */
export function writePing(output: Output, bytes: Uint8Array, at: number, ack: boolean): void {
  output.frameHeader(8, FrameType.PING, ack ? Flag.ACK : 0, 0);
  output.copy(bytes, at, at + 8);
}

export function writeReset(output: Output, streamId: number, code: number): void {
  output.frameHeader(4, FrameType.RST_STREAM, 0, streamId);
  output.uint32(code);
}

/** @param streamId 0 for the connection's window. */
export function writeWindowUpdate(output: Output, streamId: number, increment: number): void {
  output.frameHeader(4, FrameType.WINDOW_UPDATE, 0, streamId);
  output.uint32(increment);
}

/** What the peer reads about why; kept short, as nobody needs a long one. */
const DEBUG_BYTES = 128;

/** @param reason goes out as debug data; none for NO_ERROR. */
export function writeGoaway(
  output: Output,
  lastStreamId: number,
  code: number,
  reason: string,
): void {
  const debug = code === ErrorCode.NO_ERROR ? '' : reason.slice(0, DEBUG_BYTES);
  const bytes = Buffer.from(debug, 'latin1');
  output.frameHeader(8 + bytes.length, FrameType.GOAWAY, 0, 0);
  output.uint32(lastStreamId);
  output.uint32(code);
  output.copy(bytes, 0, bytes.length);
}

/** A header block as HEADERS and as many CONTINUATION frames as the peer's frame size asks for. */
export function writeHeaderBlock(
  output: Output,
  streamId: number,
  block: Uint8Array,
  endStream: boolean,
  maxFrameBytes: number,
): void {
  const length = block.length;
  const end = endStream ? Flag.END_STREAM : 0;
  if (length <= maxFrameBytes) {
    output.frameHeader(length, FrameType.HEADERS, end | Flag.END_HEADERS, streamId);
    output.copy(block, 0, length);
    return;
  }
  output.frameHeader(maxFrameBytes, FrameType.HEADERS, end, streamId);
  output.copy(block, 0, maxFrameBytes);
  for (let at = maxFrameBytes; at < length; at += maxFrameBytes) {
    const to = Math.min(at + maxFrameBytes, length);
    const flags = to === length ? Flag.END_HEADERS : 0;
    output.frameHeader(to - at, FrameType.CONTINUATION, flags, streamId);
    output.copy(block, at, to);
  }
}
