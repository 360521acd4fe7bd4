import test from 'ava';
import { ByteBudget, FAIR_BYTES } from './byte-budget.ts';

test('when all is taken, those that hold little still find room, the others none', (t) => {
  const budget = new ByteBudget(1_000_000);
  t.true(budget.hasRoom(900_000, 1_000_000));
  t.false(budget.hasRoom(0, 1_000_001));
  budget.heldBytes = 1_000_000;
  t.false(budget.hasRoom(FAIR_BYTES, 1));
  t.false(budget.hasRoom(0, FAIR_BYTES + 1));
  t.true(budget.hasRoom(0, FAIR_BYTES));
  t.true(budget.hasRoom(FAIR_BYTES - 10, 10));
});
