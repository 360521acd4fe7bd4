// A unary echo over our transport: what a call costs with nothing behind it. Runs as a process of
// its own: echo.ts [PATH] [--transport NAME] [--cert FILE --key FILE]; prints 'listening PORT'.
import type { Backend } from '../../transport/backend.ts';
import { unknownMethod } from '../../transport/service.ts';
import { answerControlLines } from './control-lines.ts';
import { readServerFlags } from './flags.ts';
import { serveBackend } from './ours.ts';

const flags = readServerFlags();
let calls = 0;

const backend: Backend = {
  methods: new Map([[flags.rest[0] ?? '/bench.Echo/Echo', 'unary']]),
  unary(call) {
    calls += 1;
    call.succeed(call.request);
  },
  stream: (call) => call.fail(unknownMethod(call.path)),
};
const listener = await serveBackend(backend, flags);
console.log(`listening ${listener.port}`);
answerControlLines({ calls: () => calls, stop: () => listener.stop() });
