// The scripts of testdata/: commands, ----, and what they cause. REWRITE=1 writes what they cause
// now into the files, to be read before it is believed.
import '../../../test/support/poison-reads.ts';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Scenario } from './scenario.ts';

const FOLDER = join(import.meta.dirname, 'testdata');

interface Case {
  readonly title: string;
  readonly commands: readonly string[];
  readonly expected: string;
}

/** Cases are divided by empty lines; a case's first line is its title, behind `#`. */
function casesOf(text: string): Case[] {
  return text
    .trim()
    .split(/\n\n+/)
    .map((block) => {
      const lines = block.split('\n');
      const divider = lines.indexOf('----');
      return {
        title: lines[0] ?? '',
        commands: lines.slice(0, divider < 0 ? lines.length : divider),
        expected: divider < 0 ? '' : lines.slice(divider + 1).join('\n'),
      };
    });
}

function play(commands: readonly string[]): string {
  const scenario = new Scenario();
  return commands
    .filter((line) => !line.startsWith('#'))
    .flatMap((line) => scenario.run(line))
    .join('\n');
}

for (const file of readdirSync(FOLDER).toSorted()) {
  const path = join(FOLDER, file);
  const cases = casesOf(readFileSync(path, 'utf8'));
  if (process.env.REWRITE === '1') {
    const blocks = cases.map(({ commands }) => [...commands, '----', play(commands)].join('\n'));
    writeFileSync(path, `${blocks.join('\n\n')}\n`);
  }
  for (const { title, commands, expected } of cases) {
    test(`${file}: ${title.replace(/^# /, '')}`, (t) => {
      t.is(play(commands), expected);
    });
  }
}
