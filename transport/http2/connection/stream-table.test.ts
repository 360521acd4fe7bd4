import test from 'ava';
import fc from 'fast-check';
import { Stream } from './stream.ts';
import { StreamTable } from './stream-table.ts';

test('a table that was large is so no more once it is empty, and goes on', (t) => {
  const table = new StreamTable();
  for (let round = 0; round < 3; round += 1) {
    for (let id = 1; id < 2_000; id += 2) table.add(new Stream(id, 1, 1));
    t.is(table.size, 1_000);
    for (let id = 1; id < 2_000; id += 2) {
      t.is(table.get(id)?.id, id);
      table.delete(id);
    }
    t.is(table.size, 0);
    t.deepEqual(table.values(), []);
  }
});

test('whatever comes and goes, the table holds what a map would', (t) => {
  const step = fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 300 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = new StreamTable();
      const model = new Map<number, Stream>();
      for (const [isAdded, id] of steps) {
        if (isAdded && !model.has(id)) {
          const stream = new Stream(id, 1, 1);
          table.add(stream);
          model.set(id, stream);
        } else if (!isAdded) {
          const stream = model.get(id);
          table.delete(id);
          model.delete(id);
          if (stream?.nextInTable !== undefined) throw new Error('one that went points to others');
        }
        if (table.size !== model.size) throw new Error('another size');
      }
      const ids = [...model.keys()].sort((a, b) => a - b);
      if (table.values().join() !== ids.map((id) => model.get(id)).join()) throw new Error('order');
      for (const id of [0, 301, ...ids]) {
        if (table.get(id) !== model.get(id)) throw new Error(`stream ${id}`);
      }
      for (const stream of table.values()) table.delete(stream.id);
      if (table.size !== 0 || table.values().length > 0) throw new Error('not empty');
    }),
  );
  t.pass();
});
