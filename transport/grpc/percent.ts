// Percent-encoding of grpc-message (gRPC over HTTP/2, Status-Message): UTF-8, with %XX for every
// byte but the printable ones, and for '%' itself.
import { wireMessage } from './status-message.ts';

const PLAIN = /^[ -$&-~]*$/;
/** Behind a '%'. */
const ESCAPE = /^[0-9A-Fa-f]{2}$/;
const HEX = '0123456789ABCDEF';
const PERCENT = 0x25;

/** Any text as the value of grpc-message, cut to what trailers have room for. */
export function encodeStatusMessage(text: string): string {
  const message = wireMessage(text);
  if (PLAIN.test(message)) return message;
  let encoded = '';
  for (const byte of Buffer.from(message)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== PERCENT;
    encoded += isPlain
      ? String.fromCharCode(byte)
      : `%${HEX.charAt(byte >> 4)}${HEX.charAt(byte & 15)}`;
  }
  return encoded;
}

/**
 * The text that a value of grpc-message stands for. Never fails, as the specification asks: what is
 * no escape stays, what is no UTF-8 becomes U+FFFD.
 */
export function decodeStatusMessage(value: string): string {
  if (PLAIN.test(value)) return value;
  const octets = Buffer.from(value, 'latin1');
  let count = 0;
  for (let at = 0; at < octets.length; at += 1) {
    let byte = octets[at] ?? 0;
    if (byte === PERCENT) {
      const digits = value.slice(at + 1, at + 3);
      if (ESCAPE.test(digits)) {
        byte = Number.parseInt(digits, 16);
        at += 2;
      }
    }
    octets[count] = byte;
    count += 1;
  }
  return octets.toString('utf8', 0, count);
}
