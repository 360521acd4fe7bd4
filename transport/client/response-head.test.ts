// What the heads of answers say, and what is none.
import test from 'ava';
import { Code, type CodeName, codeName } from '../../common/status.ts';
import { headerField } from '../http2/hpack/header-field.ts';
import { HeaderList } from '../http2/hpack/header-list.ts';
import { outcomeOf, responseHead } from './response-head.ts';

const listOf = (...fields: readonly (readonly [string, string])[]): HeaderList =>
  new HeaderList(
    fields.map(([name, value]) => headerField(name, value)),
    0,
    undefined,
  );
const GRPC = ['content-type', 'application/grpc'] as const;

test('a plain head has no error, and is worked out once for the same list', (t) => {
  for (const type of ['application/grpc', 'application/grpc+proto', 'application/grpc;x=y']) {
    const list = listOf([':status', '200'], ['content-type', type], ['grpc-encoding', 'gzip']);
    const head = responseHead(list);
    t.is(head.error(), undefined);
    t.is(head.encoding, 'gzip');
    t.false(head.hasStatus);
    t.is(responseHead(list), head);
  }
});

test('what is no answer to a gRPC call gets the code that the specification gives it', (t) => {
  const cases: readonly [HeaderList, CodeName, RegExp][] = [
    [listOf([':status', '404'], ['content-type', 'text/html']), 'UNIMPLEMENTED', /404.*text\/html/],
    [listOf([':status', '503']), 'UNAVAILABLE', /HTTP status 503 and without content-type/],
    [listOf([':status', '401'], GRPC), 'UNAUTHENTICATED', /401/],
    [listOf([':status', '302']), 'UNKNOWN', /302/],
    [listOf([':status', '200'], ['content-type', 'application/json']), 'UNKNOWN', /json/],
    [listOf([':status', '200']), 'UNKNOWN', /without content-type, not application\/grpc/],
    [listOf([':status', '200'], ['content-type', 'application/grpcx']), 'UNKNOWN', /grpcx/],
    [listOf([':status', '200'], GRPC, ['grpc-encoding', 'br']), 'INTERNAL', /"br" is not/],
  ];
  for (const [list, code, text] of cases) {
    const error = responseHead(list).error();
    t.is(codeName(error?.code ?? 0), code);
    t.regex(error?.message ?? '', text);
  }
  const long = listOf([':status', '500'], ['content-type', 'x'.repeat(5_000)]);
  t.true((responseHead(long).error()?.message.length ?? 0) < 200);
});

test('errors are new for each call, good ends are kept with their list', (t) => {
  const failed = listOf([':status', '500']);
  t.not(responseHead(failed).error(), responseHead(failed).error());
  const bad = listOf(['grpc-status', '5'], ['grpc-message', 'no%20such']);
  t.is(outcomeOf(bad, 200).error?.code, Code.NOT_FOUND);
  t.is(outcomeOf(bad, 200).error?.message, 'no such');
  t.not(outcomeOf(bad, 200).error, outcomeOf(bad, 200).error);
  const good = listOf(['grpc-status', '0'], ['x-more', 'a']);
  t.is(outcomeOf(good, 200), outcomeOf(good, 200));
  t.deepEqual(outcomeOf(good, 200).trailers, [['x-more', 'a']]);
});

test('an answer without grpc-status is an error, whatever its HTTP status', (t) => {
  t.is(outcomeOf(listOf(), 200).error?.code, Code.UNKNOWN);
  t.regex(outcomeOf(listOf(), 200).error?.message ?? '', /without grpc-status/);
  t.is(outcomeOf(listOf(), 503).error?.code, Code.UNAVAILABLE);
});
