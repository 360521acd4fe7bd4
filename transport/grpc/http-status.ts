// What a call ended with when the other side did not say so in gRPC's own words: an HTTP status
// from a proxy, or a stream that was reset.
import { Code } from '../../common/status.ts';
import { ErrorCode } from '../http2/frames/constants.ts';

/** grpc/grpc doc/http-grpc-status-mapping.md; any other is UNKNOWN, 200 without grpc-status too. */
const OF_HTTP: ReadonlyMap<number, Code> = new Map([
  [400, Code.INTERNAL],
  [401, Code.UNAUTHENTICATED],
  [403, Code.PERMISSION_DENIED],
  [404, Code.UNIMPLEMENTED],
  [429, Code.UNAVAILABLE],
  [502, Code.UNAVAILABLE],
  [503, Code.UNAVAILABLE],
  [504, Code.UNAVAILABLE],
]);

export function codeOfHttpStatus(httpStatus: number): Code {
  return OF_HTTP.get(httpStatus) ?? Code.UNKNOWN;
}

/** gRPC over HTTP/2, "Errors"; codes that it does not name are INTERNAL, as most that it names. */
const OF_RESET: ReadonlyMap<number, Code> = new Map([
  [ErrorCode.REFUSED_STREAM, Code.UNAVAILABLE],
  [ErrorCode.CANCEL, Code.CANCELLED],
  [ErrorCode.ENHANCE_YOUR_CALM, Code.RESOURCE_EXHAUSTED],
  [ErrorCode.INADEQUATE_SECURITY, Code.PERMISSION_DENIED],
]);

/** @param errorCode of RST_STREAM or GOAWAY (RFC 9113, 7). */
export function codeOfReset(errorCode: number): Code {
  return OF_RESET.get(errorCode) ?? Code.INTERNAL;
}
