import test from 'ava';
import fc from 'fast-check';
import { checkDepth, skipString } from './json-depth.ts';
import { MAX_JSON_DEPTH } from './limits.ts';

const nested = (depth: number): Buffer => Buffer.from('['.repeat(depth) + ']'.repeat(depth));

test('JSON may be as deep as the limit, no deeper; closed lists do not count', (t) => {
  t.notThrows(() => checkDepth(nested(MAX_JSON_DEPTH)));
  t.throws(() => checkDepth(nested(MAX_JSON_DEPTH + 1)), { message: /nesting depth exceeds/ });
  t.throws(() => checkDepth(Buffer.from('{"a":'.repeat(101))), { message: /\(100\)/ });
  t.notThrows(() => checkDepth(Buffer.from(`[${'[],{},'.repeat(1000)}0]`)));
});

test('brackets in strings are text', (t) => {
  t.notThrows(() => checkDepth(Buffer.from(JSON.stringify(['['.repeat(500), '\\"[[', '{']))));
  const hidden = `["\\\\",${'['.repeat(101)}`;
  t.throws(() => checkDepth(Buffer.from(hidden)));
});

test('a string ends at its quote, whatever is escaped in it', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string(), (text, after) => {
      const json = Buffer.from(JSON.stringify(text));
      const bytes = Buffer.concat([json, Buffer.from(after)]);
      return skipString(bytes, 0, bytes.length) === json.length;
    }),
  );
  fc.assert(
    fc.property(fc.stringMatching(/^\\*$/), (backslashes) => {
      const bytes = Buffer.from(`"${backslashes}"x"`);
      const end = backslashes.length % 2 === 0 ? backslashes.length + 2 : bytes.length;
      return skipString(bytes, 0, bytes.length) === end;
    }),
  );
  t.is(skipString(Buffer.from('"abc'), 0, 4), 4);
});
