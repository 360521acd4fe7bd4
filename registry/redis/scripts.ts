// The registry's transitions, each a Lua script in lua/ that Redis runs as one step. They are sent
// by their digest (EVALSHA), and whole to a server that does not know them yet.
import { readFileSync } from 'node:fs';

/** Scripts by name, with how many keys each takes. */
const KEY_COUNTS = {
  'put-node': 5,
  heartbeat: 5,
  'put-copies': 5,
  'remove-node': 5,
  'read-nodes': 5,
  'read-stamps': 5,
  'read-copies': 5,
  'put-loads': 6,
  'read-loads': 6,
  'acquire-lease': 2,
  'renew-lease': 2,
  'release-lease': 2,
  'read-lease': 2,
  'put-shard': 2,
  'read-revisions': 2,
  'read-shards': 2,
} as const;

export type ScriptName = keyof typeof KEY_COUNTS;

const INCLUDE = /^-- include (.+)$/gm;

function read(file: string): string {
  return readFileSync(new URL(`./lua/${file}`, import.meta.url), 'utf8');
}

/** Comments and blank lines stay here: they would be sent to each server. */
function bare(text: string): string {
  const lines = text.split('\n').filter((line) => !/^\s*(--.*)?$/.test(line));
  return `${lines.join('\n')}\n`;
}

export interface ScriptText {
  readonly lua: string;
  readonly numberOfKeys: number;
}

export function scriptTexts(): Readonly<Record<ScriptName, ScriptText>> {
  const texts = Object.entries(KEY_COUNTS).map(([name, numberOfKeys]) => {
    const whole = read(`${name}.lua`).replace(INCLUDE, (_, file: string) => read(file));
    return [name, { lua: bare(whole), numberOfKeys }] as const;
  });
  return Object.fromEntries(texts) as Record<ScriptName, ScriptText>;
}
