// Importing this overwrites the memory that bytes came in as soon as they have been received, and
// that of bytes to be sent as soon as it is free, for every connection of the process: whoever
// keeps a view where a copy is needed shows rubbish at once, not only on a busy day.
import { Connection } from '../../transport/http2/connection/connection.ts';
import { BlockPool } from '../../transport/http2/frames/output.ts';
import { READ_BUFFER } from '../../transport/read-memory.ts';

const POISON = 0xa5;

const { receive } = Connection.prototype;
const { giveBack } = BlockPool.prototype;

/** All bytes come as large reads do: in READ_BUFFER, and gone after the call. */
Connection.prototype.receive = function (chunk, nowMs, from = 0, end = chunk.length): void {
  const sizeBytes = end - from;
  if (chunk !== READ_BUFFER && sizeBytes > READ_BUFFER.length) {
    receive.call(this, chunk, nowMs, from, end);
    return;
  }
  // What a socket has read lies there already.
  const start = chunk === READ_BUFFER ? from : 0;
  if (chunk !== READ_BUFFER) READ_BUFFER.set(chunk.subarray(from, end));
  try {
    receive.call(this, READ_BUFFER, nowMs, start, start + sizeBytes);
  } finally {
    READ_BUFFER.fill(POISON, start, start + sizeBytes);
  }
};

BlockPool.prototype.giveBack = function (rest): void {
  giveBack.call(this, rest.fill(POISON));
};
