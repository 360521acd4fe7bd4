import test from 'ava';
import { Code } from '../../common/status.ts';
import { NO_METADATA } from '../backend.ts';
import { headerField } from '../http2/hpack/header-field.ts';
import { OK_TRAILERS, readOutcome, STATUS_DETAILS, statusFields } from './status-fields.ts';

test('a status comes back with its code, text, details and trailers', (t) => {
  const details = Buffer.from([8, 5]);
  const trailers = [
    [STATUS_DETAILS, details],
    ['x-a', 'b'],
  ] as const;
  const fields = statusFields(Code.NOT_FOUND, 'no model "ü"', trailers);
  const { error, trailers: read } = readOutcome(fields, 200);
  t.is(error?.code, Code.NOT_FOUND);
  t.is(error?.message, 'no model "ü"');
  t.deepEqual(read, trailers);
});

test('OK needs no message', (t) => {
  t.deepEqual(statusFields(Code.OK, '', NO_METADATA), OK_TRAILERS);
  t.deepEqual(readOutcome(OK_TRAILERS, 200), { error: undefined, trailers: NO_METADATA });
});

test('without grpc-status the HTTP status tells', (t) => {
  const code = (httpStatus: number) => readOutcome([], httpStatus).error?.code;
  t.is(code(503), Code.UNAVAILABLE);
  t.is(code(404), Code.UNIMPLEMENTED);
  t.is(code(200), Code.UNKNOWN);
  t.regex(readOutcome([], 503).error?.message ?? '', /HTTP status 503 and without grpc-status/);
});

test('a status that gRPC does not define is UNKNOWN', (t) => {
  for (const value of ['17', '99', '', '-1', '1.5', '00', 'OK', '007', '5 ']) {
    const { error } = readOutcome([headerField('grpc-status', value)], 200);
    t.is(error?.code, Code.UNKNOWN, value);
  }
  t.is(readOutcome([headerField('grpc-status', '16')], 200).error?.code, Code.UNAUTHENTICATED);
});

test('trailers that can not be read make OK an error, and leave an error what it is', (t) => {
  const bad = headerField('x-bin', '?');
  t.is(readOutcome([headerField('grpc-status', '0'), bad], 200).error?.code, Code.INTERNAL);
  t.is(readOutcome([headerField('grpc-status', '5'), bad], 200).error?.code, Code.NOT_FOUND);
});
