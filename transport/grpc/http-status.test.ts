import test from 'ava';
import { Code } from '../../common/status.ts';
import { codeOfHttpStatus, codeOfReset } from './http-status.ts';

test('HTTP statuses are the codes that gRPC maps them to', (t) => {
  const pairs: readonly [number, Code][] = [
    [400, Code.INTERNAL],
    [401, Code.UNAUTHENTICATED],
    [403, Code.PERMISSION_DENIED],
    [404, Code.UNIMPLEMENTED],
    [429, Code.UNAVAILABLE],
    [502, Code.UNAVAILABLE],
    [503, Code.UNAVAILABLE],
    [504, Code.UNAVAILABLE],
    [200, Code.UNKNOWN],
    [302, Code.UNKNOWN],
    [500, Code.UNKNOWN],
  ];
  for (const [httpStatus, code] of pairs) t.is(codeOfHttpStatus(httpStatus), code, `${httpStatus}`);
});

test('reset codes are the codes that gRPC maps them to', (t) => {
  const named = new Map<number, Code>([
    [7, Code.UNAVAILABLE],
    [8, Code.CANCELLED],
    [11, Code.RESOURCE_EXHAUSTED],
    [12, Code.PERMISSION_DENIED],
  ]);
  for (let code = 0; code < 20; code += 1) {
    t.is(codeOfReset(code), named.get(code) ?? Code.INTERNAL, `${code}`);
  }
});
