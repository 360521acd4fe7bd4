import test from 'ava';
import { answerBrokenConnection, HEADERS_TIMEOUT_MS, httpServerOptions } from './http-limits.ts';

function answered(code: string, writable = true): string {
  const written: string[] = [];
  answerBrokenConnection(
    { code },
    { writable, write: (text) => written.push(text), destroySoon: () => written.push('END') },
  );
  return written.join('');
}

test('what Node tells of a connection is answered with its status and reason', (t) => {
  const cases = [
    ['HPE_INVALID_METHOD', 400, 'INVALID_ARGUMENT'],
    ['HPE_HEADER_OVERFLOW', 431, 'RESOURCE_EXHAUSTED'],
    ['HPE_CHUNK_EXTENSIONS_OVERFLOW', 413, 'RESOURCE_EXHAUSTED'],
    ['ERR_HTTP_REQUEST_TIMEOUT', 408, 'DEADLINE_EXCEEDED'],
  ] as const;
  for (const [cause, status, code] of cases) {
    const [head = '', body = ''] = answered(cause).split('\r\n\r\n');
    t.regex(head, new RegExp(`^HTTP/1.1 ${status} `));
    t.true(body.endsWith('END'));
    const json = body.slice(0, -'END'.length);
    t.true(head.includes(`content-length: ${json.length}`));
    t.is((JSON.parse(json) as Record<string, unknown>).code, code);
  }
});

test('a connection that is gone is only ended', (t) => {
  t.is(answered('ECONNRESET'), 'END');
  t.is(answered('HPE_INVALID_METHOD', false), 'END');
});

test('connections are looked at as often as their limits ask', (t) => {
  t.is(httpServerOptions({ headersTimeoutMs: 200 }).connectionsCheckingInterval, 200);
  t.like(httpServerOptions(), {
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: 1_000,
  });
});
