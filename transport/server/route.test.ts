import test from 'ava';
import { Code } from '../../common/status.ts';
import type { Backend } from '../backend.ts';
import { type HeaderField, headerField } from '../http2/hpack/header-field.ts';
import { HeaderList } from '../http2/hpack/header-list.ts';
import type { RawBackend } from '../raw-call.ts';
import { routeOf } from './route.ts';

const backend: Backend = {
  methods: new Map([
    ['/a.B/Unary', 'unary'],
    ['/a.B/Stream', 'server_stream'],
    ['/a.B/Raw', 'unary'],
  ]),
  unary() {},
  stream() {},
};
const raw: RawBackend = {
  rawMethods: new Map([['/a.B/Raw', 'bidi_stream']]),
  raw: () => undefined,
};

const fieldsOf = (path: string, ...more: readonly HeaderField[]): HeaderField[] => [
  headerField(':method', 'POST'),
  headerField(':path', path),
  headerField('content-type', 'application/grpc'),
  ...more,
];
const listOf = (path: string, ...more: readonly HeaderField[]): HeaderList =>
  new HeaderList(fieldsOf(path, ...more), 0, undefined);

test('a call goes where its path says, passed on before served', (t) => {
  const wayOf = (list: HeaderList) => routeOf(list, backend, raw).way;
  t.is(wayOf(listOf('/a.B/Unary')), 'unary');
  t.is(wayOf(listOf('/a.B/Stream')), 'stream');
  t.is(wayOf(listOf('/a.B/Raw')), 'raw');
  t.is(wayOf(new HeaderList([headerField(':method', 'GET')], 0, undefined)), 'refused');
  const unknown = routeOf(listOf(`/${'x'.repeat(1_000)}`), backend, raw);
  t.is(unknown.way, 'failed');
  t.is(unknown.error?.code, Code.UNIMPLEMENTED);
  t.true((unknown.error?.message.length ?? 0) < 300);
  const list = listOf('/a.B/Unary');
  t.is(routeOf(list, backend, raw), routeOf(list, backend, raw));
});

test('lists that differ in their timeout share all but it', (t) => {
  const base = listOf('/a.B/Raw', headerField('grpc-timeout', '1S'));
  const like = (timeout: string): HeaderList => {
    const fields = fieldsOf('/a.B/Raw', headerField('grpc-timeout', timeout));
    return new HeaderList(fields, 0, undefined, base, [3]);
  };
  const [first, second] = [routeOf(base, backend, raw), routeOf(like('20m'), backend, raw)];
  t.is(first.timeoutMs, 1_000);
  t.is(second.timeoutMs, 20);
  t.is(second.head, first.head);
  t.is(second.passedOn, first.passedOn);
  t.is(routeOf(like('soon'), backend, raw).error?.code, Code.INTERNAL);
});

test('lists that differ in their metadata have their own', (t) => {
  const base = listOf('/a.B/Unary', headerField('traceparent', '1'));
  const fields = fieldsOf('/a.B/Unary', headerField('traceparent', '2'));
  const list = new HeaderList(fields, 0, undefined, base, [3]);
  t.deepEqual(routeOf(base, backend, raw).head.metadata, [['traceparent', '1']]);
  t.deepEqual(routeOf(list, backend, raw).head.metadata, [['traceparent', '2']]);
  t.deepEqual(routeOf(list, backend, raw).passedOn.at(-1)?.value, '2');
});
