// Ways to Redis that count, one for each role, so that what each of them asks and is told is seen
// apart. Run as a process of its own, since counting takes the processor too. Argument: the port of
// Redis, and how many ways.
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface Traffic {
  readonly commands: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** First the ports of the ways; then, each time it is asked, what went over them since it began. */
export interface ProxyMessage {
  readonly ports?: readonly number[];
  readonly traffic?: readonly Traffic[];
}

/** Each call of the registry is one script, sent by its digest. */
const COMMAND = '\r\nevalsha\r\n';

function commandsIn(chunk: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf(COMMAND); at >= 0; at = chunk.indexOf(COMMAND, at + 1)) count += 1;
  return count;
}

class CountingProxy {
  readonly server: Server;
  #commands = 0;
  #sentBytes = 0;
  #receivedBytes = 0;

  constructor(targetPort: number) {
    this.server = createServer((near) => this.#join(near, connect(targetPort, '127.0.0.1')));
  }

  traffic(): Traffic {
    const [sentBytes, receivedBytes] = [this.#sentBytes, this.#receivedBytes];
    return { commands: this.#commands, sentBytes, receivedBytes };
  }

  #join(near: Socket, far: Socket): void {
    let tail = Buffer.alloc(0);
    near.on('data', (chunk: Buffer) => {
      this.#sentBytes += chunk.length;
      this.#commands += commandsIn(Buffer.concat([tail, chunk]));
      // A command may be cut in two; what is whole was counted.
      tail = Buffer.from(chunk.subarray(Math.max(0, chunk.length - COMMAND.length + 1)));
    });
    far.on('data', (chunk: Buffer) => {
      this.#receivedBytes += chunk.length;
    });
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on('error', () => socket.destroy());
  }
}

const [targetPort = 0, count = 0] = process.argv.slice(2).map(Number);
const proxies = Array.from({ length: count }, () => new CountingProxy(targetPort));
const tell = (message: ProxyMessage): void => void process.send?.(message);
const ports: number[] = [];
for (const { server } of proxies) {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  ports.push(address.port);
}
process.on('message', () => tell({ traffic: proxies.map((proxy) => proxy.traffic()) }));
process.once('disconnect', () => process.exit(0));
tell({ ports });
