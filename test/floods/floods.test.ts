// Each attack for a moment, beside an honest client: the attacker is cut off, the honest calls are
// answered, memory stays bounded and nothing is left. How slow the honest calls become is measured
// by npm run floods, in rounds long enough to mean something.
import test from 'ava';
import { attacks } from './attacks.ts';
import { FloodField } from './flood-run.ts';

const ATTACK_MS = 400;
/** Attackers that wait for a limit of time: half a second on the server. */
const PATIENT_MS = 1_300;
/** Far more than the second that npm run floods asks for: this machine may be busy. */
const CUT_OFF_MS = 8_000;
const PEAK_RSS_BYTES = 700 * 1024 * 1024;
/** So few that a busy machine can make them: what is asked is whether they are answered. */
const MOST_CALLS_PER_SECOND = 200;

const LIMITS: Readonly<Record<string, string>> = {
  'rapid reset': 'resets',
  CONTINUATION: 'continuation_frames',
  SETTINGS: 'settings',
  PING: 'pings',
  'empty DATA': 'tiny_data',
  'zero window': 'stalled_time',
  'slow headers': 'partial_frame_time',
  'HPACK bomb': 'header_list_bytes',
  'gzip bomb': 'bombs',
  '1-byte frames': 'tiny_data',
  'half-open': 'handshake_time',
};

let field: FloodField;
test.before(async () => {
  field = new FloodField();
  await field.begin(MOST_CALLS_PER_SECOND);
});
test.after.always(async () => void (await field?.end()));

for (const { name, more, everyMs } of attacks()) {
  test.serial(`${name}: the attacker is cut off, honest calls are answered`, async (t) => {
    const isPatient = more === undefined || everyMs !== undefined;
    const attackMs = isPatient ? PATIENT_MS : ATTACK_MS;
    const run = await field.onServer(name, attackMs, CUT_OFF_MS);
    t.is(run.honest.failed, 0, run.honest.firstFailure);
    t.true(run.honest.calls > 0);
    t.true(run.attack.cutOff > 0, 'nobody was cut off');
    t.true(run.attack.longestMs < CUT_OFF_MS, `one lasted ${run.attack.longestMs} ms`);
    t.true(run.peakRssBytes < PEAK_RSS_BYTES, `${run.peakRssBytes} bytes of memory`);
    const limit = LIMITS[name];
    if (limit !== undefined) t.true((run.crossed[limit] ?? 0) > 0, JSON.stringify(run.crossed));
    t.is(run.left, undefined);
  });
}

test.serial('an attack that nobody stops is seen as one', async (t) => {
  const { attack } = await field.onSink('PING', ATTACK_MS);
  t.is(attack.cutOff, 0);
  t.true(attack.longestMs > ATTACK_MS / 2);
});
