import test from 'ava';
import { VirtualClock } from './clock.ts';

test('timers run in order of time, then of their making', (t) => {
  const clock = new VirtualClock();
  const ran: string[] = [];
  clock.after(20, () => ran.push(`c@${clock.nowMs()}`));
  clock.after(10, () => ran.push(`a@${clock.nowMs()}`));
  clock.after(10, () => ran.push(`b@${clock.nowMs()}`));
  clock.advance(15);
  t.deepEqual(ran, ['a@10', 'b@10']);
  t.is(clock.nowMs(), 15);
  clock.advance(5);
  t.deepEqual(ran, ['a@10', 'b@10', 'c@20']);
});

test('a timer made by a timer runs in the same advance when it falls due', (t) => {
  const clock = new VirtualClock();
  const ran: number[] = [];
  const again = (): void => {
    ran.push(clock.nowMs());
    clock.after(10, again);
  };
  clock.after(10, again);
  clock.advance(35);
  t.deepEqual(ran, [10, 20, 30]);
});

test('a cancelled timer never runs', (t) => {
  const clock = new VirtualClock();
  const cancel = clock.after(10, () => t.fail());
  cancel();
  clock.advance(100);
  t.pass();
});
