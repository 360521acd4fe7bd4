// npm run chaos [-- R1 R2 ...] [--short] [--json] [--minutes N]: each fault on a cluster of real
// processes under load, every answer checked. Prints what was measured against what is promised;
// the exit code tells whether all of it holds.
import { parseArgs } from 'node:util';
import { FAULTS } from './all-faults.ts';
import { Runner } from './stage.ts';
import { isFailed, table, type Verdict, verdictLines } from './verdicts.ts';

const WRONG_USAGE = 64;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    // Of R17, which lasts 20 else.
    minutes: { type: 'string' },
  },
});
const wanted = positionals.map((id) => id.toUpperCase());
const unknown = wanted.filter((id) => !FAULTS.some((fault) => fault.id === id));
if (unknown.length > 0) {
  console.error(`no such fault: ${unknown}; there are ${FAULTS.map(({ id }) => id).join(' ')}`);
  process.exit(WRONG_USAGE);
}

const note = (text: string): void => console.error(text);
const runner = new Runner(note, values.minutes === undefined ? undefined : Number(values.minutes));
const verdicts: Verdict[] = [];
for (const fault of FAULTS) {
  if (wanted.length > 0 && !wanted.includes(fault.id)) continue;
  note(`${fault.id}: ${fault.title}`);
  const verdict = await runner.run(fault, values.short ? 'short' : 'full');
  verdicts.push(verdict);
  note(verdictLines(verdict).join('\n'));
}
await runner.end();
console.log(values.json ? JSON.stringify(verdicts, undefined, 2) : `\n${table(verdicts)}`);
process.exit(verdicts.some(isFailed) ? 1 : 0);
