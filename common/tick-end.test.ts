import test from 'ava';
import { BusyPoll } from './busy-poll.ts';
import { createTickEnd, READS_ALONE, TURN_WORK_MS } from './tick-end.ts';

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
    /** What was said since it was last asked. */
    heard: (): string => said.splice(0).join(' '),
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

/** A read that leaves work; what was said by the end of it. */
function read(of: ReturnType<typeof world>, reader: number, isAll = true): string {
  const { tickEnd, say, heard } = of;
  tickEnd.beginRead();
  tickEnd.work(() => {
    say(`work-${reader}`)();
    tickEnd.send(say(`send-${reader}`));
  });
  tickEnd.endRead(reader, isAll);
  return heard();
}

test('a reader that has been alone for a while does not wait for the turn to end', (t) => {
  const one = world();
  for (let reads = 0; reads < READS_ALONE; reads += 1) {
    t.is(read(one, 1), '');
    t.is(one.turn(), 'work-1 send-1');
  }
  t.is(read(one, 1), 'work-1 send-1');
  t.is(one.due(), 0, 'no immediate is set');
  one.tickEnd.beginRead();
  one.tickEnd.endRead(2, true);
  t.is(read(one, 1), 'work-1 send-1', 'a read that leaves nothing is nobody');
  t.is(read(one, 1, false), '', 'there is more to be read');
  t.is(read(one, 1), '', 'something waits for the end of the turn already');
  t.is(one.turn(), 'work-1 work-1 send-1 send-1');
});

test('readers that take turns, or meet in one, wait for the end of the turn', (t) => {
  const both = world();
  for (let reads = 0; reads < 3 * READS_ALONE; reads += 1) {
    t.is(read(both, 1), '');
    if (reads % 2 === 0) t.is(read(both, 2), '');
    t.not(both.turn(), '');
  }
  for (let reads = 0; reads <= READS_ALONE; reads += 1) {
    read(both, 1);
    both.turn();
  }
  t.is(read(both, 1), 'work-1 send-1');
  t.is(read(both, 2), '', 'a second one');
  t.is(read(both, 1), '');
  t.is(both.turn(), 'work-2 work-1 send-2 send-1');
});

test('reads, and the ends of turns, are told to who looks for more', (t) => {
  let nowMs = 0;
  let looks = 0;
  const nextTurn = (): void => {
    looks += 1;
  };
  const poll = new BusyPoll({ nowMs: () => nowMs, nextTurn });
  poll.setBudget(100);
  const due: (() => void)[] = [];
  const tickEnd = createTickEnd({ atTurnEnd: (end) => due.push(end), nowMs: () => nowMs, poll });
  for (let at = 0; at < 100; at++) {
    tickEnd.beginRead();
    tickEnd.send(() => {});
    tickEnd.endRead(at, true);
    for (const end of due.splice(0)) end();
    nowMs += 0.05;
  }
  t.is(looks, 1, 'pauses of 50 us are short');
});
