import test from 'ava';
import fc from 'fast-check';
import { LineEnds } from './line-ends.ts';

function through(text: string, chunkBytes: number): string {
  const ends = new LineEnds();
  const bytes = Buffer.from(text);
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    out.push(ends.push(bytes.subarray(at, at + chunkBytes)));
  }
  return Buffer.concat([...out, ends.end()]).toString();
}

test('lone returns become line feeds, in pieces of any size', (t) => {
  for (const chunkBytes of [1, 2, 3, 5, 100]) {
    t.is(through('a,b\r1,2\r3,4\r', chunkBytes), 'a,b\n1,2\n3,4\n', String(chunkBytes));
    t.is(through('a,b\r1,2', chunkBytes), 'a,b\n1,2');
    t.is(through('a\r', chunkBytes), 'a\n');
    t.is(through('a\r\r', chunkBytes).trimEnd(), 'a');
  }
});

test('a file with line feeds passes as it is, wherever it is cut', (t) => {
  const line = fc.stringMatching(/^[ab",]{0,5}$/);
  const file = fc
    .tuple(fc.array(line), fc.constantFrom('\n', '\r\n'))
    .map(([lines, end]) => lines.map((one) => one + end).join(''));
  fc.assert(
    fc.property(file, fc.integer({ min: 1, max: 9 }), (text, chunkBytes) => {
      t.is(through(text, chunkBytes), text);
    }),
  );
  t.is(through('"a\rb",c\n1,2\n', 100), '"a\rb",c\n1,2\n');
});
