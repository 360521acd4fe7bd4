import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import type { Backend, StreamCall, UnaryCall } from '../backend.ts';
import { bearerTokens, readTokens, withTokens } from './bearer-tokens.ts';

const OWN = 'a-token-of-its-own-0123456789';
const OTHER = 'the-token-before-0123456789';

function refused(check: () => void): string {
  try {
    check();
  } catch (thrown) {
    if (thrown instanceof StatusError && thrown.code === Code.UNAUTHENTICATED)
      return thrown.message;
    throw thrown;
  }
  throw new Error('it was let in');
}

test('each token of the file is let in, the first is sent', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'torus-tokens-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'tokens');
  writeFileSync(path, `${OWN}\n\n  ${OTHER}\r\n`);
  const tokens = readTokens(path);
  t.is(tokens.own, OWN);
  t.notThrows(() => tokens.check(`Bearer ${OWN}`));
  t.notThrows(() => tokens.check(`bearer ${OTHER}`));
});

test('whoever brings none, or another one, is told so, and not what it was', (t) => {
  const tokens = bearerTokens(OWN);
  t.regex(
    refused(() => tokens.check(undefined)),
    /--admin-token-file/,
  );
  t.regex(
    refused(() => tokens.check(OWN)),
    /needs a token/,
    'without its scheme',
  );
  for (const wrong of [`${OWN}x`, OWN.slice(1), OTHER, `${OWN} ${OWN}`]) {
    const text = refused(() => tokens.check(`Bearer ${wrong}`));
    t.false(text.includes(wrong) || text.includes(OWN));
  }
});

test('a file without a fit token is refused, and its content not told', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'torus-tokens-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'tokens');
  const bad = [
    '',
    '\n \n',
    'short',
    `${OWN}\nshort`,
    'with a blank in the middle of it',
    'é'.repeat(20),
  ];
  for (const text of bad) {
    writeFileSync(path, text);
    const error = t.throws(() => readTokens(path));
    t.like(error, { code: Code.FAILED_PRECONDITION });
    t.regex(error?.message ?? '', /openssl rand/);
    t.false(text.trim() !== '' && error?.message.includes(text));
  }
  t.like(
    t.throws(() => readTokens(join(folder, 'none'))),
    { code: Code.FAILED_PRECONDITION },
  );
});

test('calls without a token end at once, the others go through', (t) => {
  const served: string[] = [];
  const backend: Backend = {
    methods: new Map(),
    unary: () => void served.push('unary'),
    stream: () => void served.push('stream'),
  };
  const guarded = withTokens(backend, bearerTokens(OWN));
  const failed: Code[] = [];
  const call = (authorization?: string) => {
    const metadata = authorization === undefined ? [] : [['authorization', authorization]];
    return { metadata, fail: (error: StatusError) => void failed.push(error.code) };
  };
  guarded.unary(call() as unknown as UnaryCall);
  guarded.stream(call(`Bearer ${OTHER}`) as unknown as StreamCall);
  t.deepEqual([served, failed], [[], [Code.UNAUTHENTICATED, Code.UNAUTHENTICATED]]);
  guarded.unary(call(`Bearer ${OWN}`) as unknown as UnaryCall);
  guarded.stream(call(`Bearer ${OWN}`) as unknown as StreamCall);
  t.deepEqual([served, failed.length], [['unary', 'stream'], 2]);
  t.is(withTokens(backend, undefined), backend);
});
