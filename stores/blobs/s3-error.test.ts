import test from 'ava';
import { Code, codeName, unavailable } from '../../common/status.ts';
import { s3Error } from './s3-error.ts';

function failed(name: string, httpStatusCode?: number, code?: string): Error {
  const error = Object.assign(new Error('something'), { $metadata: { httpStatusCode }, code });
  error.name = name;
  return error;
}

test('each error of service and client has its code', (t) => {
  const expected: readonly (readonly [Error, Code])[] = [
    [failed('NoSuchBucket', 404), Code.FAILED_PRECONDITION],
    [failed('AccessDenied', 403), Code.PERMISSION_DENIED],
    [failed('SignatureDoesNotMatch', 403), Code.UNAUTHENTICATED],
    [failed('CredentialsProviderError'), Code.UNAUTHENTICATED],
    [failed('Unknown', 403), Code.PERMISSION_DENIED],
    [failed('PermanentRedirect', 301), Code.FAILED_PRECONDITION],
    [failed('SlowDown', 503), Code.UNAVAILABLE],
    [failed('InternalError', 500), Code.UNAVAILABLE],
    [failed('TooManyRequests', 429), Code.UNAVAILABLE],
    [failed('InsufficientStorage', 507), Code.RESOURCE_EXHAUSTED],
    [failed('TimeoutError'), Code.UNAVAILABLE],
    [failed('Error', undefined, 'ECONNREFUSED'), Code.UNAVAILABLE],
    [new AggregateError([failed('Error', undefined, 'ECONNRESET')]), Code.UNAVAILABLE],
    [failed('MalformedXML', 400), Code.INTERNAL],
    [new Error('something new'), Code.INTERNAL],
  ];
  for (const [thrown, code] of expected) {
    const error = s3Error(thrown, 'read a blob at s3://models/');
    t.is(codeName(error.code), codeName(code), thrown.name);
    t.regex(error.message, /^cannot read a blob at s3:\/\/models\/: /);
  }
  const own = unavailable('it is closed');
  t.is(s3Error(own, 'read'), own);
});
