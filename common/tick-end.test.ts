import test from 'ava';
import { createTickEnd, TURN_WORK_MS } from './tick-end.ts';

/** Turns of the event loop that come when told. */
function world() {
  let nowMs = 0;
  const due: (() => void)[] = [];
  const said: string[] = [];
  const tickEnd = createTickEnd({ atTurnEnd: (end) => due.push(end), nowMs: () => nowMs });
  return {
    tickEnd,
    say: (word: string) => () => void said.push(word),
    pass: (ms: number): void => {
      nowMs += ms;
    },
    /** What was said in the turn's end. */
    turn: (): string => {
      const ends = due.splice(0);
      for (const end of ends) end();
      return said.splice(0).join(' ');
    },
    /** Immediates that are set. */
    due: () => due.length,
  };
}

test('work comes before sending, in order, and what work sends leaves in the same turn', (t) => {
  const { tickEnd, say, turn, due } = world();
  tickEnd.send(say('send-1'));
  tickEnd.work(() => {
    say('work-1')();
    tickEnd.send(say('send-2'));
  });
  tickEnd.work(say('work-2'));
  t.is(due(), 1, 'one immediate for all of it');
  t.is(turn(), 'work-1 work-2 send-1 send-2');
  t.is(due(), 0, 'and none after it');
  t.is(turn(), '');
});

test('what is added to a phase that runs, or is over, waits for the next turn', (t) => {
  const { tickEnd, say, turn } = world();
  const again = (): void => {
    say('work')();
    tickEnd.work(again);
  };
  tickEnd.work(again);
  tickEnd.send(() => {
    say('send')();
    tickEnd.work(say('late-work'));
    tickEnd.send(say('late-send'));
  });
  t.is(turn(), 'work send');
  t.is(turn(), 'work late-work late-send');
  t.is(turn(), 'work');
});

test('after a turn of work the rest waits, is first in the next turn, and is sent then', (t) => {
  const { tickEnd, say, pass, turn } = world();
  for (const name of ['a', 'b', 'c']) {
    tickEnd.work(() => {
      say(name)();
      pass(TURN_WORK_MS * 0.6);
      tickEnd.send(say(`${name}-sent`));
      if (name === 'a') tickEnd.work(say('a-again'));
    });
  }
  t.is(turn(), 'a b a-sent b-sent');
  t.is(turn(), 'c a-again c-sent');
  t.is(turn(), '');
});

test('a callback that throws keeps no other from being called', (t) => {
  const { tickEnd, say, turn } = world();
  const fail = (): void => {
    throw new Error('broken');
  };
  tickEnd.work(fail);
  tickEnd.work(say('work'));
  tickEnd.send(fail);
  tickEnd.send(say('send'));
  t.throws(turn, { message: 'broken' });
  t.throws(turn, { message: 'broken' });
  t.is(turn(), 'work send');
  t.is(turn(), '');
});
