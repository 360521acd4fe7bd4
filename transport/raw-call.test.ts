import test from 'ava';
import { headerField } from './http2/hpack/header-field.ts';
import { fieldsToPassOn } from './raw-call.ts';

test('a request is passed on without what belongs to a hop, secrets as secrets', (t) => {
  const passedOn = [
    headerField('content-type', 'application/grpc+proto'),
    headerField('user-agent', 'grpc-go/1.85'),
    headerField('authorization', 'Bearer x', true),
    headerField('grpc-encoding', 'gzip'),
    headerField('traceparent', '00-1-2-01'),
    headerField('x-bytes-bin', 'AAE'),
  ];
  const fields = [
    headerField(':method', 'POST'),
    headerField(':path', '/a.B/C'),
    headerField('te', 'trailers'),
    headerField('grpc-timeout', '1S'),
    headerField('content-length', '5'),
    ...passedOn,
  ];
  t.deepEqual(fieldsToPassOn(fields), passedOn);
});
