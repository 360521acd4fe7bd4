import test from 'ava';
import { ClosedStreams, Ending } from './closed-streams.ts';

test('the latest endings are known, of older streams that they are forgotten', (t) => {
  const closed = new ClosedStreams();
  t.is(closed.endingOf(1), Ending.NEVER_OPENED);
  for (let id = 1; id < 2_001; id += 2) {
    if (id === 1_901) continue;
    closed.add(id, id % 3 === 0 ? Ending.ENDED : Ending.RESET_BY_US);
  }
  t.is(closed.endingOf(1_999), Ending.RESET_BY_US);
  t.is(closed.endingOf(1_995), Ending.ENDED);
  t.is(closed.endingOf(1_901), Ending.NEVER_OPENED);
  t.is(closed.endingOf(1), Ending.FORGOTTEN);
});

test('a few streams take a few slots, and none of them is forgotten', (t) => {
  const closed = new ClosedStreams();
  const ids = [1, 3, 17, 33, 5, 129, 257];
  for (const id of ids) closed.add(id, Ending.ENDED);
  for (const id of ids) t.is(closed.endingOf(id), Ending.ENDED, `${id}`);
  for (const id of [7, 9, 19, 131, 511]) t.is(closed.endingOf(id), Ending.NEVER_OPENED, `${id}`);
});

test('a stream that ends late does not displace a younger one', (t) => {
  const closed = new ClosedStreams();
  closed.add(513, Ending.ENDED);
  closed.add(1, Ending.RESET_BY_PEER);
  t.is(closed.endingOf(513), Ending.ENDED);
  t.is(closed.endingOf(1), Ending.FORGOTTEN);
});
