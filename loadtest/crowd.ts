// A crowd of connections to one server, from a process of its own: each makes one call and stays;
// then some of them call one after the other for a while. crowd.ts PORT PATH BODY-FILE CONNECTIONS
// ACTIVE SECONDS; prints 'listening 0' and answers the lines open and active.
import { readFile } from 'node:fs/promises';
import { type LeanClient, openLeanClient } from './lean-client.ts';
import { answerControlLines } from './servers/control-lines.ts';

/** Dialled at once: more than a listener's backlog are turned away. */
const DIALLED_AT_ONCE = 100;

const [port = '', path = '', bodyFile = '', connections = '', active = '', seconds = ''] =
  process.argv.slice(2);
const body = await readFile(bodyFile);

interface Member {
  client: LeanClient | undefined;
  served: number;
  isActive: boolean;
  onServed: () => void;
}

const members: Member[] = [];
let failed = 0;

async function join(): Promise<void> {
  const answered = Promise.withResolvers<void>();
  const member: Member = {
    client: undefined,
    served: 0,
    isActive: false,
    onServed: answered.resolve,
  };
  const client = await openLeanClient({
    port: Number(port),
    path,
    body,
    connections: 1,
    callsPerConnection: 1,
    onAnswer(code) {
      if (code !== 0) failed += 1;
      member.served += 1;
      member.onServed();
      if (member.isActive) client.send(0);
    },
  });
  member.client = client;
  members.push(member);
  client.send(0);
  client.flush();
  await answered.promise;
}

/** How many are there, and how many calls failed. */
async function open(): Promise<readonly number[]> {
  while (members.length < Number(connections)) {
    const more = Math.min(DIALLED_AT_ONCE, Number(connections) - members.length);
    await Promise.all(Array.from({ length: more }, join));
  }
  return [members.length, failed];
}

/** The least and the most that one of the active was served, all of it, and how many failed. */
async function runActive(): Promise<readonly number[]> {
  const chosen = members.slice(0, Number(active));
  for (const member of chosen) {
    member.served = 0;
    member.isActive = true;
    member.client?.send(0);
    member.client?.flush();
  }
  await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1_000));
  for (const member of chosen) member.isActive = false;
  const counts = chosen.map(({ served }) => served);
  const total = counts.reduce((sum, count) => sum + count, 0);
  // What is under way comes back before the next time.
  await new Promise((resolve) => setTimeout(resolve, 100));
  return [Math.min(...counts), Math.max(...counts), total, failed];
}

console.log('listening 0');
answerControlLines({
  calls: () => members.reduce((sum, { served }) => sum + served, 0),
  more: { open, active: runActive },
  stop() {
    for (const { client } of members) client?.close();
  },
});
