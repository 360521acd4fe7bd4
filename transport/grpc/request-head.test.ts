import test from 'ava';
import { Code } from '../../common/status.ts';
import { NO_METADATA } from '../backend.ts';
import { HpackDecoder } from '../http2/hpack/decoder.ts';
import { prebuiltBlock } from '../http2/hpack/encoder.ts';
import { headerField } from '../http2/hpack/header-field.ts';
import { HeaderList, type HeaderRefusal } from '../http2/hpack/header-list.ts';
import { RequestHead, requestHead } from './request-head.ts';

const REQUEST: Readonly<Record<string, string>> = {
  ':method': 'POST',
  ':scheme': 'http',
  ':path': '/pkg.Service/Method',
  ':authority': 'cluster:8001',
  'content-type': 'application/grpc',
  te: 'trailers',
  'user-agent': 'test',
};

function list(changes: Readonly<Record<string, string>> = {}, refusal?: HeaderRefusal): HeaderList {
  const fields = Object.entries({ ...REQUEST, ...changes });
  return new HeaderList(
    fields.map(([name, value]) => headerField(name, value)),
    0,
    refusal,
  );
}

const head = (changes?: Readonly<Record<string, string>>): RequestHead =>
  new RequestHead(list(changes));

test('a plain request says where it goes, and no more', (t) => {
  const plain = head();
  t.is(plain.path, '/pkg.Service/Method');
  t.is(plain.authority, 'cluster:8001');
  t.is(plain.timeoutMs, undefined);
  t.is(plain.encoding, 'identity');
  t.false(plain.accepts('gzip'));
  t.is(plain.metadata, NO_METADATA);
  t.is(plain.error, undefined);
  t.is(plain.refusal, undefined);
});

test('a request says its deadline, encodings and metadata', (t) => {
  const full = head({
    'grpc-timeout': '250m',
    'grpc-encoding': 'gzip',
    'grpc-accept-encoding': 'identity,gzip',
    'x-text': 'a',
    'x-bin': 'AQ,Ag',
  });
  t.is(full.timeoutMs, 250);
  t.is(full.encoding, 'gzip');
  t.true(full.accepts('gzip'));
  t.deepEqual(full.metadata, [
    ['x-text', 'a'],
    ['x-bin', Buffer.from([1])],
    ['x-bin', Buffer.from([2])],
  ]);
});

test('content-types of gRPC are taken, others are answered in HTTP', (t) => {
  for (const type of ['application/grpc', 'application/grpc+proto', 'application/grpc;a=b']) {
    t.is(head({ 'content-type': type }).refusal, undefined, type);
  }
  for (const type of ['', 'application/grpc-web', 'application/json', 'xapplication/grpc']) {
    t.is(head({ 'content-type': type }).refusal?.httpStatus, 415, type);
  }
});

test('only POST is a call', (t) => {
  t.is(head({ ':method': 'GET' }).refusal?.httpStatus, 405);
});

test('what can not be taken is an error of the call, whatever comes behind it', (t) => {
  const late = { 'content-type': 'application/grpc', ':path': '/pkg.Service/Method' };
  const cases: readonly [Readonly<Record<string, string>>, Code][] = [
    [{ 'grpc-timeout': 'soon' }, Code.INTERNAL],
    [{ 'grpc-encoding': 'br' }, Code.UNIMPLEMENTED],
    [{ 'x-bin': '?' }, Code.INTERNAL],
  ];
  for (const [wrong, code] of cases) {
    const fields = Object.entries({ ...wrong, ':method': 'POST', ...late });
    const read = new RequestHead(
      new HeaderList(
        fields.map(([name, value]) => headerField(name, value)),
        0,
        undefined,
      ),
    );
    t.is(read.error?.code, code);
    t.is(read.refusal, undefined);
    t.is(read.path, '/pkg.Service/Method');
  }
});

test('headers over a limit are RESOURCE_EXHAUSTED for gRPC, 431 for others', (t) => {
  const refusal = { limit: 'maxFields', maximum: 5 } as const;
  t.is(new RequestHead(list({}, refusal)).error?.code, Code.RESOURCE_EXHAUSTED);
  const other = new RequestHead(list({ 'content-type': 'text/html' }, refusal));
  t.is(other.refusal?.httpStatus, 431);
  t.regex(other.refusal?.text ?? '', /limit of 5/);
});

test('a block that comes again brings its head back', (t) => {
  const block = prebuiltBlock(list().fields);
  const decoder = new HpackDecoder();
  const heads = [1, 2, 3, 4].map(() => requestHead(decoder.decode(block)));
  t.is(heads[3], heads[2]);
  t.is(heads[2], heads[1]);
});
