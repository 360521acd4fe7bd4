// grpc-timeout (gRPC over HTTP/2, Timeout): 1 to 8 digits and a unit.
import { Code, StatusError } from '../../common/status.ts';

const MAX_DIGITS = 8;
const MAX_VALUE = 99_999_999;
const MAX_SHOWN_CHARACTERS = 20;

const UNIT_NS: Readonly<Record<string, number>> = {
  H: 3_600e9,
  M: 60e9,
  S: 1e9,
  m: 1e6,
  u: 1e3,
  n: 1,
};
const NS_PER_MS = 1e6;

/** Below it microseconds are told, so that what is rounded stays under a thousandth. */
const MIN_WHOLE_MS = 1000;
/** Units above the millisecond, the smallest that has room is used. */
const LARGER_UNITS = ['m', 'S', 'M', 'H'] as const;

/** Milliseconds, with fractions. @throws StatusError INTERNAL when it is no timeout. */
export function parseTimeoutMs(text: string): number {
  const digits = text.length - 1;
  const unitNs = UNIT_NS[text.charAt(digits)];
  if (digits < 1 || digits > MAX_DIGITS || unitNs === undefined) throw notTimeout(text);
  let value = 0;
  for (let at = 0; at < digits; at += 1) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) throw notTimeout(text);
    value = value * 10 + digit;
  }
  return (value * unitNs) / NS_PER_MS;
}

function notTimeout(text: string): StatusError {
  const shown = JSON.stringify(text.slice(0, MAX_SHOWN_CHARACTERS));
  const wanted = '1 to 8 digits and one of H, M, S, m, u, n';
  return new StatusError(Code.INTERNAL, `grpc-timeout is ${shown}, not ${wanted}`);
}

/**
 * At least `timeoutMs`, and no more than a microsecond or a thousandth above; what is past
 * becomes 1 microsecond. Undefined for Infinity: no header is sent then.
 */
export function formatTimeout(timeoutMs: number): string | undefined {
  if (timeoutMs === Number.POSITIVE_INFINITY) return undefined;
  if (timeoutMs < MIN_WHOLE_MS) return `${Math.max(1, Math.ceil(timeoutMs * 1000))}u`;
  for (const unit of LARGER_UNITS) {
    const value = Math.ceil((timeoutMs * NS_PER_MS) / (UNIT_NS[unit] ?? 1));
    if (value <= MAX_VALUE) return `${value}${unit}`;
  }
  return `${MAX_VALUE}H`;
}
