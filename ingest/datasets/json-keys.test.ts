import test from 'ava';
import fc from 'fast-check';
import { repeatedKey } from './json-keys.ts';

const found = (text: string): string | undefined =>
  repeatedKey(text, Object.keys(JSON.parse(text) as object).length);

test('a key that is there twice is found, however it is written', (t) => {
  t.is(found('{"a":1,"a":2}'), 'a');
  t.is(found('{"a":1,"b":{"c":[1,{"d":":"}]},"\\u0061":2}'), 'a');
  t.is(found('{"":1,"":2}'), '');
  t.is(found('{"__proto__":1,"x":":","__proto__":2}'), '__proto__');
  t.is(found('{"a\\"":1,"b":"\\\\","a\\"":2}'), 'a"');
});

test('keys inside values, and colons in texts, are no repetition', (t) => {
  t.is(found('{"a":{"a":1,"a":2},"b":[{"b":1}]}'), undefined);
  t.is(found('{"a":"a:a","b":"\\"a\\":1"}'), undefined);
  t.is(found('{}'), undefined);
});

test('any object as JSON.stringify writes it has each key once', (t) => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (object) => {
      t.is(found(JSON.stringify(object)), undefined);
    }),
  );
});
