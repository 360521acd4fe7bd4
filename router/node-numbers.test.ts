import test from 'ava';
import { MAX_NUMBERED_NODES, NodeNumbers } from './node-numbers.ts';

test('a node keeps its number while it is named, and others get it afterwards', (t) => {
  const numbers = new NodeNumbers();
  const kept = numbers.of('kept');
  for (let round = 0; round < 5; round += 1) {
    for (let at = 0; at < 20_000; at += 1) numbers.of(`${round}-${at}`);
    numbers.sweep((tell) => tell(kept));
  }
  t.is(numbers.of('kept'), kept);
  t.is(numbers.id(kept), 'kept');
  t.is(numbers.find('0-7'), undefined);
  t.true(numbers.of('one more') < 20_001);
});

test('more nodes than two bytes can name are refused', (t) => {
  const numbers = new NodeNumbers();
  for (let at = 0; at < MAX_NUMBERED_NODES; at += 1) numbers.of(String(at));
  t.throws(() => numbers.of('one more'), { message: /65536 nodes, which is the most/ });
  t.is(numbers.id(numbers.of('65535')), '65535');
});
