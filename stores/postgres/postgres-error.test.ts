import test from 'ava';
import { Code, codeName, unavailable } from '../../common/status.ts';
import { isBrokenOff, postgresError } from './postgres-error.ts';

function failed(code: string, message = 'something'): Error {
  return Object.assign(new Error(message), { code });
}

test('each error of server and driver has its code', (t) => {
  const expected: readonly (readonly [Error, Code])[] = [
    [failed('08006'), Code.UNAVAILABLE],
    [failed('25006'), Code.UNAVAILABLE],
    [failed('28P01'), Code.UNAUTHENTICATED],
    [failed('3D000'), Code.FAILED_PRECONDITION],
    [failed('40001'), Code.UNAVAILABLE],
    [failed('42501'), Code.PERMISSION_DENIED],
    [failed('42601'), Code.INTERNAL],
    [failed('53100'), Code.RESOURCE_EXHAUSTED],
    [failed('53300'), Code.UNAVAILABLE],
    [failed('57014'), Code.UNAVAILABLE],
    [failed('57P03'), Code.UNAVAILABLE],
    [failed('XX001'), Code.DATA_LOSS],
    [failed('ECONNREFUSED'), Code.UNAVAILABLE],
    [failed('CERT_HAS_EXPIRED'), Code.FAILED_PRECONDITION],
    [new AggregateError([failed('ECONNREFUSED'), failed('ECONNREFUSED')]), Code.UNAVAILABLE],
    [new Error('Query read timeout'), Code.UNAVAILABLE],
    [new Error('timeout exceeded when trying to connect'), Code.UNAVAILABLE],
    [new Error('Connection terminated unexpectedly'), Code.UNAVAILABLE],
    [new Error('Connection terminated due to connection timeout'), Code.UNAVAILABLE],
    [new Error('The server does not support SSL connections'), Code.FAILED_PRECONDITION],
    [new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password'), Code.UNAUTHENTICATED],
    [new Error('something new'), Code.INTERNAL],
  ];
  for (const [thrown, code] of expected) {
    const error = postgresError(thrown, 'read the catalog at postgres://host:5432/db');
    t.is(codeName(error.code), codeName(code), thrown.message);
    t.regex(error.message, /^cannot read the catalog at postgres:\/\/host:5432\/db: /);
  }
  const own = unavailable('it is closed');
  t.is(postgresError(own, 'read'), own);
});

test('only a connection that broke off is worth the same read again', (t) => {
  t.true(isBrokenOff(failed('ECONNRESET')));
  t.true(isBrokenOff(failed('57P01')));
  t.true(isBrokenOff(new Error('Connection terminated unexpectedly')));
  for (const other of [failed('57014'), new Error('Query read timeout'), 'text', undefined]) {
    t.false(isBrokenOff(other));
  }
});
